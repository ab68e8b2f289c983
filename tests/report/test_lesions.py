"""The table and the figures of lesions found: the numbers of metrics.csv, their spread over seeds, few lesions."""

import math
import statistics

import numpy as np
import pandas as pd
import pytest
from matplotlib import pyplot as plt

from rfbench.report import figures, lesion_charts, lesions, plotting
from rfbench.report.reading import COLUMNS, read_metrics

ROWS = {"m2mrf_c": "M2MRF-C", "strideconv_bilinear": "StrideConv/Bilinear"}
SIZES = ("lt74", "74_255", "256_1920", "gt1920")
THRESHOLDS = ["0.01", *(f"0.{k}" for k in range(1, 10)), "0.99", "0.999", "0.9999", "0.99999"]


def share(pair: str, seed: int, metric: str) -> float:
    """A made-up share, other for each run and metric."""
    return (0.3 if pair == "m2mrf_c" else 0.2) + 0.05 * seed + 0.01 * (sum(map(ord, metric)) % 17)


def frame(synthetic: bool = False, seeds=(0, 1, 2), old: bool = False) -> pd.DataFrame:
    """Rows as `rfbench aggregate` writes them: EX with many lesions, MA with 12 in all; m2mrf_c lacks its last seed."""
    rows = []
    for pair, row in ROWS.items():
        for seed in seeds:
            done = (pair, seed) != ("m2mrf_c", seeds[-1])
            common = {
                **dict.fromkeys(COLUMNS, ""), "dataset": "Set_1", "pair": pair, "row": row, "seed": seed,
                "n": 27 * done, "state": "done" if done else "missing", "synthetic": synthetic, "kind": "idrid",
                "layout": "idrid", "split": "test", "eval_size": "native", "backbone": "hrnetv2_w48",
                "recipe": "published", "commit": "0123456789abcdef", "dirty": False,
            }  # fmt: skip
            rows.append({**common, "metric": "ap", "lesion": "mean", "value": 0.5 if done else None})
            for lesion, enough in (("EX", True), ("MA", False)) if done else ():
                values = {"ap": 0.5}
                if not old:
                    values |= measured(pair, seed, enough)
                rows += [{**common, "metric": metric, "lesion": lesion, "value": v} for metric, v in values.items()]
    return pd.DataFrame(rows, columns=COLUMNS)


def measured(pair: str, seed: int, enough: bool) -> dict[str, float | None]:
    values: dict[str, float | None] = {"fp_per_image": 2.5 + seed, "regions": 9, "regions_false": 4}
    for suffix, number in zip(("", *(f"_{size}" for size in SIZES)), (400, 100, 100, 150, 50), strict=True):
        values[f"lesions{suffix}"] = number if enough else number // 33
        values[f"lesions_hit{suffix}"] = seed
        values[f"lesion_recall{suffix}"] = share(pair, seed, f"lesion_recall{suffix}") if enough else None
    for metric in (
        "lesion_precision",
        "lesion_f1",
        "cpm",
        *(f"lesions_covered_{s}" for s in ("any", "10", "20", "50")),
    ):
        values[metric] = share(pair, seed, metric) if enough else None
    for k, name in enumerate(THRESHOLDS):
        values[f"froc_recall_{name}"] = share(pair, seed, "") - 0.01 * k if enough else None
        values[f"froc_fp_{name}"] = 30 / (k + 1)
    return values


def cell(rows: list[dict], lesion: str, pair: str, heading: str) -> lesions.Found:
    (row,) = [row for row in rows if (row["lesion"], row["pair"]) == (lesion, pair)]
    return row["cells"][heading]


def test_cells_are_means_and_standard_deviations_over_seeds():
    rows = lesions.rows_of(frame())
    assert [(row["lesion"], row["row"]) for row in rows] == [
        (lesion, row) for lesion in ("EX", "MA") for row in ("StrideConv/Bilinear", "M2MRF-C")
    ], "lesions and operators in the papers' order"
    metrics = {
        "< 74": "lesion_recall_lt74",
        "74–255": "lesion_recall_74_255",
        "256–1920": "lesion_recall_256_1920",
        "> 1920": "lesion_recall_gt1920",
        "all sizes": "lesion_recall",
        "precision": "lesion_precision",
        "F1": "lesion_f1",
        "CPM": "cpm",
        "any pixel": "lesions_covered_any",
        "50 %": "lesions_covered_50",
    }
    for heading, metric in metrics.items():
        for pair, seeds in (("m2mrf_c", (0, 1)), ("strideconv_bilinear", (0, 1, 2))):
            values = [100 * share(pair, seed, metric) for seed in seeds]
            found = cell(rows, "EX", pair, heading)
            assert found.mean == pytest.approx(statistics.mean(values))
            assert found.std == pytest.approx(statistics.stdev(values))
            assert found.text == f"{statistics.mean(values):.2f} ± {statistics.stdev(values):.2f}"
    assert cell(rows, "MA", "m2mrf_c", "FP/image").text == "3.00 ± 0.71"
    assert [(row["n"], row["configured"]) for row in rows] == [(3, 3), (2, 3)] * 2
    assert rows[0]["numbers"] == {"< 74": 100, "74–255": 100, "256–1920": 150, "> 1920": 50, "all sizes": 400}


