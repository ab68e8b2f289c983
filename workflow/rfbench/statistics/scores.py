"""The runs of one data set as tables (pairs, seeds), from metrics.csv."""

import re
from dataclasses import dataclass

import numpy as np
import pandas as pd

from rfbench.errors import RFBenchError

# What of metrics.csv is no score to compare pairs by: diagnostics, numbers of lesions and regions, points of curves.
OTHERS = re.compile("ap_error|aupr11_artefact|ap_untrained|lesions|regions|fp_per_image|froc_")


@dataclass(frozen=True)
class Scores:
    """Scores of one data set in percent.

    Attributes:
        pairs: names of the pairs, in the order of metrics.csv.
        seeds: all configured seeds.
        tables: by (metric, lesion), also lesion "mean": (pairs, seeds), NaN for a run that is not done.
        absent: lesions without a positive pixel in the images; they have no table and no part in a mean.
    """

    pairs: list[str]
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
    pairs, seeds = list(data["pair"].unique()), sorted(data["seed"].unique())
    done = data[(data["state"] == "done") & ~data["metric"].str.match(OTHERS)]
    keys = ["pair", "seed", "metric", "lesion"]
    if (twice := done.duplicated(keys)).any():
        found = ", ".join(map(str, done.loc[twice, keys].iloc[0]))
        raise RFBenchError(f"metrics.csv: expected one row a pair, seed, metric and lesion, found two of {found}.")
    wide = done.pivot(index=["pair", "seed"], columns=["metric", "lesion"], values="value")
    wide = wide.reindex(pd.MultiIndex.from_product([pairs, seeds]))
    tables = {key: 100 * wide[key].to_numpy(float).reshape(len(pairs), len(seeds)) for key in wide}
    absent = tuple(lesion for (metric, lesion), table in tables.items() if metric == "ap" and not np.nansum(table))
    return Scores(pairs, seeds, _without(tables, absent), tuple(lesion for lesion in absent if lesion != "mean"))


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
