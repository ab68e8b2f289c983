"""differences.csv from metrics.csv and evidence.npz: what stands in each column, and what is left out or refused."""

import math
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from rfbench.errors import RFBenchError
from rfbench.lesions import evidence, truth
from rfbench.names import LESIONS, METRICS
from rfbench.report.reading import COLUMNS as METRICS_COLUMNS
from rfbench.statistics import comparison, population, retraining, spread
from rfbench.statistics.differences import COLUMNS, differences
from rfbench.statistics.scores import COMPARED

from .drawn import IMAGES, draw_labels, draw_scores, measure, record

BASELINE = "StrideConv/Bilinear"
PAIRS = {"strideconv_bilinear": (BASELINE, 1.4), "m2mrf_c": ("M2MRF-C", 1.7), "lip_bilinear": ("LIP/Bilinear", 1.3),
         "a2u_a2u": ("A2U/A2U", 1.4)}  # fmt: skip
SEEDS = (0, 1, 2)


def rows_of_run(pair: str, seed: int, measured: dict) -> list[dict]:
    """A run's rows as `rfbench aggregate` writes them."""
    common = {**dict.fromkeys(METRICS_COLUMNS, ""), "dataset": "IDRiD", "pair": pair, "seed": seed, "n": IMAGES,
              "state": "done", "row": PAIRS[pair][0], "layout": "idrid", "split": "test",
              "synthetic": False}  # fmt: skip
    rows = [
        {**common, "metric": metric, "lesion": lesion, "value": math.nan if value is None else value}
        for metric, values in measured.items()
        for lesion, value in values.items()
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
                recorder = record(prob, label)
                evidence.write(self.path(pair, seed), recorder.evidence())
                rows += rows_of_run(pair, seed, measure(recorder))
        truth.write(self.results / "data" / "IDRiD" / truth.NAME, recorder.truth())
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
    assert set(table["metric"]) <= set(COMPARED), "no counts, points of curves or diagnostics"
    assert {"aupr11", "ap", "f", "iou", "lesion_recall", "lesion_f1", "fp_per_image", "cpm"} <= set(table["metric"])
    pixels = table[table["metric"].isin(METRICS)]
    assert len(pixels) == 3 * 6 * 5, "every pair but the baseline, metric, and lesion or mean"
    assert set(table.loc[table["metric"] == "cpm", "lesion"]) == set(LESIONS), "a metric of lesions has no mean"
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
            [measure(record(experiment.prob[pair, seed], experiment.label, image)) for image in range(IMAGES)]
            for seed in SEEDS
        ]
        for pair in ("strideconv_bilinear", "m2mrf_c")
    }


@pytest.mark.slow
@pytest.mark.parametrize(
    ("metric", "lesion", "tolerance"),
    [
        ("f", "SE", 1e-9),
        ("aupr11", "mean", 1e-9),
        ("ap", "mean", 0.05),
        ("lesion_f1", "MA", 1e-9),
        ("lesion_recall_74_255", "EX", 1e-9),
    ],
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
    assert row["population_high"] - row["population_low"] > 0


def test_false_regions_per_image_are_counted_in_regions(experiment):
    scores, (table, _) = experiment.scores("fp_per_image", "EX") / 100, experiment.differences()
    row = table.loc[("m2mrf_c", "fp_per_image", "EX")]
    assert row["difference"] == pytest.approx(scores[1].mean() - scores[0].mean())
    assert row["practically_equal"] is None, "a margin of one point says nothing of regions"
    assert row["population_low"] < row["difference"] < row["population_high"]


def test_without_the_data_sets_lesions_sizes_have_no_population_interval(experiment):
    path = experiment.results / "data" / "IDRiD" / "lesions.npz"
    content = path.read_bytes()
    path.unlink()
    try:
        table, _ = experiment.differences()
    finally:
        path.write_bytes(content)
    known = table["population_low"].notna().groupby("metric").all()
    assert not known["lesion_recall_74_255"]
    assert known["lesion_recall"]
    assert known["ap"]


def test_lesions_of_another_data_set_are_refused(experiment):
    path = experiment.results / "data" / "IDRiD" / "lesions.npz"
    content = path.read_bytes()
    label = draw_labels(7)
    truth.write(path, record(draw_scores(label, 0), label).truth())
    try:
        with pytest.raises(RFBenchError, match=r"the lesions of the data set's lesions\.npz, found others"):
            experiment.differences()
    finally:
        path.write_bytes(content)


def test_without_evidence_there_is_no_population_interval(experiment, tmp_path):
    table, notes = differences(experiment.metrics, tmp_path, BASELINE)
    assert table["population_low"].isna().all()
    assert table["low"].notna().all()
    assert "12 finished runs have no evidence.npz" in notes[0]


@pytest.mark.slow
def test_a_single_run_without_evidence_costs_its_own_pair_alone(experiment):
    path = experiment.path("m2mrf_c", 1)
    content = path.read_bytes()
    path.unlink()
    try:
        table, notes = experiment.differences()
    finally:
        path.write_bytes(content)
    known = table.loc[pd.IndexSlice[:, METRICS], "population_low"].notna().groupby("pair").all()
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
        with pytest.raises(RFBenchError, match=r"evidence\.npz: expected the evidence of a run, found"):
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


@pytest.mark.slow
def test_a_lesion_in_four_images_has_no_population_interval_and_neither_has_the_mean(tmp_path):
    label = draw_labels(2)
    label[:2][label[:2] == 4] = 0
    table, _ = Experiment(tmp_path, label).differences()
    pixels = table.loc[pd.IndexSlice[:, METRICS], :]
    assert pixels["population_low"].notna().groupby("lesion").all().to_dict() == {
        "EX": True, "HE": True, "SE": True, "MA": False, "mean": False}  # fmt: skip
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
    assert "IDRiD: no differences, since StrideConv/Bilinear is not among what competes there" in notes[0]
    table, _ = experiment.differences(metrics=metrics, baseline="m2mrf_c")
    assert set(table["reference"]) == {"m2mrf_c"}


def test_a_run_that_is_there_twice_is_refused(experiment):
    twice = pd.concat([experiment.metrics, experiment.metrics.iloc[:1]])
    with pytest.raises(RFBenchError, match="expected one row a pair or method, seed, metric and lesion, found two of"):
        experiment.differences(metrics=twice)


def test_no_finished_run_gives_an_empty_table(experiment):
    metrics = experiment.metrics[experiment.metrics["lesion"] == "mean"].assign(state="missing", value=math.nan)
    table, _ = experiment.differences(metrics=metrics)
    assert table.empty


@pytest.mark.slow
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
        assert re.search(r"\d+ differences", done.stderr)
        written.append((tmp_path / name).read_bytes())
    assert written[0] == written[1]
    table = pd.read_csv(tmp_path / "one.csv")
    assert list(table.columns) == COLUMNS
    fractions = table["metric"] != "fp_per_image"
    assert set(table.loc[fractions, "practically_equal"]) <= {True, False}
    assert table.loc[~fractions, "practically_equal"].isna().all()
