"""Figures of the metrics: per row, per lesion, against the baseline, against costs, against the published values.

Each function takes one data set's part of results/metrics.csv and returns a figure.
"""

import numpy as np
import pandas as pd
from matplotlib import pyplot as plt
from matplotlib.lines import Line2D

from rfbench.names import BASELINE_ROW, lesion_colour
from rfbench.published import TABLES, published_means
from rfbench.report.plotting import (
    ACCENT,
    GREY,
    MM,
    WIDTH,
    draw_seeds,
    head,
    interval,
    legend,
    means,
    seeds,
    signs,
)
from rfbench.report.ranking import PRIMARY, differences_to_baseline
from rfbench.report.rows import lesions, order
from rfbench.report.tables import competing, conditions, of_methods

METRICS = {"aupr11": "mAUPR (11 thresholds)", "ap": "mAP (exact)", "f": "mF (at 0.5)", "iou": "mIoU (at 0.5)"}

COSTS = {
    "params": "learnable parameters at {size}, millions",
    "fps": f"frames per second, ratio to {BASELINE_ROW}",
}


def draw_metric(metrics: pd.DataFrame, metric: str) -> plt.Figure:
    """One metric per row: every seed a point, mean and 95 % t interval."""
    data, rows = means(metrics, metric), order(metrics)
    figure, axes = plt.subplots(figsize=(WIDTH, (12 + 4.2 * len(rows)) * MM))
    handles = {}
    for place, row in enumerate(rows):
        runs = data[data["row"] == row]
        values = runs["percent"]
        handles |= draw_seeds(axes, runs, place)
        if len(values):
            axes.errorbar(values.mean(), place, xerr=interval(values) or None, fmt="D", color=ACCENT, ms=3.5, capsize=2)
        else:
            axes.annotate("no finished run", (0.02, place), xycoords=("axes fraction", "data"), va="center", size=5.5)
    _name_rows(axes, metrics, rows)
    axes.set_xlabel(f"{METRICS[metric]}, %")
    axes.grid(axis="x", color="0.9", lw=0.5)
    axes.set_axisbelow(True)
    handles["mean, 95 % t interval (3 seeds or more)"] = Line2D([], [], color=ACCENT, marker="D", ms=3.5)
    legend(figure, handles)
    head(figure, metrics, "beside each row: n, seeds done/configured")
    return figure


def _name_rows(axes: plt.Axes, metrics: pd.DataFrame, rows: list[str]) -> None:
    """Name the rows of a chart, each with its finished and configured seeds."""
    counts = seeds(metrics)
    axes.set_yticks(range(len(rows)), [f"{row}  {counts[row]}" for row in rows])
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.tick_params(axis="y", length=0)


def draw_lesions(metrics: pd.DataFrame, metric: str = "ap") -> plt.Figure:
    """One metric per lesion and row, one panel a lesion: mean over seeds, standard deviation, seeds."""
    data = metrics[(metrics["metric"] == metric) & (metrics["state"] == "done") & (metrics["lesion"] != "mean")]
    data, rows = data.assign(percent=100 * data["value"]), order(metrics)
    names = lesions(metrics)
    down = (len(names) + 1) // 2
    figure, grid = plt.subplots(
        down, min(2, len(names)), squeeze=False, sharex=True, sharey=True,
        figsize=(WIDTH, (6 + down * (9 + 3.3 * len(rows))) * MM),
    )  # fmt: skip
    for k, lesion in enumerate(names):
        axes, colour = grid.flat[k], lesion_colour(lesion, tuple(names))
        for place, row in enumerate(rows):
            values = data.loc[(data["row"] == row) & (data["lesion"] == lesion), "percent"]
            if len(values):
                spread = values.std() if len(values) > 1 else None
                axes.barh(place, values.mean(), xerr=spread, color=colour, height=0.7, error_kw={"lw": 0.7})
                axes.plot(values, [place] * len(values), ".", color="0.25", ms=2, mew=0)
        axes.set_title(lesion)
        axes.tick_params(labelbottom=True)
        _name_rows(axes, metrics, rows)
    grid.flat[0].set_xlim(left=0)
    for axes in grid.flat[len(names) :]:
        axes.set_visible(False)
    figure.supxlabel("average precision (exact), %", size=6.5)
    head(figure, metrics, "bars: mean, SD over n seeds; dots: seeds; beside each row: n, seeds done/configured")
    return figure


