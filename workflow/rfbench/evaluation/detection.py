"""What one image's scores say of its lesions, at every threshold of the FROC curve."""

import numpy as np

from rfbench.evaluation.lesions import OVERLAP, reaches
from rfbench.evaluation.regions import Regions, falling
from rfbench.lesions.counts import FROC_THRESHOLDS
from rfbench.lesions.evidence import AT_HALF, LARGEST_KEPT, TENTHS, Detection
from rfbench.lesions.runlength import sums
from rfbench.lesions.truth import ImageLesions


def detect(scores: np.ndarray, levels: np.ndarray, lesions: ImageLesions, c: int) -> Detection:
    """Hold class c's scores against the lesions of an image.

    Args:
        scores: float32 (H, W), in [0, 1].
        levels: uint8 (H, W), how many of FROC_THRESHOLDS each score is above.
        lesions: of the label map.
        c: index of the class.
    """
    mine = lesions.span(c)
    start, length, lesion = lesions.pieces(levels)
    own = lesions.kind[lesion] == c
    area, hits = lesions.area[mine], np.zeros(mine.stop - mine.start, np.uint16)
    froc = np.zeros((len(FROC_THRESHOLDS), 2), np.int32)
    for found in falling(levels, start, len(FROC_THRESHOLDS)):
        inside = own & (found.region >= 0)
        by, region = lesion[inside] - mine.start, found.region[inside]
        true = reaches(sums(region, length[inside], len(found.area)), found.area, OVERLAP)
        covered = sums(by, length[inside] * true[region], len(area))
        hits |= reaches(covered, area, OVERLAP).astype(np.uint16) << found.at
        froc[found.at] = len(true), len(true) - true.sum()
        if found.at == AT_HALF:
            elsewhere = ~own & (found.region >= 0)
            other = sums(found.region[elsewhere], length[elsewhere], len(true))
            false = _false_regions(scores, found, other, ~true)
    return Detection(_lesion_scores(scores, lesions, c), hits, froc, **false)


def _false_regions(scores: np.ndarray, found: Regions, other: np.ndarray, false: np.ndarray) -> dict:
    """The attributes of Detection that tell of the regions that are false (K,), in its order."""
    start, end, region = found.stretches()
    chosen = false[region]
    start, end, region = start[chosen], end[chosen], (false.cumsum() - 1)[region[chosen]]
    order = np.argsort(start)
    start, end, region = start[order], end[order], region[order]  # in reading order
    count = int(false.sum())
    first, peak = np.full(count, scores.size), np.zeros(count, np.float32)
    np.minimum.at(first, region, start)
    np.maximum.at(peak, region, _peaks(scores, start, end))
    row, left = np.divmod(start, scores.shape[1])
    length = end - start
    across = sums(region, length * (2 * left + length - 1), count)  # twice the sum of x
    down = sums(region, length * row, count)
    area = found.area[false]
    centre = np.stack([across / 2, down], axis=1) / area[:, None]
    kept = np.lexsort((first, -peak))[:LARGEST_KEPT]
    return {
        "centre": centre[kept].astype(np.float32),
        "area": area[kept],
        "peak": peak[kept],
        "other": other[false][kept],
        "rest": count - len(kept),
    }


def _peaks(scores: np.ndarray, start: np.ndarray, end: np.ndarray) -> np.ndarray:
    """Highest score (R,) of each run; runs in reading order."""
    if not len(start):
        return np.zeros(0, np.float32)
    bounds = np.stack([start, end], axis=1).reshape(-1)  # of runs and of what lies between them
    return np.maximum.reduceat(scores.reshape(-1)[: end[-1]], bounds[:-1])[::2]


def _lesion_scores(scores: np.ndarray, lesions: ImageLesions, c: int) -> np.ndarray:
    """Detection.scores of class c."""
    mine, (pixels, lesion) = lesions.span(c), lesions.of_class(c)
    area = lesions.area[mine]
    if not len(area):
        return np.zeros((0, len(TENTHS)), np.float32)
    values = scores.reshape(-1)[pixels] + np.float32(0)  # -0 becomes 0: the bits of floats from 0 up are in order
    falling_bits = np.uint64(2**32 - 1) - values.view(np.uint32)
    # Sorted by lesion, then from the highest score down; one integer for both is many times as fast as two keys.
    ranked = np.sort((lesion - mine.start).astype(np.uint64) << np.uint64(32) | falling_bits)
    values = (np.uint64(2**32 - 1) - (ranked & np.uint64(2**32 - 1))).astype(np.uint32).view(np.float32)
    before = area.cumsum() - area
    ranks = [np.maximum(1, -(-tenths * area // 10)) for tenths in TENTHS]  # ⌈…⌉ in integers
    return np.stack([values[before + rank - 1] for rank in ranks], axis=1)
