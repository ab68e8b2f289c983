"""All competitors with all: Tukey's range, and the letters that join the rows that it does not tell apart.

Deliberately absent: Friedman, Nemenyi and Wilcoxon tests. Over data set × lesion × seed they take the lesions of one
network for independent samples, and at three seeds Wilcoxon's smallest p is 0.25.
"""

import functools
import string
from collections.abc import Sequence

import numpy as np
from scipy import stats

from rfbench.statistics.retraining import LEAST_DF, OWN_VARIANCE, of_rows, spread, welch_df


def resolved(scores: np.ndarray, *, level: float = 0.95) -> np.ndarray:
    """Which competitors' means are told apart, all compared with all at one familywise error rate.

    Tukey's range over the P competitors that have runs: |Δ| >= q(level; P, df)·s·√((1/n_a + 1/n_b)/2), with the pooled
    s of `rfbench.statistics.spread`; s/√n for n seeds each. Where both have five runs or more, their own variances and
    Welch's degrees of freedom (Games–Howell, `scipy.stats.tukey_hsd(equal_var=False)`). Never where there is no
    retraining interval: a single run, or two with fewer than ten degrees of freedom.

    Args:
        scores: (competitors, seeds); NaN is a run that is not done.

    Returns:
        bool (competitors, competitors), symmetric, False on the diagonal.
    """
    n, mean, variance = of_rows(scores)
    rows, fewer = int((n > 0).sum()), np.minimum.outer(n, n)
    distance = np.abs(np.subtract.outer(mean, mean))
    s, df = spread(scores)
    apart = np.zeros(fewer.shape, bool)
    pooled = (fewer > 2) & (fewer < OWN_VARIANCE) | ((fewer == 2) & (df >= LEAST_DF))
    if rows > 1 and pooled.any():
        error = s * np.sqrt(np.add.outer(1 / np.maximum(n, 1), 1 / np.maximum(n, 1)) / 2)
        apart = pooled & (distance > 0) & (distance >= range_quantile(level, rows, df) * error)
    if rows > 1 and (own := np.triu(fewer >= OWN_VARIANCE, 1)).any():
        one, other = np.nonzero(own)
        of_mean = variance / np.maximum(n, 1)
        error = np.sqrt((of_mean[one] + of_mean[other]) / 2)
        certain = np.where(distance[own] > 0, np.inf, 0.0)  # nothing varies
        statistic = np.divide(distance[own], error, out=certain, where=error > 0)
        p = stats.studentized_range.sf(statistic, rows, welch_df(variance[one], n[one], variance[other], n[other]))
        apart[one, other] = apart[other, one] = p <= 1 - level
    return apart


@functools.cache
def range_quantile(level: float, rows: int, df: float) -> float:
    """q(level; rows, df) of the studentized range; df may be infinite. It takes scipy a tenth of a second."""
    return float(stats.studentized_range.ppf(level, rows, df))


def letters(apart: np.ndarray, order: Sequence[int]) -> list[str]:
    """Compact letter display: two rows share a letter if and only if they are not told apart (Piepho 2004).

    Args:
        apart: bool (P, P), as `resolved` returns it.
        order: the rows to letter, best first; others get an empty text.
    """
    groups = [frozenset(order)]
    for place, one in enumerate(order):
        for other in order[place + 1 :]:
            if not apart[one, other]:
                continue
            split = [part for group in groups for part in _without_both(group, one, other)]
            groups = [group for group in set(split) if not any(group < larger for larger in split)]
    ranks = {row: rank for rank, row in enumerate(order)}
    groups.sort(key=lambda group: sorted(ranks[row] for row in group))
    return ["".join(_letter(k) for k, group in enumerate(groups) if row in group) for row in range(len(apart))]


def _without_both(group: frozenset[int], one: int, other: int) -> list[frozenset[int]]:
    return [group - {one}, group - {other}] if {one, other} <= group else [group]


def _letter(place: int) -> str:
    """a to z, then a′ to z′, and so on."""
    rounds, letter = divmod(place, 26)
    return string.ascii_lowercase[letter] + "′" * rounds
