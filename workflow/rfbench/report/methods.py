"""Tables 4 and 6 of the paper: whole methods by lesion, ours beside the published; what its versions say differently.

From results/metrics.csv and results/profile.json; needs neither torch nor the runs themselves.
"""

import math
from pathlib import Path

import pandas as pd

from rfbench import provenance
from rfbench.names import BASELINE_ROW, LESIONS
from rfbench.published import (
    METHOD_TABLES,
    SAME_ROW,
    Printed,
    Table,
    best_of_three,
    later_literature,
    published_methods,
)
from rfbench.report import rendering, tables
from rfbench.report.ranking import rank
from rfbench.report.reading import METHOD
from rfbench.report.tables import Cell

MEASURES = {"aupr11": "AUPR", "f": "F", "iou": "IoU"}  # our metric: what the papers call it
EXACT = ("ap", "ap_untrained")  # of tables.COLUMNS, which the papers do not print


def names_for(metrics: pd.DataFrame) -> list[str]:
    """Tables of methods that the metrics have a place in: where methods are configured, on the papers' data sets."""
    layouts = set(metrics.loc[tables.of_methods(metrics), "layout"])
    return [name for name, table in METHOD_TABLES.items() if table.layout in layouts]


def headings(measure: str) -> dict[str, tuple[str, str]]:
    """Columns of AUPR, F or IoU: heading -> (metric, lesion) as the papers print it."""
    by_lesion = {f"{measure} {lesion}": (measure, lesion) for lesion in LESIONS}
    return by_lesion | {f"m{measure}": (f"m{measure}", "mean")}


def rows_of(
    metrics: pd.DataFrame, table: Table, profile: dict | None = None, differences: pd.DataFrame | None = None
) -> list[dict]:
    """Rows of a table: for each data set those of the paper in its order, configured or not, then other methods.

    Arguments as `tables.rows_of` has them.

    Returns:
        Dicts as of `tables.rows_of`, `row` by the papers' word; cells by heading (`headings`, mAP, Param, FPS);
        elsewhere, whether the papers took the published values from elsewhere. Published values for real data only.
    """
    published, rows = published_methods(table), []
    for _, data in metrics[metrics["layout"] == table.layout].groupby("dataset", sort=False):
        printed = {SAME_ROW.get(name, name) for name in published}
        own = data.loc[tables.of_methods(data), "row"].unique()
        found = []
        for name in [*published, *(row for row in own if row not in printed)]:
            runs = data[data["row"] == SAME_ROW.get(name, name)]
            for _, group in runs.groupby("pair", sort=False):
                found.append(_row(data, name, group, published.get(name), profile))
            if runs.empty:
                found.append(_row(data, name, runs, published.get(name), profile))
        rank(found, data, differences)
        rows += found
    return rows


def _row(data: pd.DataFrame, name: str, runs: pd.DataFrame, printed: Printed | None, profile: dict | None) -> dict:
    """One row of a data set; no runs of a method that is not configured."""
    synthetic = bool(data["synthetic"].iloc[0])
    shown = {} if printed is None or synthetic else printed.values
    exact = [column for column in tables.headings(data) if column[0] in EXACT]
    about = tables.summary(runs, exact, {})
    cells = {
        heading: _cell(runs, metric, key[1], shown.get(key, math.nan))
        for metric, measure in MEASURES.items()
        for heading, key in headings(measure).items()
    }
    first = {"row": SAME_ROW.get(name, name), "pair": "", "downsample": "", "upsample": ""}
    first |= {} if runs.empty else runs.iloc[0].to_dict()
    costs = tables.costs(pd.Series(first), profile, compared=not synthetic)
    return {
        "dataset": data["dataset"].iloc[0],
        "synthetic": synthetic,
        "row": name,
        **{key: first[key] for key in ("pair", "downsample", "upsample")},
        **about,
        "elsewhere": printed is not None and printed.elsewhere,
        "cells": cells | about["cells"] | costs,
    }


def _cell(runs: pd.DataFrame, metric: str, lesion: str, published: float) -> Cell:
    own = runs[(runs["metric"] == metric) & (runs["lesion"] == lesion) & (runs["state"] == "done")]
    values = 100 * own["value"].astype(float)
    return Cell(len(values), values.mean(), values.std(), published)


