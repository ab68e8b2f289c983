"""Figures from results/: what the tables say, at a glance. Needs neither torch nor the networks.

Column width (85 mm), colour-blind safe, vector (PDF) and raster (PNG). Every title names the data set, and SYN
where it is synthetic; every axis its unit; every figure its n. A run that is not done is left out and counted.
"""

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd
import seaborn as sns
from scipy import stats

from rfbench import provenance
from rfbench.errors import RFBenchError
from rfbench.pipeline import run_folder
from rfbench.tables import TABLES, published_means, read_metrics

mpl.use("Agg")
from matplotlib import pyplot as plt

WIDTH = 85 / 25.4  # inches: one column of the usual journals
METRICS = {"aupr11": "mAUPR (11 thresholds)", "ap": "mAP (exact)", "f": "mF", "iou": "mIoU"}
STYLE = {
    "font.size": 7,
    "axes.titlesize": 7,
    "axes.labelsize": 7,
    "xtick.labelsize": 6,
    "ytick.labelsize": 6,
    "legend.fontsize": 6,
    "axes.linewidth": 0.6,
    "lines.linewidth": 1.0,
    "savefig.dpi": 300,
    "legend.frameon": False,
    "pdf.fonttype": 42,
    "svg.hashsalt": "rfbench",
}
# The paper's colours, darkened to be told apart on white: HE green, MA blue, EX red, SE yellow.
LESION_COLOURS = {"EX": "#d55e00", "HE": "#009e73", "SE": "#e69f00", "MA": "#0072b2"}


def title(metrics: pd.DataFrame, dataset: str) -> str:
    """Name of a data set with what a reader must know: SYN, the network, the number of test images."""
    rows = metrics[metrics["dataset"] == dataset]
    synthetic = "SYN, no ranking of operators; " if rows["synthetic"].iloc[0] else ""
    images = int(pd.to_numeric(rows["n"]).max())
    split = "validation" if rows["split"].iloc[0] == "val" else "test"
    return f"{dataset} ({synthetic}{rows['backbone'].iloc[0]}, {images} {split} images)"


def order(metrics: pd.DataFrame) -> list[str]:
    """Rows in the order of the configuration."""
    return list(dict.fromkeys(metrics["row"]))


def colours(metrics: pd.DataFrame) -> dict[str, tuple]:
    """One colour a row, the same in every figure; hues repeat after ten."""
    rows = order(metrics)
    return dict(zip(rows, sns.color_palette("colorblind", len(rows)), strict=True))


def means(metrics: pd.DataFrame, dataset: str, metric: str) -> pd.DataFrame:
    """Percent of every finished run: columns row, seed, percent."""
    chosen = metrics[
        (metrics["dataset"] == dataset)
        & (metrics["metric"] == metric)
        & (metrics["lesion"] == "mean")
        & (metrics["state"] == "done")
    ]
    return chosen.assign(percent=100 * chosen["value"])[["row", "seed", "percent"]]


def interval(values: pd.Series) -> float:
    """Half width of the 95 % t interval of a mean; 0 for a single value."""
    n = len(values)
    return float(stats.t.ppf(0.975, n - 1) * values.std() / np.sqrt(n)) if n > 1 else 0.0


def draw_metric(metrics: pd.DataFrame, dataset: str, metric: str) -> plt.Figure:
    """One metric per row: every seed a point, mean and 95 % t interval."""
    data, rows = means(metrics, dataset, metric), order(metrics)
    figure, axes = plt.subplots(figsize=(WIDTH, 0.6 + 0.2 * len(rows)))
    for place, row in enumerate(rows):
        values = data.loc[data["row"] == row, "percent"]
        axes.plot(values, [place] * len(values), "o", color="0.6", ms=3, zorder=1)
        if len(values):
            axes.errorbar(values.mean(), place, xerr=interval(values), fmt="D", color="#0072b2", ms=3.5, capsize=2)
        axes.annotate(f"n={len(values)}", (1.01, place), xycoords=("axes fraction", "data"), va="center", size=5)
    axes.set_yticks(range(len(rows)), rows)
    axes.invert_yaxis()
    axes.set_xlabel(f"{METRICS[metric]}, % – seeds (grey), mean and 95 % t interval")
    axes.set_title(title(metrics, dataset))
    return figure


