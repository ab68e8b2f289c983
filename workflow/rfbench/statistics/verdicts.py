"""What our runs say about a published mean and about a published gain, under rules that leave no room for luck.

The authors' three runs are taken to vary as ours. Intervals are looked at after 3, 5 and 10 seeds and at no other time,
each look at a third of the error rate, so that adding seeds until the answer pleases does not pay.
"""

import math
from collections.abc import Mapping
from pathlib import Path

import yaml
from scipy import stats

from rfbench.statistics.power import ALPHA, PAPER_SEEDS

INSIDE, OUTSIDE, CANNOT_TELL = "inside", "outside", "cannot tell"
NOT_COMPARABLE, NOT_RUN = "not comparable", "not run"
VERDICTS = (INSIDE, OUTSIDE, CANNOT_TELL, NOT_COMPARABLE, NOT_RUN)
CONFIRMED, CONTRADICTED, OPEN = "confirmed", "contradicted", "open"
CLAIMS = (CONFIRMED, CONTRADICTED, OPEN, NOT_COMPARABLE, NOT_RUN)
LOOKS = (3, 5, 10)
LEVEL = 1 - ALPHA / len(LOOKS)
"""Of the two-sided interval at one look."""
MARGINS = Path(__file__).parent / "margins.yaml"


def margins() -> dict[str, dict[str, float]]:
    """Margin in points by published metric and data set."""
    return yaml.safe_load(MARGINS.read_text())


def standard_error(sd: float, n: int) -> float:
    """Of our mean of n runs minus a published mean of three, all with the SD of one of ours."""
    return sd * math.sqrt(1 / n + 1 / PAPER_SEEDS)


def verdict(difference: float, error: float, df: float, margin: float, *, looks: int = len(LOOKS)) -> str:
    """Whether our mean is the published one, within a margin.

    `inside`: the 90 % interval of the difference lies within ± margin (two one-sided tests). `outside`: its 95 %
    interval lies beyond. Else `cannot tell`, which is all that noise can yield. Both levels are those of a single look;
    with three, 96.7 and 98.3 %.

    Args:
        difference: our mean minus the published one.
        error: its standard error.
        df: degrees of freedom of the SD behind it.
        margin: above 0.
        looks: times that the intervals may be looked at.
    """
    alpha = ALPHA / looks
    inner, outer = (float(stats.t.ppf(1 - tail, df)) * error for tail in (alpha, alpha / 2))
    if abs(difference) + inner < margin:
        return INSIDE
    return OUTSIDE if abs(difference) - outer > margin else CANNOT_TELL


def interval(difference: float, error: float, df: float) -> tuple[float, float]:
    """Ends of the interval of a difference that `outside` asks for, at one of three looks (98.3 %)."""
    half = float(stats.t.ppf((1 + LEVEL) / 2, df)) * error
    return difference - half, difference + half


def claim(low: float, high: float, published: float) -> str:
    """What becomes of a published gain over the baseline.

    `confirmed`: our gain's interval is above 0 and reaches half of the published gain; `contradicted`: it stays below
    half of it; else `open`.

    Args:
        low, high: the interval of our gain; NaN where there is none.
        published: the published gain, above 0.
    """
    if high < published / 2:
        return CONTRADICTED
    return CONFIRMED if low > 0 and high >= published / 2 else OPEN


def look(states: Mapping[int, str]) -> tuple[int, str]:
    """How many seeds of a row count, from the first on, and why none does.

    The largest of LOOKS that the configuration reaches and whose seeds are all done. Seeds must be 0 to n - 1, as the
    configuration fixes them before the first run; a seed that diverged is a result, so without it nothing is said.

    Args:
        states: state of each configured seed.

    Returns:
        (seeds, ""), or (0, the reason).
    """
    seeds = sorted(states)
    if seeds != list(range(len(seeds))):
        return 0, f"configured seeds are {', '.join(map(str, seeds))}, not 0 to {len(seeds) - 1}"
    if diverged := [seed for seed in seeds if states[seed] == "diverged"]:
        return 0, f"seed {', '.join(map(str, diverged))} diverged"
    reached = [n for n in LOOKS if n <= len(seeds) and all(states[seed] == "done" for seed in range(n))]
    if not reached:
        done = sum(state == "done" for state in states.values())
        return 0, f"{done} of {len(seeds)} seeds done, the first look takes {LOOKS[0]} from seed 0 on"
    return reached[-1], ""
