"""Connected regions of an image of 12 million pixels at many thresholds.

Labelling the whole frame anew at every threshold takes seconds an image. Here an image of small integers is cut into
runs, horizontal stretches of equal value; the regions above a threshold are the connected components of the graph
of the runs that touch, and from one threshold to the next below it regions only grow and merge. Only where scores are
noise, with about as many runs as pixels, the whole frames are labelled.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import cv2
import numpy as np

from rfbench.evaluation.pixels import frequency
from rfbench.lesions.runlength import Runs, components, sums

NOISE = 0.1  # runs per pixel from which on labelling frames is faster, and takes less memory


@dataclass(frozen=True)
class Regions:
    """The 4-connected regions at one threshold.

    Attributes:
        at: index of the threshold.
        area: (K,) pixels of each.
        region: (P,) the region that each of the pixels asked for lies in, -1 for none.
        stretches: () -> start, end (as of Runs) and region of the runs that all regions consist of; valid until the
            next threshold's regions are made.
    """

    at: int
    area: np.ndarray
    region: np.ndarray
    stretches: Callable[[], tuple[np.ndarray, np.ndarray, np.ndarray]]


def falling(levels: np.ndarray, pixels: np.ndarray, thresholds: int) -> Iterator[Regions]:
    """The regions above each threshold, from the highest to the lowest.

    Args:
        levels: uint8 (H, W), how many of the thresholds each pixel is above.
        pixels: (P,) indices into the flattened image, whose regions are wanted.
        thresholds: their number.
    """
    runs = Runs.of(levels, 1)
    many = len(runs.start) > NOISE * levels.size
    return _by_frames(levels, pixels, thresholds) if many else _by_runs(levels, runs, pixels, thresholds)


def _by_runs(levels: np.ndarray, runs: Runs, pixels: np.ndarray, thresholds: int) -> Iterator[Regions]:
    """`falling` on the graph of the runs."""
    first, second = runs.touching()
    order, counts = _by_level(runs.value, thresholds)
    place = np.empty_like(order)
    place[order] = np.arange(len(order))
    # An edge holds where both of its runs are above the threshold.
    edges, held = _by_level(np.minimum(runs.value[first], runs.value[second]), thresholds)
    first, second = place[first[edges]], place[second[edges]]
    level, asked = levels.reshape(-1)[pixels], runs.at(pixels)
    asked[level > 0] = place[asked[level > 0]]
    length = runs.length[order]
    region, area = np.empty(len(order), np.int64), np.zeros(0, np.int64)
    known = joined = 0
    for at in reversed(range(thresholds)):
        known, news = counts[at], slice(known, counts[at])
        joined, links = held[at], slice(joined, held[at])
        region[news] = np.arange(len(area), len(area) + news.stop - news.start)
        area = np.concatenate([area, length[news]])
        count, merged = components(len(area), region[first[links]], region[second[links]])
        area = sums(merged, area, count)
        region[:known] = merged[region[:known]]
        wanted = np.full(len(pixels), -1)
        wanted[level > at] = region[asked[level > at]]
        now = order[:known]
        yield Regions(at, area, wanted, lambda now=now: (runs.start[now], runs.end[now], region[: len(now)]))


def _by_level(level: np.ndarray, thresholds: int) -> tuple[np.ndarray, np.ndarray]:
    """Indices from the highest level down, and how many of them are above each threshold; levels from 1 up."""
    order = np.argsort(thresholds - level.astype(np.int16), kind="stable")  # 16 bits: a radix sort
    return order, len(level) - np.bincount(level, minlength=thresholds + 1).cumsum()[:-1]


def _by_frames(levels: np.ndarray, pixels: np.ndarray, thresholds: int) -> Iterator[Regions]:
    """`falling` by labelling every frame: time and memory do not depend on what it shows."""
    for at in reversed(range(thresholds)):
        above = levels > at
        count, labels = cv2.connectedComponents(above.view(np.uint8), connectivity=4)
        labels = labels.reshape(-1)

        def stretches(above=above, labels=labels) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
            runs = Runs.of(above.view(np.uint8), 1)
            return runs.start, runs.end, labels[runs.start] - 1

        yield Regions(at, frequency(labels, count)[1:], labels[pixels] - 1, stretches)