def draw_lesions(metrics: pd.DataFrame, dataset: str, metric: str = "ap") -> plt.Figure:
    """One metric per lesion and row: mean over seeds with standard deviation."""
    data = metrics[(metrics["dataset"] == dataset) & (metrics["metric"] == metric) & (metrics["state"] == "done")]
    data = data[data["lesion"] != "mean"].assign(percent=lambda frame: 100 * frame["value"])
    figure, axes = plt.subplots(figsize=(WIDTH, 0.7 + 0.32 * len(order(metrics))))
    palette = {lesion: LESION_COLOURS.get(lesion, f"C{k}") for k, lesion in enumerate(data["lesion"].unique())}
    bars = {"palette": palette, "errorbar": "sd", "err_kws": {"linewidth": 0.6}}
    sns.barplot(data, y="row", x="percent", hue="lesion", ax=axes, **bars)
    axes.set(xlim=(0, None), ylabel="", xlabel=f"{metric.upper()} (exact), % – mean over seeds, standard deviation")
    axes.set_title(title(metrics, dataset))
    below = -0.28 if len(order(metrics)) < 6 else -0.12
    axes.legend(ncols=4, loc="upper center", bbox_to_anchor=(0.4, below))
    return figure


def draw_tradeoff(metrics: pd.DataFrame, dataset: str, profile: dict, key: str, label: str, better: int) -> plt.Figure:
    """Mean mAUPR against a cost, with the Pareto front. `better` is +1 where more of `key` is better, else -1."""
    data = means(metrics, dataset, "aupr11").groupby("row")["percent"].mean()
    pairs = metrics.drop_duplicates("row").set_index("row")["pair"]
    data = data[[row in pairs and pairs[row] in profile["pairs"] for row in data.index]]  # a sweep's are not profiled
    scale = 1e6 if key.startswith("params") else 1
    points = [(profile["pairs"][pairs[row]][key] / scale, data[row], row) for row in order(metrics) if row in data]
    figure, axes = plt.subplots(figsize=(WIDTH, WIDTH * 0.8))
    for x, y, row in points:
        axes.plot(x, y, "o", color=colours(metrics)[row], ms=4, label=row)
    front = pareto([(better * x, y) for x, y, _ in points])
    axes.step(
        [better * x for x, _ in front], [y for _, y in front], where="post" if better < 0 else "pre",
        color="0.5", lw=0.8, ls="--", zorder=0, label="Pareto front",
    )  # fmt: skip
    axes.set(xlabel=label, ylabel="mAUPR, % (mean over seeds)", title=title(metrics, dataset))
    axes.legend(loc="center left", bbox_to_anchor=(1.01, 0.5))
    return figure


