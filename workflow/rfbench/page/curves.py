"""Charts of curves: precision and recall of chosen runs, training loss of all of them."""

from pathlib import Path

import numpy as np
import pandas as pd

from rfbench.page.figure import GREY, Figure, Panel, Sign, coloured, quantity, short, told, view
from rfbench.page.grids import ROW, Column, Entry, Grid, Group, number, plain
from rfbench.report import curves, plotting, rows
from rfbench.runs import run_folder

POINTS = 40  # of a curve: what a chart of this size can show
DASHES = ((), (1, 0.6), (0.4, 0.4))  # in the units of a legend's sign


def precision_recall(dataset: str, data: pd.DataFrame, results: Path) -> Figure | None:
    """Precision-recall curves of each row's first finished seed, a panel a lesion; None where no run left any."""
    done = data[data["state"] == "done"]
    runs = done.sort_values("seed").drop_duplicates("row").set_index("row")
    there = {row: run for row, run in runs.iterrows() if _curve_file(results, run).exists()}
    if not there:
        return None
    chosen = [row for row in curves.highlighted(data) if row in there]
    colours = curves.colours_of(chosen, data)
    points = {row: curves.points_of(results, run) for row, run in there.items()}
    panels, groups = [], []
    for lesion in rows.lesions(data):
        exact = {row: _thin(own[(own["lesion"] == lesion) & (own["curve"] == "exact")]) for row, own in points.items()}
        polygon = points[chosen[0]]
        polygon = polygon[(polygon["lesion"] == lesion) & (polygon["curve"] == "aupr11")]
        spec = _precision_recall_spec(exact, list(zip(polygon["recall"], polygon["precision"], strict=True)), colours)
        named = {**spec, "layer": spec["layer"][1:]}
        panels.append(Panel(f"{dataset}.pr.{lesion}", lesion, spec, lesion, named))
        groups.append(Group(tuple(_areas(done, there[row], lesion) for row in there), lesion, lesion))
    caption = (
        f"Exact curves of each row's first finished seed, {POINTS} points of each at most, and the papers' 11 "
        f"thresholds with the polygon whose area is their AUPR, of {chosen[0]}. Grey: rows that are not named (left "
        "out of still pictures). "
        "An artefact: no score of the lesion is above 0.1, so the polygon is one straight line."
    )
    columns = (Column(ROW, words=True), Column("seed"), Column("AUPR, 11 thresholds, %"),
               Column("AP, exact, %"), Column("artefact", words=True))  # fmt: skip
    table = Grid(f"{dataset}.pr.table", f"{dataset}: areas under the curves shown", columns, tuple(groups))
    legend = tuple(Sign(row, colour) for row, colour in colours.items())
    return Figure(f"{dataset}.pr", "Precision and recall", caption, tuple(panels), legend, table)


def _curve_file(results: Path, run: pd.Series) -> Path:
    return run_folder(results, run["dataset"], run["pair"], run["seed"]) / "pr_curves.csv"


def _thin(curve: pd.DataFrame) -> list[tuple[float, float]]:
    """A curve's recall and precision at POINTS places of equal distance in its file, both ends among them."""
    places = np.unique(np.linspace(0, len(curve) - 1, POINTS).round().astype(int)) if len(curve) else []
    kept = curve.iloc[places]
    return list(zip(kept["recall"], kept["precision"], strict=True))


