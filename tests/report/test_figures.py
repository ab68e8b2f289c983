"""Figures: every promised one is drawn, says SYN, and shows the same numbers as the tables."""

import json
from argparse import Namespace

import numpy as np
import pandas as pd
import pytest
from matplotlib import pyplot as plt
from scipy import stats

from rfbench.commands import figures as command
from rfbench.errors import RFBenchError
from rfbench.names import BASELINE_ROW
from rfbench.report import charts, curves, figures, plotting, tables
from rfbench.report.reading import COLUMNS, METHOD, read_metrics
from rfbench.report.rows import order

from .. import recorded
from .published_like import published_like

ROWS = {"strideconv_bilinear": "StrideConv/Bilinear", "m2mrf_c": "M2MRF-C"}


@pytest.fixture(autouse=True)
def few_pixels(monkeypatch):
    """Fewer dots an inch, so that the tests are quick."""
    monkeypatch.setitem(plotting.STYLE, "savefig.dpi", 50)


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
                "kind": "idrid", "layout": "idrid", "backbone": "hrnetv2_w48", "recipe": "published",
            }  # fmt: skip
            for metric in charts.METRICS:
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
    pairs = {
        pair: recorded.cost(row, 1 - k / 10, params_w48=60_000_000 + k) for k, (pair, row) in enumerate(ROWS.items())
    }
    profile = recorded.profile(pairs, backbone="hrnetv2_w48", size=[1440, 960])
    (tmp_path / "profile.json").write_text(json.dumps(profile))
    pd.DataFrame(rows, columns=COLUMNS).to_csv(tmp_path / "metrics.csv", index=False)
    return tmp_path


ALL = {"aupr11", "ap", "f", "iou", "lesions", "differences", "training", "pr", "params", "fps", "published"}


def some(monkeypatch, *names: str) -> None:
    """Draw only these figures, since each takes a second."""
    every = figures.drawings
    monkeypatch.setattr(figures, "drawings", lambda *a: {k: v for k, v in every(*a).items() if k in names})


def test_every_promised_figure_is_drawn(results):
    metrics, profile = read_metrics(results / "metrics.csv"), json.loads((results / "profile.json").read_text())
    assert set(figures.drawings(metrics, results, profile)) == ALL
    assert set(figures.drawings(metrics, results, None)) == ALL - {"params", "fps"}


def test_the_same_data_give_the_same_bytes(results, monkeypatch):
    some(monkeypatch, "params", "pr")
    metrics = read_metrics(results / "metrics.csv")
    first, second = (figures.draw_all(metrics, results, results / folder) for folder in ("a", "b"))
    assert {path.suffix for path in first} == {".png", ".pdf"}
    assert len(first) == 4
    for path, again in zip(first, second, strict=True):
        assert path.read_bytes() == again.read_bytes(), path.name


def test_points_are_the_metrics_and_n_counts_finished_runs(results):
    metrics = read_metrics(results / "metrics.csv")
    axes = charts.draw_metric(metrics, "ap").axes[0]
    chosen = metrics.query("metric == 'ap' and lesion == 'mean' and pair == 'strideconv_bilinear'")["value"]
    assert sorted(axes.lines[0].get_xdata()) == pytest.approx(sorted(100 * chosen))
    assert [text.get_text() for text in axes.get_yticklabels()] == ["StrideConv/Bilinear  2/2", "M2MRF-C  1/2"]
    assert "%" in axes.get_xlabel()
    plt.close("all")


def test_interval_is_students(results):
    values = pd.Series([1.0, 2.0, 4.0])
    assert plotting.interval(values) == pytest.approx(4.302653 * values.std() / 3**0.5, rel=1e-6)
    assert plotting.interval(values[:2]) == 0


def spans(axes: plt.Axes, width: float) -> list[tuple[float, float]]:
    """Ends of the horizontal lines of a width, by row."""
    drawn = [line for line in axes.lines if line.get_linewidth() == width and line.get_linestyle() == "-"]
    return [tuple(line.get_xdata()) for line in sorted(drawn, key=lambda line: line.get_ydata()[0])]


