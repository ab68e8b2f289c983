"""What every figure shares: size, fonts, signs of the rows, titles, labels, and files with the same bytes each time.

Figures are exactly one column (85 mm) wide: legends stand inside that width, below the axes.
"""

import io
import textwrap
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd
import seaborn as sns
from scipy import stats

from rfbench.files import write_whole
from rfbench.report.rows import order

mpl.use("Agg")
from matplotlib import pyplot as plt

MM = 1 / 25.4  # inches
WIDTH = 85 * MM
STYLE = {
    "font.size": 7,
    "font.family": "DejaVu Sans",  # comes with matplotlib: the same letters on every machine
    "axes.titlesize": 6.5,
    "axes.labelsize": 6.5,
    "xtick.labelsize": 6,
    "ytick.labelsize": 6,
    "legend.fontsize": 5.5,
    "axes.linewidth": 0.6,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "lines.linewidth": 1.0,
    "lines.markersize": 4,
    "savefig.dpi": 300,
    "legend.frameon": False,
    "pdf.fonttype": 42,
    "figure.constrained_layout.use": True,
}
# Okabe and Ito's colours without the yellow, seven, and eight markers: a combination of its own for each of 56 rows.
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<")
ACCENT, CONTRAST, GREY = COLOURS[0], COLOURS[1], "0.6"
# What a seed's point looks like: (flagged, name in the legend, style).
SEEDS = (
    (False, "one seed", {"marker": "o", "color": GREY, "ls": "", "ms": 3, "mew": 0}),
    (True, "seed with an artefact: no score of a lesion above 0.1",
     {"marker": "x", "color": CONTRAST, "ls": "", "ms": 4, "mew": 1}),
)  # fmt: skip


def signs(metrics: pd.DataFrame) -> dict[str, dict]:
    """Colour and marker of each row, the same in every figure."""
    return {
        row: {"color": COLOURS[k % len(COLOURS)], "marker": MARKERS[k % len(MARKERS)]}
        for k, row in enumerate(order(metrics))
    }


def seeds(metrics: pd.DataFrame) -> dict[str, str]:
    """`done/configured` seeds by row."""
    runs = metrics.drop_duplicates(["row", "pair", "seed"])
    return {row: f"{(group['state'] == 'done').sum()}/{len(group)}" for row, group in runs.groupby("row")}


def means(metrics: pd.DataFrame, metric: str) -> pd.DataFrame:
    """Percent of every finished run: columns row, pair, seed, percent, artefact (11 thresholds on scores below 0.1)."""
    done = metrics[metrics["state"] == "done"]
    flagged = done[(done["metric"] == "aupr11_artefact") & (done["value"] == 1)]
    flagged = set(zip(flagged["pair"], flagged["seed"], strict=True))
    chosen = done[(done["metric"] == metric) & (done["lesion"] == "mean")]
    artefact = [metric == "aupr11" and run in flagged for run in zip(chosen["pair"], chosen["seed"], strict=True)]
    return chosen.assign(percent=100 * chosen["value"], artefact=artefact)[
        ["row", "pair", "seed", "percent", "artefact"]
    ]


def draw_seeds(axes: plt.Axes, runs: pd.DataFrame, place: float, upright: bool = False) -> dict[str, object]:
    """Draw the runs of a row (see `means`) as points at `place`, artefacts as crosses; returns the legend's handles.

    Values lie along the x axis, or along the y axis if `upright`.
    """
    handles = {}
    for flagged, name, style in SEEDS:
        values = runs.loc[runs["artefact"] == flagged, "percent"]
        points = ([place] * len(values), values) if upright else (values, [place] * len(values))
        if len(values):
            (handles[name],) = axes.plot(*points, zorder=3, **style)
    return handles


def interval(values: pd.Series) -> float:
    """Half width of the 95 % t interval of a mean; 0 for fewer than three values, which say too little."""
    n = len(values)
    return float(stats.t.ppf(0.975, n - 1) * values.std() / np.sqrt(n)) if n > 2 else 0.0


def head(figure: plt.Figure, metrics: pd.DataFrame, note: str = "") -> None:
    """Title a figure: data set, SYN where it is synthetic, network, number of images; then what is drawn."""
    first, images = metrics.iloc[0], int(pd.to_numeric(metrics["n"]).max())
    split = "validation" if first.get("split") == "val" else "test"
    synthetic = " – SYN: synthetic images, no ranking of operators" if first["synthetic"] else ""
    about = f"{first['backbone']}, recipe {first['recipe']}, {images} {split} {'image' if images == 1 else 'images'}"
    entitle(figure, [f"{first['dataset']}{synthetic}", about, note])


def entitle(figure: plt.Figure, texts: list[str]) -> None:
    """A title of these texts, each wrapped to the figure's width; the figure grows by its height."""
    lines = [line for text in texts for line in textwrap.wrap(text, 62)]
    figure.suptitle("\n".join(lines), x=0.02, ha="left", size=6.5, linespacing=1.3)
    figure.set_figheight(figure.get_figheight() + (2 + 3.2 * len(lines)) * MM)


def legend(figure: plt.Figure, handles: dict[str, object], name: str = "") -> None:
    """A legend below the axes in as many columns as the figure's width holds; the figure grows by its height."""
    columns = next(n for n in (4, 3, 2, 1) if n == 1 or _fits(list(handles), n))
    figure.legend(
        handles.values(), handles.keys(), loc="outside lower left", ncols=columns, title=name, title_fontsize=5.5,
        alignment="left", handletextpad=0.4, columnspacing=1.0, handlelength=1.6, labelspacing=0.35, borderaxespad=0.3,
    )  # fmt: skip
    rows = -(-len(handles) // columns) + bool(name)
    figure.set_figheight(figure.get_figheight() + (2 + 2.8 * rows) * MM)


def _fits(labels: list[str], columns: int) -> bool:
    """Whether so many columns stay within the width: 3.3 points a letter, 17 for a sign and the gaps."""
    widths = [max((3.3 * len(label) for label in part), default=0) + 17 for part in np.array_split(labels, columns)]
    return sum(widths) < 72 * WIDTH


def as_svg(figure: plt.Figure) -> bytes:
    """A figure as SVG, letters as outlines, without a date and with names that are the same each time."""
    sns.despine(figure)
    drawn = io.BytesIO()
    with plt.rc_context({"svg.hashsalt": "rfbench"}):
        figure.savefig(drawn, format="svg", metadata={"Date": None, "Creator": None})
    plt.close(figure)
    return drawn.getvalue()


def save(figure: plt.Figure, folder: Path, name: str) -> list[Path]:
    """Write a figure as PNG and PDF without dates, so that the same data give the same bytes."""
    sns.despine(figure)
    dateless = {"png": {"Software": None}, "pdf": {"CreationDate": None, "Producer": None}}
    for ending, metadata in dateless.items():
        drawn = io.BytesIO()
        figure.savefig(drawn, format=ending, metadata=metadata)
        write_whole(folder / f"{name}.{ending}", drawn.getvalue())
    plt.close(figure)
    return [folder / f"{name}.{ending}" for ending in dateless]
