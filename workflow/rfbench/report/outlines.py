"""What a network sees in a crop, as closed lines: found, wrong and missed regions, told apart by code. No torch."""

from collections.abc import Sequence
from dataclasses import dataclass

import contourpy
import numpy as np

from rfbench.evaluation.lesions import OVERLAP, reaches
from rfbench.lesions.masks import Masks
from rfbench.lesions.runlength import Runs, components, sums
from rfbench.lesions.truth import ImageLesions

TRUE, WRONG, MISSED = KINDS = ("true", "wrong", "missed")  # regions that are a lesion, or none; lesions not found
Crop = tuple[int, int, int]  # left, top and side, px


@dataclass(frozen=True)
class Count:
    """Of one lesion class, what at least partly lies in a crop: lesions, how many are found, wrong regions."""

    lesions: int
    found: int
    wrong: int


@dataclass(frozen=True)
class Tile:
    """A crop as one competitor sees it.

    Attributes:
        lines: closed polygons (n, 2), x and y in px of the crop, along the pixels' edges with corners cut, by lesion
            and kind (of KINDS).
        counts: by lesion.
        noise: lesions whose mask is too ragged to be kept (masks.MOST_RUNS).
    """

    lines: dict[tuple[str, str], list[np.ndarray]]
    counts: dict[str, Count]
    noise: tuple[str, ...]


class Viewer:
    """An image's true lesions, which predictions are held against.

    Args:
        label: label map (H, W) at the size of the evaluation.
        lesions: names, label value = index + 1.
    """

    def __init__(self, label: np.ndarray, lesions: Sequence[str]) -> None:
        self.names, self.truth = tuple(lesions), ImageLesions.of(label)
        self._pixels = [self.truth.of_class(c) for c in range(len(self.names))]

    def lesions(self, crop: Crop) -> dict[str, list[np.ndarray]]:
        """The true lesions in a crop, as polygons by name."""
        runs = self.truth.runs
        return {
            name: outline(paint(runs.start[own], runs.end[own], runs.width, crop))
            for c, name in enumerate(self.names)
            for own in (runs.value == c + 1,)
        }

    def tile(self, masks: Masks, stem: str, crop: Crop) -> Tile:
        """What these masks show of this image in a crop."""
        lines, counts, noise = {}, {}, []
        for c, name in enumerate(self.names):
            predicted = masks.runs(stem, name)
            if predicted is None:
                noise.append(name)
                continue
            own = self.truth.runs.value == c + 1
            lesion = self.truth.lesion[own] - self.truth.span(c).start
            start, end, width = self.truth.runs.start[own], self.truth.runs.end[own], self.truth.runs.width
            region, true, hit = self._judge(c, predicted)
            kept = true[region] if len(region) else np.zeros(0, bool)
            parts = {
                TRUE: (predicted.start[kept], predicted.end[kept]),
                WRONG: (predicted.start[~kept], predicted.end[~kept]),
                MISSED: (start[~hit[lesion]], end[~hit[lesion]]),
            }
            lines |= {(name, kind): outline(paint(*ends, width, crop)) for kind, ends in parts.items()}
            there = np.unique(lesion[inside(start, end, width, crop)])
            wrong = np.unique(region[inside(predicted.start, predicted.end, width, crop) & ~kept])
            counts[name] = Count(len(there), int(hit[there].sum()), len(wrong))
        return Tile(lines, counts, tuple(noise))

    def _judge(self, c: int, predicted: Runs) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Region of each run, whether each region is true, whether each lesion is found: `lesions.match` on runs."""
        count, region = components(len(predicted.start), *predicted.touching()) if len(predicted.start) else (0, [])
        region = np.asarray(region, np.int64)
        mine, (pixels, lesion) = self.truth.span(c), self._pixels[c]
        at = predicted.at(pixels)
        common = at >= 0
        common[common] = pixels[common] < predicted.end[at[common]]
        by = region[at[common]]
        true = reaches(sums(by, np.ones(len(by)), count), sums(region, predicted.length, count), OVERLAP)
        covered = sums(lesion[common] - mine.start, true[by], mine.stop - mine.start)
        return region, true, reaches(covered, self.truth.area[mine], OVERLAP)


def inside(start: np.ndarray, end: np.ndarray, width: int, crop: Crop) -> np.ndarray:
    """Whether each of the runs of an image of this width has a pixel in a crop."""
    left, top, side = crop
    row, first = np.divmod(start, width)
    return (row >= top) & (row < top + side) & (first < left + side) & (first + end - start > left)


def paint(start: np.ndarray, end: np.ndarray, width: int, crop: Crop) -> np.ndarray:
    """Runs of an image of this width as bool (side, side), the crop's part of them."""
    left, top, side = crop
    chosen = inside(start, end, width, crop)
    row, first = np.divmod(start[chosen], width)
    last = first + end[chosen] - start[chosen]
    edges = np.zeros((side, side + 1), np.int32)
    np.add.at(edges, (row - top, np.maximum(first - left, 0)), 1)
    np.add.at(edges, (row - top, np.minimum(last - left, side)), -1)
    return edges.cumsum(axis=1)[:, :-1] > 0


def outline(mask: np.ndarray) -> list[np.ndarray]:
    """Outlines of a mask, bool (H, W), as closed polygons (n, 2) of x and y, pixel (0, 0) reaching from 0 to 1.

    They run through the middles of the edges between a region's pixels and others, holes included; where a region
    leaves the mask they run along its border.
    """
    if not mask.any():
        return []
    padded = np.pad(mask, 1).astype(np.float32)
    lines = contourpy.contour_generator(z=padded).lines(0.5)
    return [_straightened(line - 0.5) for line in lines]


def _straightened(line: np.ndarray) -> np.ndarray:
    """A closed line, its first point not repeated, without points on the way between their neighbours."""
    line = line[:-1]
    before, after = line - np.roll(line, 1, axis=0), np.roll(line, -1, axis=0) - line
    return line[before[:, 0] * after[:, 1] != before[:, 1] * after[:, 0]]