def test_differences_have_both_intervals_of_differences_csv():
    """Means and retraining intervals by Student's t, worked out here; those of new patients as stored."""
    metrics = published_like(sd=0.5)
    names = [row for row in metrics["row"].unique() if row != BASELINE_ROW]
    wide = {
        metric: metrics[(metrics["metric"] == metric) & (metrics["lesion"] == "mean")].pivot(
            index="row", columns="seed", values="value"
        ).loc[[BASELINE_ROW, *names]] * 100
        for metric in ("ap", "aupr11")
    }  # fmt: skip
    stored = pd.DataFrame(
        {"dataset": "IDRiD", "metric": metric, "lesion": "mean", "reference": "strideconv_bilinear", "pair": pair,
         "difference": wide[metric].mean(axis=1)[row] - wide[metric].mean(axis=1)[BASELINE_ROW],
         "population_low": -10.0 - place, "population_high": 20.0 + place}
        for metric in wide
        for place, (row, pair) in enumerate(metrics.drop_duplicates("row").set_index("row")["pair"][names].items())
    )  # fmt: skip
    figure = charts.draw_differences(metrics, stored)
    shown = [row for row in order(metrics) if row != BASELINE_ROW]
    for axes, metric in zip(figure.axes, ("ap", "aupr11"), strict=True):
        table = wide[metric]
        rest = table.sub(table.mean(axis=1), axis=0).sub(table.mean() - table.to_numpy().mean(), axis=1)
        degrees = (len(table) - 1) * 2
        half = stats.t.ppf(0.975, degrees) * ((rest**2).to_numpy().sum() / degrees) ** 0.5 * (2 / 3) ** 0.5
        middle = [table.mean(axis=1)[row] - table.mean(axis=1)[BASELINE_ROW] for row in shown]
        found = [line.get_xdata()[0] for line in axes.lines if line.get_marker() == "D"]
        assert found == pytest.approx(middle)
        for (low, high), value in zip(spans(axes, 2.4), middle, strict=True):
            assert (low, high) == pytest.approx((value - half, value + half))
        assert spans(axes, 0.8) == [(-10 - names.index(row), 20 + names.index(row)) for row in shown]
    assert [text.get_text().rsplit("  ", 1)[0] for text in figure.axes[0].get_yticklabels()] == shown
    assert [text.get_text() for text in figure.legends[0].get_texts()] == [
        "new patients, too, 95 %", "retraining on the same images, 95 %", "difference of the means",
    ]  # fmt: skip
    plt.close("all")


@pytest.mark.parametrize(("whole", "word"), [
    ((), "RF operators"), (("m2mrf_c",), "RF operators and methods"), (tuple(ROWS), "Methods"),
])  # fmt: skip
def test_legend_and_axis_say_what_competes(results, whole, word):
    metrics, profile = read_metrics(results / "metrics.csv"), json.loads((results / "profile.json").read_text())
    if whole:
        metrics[METHOD] = np.where(metrics["pair"].isin(whole), "Somebody et al.", "")
    drawn = figures.drawings(metrics, results, profile)
    for name, title in (("params", "(n seeds)"), ("fps", "(n seeds)"), ("published", "(n seeds of ours)")):
        assert drawn[name]().legends[0].get_title().get_text() == f"{word} {title}"
    size = "published size" if whole else "HRNetV2-W48"
    assert drawn["params"]().axes[0].get_xlabel() == f"learnable parameters at {size}, millions"
    plt.close("all")


def test_differences_of_other_metrics_lend_no_interval(results):
    metrics = published_like(sd=0.5)
    stale = pd.DataFrame([{"dataset": "IDRiD", "metric": "ap", "lesion": "mean", "reference": "strideconv_bilinear",
                           "pair": metrics["pair"].iloc[-1], "difference": 99.0, "population_low": 98.0,
                           "population_high": 100.0}])  # fmt: skip
    for differences in (stale, None):
        figure = charts.draw_differences(metrics, differences)
        assert spans(figure.axes[0], 0.8) == []
        assert len(spans(figure.axes[0], 2.4)) == len(metrics["row"].unique()) - 1
        assert "new patients, too, 95 %" not in [text.get_text() for text in figure.legends[0].get_texts()]
    alone = metrics[metrics["row"] == BASELINE_ROW]
    assert "differences" not in figures.drawings(alone, results, None), "nothing to compare with"
    others = metrics[metrics["row"] != BASELINE_ROW]
    assert "differences" not in figures.drawings(others, results, None), "no baseline"
    plt.close("all")


