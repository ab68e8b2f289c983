"""Lesions found, by their size: the table `lesions` from results/metrics.csv.

What is counted: docs/protocol.md. Spreads are over seeds; no value is marked as the best.
"""

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from rfbench import provenance
from rfbench.lesions.lesion_metrics import FEWEST_IMAGES, FEWEST_LESIONS, SIZES
from rfbench.report import rendering, tables
from rfbench.report.rows import lesions, order

NAME = "lesions"
SIZE_NAMES = dict(zip(SIZES, ("< 74", "74–255", "256–1920", "> 1920"), strict=True))  # px at IDRiD's native size
RECALLS = {f"_{size}": name for size, name in SIZE_NAMES.items()} | {"": "all sizes"}
SHARES = {"lesion_precision": "precision", "lesion_f1": "F1", "cpm": "CPM"}
COVERED = {f"lesions_covered_{share}": name for share, name in
           (("any", "any pixel"), ("10", "10 %"), ("20", "20 %"), ("50", "50 %"))}  # fmt: skip


@dataclass(frozen=True)
class Found:
    """One quantity of a row's finished runs.

    Attributes:
        values: over seeds; percent, or numbers per image. Empty where too few lesions allow a share.
        counts: such as "3.3 of 12" lesions, for where they are too few.
    """

    values: np.ndarray
    counts: str = ""

    @property
    def mean(self) -> float:
        """Over seeds; NaN for none."""
        return float(self.values.mean()) if len(self.values) else math.nan

    @property
    def std(self) -> float:
        """Sample standard deviation over seeds; NaN for fewer than two."""
        return float(self.values.std(ddof=1)) if len(self.values) > 1 else math.nan

    @property
    def text(self) -> str:
        """`mean ± std`, `mean` of one seed, the counts where there is no share, or a dash."""
        if not len(self.values):
            return self.counts or "–"
        return f"{self.mean:.2f}" + (f" ± {self.std:.2f}" if len(self.values) > 1 else "")


def counted(metrics: pd.DataFrame) -> pd.DataFrame:
    """The rows of finished runs whose lesions were counted."""
    return metrics[(metrics["state"] == "done") & (metrics["lesion"] != "mean")]


def has_lesions(metrics: pd.DataFrame) -> bool:
    """Whether any finished run counted lesions; those of earlier versions did not."""
    return bool((counted(metrics)["metric"] == "lesions").any())


def rows_of(metrics: pd.DataFrame) -> list[dict]:
    """Rows of the table: data set by data set, lesion by lesion, the operators in the order of the paper's tables.

    Returns:
        Dicts of dataset, synthetic, lesion, row, pair, n (seeds that are done), configured, numbers (of lesions by
        heading of a recall), cells (`Found` by heading).
    """
    found = []
    for dataset, data in metrics.groupby("dataset", sort=False):
        done = counted(data)
        for lesion in lesions(data) if has_lesions(data) else []:
            own = done[done["lesion"] == lesion]
            for row in order(data):
                for competitor, runs in data[data["row"] == row].groupby("pair", sort=False):
                    found.append({
                        "dataset": dataset, "synthetic": bool(data["synthetic"].iloc[0]), "lesion": lesion, "row": row,
                        "pair": competitor, "n": runs.loc[runs["state"] == "done", "seed"].nunique(),
                        "configured": runs["seed"].nunique(), **_cells(own, competitor),
                    })  # fmt: skip
    return found


def _cells(own: pd.DataFrame, competitor: str) -> dict:
    """Numbers of lesions, and the cells of a competitor, where `own` are all finished runs on one lesion."""
    mine = own[own["pair"] == competitor].groupby("metric")["value"]
    by_metric = {metric: values.dropna().to_numpy() for metric, values in mine}
    number = own[own["metric"].str.startswith("lesions")].drop_duplicates("metric").set_index("metric")["value"]
    get = lambda metric: by_metric.get(metric, np.zeros(0))  # noqa: E731
    cells, numbers = {}, {}
    for suffix, heading in RECALLS.items():
        numbers[heading] = int(number[f"lesions{suffix}"])
        hits = get(f"lesions_hit{suffix}")
        told = f"{hits.mean():.1f} of {numbers[heading]}" if len(hits) and numbers[heading] else ""
        cells[heading] = Found(100 * get(f"lesion_recall{suffix}"), told)
    cells |= {heading: Found(100 * get(metric)) for metric, heading in (SHARES | COVERED).items()}
    return {"numbers": numbers, "cells": cells | {"FP/image": Found(get("fp_per_image"))}}


def to_csv(rows: list[dict]) -> str:
    """The table as CSV: percent (FP/image: numbers), mean and std of each; `lesions …` are the numbers of lesions."""
    flat = []
    for row in rows:
        line = {key: row[key] for key in ("dataset", "lesion", "row", "pair", "n", "configured")}
        line["data"] = "SYN" if row["synthetic"] else "real"
        line |= {f"lesions {heading}": number for heading, number in row["numbers"].items()}
        for heading, cell in row["cells"].items():
            line |= {f"{heading}_mean": cell.mean, f"{heading}_std": cell.std}
            if cell.counts:
                line[f"{heading}_hit"] = cell.counts
        flat.append(line)
    return pd.DataFrame(flat).to_csv(index=False, lineterminator="\n", float_format="%.4f")


def write(folder: Path, metrics: pd.DataFrame) -> int:
    """Write lesions.csv, .md and .tex into a folder; returns the number of rows."""
    rows = rows_of(metrics)
    about = [_about(data) for _, data in metrics.groupby("dataset", sort=False)]
    provenance.write_text(folder / f"{NAME}.csv", to_csv(rows))
    values = {
        "rows": rows,
        "about": about,
        "recalls": list(RECALLS.values()),
        "others": [*SHARES.values(), "FP/image", *COVERED.values()],
        "fewest": (FEWEST_LESIONS, FEWEST_IMAGES),
    }
    for kind in ("md", "tex"):
        provenance.write_text(folder / f"{NAME}.{kind}", rendering.render(f"{NAME}.{kind}.j2", **values))
    return len(rows)


def _about(data: pd.DataFrame) -> dict:
    """What a reader must know beside a data set's numbers."""
    first, done = data.iloc[0], data[data["state"] == "done"]
    return {
        "name": first["dataset"],
        "competing": tables.competing(data),
        "synthetic": bool(first["synthetic"]),
        "lesions": lesions(data) if has_lesions(data) else [],
        "split": "validation" if first["split"] == "val" else "test",
        "images": tables.images(data),
        "eval_size": first["eval_size"],
        "backbone": first["backbone"],
        "recipe": first["recipe"],
        "deviations": "; ".join(dict.fromkeys(text for text in data["deviations"] if text)),
        "commits": tables.commits(done),
        "kept": tables.keepings(done),
    }
