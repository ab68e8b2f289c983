"""differences.csv from metrics.csv and evidence.npz: what stands in each column, and what is left out or refused."""

import math
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import stats

from rfbench.errors import RFBenchError
from rfbench.metrics import LesionMetrics
from rfbench.report.aggregate import COLUMNS as METRICS_COLUMNS
from rfbench.statistics import comparison, population, retraining, spread
from rfbench.statistics.differences import COLUMNS, differences

from .drawn import IMAGES, draw_labels, draw_scores, write_evidence

BASELINE = "StrideConv/Bilinear"
PAIRS = {"strideconv_bilinear": (BASELINE, 1.4), "m2mrf_c": ("M2MRF-C", 1.7), "lip_bilinear": ("LIP/Bilinear", 1.3),
         "a2u_a2u": ("A2U/A2U", 1.4)}  # fmt: skip
SEEDS = (0, 1, 2)
LESIONS = ("EX", "HE", "SE", "MA")


def compute(prob: np.ndarray, label: np.ndarray, without: int | None = None) -> dict[str, dict[str, float]]:
    """Metrics of all images, or all but one."""
    metrics = LesionMetrics()
    for image in set(range(len(label))) - {without}:
        metrics.update(torch.from_numpy(prob[image]), torch.from_numpy(label[image]))
    return metrics.compute()


def rows_of_run(pair: str, seed: int, measured: dict, dataset: str = "IDRiD", state: str = "done") -> list[dict]:
    """A run's rows as `rfbench aggregate` writes them."""
    common = {**dict.fromkeys(METRICS_COLUMNS, ""), "dataset": dataset, "pair": pair, "seed": seed, "n": IMAGES,
              "state": state, "row": PAIRS[pair][0], "layout": "idrid", "split": "test",
              "synthetic": False}  # fmt: skip
    rows = [
        {**common, "metric": metric, "lesion": lesion, "value": value if state == "done" else math.nan}
        for metric, values in measured.items()
        for lesion, value in values.items()
        if state == "done" or lesion == "mean"
    ]
    return [*rows, *({**common, "metric": "ap_error", "lesion": name, "value": 1e-6} for name in LESIONS)]


class Experiment:
    """Four pairs of three runs on six drawn images, in a results folder."""

    def __init__(self, results: Path, label: np.ndarray) -> None:
        self.results, self.label, self.prob, rows = results, label, {}, []
        for number, (pair, (_, sharpness)) in enumerate(PAIRS.items()):
            for seed in SEEDS:
                prob = draw_scores(label, 100 * number + seed, sharpness + 0.02 * seed)
                self.prob[pair, seed] = prob
                write_evidence(self.path(pair, seed), prob, label)
                rows += rows_of_run(pair, seed, compute(prob, label))
        self.metrics = pd.DataFrame(rows, columns=METRICS_COLUMNS)

    def path(self, pair: str, seed: int) -> Path:
        """A run's evidence."""
        return self.results / "runs" / "IDRiD" / pair / f"seed{seed}" / "evidence.npz"

    def scores(self, metric: str, lesion: str) -> np.ndarray:
        """(pairs, seeds) in percent, one value looked up at a time."""
        own = self.metrics[(self.metrics["metric"] == metric) & (self.metrics["lesion"] == lesion)]
        values = own.set_index(["pair", "seed"])["value"]
        return np.array([[100 * values[pair, seed] for seed in SEEDS] for pair in PAIRS])

    def differences(self, **options) -> tuple[pd.DataFrame, list[str]]:
        """The table by pair, metric and lesion, and the notes."""
        table, notes = differences(
            options.get("metrics", self.metrics), self.results, options.get("baseline", BASELINE)
        )
        return table.set_index(["pair", "metric", "lesion"]), notes


@pytest.fixture(scope="module")
def experiment(tmp_path_factory) -> Experiment:
    return Experiment(tmp_path_factory.mktemp("results"), draw_labels(0))


def test_columns_and_rows(experiment):
    table, notes = differences(experiment.metrics, experiment.results, BASELINE)
    assert list(table.columns) == COLUMNS
    assert COLUMNS[:17] == [
        "dataset", "metric", "lesion", "pair", "reference", "n", "difference", "sd", "df", "low", "high",
        "population_low", "population_high", "p", "p_holm", "probability", "n_eff",
    ]  # fmt: skip
    assert set(table["metric"]) == {"aupr11", "ap", "f", "iou", "precision", "recall"}, "no diagnostics"
    assert len(table) == 3 * 6 * 5, "every pair but the baseline, metric, and lesion or mean"
    assert set(table["reference"]) == {"strideconv_bilinear"}
    assert notes == []


