"""Lesion segmentation metrics, accumulated image by image in constant memory.

Two areas under the precision-recall curve are reported, because they disagree by several points:

- `aupr11`, the papers' AUPR: 11 thresholds, trapezoid over recall, as in the code released with M2MRF
  (https://github.com/CVIU-CSU/M2MRF-Lesion-Segmentation, mmseg/core/evaluation/my_metrics.py).
- `ap`, average precision over every distinct score: sum over n of (R_n - R_{n-1}) P_n, as in scikit-learn.

Everything is a pixel count summed over all images before any ratio is formed. Counts are exact integers, so a
result depends neither on the order of the images nor on the device.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from rfbench.names import LESIONS

# The authors compare float32 probabilities with float32 thresholds: float32(0.3) is not above 0.3.
THRESHOLDS = np.linspace(0, 1, 11).astype(np.float32)  # (11,)
_AT_01, _AT_HALF = 1, 5  # THRESHOLDS[1] = 0.1, THRESHOLDS[5] = 0.5

# Bins are the leading bits of p below 0.5 and of 1 - p from 0.5 up: logit space, piecewise linear. Integer
# arithmetic, so that every device fills the same bins (log() may differ in its last bit).
_BITS = 14  # 2^14 bins per factor of two in the odds: about 4e-5 logit wide
_SHIFT = 23 - _BITS
_LOW = -55  # scores in (0, 2^-55), logit below -38, share bin 1
_HIGH = 2.0**-10  # added to 1 - p, since float32 holds too few values nearer to 1 to fill such bins
_BASE = ((127 + _LOW) << _BITS) - 1
_FOLD = 2 * (126 << _BITS) + (1 << (_BITS - 9)) - _BASE  # makes the two halves meet at p = 0.5
BINS = _FOLD - (117 << _BITS) + 1  # p = 1 is the last bin; p = 0 is bin 0
_EMPTY, _MIXED = -1.0, 2.0  # in place of a bin's only score

_INTEGERS = (torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64)
_CHUNK = 1 << 21  # pixels at a time; bounds the temporaries to about 100 MB


class LesionMetrics:
    """Papers' AUPR, average precision, F, IoU, precision and recall, per lesion and as their mean.

    Label value 0 is background and value c + 1 is `lesions[c]`; the background enters no mean. A lesion
    without a positive pixel counts as 0 in every mean (the papers' recall of 0/0 is 0). The state takes 21 MB
    per lesion however many images are given, on the device of the first one; later images are moved there.

    Args:
        lesions: names, one per probability channel.
    """

    def __init__(self, lesions: Sequence[str] = LESIONS):
        self.lesions = tuple(lesions)
        if not self.lesions or len(set(self.lesions)) != len(self.lesions) or "mean" in self.lesions:
            raise ValueError(f"lesions must be distinct names other than 'mean', at least one; got {lesions!r}")
        self.images = 0
        self._pixels = 0
        self._above = None  # allocated on the device of the first image

    @property
    def nbytes(self) -> int:
        """Bytes of state: 0 before the first image, the same after every later one."""
        return 0 if self._above is None else sum(t.nbytes for t in (self._above, self._hist, self._score))

    @torch.no_grad()
    def update(self, prob: Tensor, label: Tensor) -> dict[str, dict[str, int]]:
        """Add one image; nothing is added if a ValueError is raised.

        Args:
            prob: float32 (C, H, W), probabilities in [0, 1] at the size of the image file. 16-bit scores are
                refused: rounding the lowest to 0 changes the papers' AUPR by points (docs/protocol.md).
            label: integer (H, W), 0 for background, c + 1 for lesion c.

        Returns:
            This image's pixel counts at 0.5, per lesion: `tp`, `predicted`, `positives`.

        Raises:
            ValueError: a dtype, shape or value other than the above.
        """
        highest = self._check(prob, label)
        if self._above is None:
            self._allocate(prob.device)
        prob, label = prob.detach().to(self._above.device), label.to(self._above.device)
        counts = {}
        for c, lesion in enumerate(self.lesions):  # one at a time: a channel is 49 MB at IDRiD's size
            above, positives = self._add(c, prob[c], label == c + 1)  # (2, 11)
            predicted, tp = above[:, _AT_HALF].tolist()
            counts[lesion] = {"tp": tp, "predicted": predicted, "positives": positives}
            self._max_score[c] = max(self._max_score[c], highest[c])
        self.images += 1
        self._pixels += label.numel()
        return counts

    def compute(self) -> dict[str, dict[str, float]]:
        """The metrics as fractions in [0, 1]: {metric: {lesion: value, "mean": value}} for each of METRICS.

        `f`, `iou`, `precision` and `recall` are taken at probability > 0.5 and are 0 where they are 0/0. (On
        the papers' 11-point curve an empty prediction has precision 1.) `aupr11` and `ap` are 0 for a lesion
        without a positive pixel. `ap` is the middle of its proven bounds; `details()` gives the distance.

        Raises:
            RuntimeError: no image has been given.
        """
        ap, _ = self._average_precision()
        predicted, tp = self._counts()[:, :, _AT_HALF]  # (C,) each
        positives = self._positives()
        values = {
            "aupr11": [_trapezoid(curve) for curve in self.curve11().values()],
            "ap": ap,
            "f": _ratio(2 * tp, predicted + positives),  # P + TP + FN = P + positives
            "iou": _ratio(tp, predicted + positives - tp),
            "precision": _ratio(tp, predicted),
            "recall": _ratio(tp, positives),
        }
        return {
            metric: dict(zip((*self.lesions, "mean"), [*map(float, v), float(np.mean(v))], strict=True))
            for metric, v in values.items()
        }

    def details(self) -> dict[str, dict[str, float | int | bool]]:
        """What stands behind the metrics, per lesion.

        `ap_error`: |ap - exact average precision| is at most this (apart from float64 rounding, about 1e-12).
        `aupr11_artefact`: no score exceeds 0.1, so `aupr11` is one straight line: about half the recall at 0.
        `absent`: no positive pixel, so every metric is 0 by convention. `max_score`: the highest probability.
        `positives`, `pixels`, `tp`, `predicted`: pixel counts, the last two at 0.5.

        Raises:
            RuntimeError: no image has been given.
        """
        _, error = self._average_precision()
        counts, positives = self._counts(), self._positives()
        return {
            lesion: {
                "ap_error": float(error[c]),
                "aupr11_artefact": bool(counts[0, c, _AT_01] == 0),
                "absent": bool(positives[c] == 0),
                "max_score": self._max_score[c],
                "positives": int(positives[c]),
                "pixels": self._pixels,
                "tp": int(counts[1, c, _AT_HALF]),
                "predicted": int(counts[0, c, _AT_HALF]),
            }
            for c, lesion in enumerate(self.lesions)
        }

    def curve11(self) -> dict[str, dict[str, np.ndarray]]:
        """The points of `aupr11`: {lesion: {name: (11,)}}.

        Names: `thresholds`, `precision`, `recall`, and the pixel counts `tp` and `predicted` above each one.

        Raises:
            RuntimeError: no image has been given.
        """
        predicted, tp = self._counts()  # (C, 11) each
        positives = self._positives()
        return {
            lesion: {
                "thresholds": THRESHOLDS.copy(),
                "precision": _ratio(tp[c], predicted[c], empty=1.0),
                "recall": _ratio(tp[c], positives[c]),
                "tp": tp[c],
                "predicted": predicted[c],
            }
            for c, lesion in enumerate(self.lesions)
        }

    def pr_curve(self, points: int = 512) -> dict[str, dict[str, np.ndarray]]:
        """At most `points` points of the precision-recall curve, per lesion, for figures.

        Every point is exact (the counts from one score up), chosen evenly in recall, the last at recall 1.
        A lesion without a positive pixel has empty arrays.

        Returns:
            {lesion: {"recall": increasing (n,), "precision": (n,)}}

        Raises:
            RuntimeError: no image has been given.
            ValueError: fewer than two points asked for.
        """
        if points < 2:
            raise ValueError(f"a curve needs at least 2 points; got points={points}")
        curves = {}
        for c, lesion in enumerate(self.lesions):
            total, positive, _ = self._histogram(c)
            tp, predicted = positive.cumsum(), total.cumsum()
            wanted = np.ceil(np.linspace(0, 1, points) * tp[-1]).clip(1)
            first = np.unique(np.searchsorted(tp, wanted))  # the first bin to reach each
            at = first if tp[-1] else first[:0]
            curves[lesion] = {"recall": _ratio(tp[at], tp[-1]), "precision": _ratio(tp[at], predicted[at])}
        return curves

    def _check(self, prob: Tensor, label: Tensor) -> list[float]:
        """Refuse what `update` does not accept; return the highest score per lesion."""
        _check_form(prob, label, len(self.lesions))
        lowest_label, highest_label = label.min().item(), label.max().item()
        if lowest_label < 0 or highest_label > len(self.lesions):
            raise ValueError(
                f"label values must lie in 0…{len(self.lesions)} (background, {', '.join(self.lesions)}); "
                f"got {lowest_label}…{highest_label}"
            )
        highest = []
        for lesion, channel in zip(self.lesions, prob, strict=True):
            low, high = (v.item() for v in channel.aminmax())  # both NaN if any score is
            if not (low >= 0 and high <= 1):
                found = "NaN" if low != low else f"{low:.6g}…{high:.6g}"
                raise ValueError(f"prob of {lesion} must lie in [0, 1]; got {found}. Was the sigmoid left out?")
            highest.append(high)
        return highest

    def _allocate(self, device: torch.device) -> None:
        n = len(self.lesions)
        # Row 0 counts all pixels, row 1 the positive ones.
        self._above = torch.zeros(2, n, len(THRESHOLDS), dtype=torch.int64, device=device)
        self._hist = torch.zeros(2, n, BINS, dtype=torch.int64, device=device)
        self._score = torch.full((n, BINS), _EMPTY, device=device)  # a bin's score while it holds only one
        self._max_score = [0.0] * n

    def _add(self, c: int, prob: Tensor, mask: Tensor) -> tuple[Tensor, int]:
        """Add lesion c of one image, (H, W) each; return pixels above THRESHOLDS (2, 11), and positives."""
        thresholds = torch.from_numpy(THRESHOLDS).to(prob.device)
        passed = torch.zeros(2, len(THRESHOLDS) + 1, dtype=torch.int64, device=prob.device)
        for p, m in zip(prob.reshape(-1).split(_CHUNK), mask.reshape(-1).split(_CHUNK), strict=True):
            rank = torch.bucketize(p, thresholds, out_int32=True)  # (n,) thresholds strictly below p
            index = score_bin(p)  # (n,)
            where = m.nonzero().squeeze(1)  # positives are few: gather them instead of masking all
            for row, select in ((0, slice(None)), (1, where)):
                passed[row] += torch.bincount(rank[select], minlength=passed.shape[1])
                self._hist[row, c] += torch.bincount(index[select], minlength=BINS)
            _note_ties(self._score[c], index, p)
        above = passed.sum(1, keepdim=True) - passed.cumsum(1)[:, :-1]  # (2, 11) passed more than t
        self._above[:, c] += above
        return above, int(passed[1].sum())

    def _counts(self) -> np.ndarray:
        """Pixels above each threshold, (2, C, 11): predicted, true positive."""
        if self._above is None:
            raise RuntimeError("no image has been given: call update(prob, label) before asking for results")
        return self._above.cpu().numpy().copy()  # on the CPU it would follow later updates

    def _histogram(self, c: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Lesion c's used bins from the highest score down: pixels, positives, whether of one score only."""
        self._counts()
        total, positive = self._hist[:, c].cpu().numpy()
        at = np.flatnonzero(total)[::-1]
        return total[at], positive[at], self._score[c].cpu().numpy()[at] != _MIXED

    def _positives(self) -> np.ndarray:
        self._counts()
        return self._hist[1].sum(1).cpu().numpy()  # (C,)

    def _average_precision(self) -> tuple[np.ndarray, np.ndarray]:
        """Middle and half width of the bounds of average precision, (C,) each."""
        bounds = np.array([ap_bounds(*self._histogram(c)) for c in range(len(self.lesions))])  # (C, 2)
        return bounds.mean(1), (bounds[:, 1] - bounds[:, 0]) / 2


def score_bin(p: Tensor) -> Tensor:
    """Histogram bin of each score, non-decreasing in the score; 0 and 1 have bins of their own.

    Args:
        p: float32 (n,), in [0, 1].

    Returns:
        int32 (n,), in 0…BINS - 1.
    """
    low = (p.view(torch.int32) >> _SHIFT).sub_(_BASE).clamp_(min=1)  # bits of positive floats are in order
    q = (1 - p).add_(_HIGH)  # exact from p = 0.5 up
    high = (q.view(torch.int32) >> _SHIFT).neg_().add_(_FOLD)
    return torch.where(p < 0.5, low, high).masked_fill_(p == 0, 0)


def ap_bounds(total: np.ndarray, positive: np.ndarray, tied: np.ndarray) -> tuple[float, float]:
    """Bounds of average precision when only the counts within score bins are known.

    A positive counts with the precision at its own score. Within a bin this is highest if the positives share
    one score above all the negatives, lowest if they come one by one after them. A bin of one score is exact.

    Args:
        total: integer (n,), pixels per bin, highest scores first.
        positive: integer (n,), how many of them are positive.
        tied: bool (n,), whether all scores in the bin are equal.

    Returns:
        (low, high), both 0 where there is no positive.
    """
    if not positive.any():
        return 0.0, 0.0
    keep = positive > 0
    tp, predicted = positive.cumsum()[keep], total.cumsum()[keep]  # at the end of the bin
    total, positive, tied = total[keep], positive[keep], tied[keep]
    negative = total - positive
    last = tp / predicted
    first = (tp - positive + 1) / (predicted - positive + 1)
    # The i-th of them has precision (TP + i) / (TP + FP + i), concave in i: its mean lies above the chord's.
    low = np.where(tied, last, (first + last) / 2)
    high = np.where(tied, last, tp / (predicted - negative))
    return float((positive * low).sum() / tp[-1]), float((positive * high).sum() / tp[-1])


def _check_form(prob: Tensor, label: Tensor, channels: int) -> None:
    if not isinstance(prob, Tensor) or prob.dtype != torch.float32:
        raise ValueError(f"prob must be a float32 tensor; got {_kind(prob)}. Rounding scores changes the papers' AUPR")
    if prob.ndim != 3 or prob.shape[0] != channels or prob[0].numel() == 0:
        raise ValueError(f"prob must have shape ({channels}, H, W) with H, W >= 1; got {tuple(prob.shape)}")
    if not isinstance(label, Tensor) or label.dtype not in _INTEGERS:
        raise ValueError(f"label must be an integer tensor; got {_kind(label)}")
    if label.shape != prob.shape[1:]:
        raise ValueError(f"label must have the shape of prob, {tuple(prob.shape[1:])}; got {tuple(label.shape)}")


def _kind(value: object) -> str:
    return str(value.dtype) if isinstance(value, Tensor) else type(value).__name__


def _note_ties(score: Tensor, index: Tensor, p: Tensor) -> None:
    """Keep in score (BINS,) the only score each bin has held, or _MIXED once it has held two."""
    known = score.index_select(0, index)
    news = ((known != p) & (known != _MIXED)).nonzero().squeeze(1)  # soon rare: most used bins are mixed
    index, p = index[news].long(), p[news]
    fresh = score[index] == _EMPTY
    score[index[fresh]] = p[fresh]  # of several scores any one may win: the rest then differ from it
    score[index[score[index] != p]] = _MIXED


def _ratio(part: np.ndarray, whole: np.ndarray, empty: float = 0.0) -> np.ndarray:
    """part / whole, and `empty` where whole is 0."""
    whole = np.broadcast_to(whole, np.shape(part))
    return np.divide(part, whole, out=np.full(np.shape(part), empty), where=whole > 0)


def _trapezoid(curve: dict[str, np.ndarray]) -> float:
    """Area over recall, which falls as the threshold rises."""
    return float(np.trapezoid(curve["precision"][::-1], curve["recall"][::-1]))
