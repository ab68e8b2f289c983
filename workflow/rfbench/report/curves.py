"""Figures of curves: precision-recall of chosen runs, training loss of all of them."""

from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib import pyplot as plt
from matplotlib.lines import Line2D

from rfbench.errors import RFBenchError
from rfbench.names import BASELINE_ROW
from rfbench.published import read_published
from rfbench.report.plotting import ACCENT, COLOURS, GREY, MM, WIDTH, head, legend, means, seeds, signs
from rfbench.report.reading import read_numbers
from rfbench.report.rows import lesions, order
from rfbench.runs import run_folder

POLYGON = {"color": "k", "ls": "--", "lw": 0.7, "marker": "o", "ms": 2.2, "mfc": "white", "mew": 0.6}
SHOWN = 5  # coloured curves in a panel; more cannot be told apart


def highlighted(metrics: pd.DataFrame) -> list[str]:
    """Rows to draw in colour: the one of highest mAP, the baseline, those that the papers do not have, then others."""
    average = means(metrics, "ap").groupby("row")["percent"].mean()
    rows = [row for row in order(metrics) if row in average]
    own = [row for row in rows if row not in set(read_published()["row"])]
    chosen = [average.idxmax(), *(row for row in rows if row == BASELINE_ROW), *own]
    return list(dict.fromkeys(chosen + (rows if len(rows) <= SHOWN else [])))[:SHOWN]


def draw_precision_recall(results: Path, metrics: pd.DataFrame) -> plt.Figure:
    """Precision-recall curves of each row's first finished seed, one panel a lesion.

    The exact curves of the highlighted rows in colour, the others grey; the papers' 11 thresholds, with the polygon
    whose area is their AUPR, over the exact curve of the row of highest mAP.
    """
    done, chosen, names = metrics[metrics["state"] == "done"], highlighted(metrics), lesions(metrics)
    colours = colours_of(chosen, metrics)
    runs = done.sort_values("seed").drop_duplicates("row").set_index("row")
    curves = {row: points_of(results, run) for row, run in runs.iterrows()}
    down = (len(names) + 1) // 2
    figure, grid = plt.subplots(
        down, min(2, len(names)), sharex=True, sharey=True, squeeze=False, figsize=(WIDTH, (4 + 39 * down) * MM)
    )
    for axes, lesion in zip(grid.flat, names, strict=False):
        for row, points in curves.items():
            style = {"color": colours[row], "lw": 1, "zorder": 3} if row in colours else {"color": "0.65", "lw": 0.4}
            part = points[(points["lesion"] == lesion) & (points["curve"] == "exact")]
            axes.plot(part["recall"], part["precision"], **style)
        _draw_polygon(axes, curves[chosen[0]], lesion)
        axes.set_title(f"{lesion}: {_areas(done, runs.loc[chosen[0]], lesion)}")
        axes.set(xlim=(0, 1), ylim=(0, 1.02), xticks=(0, 0.5, 1), yticks=(0, 0.5, 1))
    _label_grid(grid, len(names), "recall (fraction)", "precision (fraction)")
    head(figure, metrics, f"first finished seed of each of {len(curves)} rows (n = 1); areas: {chosen[0]}, highest mAP")
    _name_curves(figure, colours, others=len(curves) > len(chosen))
    return figure


def colours_of(chosen: list[str], metrics: pd.DataFrame) -> dict[str, str]:
    """Colour of each highlighted row: its own, or the next free one where an earlier row has it."""
    found: dict[str, str] = {}
    for row in chosen:
        own = signs(metrics)[row]["color"]
        found[row] = next(colour for colour in (own, *COLOURS) if colour not in found.values())
    return found


def points_of(results: Path, run: pd.Series) -> pd.DataFrame:
    path = run_folder(results, run["dataset"], run["pair"], run["seed"]) / "pr_curves.csv"
    if not path.exists():
        raise RFBenchError(f"{path}: not found, though its run is done. --results names the folder that has runs/.")
    return read_numbers(path, ("lesion", "curve"), ("recall", "precision"), "rfbench evaluate")


def _draw_polygon(axes: plt.Axes, points: pd.DataFrame, lesion: str) -> None:
    """The 11 thresholds of one run and the area that the papers' AUPR takes."""
    part = points[(points["lesion"] == lesion) & (points["curve"] == "aupr11")]
    axes.fill_between(part["recall"], part["precision"], color="0.93", lw=0, zorder=0)
    axes.plot(part["recall"], part["precision"], zorder=4, clip_on=False, **POLYGON)


