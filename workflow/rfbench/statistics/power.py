"""How small a difference n seeds can show, and how large an SD a published difference survives. Units of the SD given.

Tests are two-sided t tests at 5 % on the SD pooled over P competitors, df = (P - 1)(n - 1), unless said otherwise.
"""

import functools
import math

import numpy as np
from scipy import optimize, stats

from rfbench.statistics.retraining import LEAST_DF
from rfbench.statistics.tukey import range_quantile

POWER = 0.8
ALPHA = 0.05
PAPER_SEEDS = 3  # runs behind a published mean
SEEDS = (3, 5, 10, 20)  # of the tables
MOST_SEEDS = 10_000
STANDS, FALLS, OPEN = "stands", "falls", "open"
_GRID = (np.arange(2000) + 0.5) / 2000  # quantiles over which the SD's own error is averaged


@functools.cache
def detectable(n: int, competitors: int, *, alpha: float = ALPHA) -> float:
    """The difference, in SD of one run, that a comparison of two of so many competitors shows with power 0.8.

    The power of a normal test is averaged over the distribution of the estimated SD, √(χ²/df), which is the noncentral
    t distribution's (scipy's is NaN at few degrees of freedom).

    Args:
        n: seeds of each competitor.
        competitors: P, whose spread is pooled.
        alpha: level of the test; ALPHA / (P - 1) is the first step of Holm's correction.

    Returns:
        Infinity where there is no test: one seed, one competitor, or two seeds with fewer than ten degrees of freedom.
    """
    df = (competitors - 1) * (n - 1)
    if df < 1 or (n == 2 and df < LEAST_DF):
        return math.inf
    critical = stats.t.ppf(1 - alpha / 2, df) * np.sqrt(stats.chi2.ppf(_GRID, df) / df)

    def lacking(shift: float) -> float:
        return float((stats.norm.sf(critical - shift) + stats.norm.cdf(-critical - shift)).mean()) - POWER

    return optimize.brentq(lacking, 0, 1 + 10 * critical.max()) * math.sqrt(2 / n)


def seeds_for(difference: float, sd: float, competitors: int, *, alpha: float = ALPHA) -> float:
    """The fewest seeds of each competitor with which a difference is shown with power 0.8.

    Args:
        difference, sd: in the same units, both above 0.
        competitors, alpha: see `detectable`.

    Returns:
        A whole number; infinity beyond 10,000.

    Raises:
        ValueError: a difference or SD that is not above 0, or a single competitor.
    """
    if not (difference > 0 and sd > 0 and competitors > 1):
        raise ValueError(
            f"expected a difference and an SD above 0 and two competitors; got {difference}, {sd}, {competitors}"
        )
    # Near the normal test's number, so that few are tried: it needs fewer than any t test.
    shift = stats.norm.ppf(1 - alpha / 2) + stats.norm.ppf(POWER)
    n = max(2, math.floor(2 * (shift * sd / difference) ** 2))
    while n <= MOST_SEEDS:
        if detectable(n, competitors, alpha=alpha) * sd <= difference:
            return n
        n += 1
    return math.inf


def sd_interval(sd: float, df: float, *, level: float = 0.95) -> tuple[float, float]:
    """Interval of a standard deviation estimated with `df` degrees of freedom (χ²); NaN where there are none."""
    if not df > 0:
        return math.nan, math.nan
    low, high = stats.chi2.ppf([(1 + level) / 2, (1 - level) / 2], df)
    return sd * math.sqrt(df / low), sd * math.sqrt(df / high)


def retraining_noise(sd: float, df: float, rows: int | None = None) -> float:
    """The difference of two published means of three runs that retraining alone exceeds in 5 % of cases.

    Args:
        sd, df: of one run. df may be infinite.
        rows: None for a competitor chosen beforehand: t(.975, df)·s·√(2/3). Else any two of so many rows:
            q(.95; rows, df)·s/√3.
    """
    return sd * _critical(df, rows)


def break_even(difference: float, rows: int | None = None) -> float:
    """The SD of one run up to which a difference of two published means of three runs exceeds retraining's noise.

    Args:
        difference: of the means; its sign does not matter.
        rows: see `retraining_noise`.
    """
    return abs(difference) / _critical(math.inf, rows)


def _critical(df: float, rows: int | None) -> float:
    """Noise of a difference of two means of three runs, in SD of one run."""
    if rows is None:
        return float(stats.t.ppf(0.975, df)) * math.sqrt(2 / PAPER_SEEDS)
    return range_quantile(0.95, rows, df) / math.sqrt(PAPER_SEEDS)


def standing(limit: float, low: float, high: float) -> str:
    """Whether a published difference stands, if the authors' runs vary as ours.

    Args:
        limit: its break-even SD.
        low, high: the 95 % interval of our SD; NaN where it is unknown.

    Returns:
        `stands` if our SD is surely below the limit, `falls` if surely above, else `open`.
    """
    if high < limit:
        return STANDS
    return FALLS if low > limit else OPEN


def sd_of_best(gains: list[float], repetitions: int = 20_000) -> tuple[float, float, float]:
    """SD of one run, with its 95 % interval, from how far the best of three runs lies above their mean.

    The mean of such gains over several rows is 0.846 SD in expectation; its distribution is simulated (fixed seed).

    Args:
        gains: best minus mean of three, one a row.
    """
    runs = np.random.default_rng(0).normal(size=(repetitions, len(gains), PAPER_SEEDS))
    unit = (runs.max(2) - runs.mean(2)).mean(1)
    low, high = np.quantile(unit, [0.975, 0.025])
    gain = float(np.mean(gains))
    return gain / float(unit.mean()), gain / float(low), gain / float(high)