def test_few_lesions_are_counted_and_have_no_share():
    rows = lesions.rows_of(frame())
    assert cell(rows, "MA", "m2mrf_c", "all sizes").text == "0.5 of 12"
    assert math.isnan(cell(rows, "MA", "m2mrf_c", "all sizes").mean)
    assert cell(rows, "MA", "m2mrf_c", "CPM").text == "–"
    assert cell(rows, "MA", "strideconv_bilinear", "> 1920").text == "1.0 of 1"


def test_a_size_without_a_lesion_is_a_dash():
    metrics = frame()
    metrics.loc[metrics["metric"].isin(["lesions_gt1920", "lesions_hit_gt1920"]), "value"] = 0
    metrics.loc[metrics["metric"] == "lesion_recall_gt1920", "value"] = None
    assert cell(lesions.rows_of(metrics), "EX", "m2mrf_c", "> 1920").text == "–"


def test_files_hold_the_same_numbers(tmp_path):
    assert lesions.write(tmp_path, frame()) == 4
    table = pd.read_csv(tmp_path / "lesions.csv").set_index(["lesion", "pair"])
    expected = statistics.mean(100 * share("m2mrf_c", seed, "lesion_recall_lt74") for seed in (0, 1))
    assert table.loc[("EX", "m2mrf_c"), "< 74_mean"] == pytest.approx(expected, abs=1e-4)
    assert table.loc[("MA", "m2mrf_c"), "lesions all sizes"] == 12
    assert table.loc[("MA", "m2mrf_c"), "all sizes_hit"] == "0.5 of 12"
    markdown, tex = ((tmp_path / f"lesions.{kind}").read_text() for kind in ("md", "tex"))
    assert f"| {expected:.2f} ±" in markdown
    assert "| < 74 (100) |" in markdown
    assert "2/3" in markdown
    assert f"{expected:.2f} $\\pm$" in tex
    assert "Set\\_1" in tex
    assert r"\textless{} 74 (100)" in tex
    assert "SYN" not in markdown + tex


def test_synthetic_data_say_so(tmp_path):
    lesions.write(tmp_path, frame(synthetic=True))
    assert "they rank no operator" in (tmp_path / "lesions.md").read_text()
    assert "SYN: synthetic images, no ranking" in (tmp_path / "lesions.tex").read_text()
    assert set(pd.read_csv(tmp_path / "lesions.csv")["data"]) == {"SYN"}


def test_runs_of_earlier_versions_have_none(tmp_path):
    assert lesions.write(tmp_path, frame(old=True)) == 0
    assert "No finished run has counted lesions." in (tmp_path / "lesions.md").read_text()
    assert not {"sizes", "froc"} & set(figures.drawings(frame(old=True), tmp_path, None))


# -- figures --


@pytest.fixture
def metrics(tmp_path) -> pd.DataFrame:
    frame(seeds=(0, 1, 2, 3)).to_csv(tmp_path / "metrics.csv", index=False)
    return read_metrics(tmp_path / "metrics.csv")


def test_both_figures_are_drawn(metrics, tmp_path):
    assert {"sizes", "froc"} <= set(figures.drawings(metrics, tmp_path, None))


def test_recall_against_size(metrics):
    with plt.rc_context(plotting.STYLE):
        figure = lesion_charts.draw_sizes(metrics)
    ex, ma = [axes for axes in figure.axes if axes.get_title() in ("EX", "MA")]
    (line,) = [bars for bars in ex.containers if bars[0].get_color() == plotting.signs(metrics)["M2MRF-C"]["color"]]
    for k, size in enumerate(SIZES):
        values = [100 * share("m2mrf_c", seed, f"lesion_recall_{size}") for seed in (0, 1, 2)]
        assert line[0].get_ydata()[k] == pytest.approx(statistics.mean(values))
        low, high = line[2][0].get_segments()[k][:, 1]
        half = 4.30265 * statistics.stdev(values) / math.sqrt(3)  # t of two degrees of freedom
        assert (low, high) == pytest.approx((statistics.mean(values) - half, statistics.mean(values) + half), rel=1e-4)
    assert [label.get_text() for label in ex.get_xticklabels()] == [
        "< 74\n(100)", "74–255\n(100)", "256–1920\n(150)", "> 1920\n(50)"
    ]  # fmt: skip
    assert not ma.lines
    assert "too few lesions" in [text.get_text() for text in ma.texts]
    plt.close(figure)


def test_froc(metrics):
    with plt.rc_context(plotting.STYLE):
        figure = lesion_charts.draw_froc(metrics)
    (ex,) = [axes for axes in figure.axes if axes.get_title() == "EX"]
    colour = plotting.signs(metrics)["StrideConv/Bilinear"]["color"]
    curve, half = [line for line in ex.lines if colour in (line.get_color(), line.get_markeredgecolor())]
    assert curve.get_xdata() == pytest.approx([30 / (k + 1) for k in range(14)])
    start = np.mean([share("strideconv_bilinear", seed, "") for seed in range(4)])
    assert curve.get_ydata() == pytest.approx([100 * (start - 0.01 * k) for k in range(14)])
    assert (half.get_xdata()[0], half.get_ydata()[0]) == pytest.approx((5.0, 100 * (start - 0.05)))
    assert ex.get_xlim()[1] > 30
    plt.close(figure)