def test_a_pair_without_a_run_is_said_beside_the_others(results):
    metrics = read_metrics(results / "metrics.csv")
    undone = metrics[metrics["state"] == "missing"].assign(pair="a2u", row="A2U/A2U")
    axes = charts.draw_differences(pd.concat([metrics, undone]), None).axes[0]
    assert [text.get_text() for text in axes.texts] == ["no runs to compare"]
    assert [line.get_marker() for line in axes.lines].count("D") == 1, "of M2MRF-C, with too few runs for an interval"
    assert spans(axes, 2.4) == []
    plt.close("all")


def test_synthetic_data_are_called_so_in_every_figure(results):
    metrics = read_metrics(results / "metrics.csv").assign(synthetic=True)
    profile = json.loads((results / "profile.json").read_text())
    drawings = figures.drawings(metrics, results, profile)
    assert "published" not in drawings
    for name, draw in drawings.items():
        assert "SYN: synthetic images, no ranking of operators" in draw().get_suptitle(), name
    plt.close("all")


@pytest.mark.parametrize("name", sorted(ALL - {"ap", "f", "iou"}))
def test_figures_are_one_column_wide_and_nothing_leaves_them(results, name):
    """Every text and legend within 85 mm; fonts embedded as outlines that editors read."""
    metrics, profile = read_metrics(results / "metrics.csv"), json.loads((results / "profile.json").read_text())
    with plt.rc_context(plotting.STYLE):
        figure = figures.drawings(metrics, results, profile)[name]()
        figure.draw_without_rendering()
        box, page = figure.get_tightbbox(), figure.bbox_inches
        assert page.width * 25.4 == pytest.approx(85)
        assert box.x0 >= -0.01
        assert box.y0 >= -0.01
        assert box.x1 <= page.x1 + 0.01
        assert box.y1 <= page.y1 + 0.01
        (pdf,) = (path for path in plotting.save(figure, results, name) if path.suffix == ".pdf")
    assert b"/Type0" in pdf.read_bytes()
    assert b"/Type3" not in pdf.read_bytes()


def test_highlighted_rows_are_the_best_the_baseline_and_own_ones(results):
    metrics = read_metrics(results / "metrics.csv")
    few = metrics[metrics["state"] == "done"].copy()
    more = [few.assign(row=row, pair=row) for row in ("LIP/Bilinear", "A2U/A2U", "Mine/Mine", "M2MRF-A", "M2MRF-B")]
    many = pd.concat([few, *more])
    best = (many["row"] == "A2U/A2U") & (many["metric"] == "ap") & (many["lesion"] == "mean")
    many.loc[best, "value"] = 0.999
    assert curves.highlighted(many) == ["A2U/A2U", "StrideConv/Bilinear", "Mine/Mine"]
    assert set(curves.highlighted(few)) == set(ROWS.values()), "so few are all shown"


def test_curves_hold_both_areas_of_the_run_that_they_show(results):
    metrics = read_metrics(results / "metrics.csv")
    runs = metrics[(metrics["row"] == curves.highlighted(metrics)[0]) & (metrics["state"] == "done")]
    first = runs[(runs["seed"] == runs["seed"].min()) & (runs["lesion"] == "MA")].set_index("metric")["value"]
    titles = [axes.get_title() for axes in curves.draw_precision_recall(results, metrics).axes]
    assert f"MA: AUPR11 {100 * first['aupr11']:.1f}, AP {100 * first['ap']:.1f} %" in titles
    plt.close("all")


def test_highlighted_curves_differ_in_colour(results):
    rows = list(tables.read_published()["row"].unique())  # more than there are colours
    metrics = pd.DataFrame({"row": rows})
    same = [row for row in rows if plotting.signs(metrics)[row]["color"] == plotting.signs(metrics)[rows[0]]["color"]]
    assert len(same) > 1
    assert len(set(curves.colours_of(same, metrics).values())) == len(same)


