"""The runs of one data set as tables (competitors, seeds), from metrics.csv."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from rfbench.errors import RFBenchError
from rfbench.lesions.lesion_metrics import SIZES
from rfbench.names import METRICS

# Of metrics.csv what competitors are compared by; the rest are counts, points of curves and diagnostics.
COMPARED = (
    *METRICS,
    *("lesion_recall", *(f"lesion_recall_{size}" for size in SIZES)),
    *("lesion_precision", "lesion_f1", "cpm", "fp_per_image"),
)
COUNTED = ("fp_per_image",)  # no fraction: its differences are in regions per image, not in points


@dataclass(frozen=True)
class Scores:
    """Scores of one data set in percent, those of COUNTED as they are.

    Attributes:
        competitors: names of the competitors, in the order of metrics.csv.
        seeds: all configured seeds.
        tables: by (metric of COMPARED, lesion), also lesion "mean": (competitors, seeds), NaN for a run that is not
            done. A metric that no run has, as of too few lesions, has none.
        absent: lesions without a positive pixel in the images; they have no table and no part in a mean.
    """

    competitors: list[str]
    seeds: list[int]
    tables: dict[tuple[str, str], np.ndarray]
    absent: tuple[str, ...]


def scores_of(data: pd.DataFrame) -> Scores:
    """Scores of one data set.

    A lesion is absent if its exact average precision is 0 in every run: with a single positive pixel it never is.

    Args:
        data: the data set's rows of metrics.csv.

    Raises:
        RFBenchError: a run is there twice.
    """
    competitors, seeds = list(data["pair"].unique()), sorted(data["seed"].unique())
    done = data[(data["state"] == "done") & data["metric"].isin(COMPARED)]
    keys = ["pair", "seed", "metric", "lesion"]
    if (twice := done.duplicated(keys)).any():
        found = ", ".join(map(str, done.loc[twice, keys].iloc[0]))
        raise RFBenchError(
            f"metrics.csv: expected one row a pair or method, seed, metric and lesion, found two of {found}."
        )
    wide = done.pivot(index=["pair", "seed"], columns=["metric", "lesion"], values="value").dropna(axis=1, how="all")
    wide = wide.reindex(pd.MultiIndex.from_product([competitors, seeds]))
    units = {key: 1 if key[0] in COUNTED else 100 for key in wide}
    tables = {
        key: unit * wide[key].to_numpy(float).reshape(len(competitors), len(seeds)) for key, unit in units.items()
    }
    absent = tuple(lesion for (metric, lesion), table in tables.items() if metric == "ap" and not np.nansum(table))
    return Scores(competitors, seeds, _without(tables, absent), tuple(lesion for lesion in absent if lesion != "mean"))


def _without(tables: dict[tuple[str, str], np.ndarray], absent: tuple[str, ...]) -> dict:
    """The tables without absent lesions; their means are those of the others."""
    if not absent:
        return tables
    kept = {key: table for key, table in tables.items() if key[1] not in absent}
    for metric in {metric for metric, lesion in kept if lesion == "mean"}:
        others = [table for (own, lesion), table in kept.items() if own == metric and lesion != "mean"]
        if others:
            kept[metric, "mean"] = np.mean(others, axis=0)
    return kept
