"""Figures of the lesions found: recall against size, FROC curves. Each takes one data set's part of metrics.csv."""

import math

import numpy as np
import pandas as pd
from matplotlib import pyplot as plt

from rfbench.lesions.counts import FROC_THRESHOLDS
from rfbench.lesions.evidence import AT_HALF
from rfbench.lesions.lesion_metrics import FEWEST_IMAGES, FEWEST_LESIONS, RATES, SIZES
from rfbench.report.lesions import SIZE_NAMES, counted
from rfbench.report.plotting import MM, WIDTH, head, interval, legend, signs
from rfbench.report.rows import lesions


def draw_sizes(metrics: pd.DataFrame) -> plt.Figure:
    """Recall against lesion size, one panel a lesion, one line a row: mean and 95 % t interval over seeds."""
    figure, panels = _panels(metrics)
    sign, handles = signs(metrics), {}
    for lesion, axes in panels.items():
        own = counted(metrics)
        own = own[own["lesion"] == lesion]
        numbers = [int(own.loc[own["metric"] == f"lesions_{size}", "value"].iloc[0]) for size in SIZES]
        for k, (row, style) in enumerate(sign.items()):
            runs = own[own["row"] == row]
            values = [100 * runs.loc[runs["metric"] == f"lesion_recall_{size}", "value"].dropna() for size in SIZES]
            places = np.arange(len(SIZES)) + 0.5 * (k + 0.5 - len(sign) / 2) / len(sign)  # beside each other
            kept = [at for at, value in enumerate(values) if len(value)]
            if kept:
                bars = [interval(values[at]) for at in kept]
                handles[row] = axes.errorbar(places[kept], [values[at].mean() for at in kept], yerr=bars, lw=0.7,
                                             elinewidth=0.6, ms=2.5, **style)  # fmt: skip
        names = [f"{name}\n({number})" for name, number in zip(SIZE_NAMES.values(), numbers, strict=True)]
        axes.set(xticks=range(len(SIZES)), xlim=(-0.5, len(SIZES) - 0.5), ylim=(-3, 103))
        axes.set_xticklabels(names, size=4.8)
        _say_empty(axes)
    _label(panels, "area in px (lesions)", "lesions found at 0.5, %")
    few = f"no value for under {FEWEST_LESIONS} lesions or {FEWEST_IMAGES} images"
    head(figure, metrics, f"mean, 95 % t interval over seeds (3 or more); {few}")
    legend(figure, handles)
    return figure


def draw_froc(metrics: pd.DataFrame) -> plt.Figure:
    """Recall against false regions per image, one panel a lesion, one line a row: means over seeds by threshold."""
    figure, panels = _panels(metrics)
    handles = {}
    for lesion, axes in panels.items():
        own = counted(metrics)
        own = own[own["lesion"] == lesion]
        for row, style in signs(metrics).items():
            means = own[own["row"] == row].groupby("metric")["value"].mean()
            rate, recall = (
                np.array([means.get(f"froc_{what}_{t:.5g}", math.nan) for t in FROC_THRESHOLDS])
                for what in ("fp", "recall")
            )
            if np.isfinite(recall).any():
                (handles[row],) = axes.plot(rate, 100 * recall, lw=0.7, ms=2, **style)
                axes.plot(rate[AT_HALF], 100 * recall[AT_HALF], "o", mfc="none", mec=style["color"], ms=5, mew=0.6)
        axes.set_xscale("symlog", base=2, linthresh=0.125)
        most = max([RATES[-1], *own.loc[own["metric"].str.startswith("froc_fp"), "value"]])
        ticks = {0: "0", 1 / 8: "1/8", 1 / 2: "1/2"} | {4**k / 2: f"{4**k // 2}" for k in range(1, 12)}
        axes.set(ylim=(0, 103), xlim=(-0.01, 1.1 * most), xticks=[tick for tick in ticks if tick <= most])
        axes.set_xticklabels([name for tick, name in ticks.items() if tick <= most])
        axes.minorticks_off()
        _say_empty(axes)
    _label(panels, "false regions per image", "lesions found, %")
    head(figure, metrics, "FROC at 14 thresholds from 0.01 to 0.99999, means over seeds; circle: 0.5")
    legend(figure, handles)
    return figure


def _say_empty(axes: plt.Axes) -> None:
    """Say why a panel shows nothing."""
    if not axes.lines:
        axes.annotate("too few lesions", (0.5, 0.5), xycoords="axes fraction", ha="center", size=5.5)


def _label(panels: dict[str, plt.Axes], below: str, beside: str) -> None:
    """Label the axes at the outer sides of the grid."""
    for k, axes in enumerate(panels.values()):
        if k >= len(panels) - 2:
            axes.set_xlabel(below)
        if k % 2 == 0:
            axes.set_ylabel(beside)


def _panels(metrics: pd.DataFrame) -> tuple[plt.Figure, dict[str, plt.Axes]]:
    """A figure with a titled panel for each lesion, two beside each other."""
    names = lesions(metrics)
    down = (len(names) + 1) // 2
    figure, grid = plt.subplots(down, min(2, len(names)), squeeze=False, figsize=(WIDTH, (10 + 34 * down) * MM))
    for axes in grid.flat[len(names) :]:
        axes.set_visible(False)
    panels = dict(zip(names, grid.flat, strict=False))
    for lesion, axes in panels.items():
        axes.set_title(lesion)
        axes.grid(axis="y", color="0.9", lw=0.5)
        axes.set_axisbelow(True)
    return figure, panels