def _areas(done: pd.DataFrame, run: pd.Series, lesion: str) -> str:
    """Both areas of one run's lesion, and whether the 11 thresholds' is an artefact."""
    own = done[(done["pair"] == run["pair"]) & (done["seed"] == run["seed"]) & (done["lesion"] == lesion)]
    value = own.set_index("metric")["value"]
    artefact = " (artefact)" if value.get("aupr11_artefact", 0) == 1 else ""
    return f"AUPR11 {100 * value['aupr11']:.1f}{artefact}, AP {100 * value['ap']:.1f} %"


def _name_curves(figure: plt.Figure, colours: dict[str, str], others: bool) -> None:
    handles = {row: Line2D([], [], color=colour) for row, colour in colours.items()}
    if others:
        handles["other rows"] = Line2D([], [], color="0.65", lw=0.4)
    handles["11 thresholds (grey area: AUPR11)"] = Line2D([], [], **POLYGON)
    legend(figure, handles, name=f"exact curves, and the papers' 11 thresholds of {next(iter(colours))}")


def _label_grid(grid: np.ndarray, used: int, xlabel: str, ylabel: str) -> None:
    """Label the outer axes of a grid of panels that is filled row by row, and hide the panels that are not used."""
    for k, axes in enumerate(grid.flat):
        axes.set_visible(k < used)
        if k + grid.shape[1] >= used:  # nothing below
            axes.set_xlabel(xlabel)
            axes.tick_params(labelbottom=True)
        if k % grid.shape[1] == 0:
            axes.set_ylabel(ylabel)


def draw_training(results: Path, metrics: pd.DataFrame) -> plt.Figure:
    """Training loss, one panel a row: seeds thin, their mean thick, runs that did not end well dashed."""
    rows, counts = order(metrics), seeds(metrics)
    across = min(3, len(rows))
    down = -(-len(rows) // across)
    figure, grid = plt.subplots(
        down, across, sharex=True, sharey=True, squeeze=False, figsize=(WIDTH, (4 + 19 * down) * MM)
    )
    baseline = mean_curve(losses_of(results, metrics, BASELINE_ROW)) if BASELINE_ROW in rows else None
    for axes, row in zip(grid.flat, rows, strict=False):
        runs = losses_of(results, metrics, row)
        if baseline is not None:
            axes.plot(baseline.index, baseline, color="0.2", lw=0.6, ls=":")
        for state, curve in runs:
            axes.plot(curve.index, curve, color=GREY, lw=0.5, ls="-" if state == "done" else "--")
        mean = mean_curve(runs)
        if mean is not None:
            axes.plot(mean.index, mean, color=ACCENT, lw=1.2)
        axes.set_title(row.replace("/", "/\n") if len(row) > 20 else row, size=5, pad=2)
        axes.annotate(f"n={counts[row]}", (0.04, 0.05), xycoords="axes fraction", size=5)  # losses fall
    _label_grid(grid, len(rows), "updates", "loss")
    _name_training(figure, metrics, baseline is not None)
    return figure


def losses_of(results: Path, metrics: pd.DataFrame, row: str) -> list[tuple[str, pd.Series]]:
    """State and loss by update of each run of a row that has left a curve."""
    runs = metrics[metrics["row"] == row].drop_duplicates(["pair", "seed"])
    found = []
    for run in runs.itertuples():
        path = run_folder(results, run.dataset, run.pair, run.seed) / "curve.csv"
        if path.exists():
            curve = read_numbers(path, (), ("iteration", "loss"), "rfbench train")
            found.append((run.state, curve.set_index("iteration")["loss"]))
    return found


def mean_curve(runs: list[tuple[str, pd.Series]]) -> pd.Series | None:
    """Mean over the finished runs where each has a value."""
    done = [curve for state, curve in runs if state == "done"]
    return pd.concat(done, axis=1).dropna().mean(axis=1) if done else None


def _name_training(figure: plt.Figure, metrics: pd.DataFrame, baseline: bool) -> None:
    handles = {"one seed": Line2D([], [], color=GREY, lw=0.5), "mean of n seeds": Line2D([], [], color=ACCENT, lw=1.2)}
    if (~metrics["state"].isin(["done", "missing"])).any():
        handles["diverged or stopped"] = Line2D([], [], color=GREY, lw=0.5, ls="--")
    if baseline:
        handles[f"mean of {BASELINE_ROW}"] = Line2D([], [], color="0.2", lw=0.6, ls=":")
    head(figure, metrics, "loss against parameter updates; n: seeds done/configured")
    legend(figure, handles)
