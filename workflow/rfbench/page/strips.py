"""Strip plots of the contrast set: every image's difference in F to the baseline, a line a pair."""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

from rfbench.report.examples import Contrast

WIDTH, HEIGHT = 400, 16  # of a strip's view box; it is stretched to its place


@dataclass(frozen=True)
class Strip:
    """One pair: its row, what it shows in words, its ticks and those of the examples as SVG paths, empty for none."""

    row: str
    words: str
    ticks: str
    picked: str


@dataclass(frozen=True)
class Strips:
    """All pairs of a lesion; the axis reaches from -end to end, in points."""

    lesion: str
    end: int
    strips: tuple[Strip, ...]


def strips(differences: Sequence[Contrast]) -> list[Strips]:
    """Strip plots of a data set, one a lesion; none where nothing is compared."""
    found = []
    for lesion in dict.fromkeys(one.lesion for one in differences):
        own = [one for one in differences if one.lesion == lesion]
        largest = max((abs(gap) for one in own for _, gap in one.gaps), default=0)
        end = max(5, 5 * math.ceil(largest / 5))
        found.append(Strips(lesion, end, tuple(_strip(one, end) for one in own)))
    return found


def _strip(one: Contrast, end: int) -> Strip:
    if not one.gaps:
        return Strip(one.row, f"no image, {one.left_out} left out", "", "")
    gaps = [gap for _, gap in one.gaps]
    low, middle, high = gaps[0], one.picked[2][1], gaps[-1]
    words = f"{one.images} images, {low:+.1f} to {high:+.1f}, median {middle:+.1f}; {one.left_out} left out"
    return Strip(one.row, words, _path(gaps, end, 4, 8), _path([gap for _, gap in one.picked], end, 1, 14))


def _path(gaps: Sequence[float], end: int, top: int, length: int) -> str:
    """Ticks at these differences, equal ones once; each begins where the one before it ends, to save bytes."""
    places = sorted({round(WIDTH * (gap + end) / (2 * end)) for gap in gaps})
    steps = [after - before for before, after in itertools.pairwise(places)]
    return f"M{places[0]} {top}v{length}" + "".join(f"m{step}-{length}v{length}" for step in steps)
