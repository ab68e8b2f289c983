"""Figures from results/: what the tables say, at a glance. Needs neither torch nor the networks.

Column width (85 mm), colour-blind safe, vector (PDF) and raster (PNG). Every figure names the data set, and SYN
where it is synthetic; every axis its unit; every figure its n. A run that is not done is left out and counted.
"""

import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pandas as pd
from matplotlib import pyplot as plt

from rfbench.names import BASELINE_ROW
from rfbench.report import charts, curves, lesion_charts, lesions
from rfbench.report.plotting import STYLE, save
from rfbench.report.reading import read_profile

LIST = "figures.txt"


def drawings(
    metrics: pd.DataFrame, results: Path, profile: dict | None, differences: pd.DataFrame | None = None
) -> dict[str, Callable[[], plt.Figure]]:
    """What to draw for one data set, by the figure's name.

    Args:
        metrics: the data set's part of results/metrics.csv.
        results: the results folder (training and precision-recall curves).
        profile: content of profile.json; without it, no figure of costs.
        differences: content of differences.csv; without it, no intervals for new patients.
    """
    found = {metric: partial(charts.draw_metric, metrics, metric) for metric in charts.METRICS}
    found["lesions"] = partial(charts.draw_lesions, metrics)
    if (metrics["row"] == BASELINE_ROW).any() and metrics["pair"].nunique() > 1:
        found["differences"] = partial(charts.draw_differences, metrics, differences)
    if lesions.has_lesions(metrics):
        found["sizes"] = partial(lesion_charts.draw_sizes, metrics)
        found["froc"] = partial(lesion_charts.draw_froc, metrics)
    found["pr"] = partial(curves.draw_precision_recall, results, metrics)
    found["training"] = partial(curves.draw_training, results, metrics)
    done = metrics[metrics["state"] == "done"]
    if profile and set(done["pair"]) & set(profile["pairs"]):
        found |= {cost: partial(charts.draw_tradeoff, metrics, profile, cost) for cost in ("params", "fps")}
    first = metrics.iloc[0]
    # The papers' tables of operators are about test images.
    if not first["synthetic"] and first.get("split") != "val" and charts.published_rows(metrics):
        found["published"] = partial(charts.draw_published, metrics)
    return found


def draw_all(metrics: pd.DataFrame, results: Path, folder: Path, differences: pd.DataFrame | None = None) -> list[Path]:
    """Draw every figure of every data set that has a finished run.

    Args:
        metrics: content of results/metrics.csv.
        results: the results folder (training curves, profile.json).
        folder: where the figures go.
        differences: content of differences.csv.
    """
    folder.mkdir(parents=True, exist_ok=True)
    profile, written = read_profile(results), []
    with plt.rc_context(STYLE):
        for dataset, rows in metrics.groupby("dataset", sort=False):
            if not (rows["state"] == "done").any():
                print(f"{dataset}: no finished run, no figure", file=sys.stderr)
                continue
            for name, draw in drawings(rows, results, profile, differences).items():
                written += save(draw(), folder, f"{dataset}_{name}")
    return written