def versions(table: Table) -> list[str]:
    """Where the paper's two versions print different values for a row, and where a row of v2 is another one of v1."""
    new, old, said = published_methods(table), published_methods(table, first=True), []
    for name, printed in new.items():
        if name in old and any(printed.values[key] != value for key, value in old[name].values.items()):
            numbers = ", ".join(
                f"{measure} {printed.values[measure, 'mean']:.2f} (v1: {old[name].values[measure, 'mean']:.2f})"
                for measure in ("mAUPR", "mIoU")
            )
            said.append(f"The paper's versions differ in {name}: {numbers}; v2 is shown.")
    for name, printed in new.items():
        for other, values in ((other, earlier.values) for other, earlier in old.items() if other != name):
            if values and all(printed.values.get(key) == value for key, value in values.items()):
                said.append(f"All values that v1 prints for {other} are v2's for {name}.")
    return said


def best_runs(data: pd.DataFrame, table: Table, rows: list[dict]) -> list[dict]:
    """The README's best of three beside our best of n, the run of the largest mAUPR; nothing on synthetic data."""
    found = []
    for row in rows:
        printed = best_of_three(SAME_ROW.get(row["row"], row["row"]), table.layout)
        if not printed or row["synthetic"] or not row["n"]:
            continue
        own = data[(data["pair"] == row["pair"]) & (data["lesion"] == "mean") & (data["state"] == "done")]
        by_seed = own.pivot(index="seed", columns="metric", values="value").sort_values("aupr11")
        best = 100 * by_seed.iloc[-1]
        found.append({"row": row["row"], "n": row["n"], "seed": by_seed.index[-1], "printed": printed,
                      "ours": {"mAUPR": best["aupr11"], "mIoU": best["iou"]}})  # fmt: skip
    return found


def notes(metrics: pd.DataFrame, table: Table, rows: list[dict], profile: dict | None = None) -> dict:
    """What a reader must know beside the numbers."""
    data = metrics[metrics["layout"] == table.layout]
    shown = data[data["pair"].isin([row["pair"] for row in rows if row["configured"]])]
    done = shown[shown["state"] == "done"]
    own = shown[tables.of_methods(shown)].drop_duplicates("row")
    elsewhere = {name: printed for name, printed in published_methods(table).items() if printed.elsewhere}
    return {
        "title": table.title,
        "number": table.number,
        "published_on": table.dataset,
        "datasets": [_about(group, table, rows) for _, group in shown.groupby("dataset", sort=False)],
        "measures": {measure: list(headings(measure)) for measure in MEASURES.values()},
        "versions": versions(table),
        "elsewhere": [f"{name}: {', '.join(_words(printed))}" for name, printed in elsewhere.items()],
        "later": later_literature(table.dataset),
        "methods": [f"{row['row']}: {row[METHOD]}" for row in own.to_dict("records")],
        "baseline": BASELINE_ROW,
        "same": [f"{name} is {row}" for name, row in SAME_ROW.items()],
        "speed": profile and f"{tables.conditions(profile)}; median of {profile['rounds']} rounds, smallest–largest",
        "recipes": sorted(shown["recipe"].unique()),
        "commits": tables.commits(done),
        "kept": tables.keepings(done),
        "all_synthetic": bool(shown["synthetic"].all()),
    }


def _words(printed: Printed) -> list[str]:
    """What of a row is printed: `AUPR of EX, HE, MA`."""
    found: dict[str, list[str]] = {}
    for metric, lesion in printed.values:
        found.setdefault(metric, []).append(lesion)
    return [metric if lesions == ["mean"] else f"{metric} of {' '.join(lesions)}" for metric, lesions in found.items()]


def _about(data: pd.DataFrame, table: Table, rows: list[dict]) -> dict:
    """Notes on one data set, over the table's rows."""
    name, synthetic = data["dataset"].iloc[0], bool(data["synthetic"].iloc[0])
    own = [row for row in rows if row["dataset"] == name]
    exact = [(heading, label) for metric, heading, _, label in tables.headings(data) if metric in EXACT]
    return {
        "name": name,
        "synthetic": synthetic,
        "images": tables.images(data),
        "eval_size": data["eval_size"].iloc[0],
        "deviations": tables.union(data["deviations"]),
        "artefacts": tables.artefacts(data),
        "exact": exact,
        "best": best_runs(data, table, own),
    }


def write(
    folder: Path, name: str, metrics: pd.DataFrame, profile: dict | None, differences: pd.DataFrame | None
) -> int:
    """Write a table as `name`.csv, .md and .tex; returns its number of rows."""
    table = METHOD_TABLES[name]
    rows = rows_of(metrics, table, profile, differences)
    about = notes(metrics, table, rows, profile)
    provenance.write_text(folder / f"{name}.csv", rendering.to_csv(rows))
    for kind in ("md", "tex"):
        text = rendering.render(f"methods.{kind}.j2", rows=rows, about=about)
        provenance.write_text(folder / f"{name}.{kind}", text)
    return len(rows)
