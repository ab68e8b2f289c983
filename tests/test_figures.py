"""Figures: every promised one is drawn, says SYN, and shows the same numbers as the tables."""

import json

import numpy as np
import pandas as pd
import pytest
from matplotlib import pyplot as plt

from rfbench import figures
from rfbench.aggregate import COLUMNS
from rfbench.errors import RFBenchError

ROWS = {"strideconv_bilinear": "StrideConv/Bilinear", "m2mrf_c": "M2MRF-C"}


@pytest.fixture
def results(tmp_path):
    """A results folder with two pairs, two seeds; one run is missing."""
    rng, rows = np.random.default_rng(0), []
    for pair, row in ROWS.items():
        for seed in (0, 1):
            done = (pair, seed) != ("m2mrf_c", 1)
            common = {
                **dict.fromkeys(COLUMNS, ""), "dataset": "IDRiD", "pair": pair, "row": row, "seed": seed,
                "n": 27 * done, "state": "done" if done else "missing", "synthetic": False,
                "kind": "idrid", "layout": "idrid", "backbone": "hrnetv2_w48",
            }  # fmt: skip
            for metric in figures.METRICS:
                for lesion in ("EX", "MA", "mean") if done else ("mean",):
                    value = rng.random() if done else None
                    rows.append({**common, "metric": metric, "lesion": lesion, "value": value})
            folder = tmp_path / "runs" / "IDRiD" / pair / f"seed{seed}"
            folder.mkdir(parents=True)
            if done:
                pd.DataFrame({"iteration": [1, 2], "loss": [0.9, 0.8], "lr": [0.1, 0.1]}).to_csv(folder / "curve.csv")
                points = [
                    (lesion, curve, r, 1 - r)
                    for lesion in ("EX", "MA")
                    for curve in ("exact", "aupr11")
                    for r in (0, 1)
                ]
                frame = pd.DataFrame(points, columns=["lesion", "curve", "recall", "precision"])
                frame.to_csv(folder / "pr_curves.csv", index=False)
    pairs = {pair: {"params_w48": 6e7 + k, "fps_ratio": 1 - k / 10} for k, pair in enumerate(ROWS)}
    (tmp_path / "profile.json").write_text(json.dumps({"pairs": pairs, "baseline": "strideconv_bilinear"}))
    pd.DataFrame(rows, columns=COLUMNS).to_csv(tmp_path / "metrics.csv", index=False)
    return tmp_path


def test_every_figure_is_drawn_twice_with_the_same_bytes(results):
    metrics = figures.read_metrics(results / "metrics.csv")
    first = figures.draw_all(metrics, results, results / "a")
    names = {path.stem.removeprefix("IDRiD_") for path in first}
    assert names == {"aupr11", "ap", "f", "iou", "lesions", "training", "pr", "params", "fps", "published"}
    assert {path.suffix for path in first} == {".png", ".pdf"}
    for path, again in zip(first, figures.draw_all(metrics, results, results / "b"), strict=True):
        assert path.read_bytes() == again.read_bytes(), path.name


def test_points_are_the_metrics_and_n_counts_finished_runs(results):
    metrics = figures.read_metrics(results / "metrics.csv")
    axes = figures.draw_metric(metrics, "IDRiD", "ap").axes[0]
    chosen = metrics.query("metric == 'ap' and lesion == 'mean' and pair == 'strideconv_bilinear'")["value"]
    assert sorted(axes.lines[0].get_xdata()) == pytest.approx(sorted(100 * chosen))
    assert [text.get_text() for text in axes.texts] == ["n=2", "n=1"]
    assert "%" in axes.get_xlabel()
    plt.close("all")


def test_interval_is_students(results):
    values = pd.Series([1.0, 2.0, 4.0])
    assert figures.interval(values) == pytest.approx(4.302653 * values.std() / 3**0.5, rel=1e-6)
    assert figures.interval(values[:1]) == 0


def test_synthetic_data_are_called_so(results):
    metrics = figures.read_metrics(results / "metrics.csv").assign(synthetic=True, dataset="SYN-IDRiD")
    assert "SYN, no ranking of operators" in figures.title(metrics, "SYN-IDRiD")


@pytest.mark.parametrize(
    ("points", "front"),
    [
        ([(1, 1), (2, 2)], [(2, 2)]),
        ([(1, 3), (2, 2), (3, 1)], [(1, 3), (2, 2), (3, 1)]),
        ([(1, 3), (2, 1), (3, 2), (3, 2)], [(1, 3), (3, 2)]),
    ],
)
def test_pareto_front(points, front):
    assert figures.pareto(points) == front


def test_nothing_to_draw_is_an_error(results, tmp_path):
    metrics = figures.read_metrics(results / "metrics.csv").assign(state="missing")
    metrics.to_csv(results / "metrics.csv", index=False)
    arguments = type("Arguments", (), {"metrics": results / "metrics.csv", "output": tmp_path / "out"})
    with pytest.raises(RFBenchError, match="no finished run, nothing to draw"):
        figures.run(arguments)
