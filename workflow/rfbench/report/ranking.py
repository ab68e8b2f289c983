"""What the rows of a table may claim against each other: differences to the baseline, letters, best and second.

Two metrics are compared, chosen beforehand: mAUPR, which the papers print, and mAP. The others have no marks, since
with each one looked at the chance grows that one of them flatters somebody. Names and order of a table's rows are
decided in tables.py.
"""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from rfbench.names import BASELINE_ROW
from rfbench.statistics import letters, resolved, retraining
from rfbench.statistics.scores import Scores, scores_of

PRIMARY = {"mAUPR": "aupr11", "mAP": "ap"}  # heading: metric
SAME = 1e-6  # points by which differences.csv may differ from what metrics.csv gives


@dataclass(frozen=True)
class Difference:
    """A row's mean minus the baseline's in points, with its 95 % intervals; NaN where there is none.

    Attributes:
        mean: the difference.
        low, high: for new trainings on the same images.
        population_low, population_high: for new patients, too.
    """

    mean: float
    low: float
    high: float
    population_low: float = math.nan
    population_high: float = math.nan

    @property
    def text(self) -> str:
        """`+1.40 (retraining, 95 %: +0.20 to +2.60; new patients too: -0.90 to +3.70)`, as far as it is known."""
        if math.isnan(self.mean):
            return "–"
        known = [
            f"{words} {low:+.2f} to {high:+.2f}"
            for words, low, high in (
                ("retraining, 95 %:", self.low, self.high),
                ("new patients too:", self.population_low, self.population_high),
            )
            if not math.isnan(low)
        ]
        return f"{self.mean:+.2f} ({'; '.join(known) or 'too few runs for an interval'})"


def rank(rows: list[dict], data: pd.DataFrame, differences: pd.DataFrame | None = None) -> None:
    """Give the rows of one data set `ranked` and `differences`, their cells `mark` and `letters`.

    Ranked are complete rows of two seeds or more on real data: synthetic data rank nothing, a single run neither, and
    a row that lacks a seed is no competitor. Whether two rows are told apart is decided once for a data set, among all
    its rows, so that its tables never disagree.

    Args:
        rows: of one data set, as `tables.rows_of` makes them.
        data: all of the data set's metrics.
        differences: content of differences.csv, which has the population intervals.
    """
    scores, found = scores_of(data), differences_to_baseline(data, differences)
    for row in rows:
        row["ranked"] = row["n"] == row["configured"] >= 2 and not row["synthetic"]
        row["differences"] = {
            heading: own[row["pair"]] for heading, own in found.items() if row["configured"] and row["pair"] in own
        }
    rivals = [row for row in rows if row["ranked"]]
    if len(rivals) < 2:
        return
    for heading, metric in PRIMARY.items():
        if (metric, "mean") in scores.tables:
            _tell_apart(rivals, heading, resolved(scores.tables[metric, "mean"]), scores)
    for heading in ("Param", "FPS"):
        _mark_costs([row["cells"][heading] for row in rivals if row["cells"][heading].n], most=heading == "FPS")


def differences_to_baseline(
    data: pd.DataFrame, differences: pd.DataFrame | None = None
) -> dict[str, dict[str, Difference]]:
    """Every other competitor's difference to the baseline by heading and name; nothing where the baseline is missing.

    Arguments as `rank` has them. Intervals for new patients are taken only from lines of these very metrics.
    """
    scores, baseline, stored, found = scores_of(data), baseline_pair(data), _of(differences, data), {}
    for heading, metric in PRIMARY.items() if baseline is not None else ():
        if (metric, "mean") not in scores.tables:
            continue
        got, found[heading] = retraining(scores.tables[metric, "mean"], scores.competitors.index(baseline)), {}
        for place, competitor in enumerate(scores.competitors):
            if competitor == baseline:
                continue
            line, own = stored.get((metric, competitor), {}), (got.difference[place], got.low[place], got.high[place])
            current = line.get("reference") == baseline and abs(line["difference"] - own[0]) <= SAME
            beyond = [line["population_low"], line["population_high"]] if current else []
            found[heading][competitor] = Difference(*map(float, own), *beyond)
    return found


def baseline_pair(data: pd.DataFrame) -> str | None:
    """The data set's baseline, by its name; None if it has none, or several."""
    competitors = data.loc[data["row"] == BASELINE_ROW, "pair"].unique()
    return competitors[0] if len(competitors) == 1 else None


def _of(differences: pd.DataFrame | None, data: pd.DataFrame) -> dict[tuple[str, str], dict]:
    """The data set's lines of differences.csv on the means, by metric and competitor."""
    if differences is None:
        return {}
    own = differences[(differences["dataset"] == data["dataset"].iloc[0]) & (differences["lesion"] == "mean")]
    return {(line["metric"], line["pair"]): line for line in own.to_dict("records")}


def _tell_apart(rivals: list[dict], heading: str, apart: np.ndarray, scores: Scores) -> None:
    """Letters that rows share if and only if they are not told apart; best and second where the next prints less."""
    best_first = sorted(rivals, key=lambda row: row["cells"][heading].mean, reverse=True)
    places = [scores.competitors.index(row["pair"]) for row in best_first]
    by_pair = letters(apart, places)
    means = {place: row["cells"][heading].mean for row, place in zip(best_first, places, strict=True)}
    for row, place in zip(best_first, places, strict=True):
        row["cells"][heading].letters = by_pair[place]
    told = [
        bool(apart[one, other]) and f"{means[one]:.2f}" != f"{means[other]:.2f}"
        for one, other in itertools.pairwise(places)
    ]
    for row, mark in zip(best_first, _marks(told), strict=False):
        row["cells"][heading].mark = mark


def _marks(told: Sequence[bool]) -> list[str]:
    """Marks from the best down: each only if its row and all above are told apart from the next."""
    reached = next((place for place, apart in enumerate(told) if not apart), len(told))
    return ["best", "second"][: min(reached, 2)]


def _mark_costs(cells: list, *, most: bool) -> None:
    """Mark costs, which are counted or have the range of their rounds: ranges that touch are not told apart."""
    ordered = sorted(cells, key=lambda cell: cell.mean, reverse=most)
    told = []
    for one, other in itertools.pairwise(ordered):
        ends = (one.low, other.high) if most else (-one.mean, -other.mean)
        told.append(ends[0] > ends[1])
    for cell, mark in zip(ordered, _marks(told), strict=False):
        cell.mark = mark
