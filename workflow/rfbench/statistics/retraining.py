"""The retraining interval: would training again, with new seeds on the same test images, show the difference?

Up to four seeds a competitor say next to nothing about that competitor's own variance, so the variance of one run is
pooled over all competitors of the data set, metric and lesion; from five seeds on each competitor has its own (Welch).
"""

from dataclasses import dataclass

import numpy as np
from scipy import stats

from rfbench.statistics.holm import holm

OWN_VARIANCE = 5  # seeds from which on a competitor's variance is its own
LEAST_DF = 10  # of the pooled variance, below which two seeds give no interval


@dataclass(frozen=True)
class Retraining:
    """Each competitor against the reference: arrays (competitors,), NaN at the reference, units of the scores.

    Attributes:
        difference: mean of the competitor's runs minus mean of the reference's.
        sd: SD of one run that the interval uses. Pooled: the pooled s. Welch: √((s_a² + s_b²) / 2), so that with n
            seeds each the standard error is sd·√(2/n) and two single runs differ with SD sd·√2 in both cases.
        df: degrees of freedom of the t distribution.
        low, high: ends of the interval.
        p: two-sided p-value of difference = 0.
        p_holm: p after Holm, over all P - 1 comparisons.
    """

    difference: np.ndarray
    sd: np.ndarray
    df: np.ndarray
    low: np.ndarray
    high: np.ndarray
    p: np.ndarray
    p_holm: np.ndarray


def retraining(scores: np.ndarray, reference: int = 0, *, level: float = 0.95) -> Retraining:
    """Compare every competitor with the reference over seeds.

    With n_a runs of a competitor and n_b of the reference, P competitors that have runs, and s² the variance of
    `spread`:

    - **n_a, n_b >= 5:** Welch; each of the two has its own variance, the others have none in it.
    - **else:** difference ± t(df)·s·√(1/n_a + 1/n_b). If all P competitors have the same n seeds, s² is that of
      randomized blocks, df = (P - 1)(n - 1); if any seed of any competitor is missing, that of one-way groups,
      df = Σ(n_p - 1).
    - **No interval and no p** (NaN; `difference` stays, and `sd` and `df` where there are any): either has a single
      run; or the fewer have two and df < 10.
    - **No difference** (everything NaN but `sd` and `df` of the pooled variance): either has no run.

    A seed that no competitor has, and a competitor that has no seed, take no part in s². If nothing varies (s = 0) the
    interval is the difference itself, and p is 0, or 1 where the difference is 0. Holm multiplies by P' - 1, P' the
    number of rows: a comparison that cannot be made yet counts as one with p = 1, so a hole never makes its neighbours
    significant.

    Args:
        scores: (competitors, seeds); NaN is a run that is not done. Column k is seed k of every competitor.
        reference: row to compare with.
        level: of the interval.

    Raises:
        ValueError: scores are no table of numbers, one is infinite, or there is no such reference or level.
    """
    scores = _checked(scores)
    if not 0 <= reference < len(scores):
        raise ValueError(f"reference must be a row of scores, 0 to {len(scores) - 1}; got {reference}")
    if not 0 < level < 1:
        raise ValueError(f"level must lie between 0 and 1, such as 0.95; got {level}")
    n, mean, _ = of_rows(scores)
    fewer = np.minimum(n, n[reference])
    difference = mean - mean[reference]
    own = fewer >= OWN_VARIANCE
    sd, df, error = np.where(own, _welch(scores, reference), _pooled(scores, reference))
    known = (fewer > 2) | ((fewer == 2) & (df >= LEAST_DF))
    error = np.where(known, error, np.nan)
    low, high = _interval(difference, error, df, level)
    p = _p_value(difference, error, df)
    columns = np.stack([difference, sd, df, low, high, p])
    columns[:, reference] = np.nan
    return Retraining(*columns, p_holm=holm(columns[5], len(scores) - 1))