def _precision_recall_spec(exact: dict[str, list], polygon: list, colours: dict[str, str]) -> dict:
    def lines(names, curves_of):
        return [{"row": row, "x": round(x, 3), "y": round(y, 3)} for row in names for x, y in curves_of[row]]

    x = {"field": "x", "type": "quantitative", "title": "recall (fraction)", "scale": {"domain": [0, 1]}}
    y = {"field": "y", "type": "quantitative", "title": "precision (fraction)", "scale": {"domain": [0, 1]}}
    shape = {"field": "row", "type": "nominal"}
    named = {name: Sign(name, colour) for name, colour in colours.items()}
    tooltip = told(("row", ROW), ("x", "recall"), ("y", "precision"))
    grey = lines([row for row in exact if row not in colours], exact)
    layers = [
        {"data": {"values": grey}, "mark": {"type": "line", "color": GREY, "strokeWidth": 0.7, "opacity": 0.6},
         "encoding": {"x": x, "y": y, "detail": shape, "order": {"field": "x"}}},
        {"mark": {"type": "line", "strokeWidth": 1.8},
         "encoding": {"x": x, "y": y, "color": coloured(named), "order": {"field": "x"}, "tooltip": tooltip}},
        {"data": {"values": [{"x": round(a, 4), "y": round(b, 4), "k": k} for k, (a, b) in enumerate(polygon)]},
         "mark": {"type": "line", "color": GREY, "strokeDash": [4, 3], "strokeWidth": 1,
                  "point": {"filled": False, "fill": "white", "size": 24, "color": GREY}},
         "encoding": {"x": x, "y": y, "order": {"field": "k"}}},
    ]  # fmt: skip
    return view(lines(colours, exact), *layers)


def _areas(done: pd.DataFrame, run: pd.Series, lesion: str) -> tuple[Entry, ...]:
    own = done[(done["pair"] == run["pair"]) & (done["seed"] == run["seed"]) & (done["lesion"] == lesion)]
    value = own.set_index("metric")["value"]
    artefact = "artefact" if value.get("aupr11_artefact", 0) == 1 else "–"
    texts = (run.name, str(run["seed"]), f"{100 * value['aupr11']:.2f}", f"{100 * value['ap']:.2f}", artefact)
    return tuple(Entry(text) for text in texts)


def training(dataset: str, data: pd.DataFrame, results: Path) -> Figure | None:
    """Training loss by update, mean over the finished runs of each row; None where no run left a curve."""
    losses = {row: curves.losses_of(results, data, row) for row in rows.order(data)}
    means = {row: mean for row, runs in losses.items() if (mean := curves.mean_curve(runs)) is not None and len(mean)}
    if not means:
        return None
    colours = plotting.signs(data)
    shown = {  # the eighth row has the colour of the first again
        row: Sign(row, colours[row]["color"], dash=DASHES[k // len(plotting.COLOURS) % len(DASHES)])
        for k, row in enumerate(means)
    }
    points = [
        {"row": row, "x": int(x), "y": short(float(y))}
        for row, mean in means.items()
        for x, y in mean.iloc[np.unique(np.linspace(0, len(mean) - 1, POINTS).round().astype(int))].items()
    ]
    table = plain(
        f"{dataset}.training.table", f"{dataset}: training loss, mean over finished runs",
        [Column(ROW, words=True), Column("runs"), Column("first"), Column("last"), Column("update")],
        [(row, sum(state == "done" for state, _ in losses[row]), number(mean.iloc[0], ".4f"),
          number(mean.iloc[-1], ".4f"), int(mean.index[-1])) for row, mean in means.items()],
    )  # fmt: skip
    panel = Panel(f"{dataset}.training.loss", "loss", _training_spec(points, shown))
    caption = "Mean over the finished runs of each row."
    return Figure(f"{dataset}.training", "Training loss", caption, (panel,), tuple(shown.values()), table)


def _training_spec(points: list[dict], shown: dict[str, Sign]) -> dict:
    dashes = [[5 * length for length in sign.dash] or [1, 0] for sign in shown.values()]
    dash = {"field": "row", "type": "nominal", "legend": None, "scale": {"domain": list(shown), "range": dashes}}
    tooltip = told(("row", ROW), ("x", "update"), ("y", "loss"))
    encoding = {"x": quantity("x", "updates"), "y": quantity("y", "loss"), "color": coloured(shown),
                "strokeDash": dash, "tooltip": tooltip}  # fmt: skip
    return view(points, {"mark": {"type": "line", "strokeWidth": 1.4}, "encoding": encoding})
