"""The bins that evidence.npz counts scores in: 2,467 of logit width, fine where scores crowd. No torch.

Bin 0 is p = 0 and the last bin is p = 1. Between them lie 32 bins per factor of two: of p from 2^-55 up to 0.5 (a score
below 2^-55 is in bin 1), then of 1 - p from 0.5 down to 2^-24, the least that float32 holds below 1. Reaching that far
matters: saturated networks give most of their scores there, and a histogram that lumps them together costs several
points of average precision.
"""

import numpy as np

LOW, HIGH = -55, -24  # exponents of the least p and of the least 1 - p
_BITS = 5  # 2^5 bins per factor of two
_SHIFT = 23 - _BITS  # bits of a float32's mantissa that a bin leaves open
_HALF = 126 << _BITS  # leading bits of 0.5
_BELOW = (-1 - LOW) << _BITS  # bins 1 to 1728: p below 0.5
_ABOVE = (-1 - HIGH) << _BITS  # the 736 bins before the last: 1 - p below 0.5
BINS = 1 + _BELOW + 1 + _ABOVE + 1  # p = 0, p < 0.5, p = 0.5, p > 0.5, p = 1


def score_bin(p: np.ndarray) -> np.ndarray:
    """Bin (n,) of float32 scores (n,) in [0, 1], non-decreasing in the score."""
    low = np.maximum((p.view(np.int32) >> _SHIFT) - _HALF + _BELOW + 1, 1)  # bits of positive floats are in order
    high = 1 + _BELOW + _HALF - ((1 - p).view(np.int32) >> _SHIFT)  # 1 - p is exact from p = 0.5 up
    return np.select([p == 0, p < 0.5, p < 1], [0, low, high], BINS - 1)


def _single() -> np.ndarray:
    """Whether a bin (BINS,) holds one score at most: the ends, 0.5, and those within 2^-18 of 1."""
    single = np.zeros(BINS, bool)
    single[[0, 1 + _BELOW, -1]] = True
    few = (-18 - HIGH) << _BITS  # 1 - p < 2^-18 is one of 63 multiples of 2^-24: 32 in the largest octave, in 32 bins
    single[-1 - few : -1] = True
    return single


def _lowest() -> np.ndarray:
    """The lowest score of each bin (BINS,), float32; of a bin without a score, that of the next one with any."""
    below = ((np.arange(_BELOW) + _HALF - _BELOW) << _SHIFT).astype(np.int32).view(np.float32)
    edges = ((_HALF - np.arange(_ABOVE)) << _SHIFT).astype(np.int32).view(np.float32)  # 1 - p at a bin's end
    above = 1 - (np.ceil(edges * 2.0**-HIGH) - 1) * 2.0**HIGH
    return np.concatenate([[0], below, [0.5], above, [1]]).astype(np.float32)


SINGLE = _single()
LOWEST = _lowest()
