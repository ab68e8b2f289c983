"""Count the pixels of one image and lesion, in one pass: above every threshold, and in every bin of the score.

In numpy, a cache's worth of pixels at a time: five times as fast as the same in torch (2.13, two cores).
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from rfbench.lesions import histogram
from rfbench.lesions.counts import FROC_THRESHOLDS, THRESHOLDS

_PAPERS = np.searchsorted(FROC_THRESHOLDS, THRESHOLDS[1:-1])  # (9,) where the papers' 0.1 to 0.9 stand among them

# Bins are the leading bits of p below 0.5 and of 1 - p from 0.5 up: logit space, piecewise linear. Integer
# arithmetic, so that every machine fills the same bins (log() may differ in its last bit).
_BITS = 14  # 2^14 bins per factor of two in the odds: about 4e-5 logit wide
_SHIFT = 23 - _BITS
_HIGH = np.float32(2.0**-10)  # added to 1 - p, since float32 holds too few values nearer to 1 to fill such bins
_BASE = ((127 + histogram.LOW) << _BITS) - 1  # scores in (0, 2^-55), logit below -38, share bin 1
_FOLD = 2 * (126 << _BITS) + (1 << (_BITS - 9)) - _BASE  # makes the two halves meet at p = 0.5
BINS = _FOLD - (117 << _BITS) + 1  # p = 1 is the last bin; p = 0 is bin 0
_EMPTY, _MIXED = -1.0, 2.0  # in place of a bin's only score

_CHUNK = 1 << 16  # pixels at a time, whose temporaries stay in a core's cache


@dataclass(frozen=True)
class Channel:
    """What is counted of one image and lesion; overwritten by the next.

    Attributes:
        scores: float32 (H, W).
        levels: uint8 (H, W), how many of FROC_THRESHOLDS each score is above.
        where: (P,) pixels of the lesion, as indices into the flattened image.
        above: int64 (2, 11), pixels above each of THRESHOLDS: all, and those of the lesion.
        histogram: int64 (2, BINS), pixels by `score_bin`: all, and those of the lesion.
    """

    scores: np.ndarray
    levels: np.ndarray
    where: np.ndarray
    above: np.ndarray
    histogram: np.ndarray


class Counter:
    """Counts images of one size, lesion by lesion.

    Args:
        pixels: of an image; five bytes of memory each.
    """

    def __init__(self, pixels: int):
        self._levels = np.empty(pixels, np.uint8)
        self._bins = np.empty(pixels, np.int32)

    def count(self, scores: np.ndarray, truth: np.ndarray, known: "OneScore") -> Channel:
        """Count float32 scores (H, W) in [0, 1], where bool (H, W) says which pixels are of the lesion."""
        flat, where = np.ascontiguousarray(scores).reshape(-1), np.flatnonzero(truth)
        for start in range(0, len(flat), _CHUNK):
            part = slice(start, start + _CHUNK)
            _score_bin(flat[part], self._bins[part])
            _count_levels(flat[part], self._levels[part])
            known.note(self._bins[part], flat[part])
        binned = np.stack([frequency(v, BINS) for v in (self._bins, self._bins[where])])
        levels = np.stack([frequency(v, len(FROC_THRESHOLDS) + 1) for v in (self._levels, self._levels[where])])
        above = np.zeros((2, len(THRESHOLDS)), np.int64)  # no score is above 1
        above[:, 0] = binned[:, 1:].sum(1)
        above[:, 1:-1] = levels[:, ::-1].cumsum(1)[:, ::-1][:, _PAPERS + 1]  # above one threshold more than lie below
        return Channel(flat.reshape(scores.shape), self._levels.reshape(scores.shape), where, above, binned)


class OneScore:
    """The only score of each bin, of all that were noted; what makes tied scores exact.

    Args:
        scores: float32 (BINS,) on the CPU, the state; written to.
    """

    def __init__(self, scores: Tensor):
        self._tensor, self._scores = scores, scores.numpy()

    @staticmethod
    def empty(channels: int) -> Tensor:
        """A state (channels, BINS) before any score."""
        return torch.full((channels, BINS), _EMPTY)

    @property
    def tied(self) -> np.ndarray:
        """Whether each bin (BINS,) has held one score at most."""
        return self._scores != _MIXED

    def note(self, bins: np.ndarray, scores: np.ndarray) -> None:
        """Add scores (n,), which lie in these bins (n,)."""
        known = self._tensor.index_select(0, torch.from_numpy(bins)).numpy()  # twice as fast as numpy's
        news = np.flatnonzero((known != scores) & (known != _MIXED))  # soon rare: most used bins are mixed
        bins, scores = bins[news], scores[news]
        fresh = self._scores[bins] == _EMPTY
        self._scores[bins[fresh]] = scores[fresh]  # of several scores any one may win: the rest then differ from it
        self._scores[bins[self._scores[bins] != scores]] = _MIXED


def score_bin(p: np.ndarray) -> np.ndarray:
    """Histogram bin of each score, non-decreasing in the score; 0 and 1 have bins of their own.

    Args:
        p: float32 (n,), in [0, 1].

    Returns:
        int32 (n,), in 0…BINS - 1.
    """
    bins = np.empty(p.shape, np.int32)
    _score_bin(p, bins)
    return bins


def coarse(counts: np.ndarray) -> np.ndarray:
    """Counts (…, histogram.BINS) in the bins of evidence.npz, each a union of those (…, BINS) of `score_bin`."""
    found = np.zeros((*counts.shape[:-1], histogram.BINS), counts.dtype)
    found[..., _FILLED] = np.add.reduceat(counts, _STARTS[_FILLED], axis=-1)
    return found


def frequency(values: np.ndarray, count: int) -> np.ndarray:
    """How often each of 0…count - 1 occurs among integers (n,), int64; torch needs no wider copy of them."""
    return torch.bincount(torch.from_numpy(values), minlength=count).numpy()


def _score_bin(p: np.ndarray, low: np.ndarray) -> None:
    """Write the bins of p (n,) into low (n,)."""
    np.right_shift(p.view(np.int32), _SHIFT, out=low)  # bits of positive floats are in order
    low -= _BASE
    np.maximum(low, 1, out=low)
    high = (np.float32(1) - p + _HIGH).view(np.int32)  # exact from p = 0.5 up
    high >>= _SHIFT
    np.subtract(_FOLD, high, out=high)
    np.copyto(low, high, where=p >= 0.5)
    np.copyto(low, 0, where=p == 0)


def _count_levels(p: np.ndarray, level: np.ndarray) -> None:
    """Write into level (n,) how many of FROC_THRESHOLDS each score is above."""
    np.greater(p, FROC_THRESHOLDS[0], out=level.view(bool))
    for threshold in FROC_THRESHOLDS[1:]:
        level += np.greater(p, threshold).view(np.uint8)


_STARTS = score_bin(histogram.LOWEST)  # the first of the bins within each of evidence.npz …
_FILLED = np.flatnonzero(np.diff(_STARTS, append=BINS))  # … of those that hold any: near 1 float32 has gaps