def spread(scores: np.ndarray) -> tuple[float, int]:
    """SD of one run over seeds, pooled over competitors, and its degrees of freedom.

    Two or more competitors that all have the same seeds: r = y_ps - ȳ_p - ȳ_s + ȳ, s² = Σr² / ((P - 1)(n - 1)), since
    what a seed does to all competitors alike (its sampling of crops) leaves their differences alone. Otherwise:
    deviations from each competitor's mean, df = Σ(n_p - 1).

    Args:
        scores: (competitors, seeds); NaN is a run that is not done. Competitors and seeds without any run are left out.

    Returns:
        (s, df); (NaN, 0) if no competitor has two runs.
    """
    scores = _checked(scores)
    done = np.isfinite(scores)
    scores = scores[done.any(1)][:, done.any(0)]
    competitors, seeds = scores.shape
    residual = scores - of_rows(scores)[1][:, None]
    if competitors > 1 and np.isfinite(scores).all():
        residual, df = residual - residual.mean(0), (competitors - 1) * (seeds - 1)
    else:
        df = int(np.isfinite(scores).sum()) - competitors
    return (float(np.sqrt(np.nansum(residual**2) / df)), df) if df > 0 else (np.nan, 0)


def welch(scores: np.ndarray, reference: int = 0, *, level: float = 0.95) -> tuple[np.ndarray, np.ndarray]:
    """Ends of Welch's interval of every difference to the reference, from two runs each on; NaN otherwise."""
    scores = _checked(scores)
    _, mean, _ = of_rows(scores)
    _, df, error = _welch(scores, reference)
    low, high = _interval(mean - mean[reference], error, df, level)
    low[reference] = high[reference] = np.nan
    return low, high


def _checked(scores: np.ndarray) -> np.ndarray:
    scores = np.asarray(scores, dtype=float)
    if scores.ndim != 2 or scores.size == 0:
        raise ValueError(f"scores must be a table (competitors, seeds); got the shape {scores.shape}")
    if np.isinf(scores).any():
        raise ValueError("scores must be numbers, NaN for a run that is not done; got an infinite one")
    return scores


def of_rows(scores: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Runs, mean and sample variance of each competitor, (competitors,) each; NaN where there are too few runs."""
    done = np.isfinite(scores)
    n = done.sum(1)
    mean = _divide(np.where(done, scores, 0).sum(1), n)
    return n, mean, _divide(np.nansum((scores - mean[:, None]) ** 2, axis=1), n - 1.0)


def welch_df(variance_a: np.ndarray, n_a: np.ndarray, variance_b: np.ndarray, n_b: np.ndarray) -> np.ndarray:
    """Welch–Satterthwaite's degrees of freedom of a difference of means; n_a + n_b - 2, their limit, without variance.

    Sample variances of single runs and numbers of runs; NaN where a variance is unknown.
    """
    a, b = _divide(variance_a, n_a), _divide(variance_b, n_b)
    parts = _divide(a**2, n_a - 1.0) + _divide(b**2, n_b - 1.0)
    return np.where(a + b == 0, n_a + n_b - 2.0, _divide((a + b) ** 2, parts))


def _pooled(scores: np.ndarray, reference: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """SD, degrees of freedom and standard error of each difference, the variance pooled over all competitors."""
    n = np.isfinite(scores).sum(1)
    s, df = spread(scores)
    error = s * np.sqrt(_divide(1.0, n) + _divide(1.0, n[reference]))
    return np.full(len(n), s), np.full(len(n), df or np.nan), error


def _welch(scores: np.ndarray, reference: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """SD, degrees of freedom and standard error of each difference, each of the two with a variance of its own."""
    n, _, variance = of_rows(scores)
    df = welch_df(variance, n, variance[reference], n[reference])
    of_mean = _divide(variance, n)
    return np.sqrt((variance + variance[reference]) / 2), df, np.sqrt(of_mean + of_mean[reference])


def _divide(part: np.ndarray | float, whole: np.ndarray | float) -> np.ndarray:
    """part / whole, NaN where whole is not positive."""
    part, whole = np.broadcast_arrays(np.asarray(part, float), np.asarray(whole, float))
    return np.divide(part, whole, out=np.full(whole.shape, np.nan), where=whole > 0)


def _interval(difference: np.ndarray, error: np.ndarray, df: np.ndarray, level: float) -> tuple[np.ndarray, np.ndarray]:
    half = stats.t.ppf((1 + level) / 2, df) * error
    return difference - half, difference + half


def _p_value(difference: np.ndarray, error: np.ndarray, df: np.ndarray) -> np.ndarray:
    certain = np.where(difference == 0, 0.0, np.inf)  # nothing varies
    ratio = np.divide(np.abs(difference), error, out=certain, where=error != 0)
    return 2 * stats.t.sf(ratio, df)