@pytest.mark.parametrize(("metric", "lesion"), [("ap", "mean"), ("aupr11", "mean"), ("iou", "MA")])
def test_retraining_columns_are_in_points(experiment, metric, lesion):
    scores, (table, _) = experiment.scores(metric, lesion), experiment.differences()
    got = retraining(scores)
    for place, pair in enumerate(PAIRS):
        if place == 0:
            assert (pair, metric, lesion) not in table.index
            continue
        row = table.loc[(pair, metric, lesion)]
        for name in ("difference", "sd", "df", "low", "high", "p", "p_holm"):
            assert row[name] == pytest.approx(getattr(got, name)[place]), name
        assert row["difference"] == pytest.approx(scores[place].mean() - scores[0].mean())
        assert row["probability"] == pytest.approx(stats.norm.cdf(row["difference"] / row["sd"] / math.sqrt(2)))
        assert row["probability_low"] < row["probability"] < row["probability_high"]
        assert (row["n"], row["n_reference"]) == (3, 3)
        welch = stats.ttest_ind(scores[place], scores[0], equal_var=False).confidence_interval(0.95)
        assert (row["welch_low"], row["welch_high"]) == pytest.approx((welch.low, welch.high))
        assert row["brown_forsythe_p"] == pytest.approx(stats.levene(*scores, center="median").pvalue)
        assert row["practically_equal"] == comparison.practically_equal(scores)[place]


@pytest.fixture(scope="module")
def without(experiment) -> dict[str, list[list[dict]]]:
    """By pair, for each seed, the metrics without each image, from the pixels."""
    return {
        pair: [
            [compute(experiment.prob[pair, seed], experiment.label, image) for image in range(IMAGES)] for seed in SEEDS
        ]
        for pair in ("strideconv_bilinear", "m2mrf_c")
    }


@pytest.mark.parametrize(
    ("metric", "lesion", "tolerance"), [("f", "SE", 1e-9), ("aupr11", "mean", 1e-9), ("ap", "mean", 0.05)]
)
def test_population_columns_are_those_of_metrics_without_each_image(experiment, without, metric, lesion, tolerance):
    scores, (table, _) = experiment.scores(metric, lesion), experiment.differences()
    reference, pair = (
        100 * np.array([[image[metric][lesion] for image in run] for run in without[name]]) for name in without
    )
    row = table.loc[("m2mrf_c", metric, lesion)]
    expected = population(row["difference"], *spread(scores), pair, reference)
    assert row["population_low"] == pytest.approx(expected.low, abs=tolerance)
    assert row["population_high"] == pytest.approx(expected.high, abs=tolerance)
    assert row["n_eff"] == pytest.approx(expected.n_eff, rel=0.05)
    assert row["population_high"] - row["population_low"] > row["high"] - row["low"]


def test_without_evidence_there_is_no_population_interval(experiment, tmp_path):
    table, notes = differences(experiment.metrics, tmp_path, BASELINE)
    assert table["population_low"].isna().all()
    assert table["low"].notna().all()
    assert "12 finished runs have no evidence.npz" in notes[0]


def test_a_single_run_without_evidence_costs_its_own_pair_alone(experiment):
    path = experiment.path("m2mrf_c", 1)
    content = path.read_bytes()
    path.unlink()
    try:
        table, notes = experiment.differences()
    finally:
        path.write_bytes(content)
    known = table["population_low"].notna().groupby("pair").all()
    assert known.to_dict() == {"a2u_a2u": True, "lip_bilinear": True, "m2mrf_c": False}
    assert "m2mrf_c seed 1" in notes[0]


def test_evidence_of_another_evaluation_is_refused(experiment):
    one, other = experiment.path("m2mrf_c", 0), experiment.path("m2mrf_c", 1)
    content = one.read_bytes()
    one.write_bytes(other.read_bytes())
    try:
        with pytest.raises(RFBenchError, match=r"seed0/evidence\.npz: expected f of EX = .* found"):
            experiment.differences()
    finally:
        one.write_bytes(content)


