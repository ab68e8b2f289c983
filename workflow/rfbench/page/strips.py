"""Strip plots of the contrast set: every image's difference in F to the baseline."""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

from rfbench.report.examples import Contrast, contrasted

WIDTH, HEIGHT = 400, 16  # of a strip's view box; it is stretched to its place


@dataclass(frozen=True)
class Strip:
    """A line: its label, what it shows in words, its ticks and those of the examples as SVG paths, empty for none."""

    label: str
    words: str
    ticks: str
    picked: str


@dataclass(frozen=True)
class Strips:
    """Lines above one axis, which reaches from -end to end, in points."""

    title: str
    end: int
    strips: tuple[Strip, ...]


def by_lesion(differences: Sequence[Contrast]) -> dict[str, Strips]:
    """Strip plots of a data set by lesion, a line a competitor."""
    lesions = dict.fromkeys(one.lesion for one in differences)
    return {lesion: _plot(lesion, {one.row: one for one in differences if one.lesion == lesion}) for lesion in lesions}


def of_examples(differences: Sequence[Contrast]) -> Strips | None:
    """The strip plot of whose contrast set is drawn, a line a lesion; None where nothing is compared."""
    own = [one for one in differences if one.pair == contrasted(differences)]
    return _plot(own[0].row, {one.lesion: one for one in own}) if own else None


def _plot(title: str, lines: dict[str, Contrast]) -> Strips:
    largest = max((abs(gap) for one in lines.values() for _, gap in one.gaps), default=0)
    end = max(5, 5 * math.ceil(largest / 5))
    return Strips(title, end, tuple(_strip(label, one, end) for label, one in lines.items()))


def _strip(label: str, one: Contrast, end: int) -> Strip:
    if not one.gaps:
        return Strip(label, f"no image, {one.left_out} left out", "", "")
    gaps = [gap for _, gap in one.gaps]
    low, middle, high = gaps[0], one.picked[2][1], gaps[-1]
    words = f"{one.images} images, {low:+.1f} to {high:+.1f}, median {middle:+.1f}; {one.left_out} left out"
    return Strip(label, words, _path(gaps, end, 4, 8), _path([gap for _, gap in one.picked], end, 1, 14))


def _path(gaps: Sequence[float], end: int, top: int, length: int) -> str:
    """Ticks at these differences, equal ones once; each begins where the one before it ends, to save bytes."""
    places = sorted({round(WIDTH * (gap + end) / (2 * end)) for gap in gaps})
    steps = [after - before for before, after in itertools.pairwise(places)]
    return f"M{places[0]} {top}v{length}" + "".join(f"m{step}-{length}v{length}" for step in steps)