def pareto(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """Points that no other surpasses in one coordinate without being less in the other, ascending in the first."""
    front = []
    for point in sorted(set(points), reverse=True):
        if not front or point[1] > front[-1][1]:
            front.append(point)
    return front[::-1]


def draw_training(results: Path, metrics: pd.DataFrame, dataset: str) -> plt.Figure:
    """Training loss of every run; one colour a row, one line a seed."""
    runs = metrics[metrics["dataset"] == dataset].drop_duplicates(["row", "pair", "seed"])
    figure, axes = plt.subplots(figsize=(WIDTH, WIDTH * 0.7))
    shown = set()
    for run in runs.itertuples():
        path = run_folder(results, dataset, run.pair, run.seed) / "curve.csv"
        if not path.exists():
            continue
        curve = pd.read_csv(path)
        label = None if run.row in shown else run.row
        shown.add(run.row)
        axes.plot(curve["iteration"], curve["loss"], color=colours(metrics)[run.row], lw=0.7, label=label)
    axes.set(xlabel="parameter updates", ylabel="training loss (Dice)", title=title(metrics, dataset))
    axes.legend()
    return figure


def draw_published(metrics: pd.DataFrame, dataset: str) -> plt.Figure:
    """Ours against the published mAUPR, for real data."""
    ours, layout = means(metrics, dataset, "aupr11"), metrics["layout"].iloc[0]
    published = {}
    for table in TABLES.values():
        published |= published_means(table) if table.layout == layout else {}
    figure, axes = plt.subplots(figsize=(WIDTH, WIDTH * 0.8))
    for row, colour in colours(metrics).items():
        values = ours.loc[ours["row"] == row, "percent"]
        if len(values) and (row, "mAUPR") in published:
            axes.errorbar(
                published[row, "mAUPR"], values.mean(), yerr=interval(values), fmt="o", ms=4, color=colour, capsize=2,
                label=f"{row} (n={len(values)})",
            )  # fmt: skip
    low, high = axes.get_xlim()
    axes.plot([low, high], [low, high], color="0.6", lw=0.8, ls=":", label="equal")
    axes.set(xlabel="published mAUPR, %", ylabel="ours, mAUPR, % (95 % t interval)", title=title(metrics, dataset))
    axes.legend(loc="center left", bbox_to_anchor=(1.01, 0.5))
    return figure


def draw_curves(results: Path, metrics: pd.DataFrame, dataset: str) -> plt.Figure:
    """Precision-recall curves of each row's first finished seed: exact, and the papers' 11 points over it."""
    done = metrics[(metrics["dataset"] == dataset) & (metrics["state"] == "done")]
    lesions = [lesion for lesion in dict.fromkeys(done["lesion"]) if lesion != "mean"]
    figure, grid = plt.subplots(
        (len(lesions) + 1) // 2, 2, figsize=(WIDTH, WIDTH * 0.55 * ((len(lesions) + 1) // 2)),
        sharex=True, sharey=True, squeeze=False,
    )  # fmt: skip
    for row, colour in colours(metrics).items():
        runs = done[done["row"] == row]
        if runs.empty:
            continue
        first = runs.sort_values("seed").iloc[0]
        curves = pd.read_csv(run_folder(results, dataset, first["pair"], first["seed"]) / "pr_curves.csv")
        for axes, lesion in zip(grid.flat, lesions, strict=False):
            for name, style in (
                ("exact", {"lw": 0.9, "label": row}),
                ("aupr11", {"lw": 0.6, "ls": ":", "marker": "."}),
            ):
                part = curves[(curves["lesion"] == lesion) & (curves["curve"] == name)]
                axes.plot(part["recall"], part["precision"], color=colour, **style)
            axes.set_title(lesion)
    figure.supxlabel("recall", size=7)
    figure.supylabel("precision", size=7)
    figure.suptitle(f"{title(metrics, dataset)}\nfirst seed; solid: exact, dotted: the papers' 11 thresholds", size=7)
    handles, labels = grid.flat[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="center left", bbox_to_anchor=(1.0, 0.5))
    figure.tight_layout()
    return figure


def save(figure: plt.Figure, folder: Path, name: str) -> list[Path]:
    """Write a figure as PNG and PDF without dates, so that the same data give the same bytes."""
    sns.despine(figure)
    paths = [folder / f"{name}.png", folder / f"{name}.pdf"]
    figure.savefig(paths[0], bbox_inches="tight", metadata={"Software": None})
    figure.savefig(paths[1], bbox_inches="tight", metadata={"CreationDate": None, "Producer": None})
    plt.close(figure)
    return paths


def draw_all(metrics: pd.DataFrame, results: Path, folder: Path) -> list[Path]:
    """Draw every figure of every data set that has a finished run.

    Args:
        metrics: content of results/metrics.csv.
        results: the results folder (training curves, profile.json).
        folder: where the figures go.
    """
    folder.mkdir(parents=True, exist_ok=True)
    profile_path = results / "profile.json"
    profile = json.loads(profile_path.read_text()) if profile_path.exists() else None
    written = []
    with plt.rc_context(STYLE):
        for dataset, rows in metrics.groupby("dataset", sort=False):
            if not (rows["state"] == "done").any():
                print(f"{dataset}: no finished run, no figure", file=sys.stderr)
                continue
            drawings: dict[str, Callable[[], plt.Figure]] = {
                f"{dataset}_{metric}": lambda m=metric, r=rows, d=dataset: draw_metric(r, d, m) for metric in METRICS
            }
            drawings[f"{dataset}_lesions"] = lambda r=rows, d=dataset: draw_lesions(r, d)
            drawings[f"{dataset}_training"] = lambda r=rows, d=dataset: draw_training(results, r, d)
            drawings[f"{dataset}_pr"] = lambda r=rows, d=dataset: draw_curves(results, r, d)
            if profile:
                drawings[f"{dataset}_params"] = lambda r=rows, d=dataset: draw_tradeoff(
                    r, d, profile, "params_w48", "parameters at HRNetV2-W48, millions", better=-1
                )
                drawings[f"{dataset}_fps"] = lambda r=rows, d=dataset: draw_tradeoff(
                    r, d, profile, "fps_ratio", f"frames per second, ratio to {profile['baseline']}", better=1
                )
            if not rows["synthetic"].iloc[0] and rows["layout"].iloc[0] != "folder" and rows["split"].iloc[0] != "val":
                drawings[f"{dataset}_published"] = lambda r=rows, d=dataset: draw_published(r, d)
            for name, draw in drawings.items():
                written += save(draw(), folder, name)
    return written


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument("--metrics", type=Path, required=True, help="results/metrics.csv")
    parser.add_argument("--output", type=Path, required=True, help="folder of the figures")


def run(args: argparse.Namespace) -> int:
    """Run the command."""
    metrics = read_metrics(args.metrics)
    written = draw_all(metrics, args.metrics.parent, args.output)
    if not written:
        raise RFBenchError(f"{args.metrics}: no finished run, nothing to draw. Run `snakemake` first.")
    provenance.write_text(args.output / "figures.txt", "".join(f"{path.name}\n" for path in written))
    print(f"{args.output}: {len(written)} files", file=sys.stderr)
    return 0
