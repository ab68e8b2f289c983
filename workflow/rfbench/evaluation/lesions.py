"""Lesions as units: which ones a prediction finds, and how many of its regions are no lesion.

A lesion is a 4-connected region of the painted label map, as the paper counts them.
"""

from numbers import Real
from typing import NamedTuple

import numpy as np
from scipy import ndimage

OVERLAP = 0.2
"""Least share of a predicted region that must be lesion, and of a lesion that such regions must cover."""


class Match(NamedTuple):
    """What of two maps belongs together.

    Attributes:
        hit: bool (n,), whether each lesion is found, in the order of `scipy.ndimage.label`.
        false: number of predicted regions that are no lesion.
    """

    hit: np.ndarray
    false: int


def match(truth: np.ndarray, predicted: np.ndarray, overlap: float = OVERLAP) -> Match:
    """Match the 4-connected regions of two maps of one lesion class, many to many.

    A predicted region is *true* if at least `overlap` of its pixels are of the class, else false. A lesion is *hit* if
    true regions together cover at least `overlap` of its pixels. So one region may hit several lesions that it covers,
    fragments of a lesion are not false, and a region of the whole frame hits nothing. Either share must hold at least
    one pixel: with `overlap` 0 any common pixel is enough. (Two-sided as in Zhang et al., e-ophtha, 2014;
    docs/protocol.md.)

    Args:
        truth: bool (H, W), the pixels of the class.
        predicted: bool (H, W), the pixels said to be of the class.
        overlap: least share, 0 to 1.

    Raises:
        ValueError: other dtypes or shapes, or an `overlap` outside 0 to 1.
    """
    _check(truth, predicted, overlap)
    lesions, count = ndimage.label(truth)
    regions, found = ndimage.label(predicted)
    common = truth & predicted
    true = reaches(_sizes(regions[common], found), _sizes(regions[predicted], found), overlap)
    covering = common & np.append(False, true)[regions]
    hit = reaches(_sizes(lesions[covering], count), _sizes(lesions[truth], count), overlap)
    return Match(hit, int(found - true.sum()))


def reaches(part: np.ndarray, whole: np.ndarray, overlap: float) -> np.ndarray:
    """Whether part / whole is at least `overlap`, and part not nothing; integers (n,), whole > 0."""
    return (part / whole >= overlap) & (part > 0)  # a quotient rounds right: 7 / 100 == 0.07, but 0.07 * 100 > 7


def _sizes(labels: np.ndarray, count: int) -> np.ndarray:
    """Pixels (count,) of the regions 1…count among these labels."""
    return np.bincount(labels, minlength=count + 1)[1:]


def _check(truth: np.ndarray, predicted: np.ndarray, overlap: float) -> None:
    for name, given in (("truth", truth), ("predicted", predicted)):
        if not isinstance(given, np.ndarray) or given.dtype != bool or given.ndim != 2:
            kind = f"{given.dtype} {given.shape}" if isinstance(given, np.ndarray) else type(given).__name__
            raise ValueError(f"{name} must be a boolean array (H, W); got {kind}. Compare the scores with a threshold")
    if truth.shape != predicted.shape:
        raise ValueError(f"predicted must have the shape of truth, {truth.shape}; got {predicted.shape}")
    if not isinstance(overlap, Real) or not 0 <= overlap <= 1:
        raise ValueError(f"overlap must be a share from 0 to 1; got {overlap!r}")