def draw_differences(metrics: pd.DataFrame, differences: pd.DataFrame | None) -> plt.Figure:
    """Each row's mean minus the baseline's with both 95 % intervals, one panel for mAP (exact) and one for mAUPR.

    Args:
        metrics: the data set's metrics.
        differences: content of differences.csv, which has the intervals for new patients.
    """
    found = differences_to_baseline(metrics, differences)
    rows = [row for row in order(metrics) if row != BASELINE_ROW]
    competitors = metrics.drop_duplicates("row").set_index("row")["pair"]
    figure, panels = plt.subplots(1, 2, sharey=True, figsize=(WIDTH, (12 + 4.2 * len(rows)) * MM))
    handles = {}
    intervals = (
        ("new patients, too, 95 %", "population_low", "population_high", {"color": GREY, "lw": 0.8}),
        ("retraining on the same images, 95 %", "low", "high", {"color": ACCENT, "lw": 2.4}),
    )
    for axes, heading in zip(panels, ("mAP", "mAUPR"), strict=True):
        for place, row in enumerate(rows):
            own = found.get(heading, {}).get(competitors[row])
            if own is None or np.isnan(own.mean):
                axes.annotate("no runs to compare", (0.02, place), xycoords=("axes fraction", "data"), va="center",
                              size=4.5)  # fmt: skip
                continue
            for name, low, high, style in intervals:
                ends = [getattr(own, low), getattr(own, high)]
                if not np.isnan(ends).any():
                    (handles[name],) = axes.plot(ends, [place, place], solid_capstyle="butt", **style)
            (handles["difference of the means"],) = axes.plot(own.mean, place, "D", color="black", ms=2.5, mew=0)
        axes.axvline(0, color="0.3", lw=0.7, ls="--", zorder=0.9)
        axes.set_xlabel(f"{METRICS[PRIMARY[heading]]}, points".replace(" (", "\n("))
        axes.grid(axis="x", color="0.9", lw=0.5)
        axes.set_axisbelow(True)
    _name_rows(panels[0], metrics, rows)
    panels[1].tick_params(axis="y", length=0)
    legend(figure, handles)
    head(figure, metrics, f"minus {BASELINE_ROW}; beside each row: n, seeds done/configured")
    return figure


def draw_tradeoff(metrics: pd.DataFrame, profile: dict, cost: str) -> plt.Figure:
    """Mean mAUPR against `params` or `fps`, with the Pareto front of what is profiled."""
    data, competitors, marks = (
        means(metrics, "aupr11"),
        metrics.drop_duplicates("row").set_index("row")["pair"],
        signs(metrics),
    )
    better = -1 if cost == "params" else 1
    figure, axes = plt.subplots(figsize=(WIDTH, 62 * MM))
    points, handles = [], {}
    for row, mark in marks.items():
        runs, costs = data[data["row"] == row], profile["pairs"].get(competitors[row])
        if runs.empty or costs is None:
            continue
        x, spread = _cost(costs, cost)
        y, deviation = runs["percent"].mean(), runs["percent"].std() if len(runs) > 1 else None
        bars = {"xerr": spread, "yerr": deviation, "elinewidth": 0.5, "ecolor": GREY, **_hollow(runs)}
        handles[f"{row} ({len(runs)})"] = axes.errorbar(x, y, ls="", **bars, **mark)[0]
        points.append((x, y, row))
    _leave_room(axes, better)
    size = "published size" if of_methods(metrics).any() else "HRNetV2-W48"
    axes.set(xlabel=COSTS[cost].format(size=size), ylabel="mAUPR (11 thresholds), %")
    speed = "" if cost == "params" else f"; speed: median, smallest and largest round, {conditions(profile)}"
    head(figure, metrics, f"mAUPR: mean, SD over n seeds; dashed: Pareto front{_hollow_means(data)}{speed}")
    legend(figure, handles, name=f"{competing(metrics)} (n seeds)")
    front = set(pareto([(better * x, y) for x, y, _ in points]))
    _draw_front(axes, sorted((x, y, row) for x, y, row in points if (better * x, y) in front), better)
    return figure


def _hollow(runs: pd.DataFrame) -> dict:
    """How a row's mean is drawn that contains an artefact."""
    return {"mfc": "white"} if runs["artefact"].any() else {}


def _hollow_means(data: pd.DataFrame) -> str:
    """What the title says of hollow signs, where there are any."""
    return "; hollow: an artefact" if data["artefact"].any() else ""