@pytest.mark.parametrize("damage", [b"", b"no npz", None])
def test_damaged_evidence_is_named(experiment, damage):
    path = experiment.path("lip_bilinear", 2)
    content = path.read_bytes()
    np.savez(path, counts=np.zeros(3)) if damage is None else path.write_bytes(damage)
    try:
        with pytest.raises(RFBenchError, match=r"evidence\.npz: expected the evidence of a run"):
            experiment.differences()
    finally:
        path.write_bytes(content)


def test_an_absent_lesion_leaves_the_means_and_is_named(tmp_path):
    label = draw_labels(1)
    label[label == 3] = 0
    experiment = Experiment(tmp_path, label)
    table, notes = experiment.differences()
    assert "no image has SE" in notes[0]
    assert set(table["absent"]) == {"SE"}
    assert set(table.index.get_level_values("lesion")) == {"mean", "EX", "HE", "MA"}
    others = np.mean([experiment.scores("iou", lesion) for lesion in ("EX", "HE", "MA")], axis=0)
    row = table.loc[("m2mrf_c", "iou", "mean")]
    assert row["difference"] == pytest.approx(others[1].mean() - others[0].mean())
    assert row["low"] == pytest.approx(retraining(others).low[1])
    assert np.isfinite(row["population_low"])


def test_a_lesion_in_four_images_has_no_population_interval_and_neither_has_the_mean(tmp_path):
    label = draw_labels(2)
    label[:2][label[:2] == 4] = 0
    table, _ = Experiment(tmp_path, label).differences()
    known = table["population_low"].notna().groupby("lesion").all()
    assert known.to_dict() == {"EX": True, "HE": True, "SE": True, "MA": False, "mean": False}
    assert table["low"].notna().all()


def test_runs_that_are_not_done_are_holes(experiment):
    metrics = experiment.metrics.copy()
    gone = (metrics["pair"] == "m2mrf_c") & (metrics["seed"] == 2)
    metrics.loc[gone, ["state", "value"]] = ["diverged", math.nan]
    table, notes = experiment.differences(metrics=metrics)
    scores = experiment.scores("ap", "mean")
    scores[1, 2] = np.nan
    row, got = table.loc[("m2mrf_c", "ap", "mean")], retraining(scores)
    assert (row["n"], row["n_reference"]) == (2, 3)
    assert (row["difference"], row["df"]) == pytest.approx((got.difference[1], 7))
    assert math.isnan(row["low"]), "two runs and seven degrees of freedom"
    assert np.isfinite(table.loc[("a2u_a2u", "ap", "mean"), "population_low"])
    assert notes == []


def test_without_the_baseline_there_are_no_differences_and_it_is_said(experiment):
    metrics = experiment.metrics[experiment.metrics["pair"] != "strideconv_bilinear"]
    table, notes = experiment.differences(metrics=metrics)
    assert table.empty
    assert "IDRiD: no differences, since StrideConv/Bilinear is not one of its pairs" in notes[0]
    table, _ = experiment.differences(metrics=metrics, baseline="m2mrf_c")
    assert set(table["reference"]) == {"m2mrf_c"}


def test_a_run_that_is_there_twice_is_refused(experiment):
    twice = pd.concat([experiment.metrics, experiment.metrics.iloc[:1]])
    with pytest.raises(RFBenchError, match="expected one row a pair, seed, metric and lesion, found two of"):
        experiment.differences(metrics=twice)


def test_no_finished_run_gives_an_empty_table(experiment):
    metrics = experiment.metrics[experiment.metrics["lesion"] == "mean"].assign(state="missing", value=math.nan)
    table, _ = experiment.differences(metrics=metrics)
    assert table.empty


def test_the_command_writes_the_same_bytes_twice_and_needs_no_torch(experiment, tmp_path):
    """Not even where it is not installed: an import of it fails here."""
    source = experiment.results / "metrics.csv"
    experiment.metrics.to_csv(source, index=False)
    (tmp_path / "torch.py").write_text("raise ImportError('torch was imported')")
    paths = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    written = []
    for name in ("one.csv", "two.csv"):
        command = [sys.executable, "-m", "rfbench", "statistics", "--metrics", source, "--output", tmp_path / name]
        done = subprocess.run(command, env={**os.environ, "PYTHONPATH": paths}, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        assert "90 differences" in done.stderr
        written.append((tmp_path / name).read_bytes())
    assert written[0] == written[1]
    table = pd.read_csv(tmp_path / "one.csv")
    assert list(table.columns) == COLUMNS
    assert table["practically_equal"].dtype == bool