@pytest.fixture
def with_artefact(results):
    """The metrics with an artefact in one seed of M2MRF-C."""
    metrics = read_metrics(results / "metrics.csv")
    flag = metrics.query("pair == 'm2mrf_c' and seed == 0").iloc[:1]
    return pd.concat([metrics, flag.assign(metric="aupr11_artefact", lesion="MA", value=1.0)])


def test_an_artefact_is_marked(with_artefact):
    flagged = plotting.means(with_artefact, "aupr11").query("artefact")
    assert list(zip(flagged["pair"], flagged["seed"], strict=True)) == [("m2mrf_c", 0)]
    assert not plotting.means(with_artefact, "ap")["artefact"].any()


@pytest.mark.parametrize("name", ["params", "fps", "published"])
def test_a_mean_with_an_artefact_is_hollow_and_the_title_says_so(results, with_artefact, name):
    profile = json.loads((results / "profile.json").read_text())
    figure = figures.drawings(with_artefact, results, profile)[name]()
    filled = [line.get_markerfacecolor() != "white" for line in figure.legends[0].get_lines()]
    assert filled == [True, False]
    assert "hollow: an artefact" in " ".join(figure.get_suptitle().split())
    plain = figures.drawings(read_metrics(results / "metrics.csv"), results, profile)[name]()
    assert "hollow" not in plain.get_suptitle()
    plt.close("all")


@pytest.mark.parametrize(
    ("points", "front"),
    [
        ([(1, 1), (2, 2)], [(2, 2)]),
        ([(1, 3), (2, 2), (3, 1)], [(1, 3), (2, 2), (3, 1)]),
        ([(1, 3), (2, 1), (3, 2), (3, 2)], [(1, 3), (3, 2)]),
    ],
)
def test_pareto_front(points, front):
    assert charts.pareto(points) == front


def test_figures_that_are_no_longer_drawn_are_removed_and_no_finished_run_is_told(
    results, tmp_path, capsys, monkeypatch
):
    some(monkeypatch, "ap")
    arguments = Namespace(metrics=results / "metrics.csv", results=None, output=tmp_path / "out")
    command.run(arguments)
    listed = (tmp_path / "out" / "figures.txt").read_text().split()
    assert sorted(listed) == sorted(path.name for path in (tmp_path / "out").iterdir() if path.suffix != ".txt")
    read_metrics(results / "metrics.csv").assign(state="missing").to_csv(results / "metrics.csv", index=False)
    assert command.run(arguments) == 0
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["figures.txt"]
    assert "IDRiD: no finished run, no figure" in capsys.readouterr().err


@pytest.mark.parametrize("content", [b"../mine.png ../../mine.png /mine.png mine.txt . ..\n", b"\xff\xfe\x00 \x80"])
def test_a_list_that_somebody_edited_removes_no_other_file(results, tmp_path, monkeypatch, content):
    some(monkeypatch)
    out = tmp_path / "deep" / "out"
    out.mkdir(parents=True)
    theirs = [tmp_path / "deep" / "mine.png", tmp_path / "mine.png", out / "mine.txt"]
    for path in theirs:
        path.write_text("mine")
    (out / "figures.txt").write_bytes(content)
    assert command.run(Namespace(metrics=results / "metrics.csv", results=None, output=out)) == 0
    assert [path.read_text() for path in theirs] == ["mine"] * len(theirs)
    assert (out / "figures.txt").read_text() == ""


def test_validation_images_are_called_so_and_compared_with_nothing_published(results):
    drawings = figures.drawings(read_metrics(results / "metrics.csv").assign(split="val"), results, None)
    assert "published" not in drawings
    assert "27 validation images" in drawings["ap"]().get_suptitle()
    plt.close("all")


def test_missing_curves_are_named(results, tmp_path):
    with pytest.raises(RFBenchError, match=r"pr_curves\.csv: not found, though its run is done"):
        curves.draw_precision_recall(tmp_path / "elsewhere", read_metrics(results / "metrics.csv"))