def _leave_room(axes: plt.Axes, better: int) -> None:
    """Widen the axes on the side where the front's names stand; no cost is negative, nor are the ticks."""
    axes.margins(x=0.08, y=0.14)
    low, high = axes.get_xlim()
    room = 0.3 * (high - low)
    low, high = (low - room, high) if better < 0 else (low, high + room)
    axes.set_xlim(low, high)
    axes.set_xticks([tick for tick in axes.get_xticks() if max(low, 0) <= tick <= high])


def _cost(costs: dict, cost: str) -> tuple[float, list | None]:
    """A competitor's cost and, for speeds, its distances to the smallest and the largest round."""
    if cost == "params":
        return costs["params_w48"] / 1e6, None
    ratio = costs["fps_ratio"]
    return ratio, [[ratio - costs["fps_ratio_min"]], [costs["fps_ratio_max"] - ratio]]


def _draw_front(axes: plt.Axes, front: list[tuple[float, float, str]], better: int) -> None:
    """Draw the front and name its points on its outer side, where by definition no other point is.

    A name that would cover another moves away from the front at its point's height; out of room, it moves up.
    """
    xs, ys = [x for x, _, _ in front], [y for _, y, _ in front]
    axes.step(xs, ys, where="post" if better < 0 else "pre", color="0.5", lw=0.8, ls="--", zorder=0)
    side = {"ha": "right", "xytext": (-3, 3)} if better < 0 else {"ha": "left", "xytext": (3, 3)}
    axes.figure.draw_without_rendering()  # from here on the axes stay where they are
    placed = []
    for x, y, row in front:
        text = axes.annotate(
            row.replace("/", "/\n"), (x, y), textcoords="offset points", size=5, linespacing=0.95, **side
        )
        start = text.xyann[0]
        while any((box := text.get_window_extent().expanded(1.15, 1)).overlaps(other) for other in placed):
            room = axes.bbox.x0 < box.x0 and box.x1 < axes.bbox.x1
            text.xyann = (text.xyann[0] + better, text.xyann[1]) if room else (start, text.xyann[1] + 6)
        placed.append(text.get_window_extent())


def pareto(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """The Pareto front: points to which no other is at least equal in both coordinates and higher in one; ascending."""
    front = []
    for point in sorted(set(points), reverse=True):
        if not front or point[1] > front[-1][1]:
            front.append(point)
    return front[::-1]


def published_rows(metrics: pd.DataFrame, printed: str = "mAUPR") -> dict[str, float]:
    """Published values of the rows that have a finished run, from whichever table of the data set's layout has them."""
    found = {}
    for table in TABLES.values():
        if table.layout == metrics["layout"].iloc[0]:
            found |= {row: value for (row, metric), value in published_means(table).items() if metric == printed}
    done = set(metrics.loc[metrics["state"] == "done", "row"])
    return {row: value for row, value in found.items() if row in done}


def draw_published(metrics: pd.DataFrame) -> plt.Figure:
    """Ours against the published mAUPR, for real data; equal values lie on the line."""
    ours, published = means(metrics, "aupr11"), published_rows(metrics)
    figure, axes = plt.subplots(figsize=(WIDTH, 76 * MM))
    handles, span = {}, []
    for row, mark in signs(metrics).items():
        runs = ours[ours["row"] == row]
        values = runs["percent"]
        if row in published and len(values):
            bars = {
                "yerr": interval(values) or None,
                "elinewidth": 0.5,
                "ecolor": GREY,
                "capsize": 1.5,
                **_hollow(runs),
            }
            handles[f"{row} ({len(values)})"] = axes.errorbar(published[row], values.mean(), ls="", **bars, **mark)[0]
            span += [published[row], values.mean() - interval(values), values.mean() + interval(values)]
    low, high = min(span), max(span)
    limits = np.array([low, high]) + np.array([-1, 1]) * (0.05 * (high - low) + 0.2)
    axes.plot(limits, limits, color="0.6", lw=0.8, ls=":", zorder=0)
    place = {"xytext": (-2, 2), "textcoords": "offset points", "rotation": 45, "rotation_mode": "anchor"}
    axes.annotate("ours = published", limits[[0, 0]] + 0.04 * (high - low), size=5.5, color="0.4", **place)
    axes.set(xlim=limits, ylim=limits, aspect="equal", xlabel="published mAUPR, % (mean of 3)")
    axes.set_ylabel("our mAUPR (11 thresholds), %")
    shown = ours[ours["row"].isin(published)]
    head(figure, metrics, f"ours: mean, 95 % t interval (3 seeds or more){_hollow_means(shown)}")
    legend(figure, handles, name=f"{competing(metrics)} (n seeds of ours)")
    return figure
