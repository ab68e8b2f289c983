"""What a difference means beyond its interval: how likely one retraining shows it, whether it is practically none."""

import numpy as np
from scipy import stats

from rfbench.statistics.retraining import retraining

MARGIN = 1.0  # points within which two competitors are practically equal
MEANINGFUL = 0.75  # probability from which on an advantage is called meaningful (Bouthillier et al. 2021)
LEAST_SEEDS = 3  # below which deviations from the median of a row are equal by construction


def probability(difference: np.ndarray, sd: np.ndarray) -> np.ndarray:
    """P(one retraining of the competitor beats one of the reference) = Φ(Δ / (s√2)).

    Its interval has the probabilities of the ends of the difference's interval. Without any spread it is 0, ½ or 1.

    Args:
        difference: mean difference, or an end of its interval.
        sd: SD of one run (`Retraining.sd`), in the same units.
    """
    difference, sd = np.broadcast_arrays(np.asarray(difference, float), np.asarray(sd, float))
    certain = np.where(difference == 0, 0.0, np.copysign(np.inf, difference))
    certain = np.where(np.isnan(difference) | np.isnan(sd), np.nan, certain)
    return stats.norm.cdf(np.divide(difference, sd * np.sqrt(2), out=certain, where=sd > 0))


def practically_equal(scores: np.ndarray, reference: int = 0, *, margin: float = MARGIN) -> np.ndarray:
    """Which competitors differ from the reference by less than the margin: the 90 % interval lies inside ± margin.

    Two one-sided tests at 5 % each (TOST, Schuirmann 1987). A wide interval that holds 0 is not equality.

    Args:
        scores: (competitors, seeds), see `retraining`.
        margin: in the units of the scores.

    Returns:
        bool (competitors,); False at the reference and where there is no interval.
    """
    inner = retraining(scores, reference, level=0.9)
    return (inner.low > -margin) & (inner.high < margin)


def brown_forsythe(scores: np.ndarray) -> float:
    """p-value of equal variances of all competitors' runs: Levene's test on deviations from medians (Brown–Forsythe
    1974).

    Competitors with fewer than three runs take no part. NaN if fewer than two are left, or nothing deviates.
    """
    rows = [row[np.isfinite(row)] for row in np.asarray(scores, float)]
    rows = [row for row in rows if len(row) >= LEAST_SEEDS]
    if len(rows) < 2 or all(np.ptp(np.abs(row - np.median(row))) == 0 for row in rows):
        return float("nan")
    return float(stats.levene(*rows, center="median").pvalue)
