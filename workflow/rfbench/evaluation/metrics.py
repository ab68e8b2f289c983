"""Lesion segmentation metrics, accumulated image by image in constant memory.

Two areas under the precision-recall curve are reported, because they disagree by several points:

- `aupr11`, the papers' AUPR: 11 thresholds, trapezoid over recall, as in the code released with M2MRF
  (https://github.com/CVIU-CSU/M2MRF-Lesion-Segmentation, mmseg/core/evaluation/my_metrics.py).
- `ap`, average precision over every distinct score: sum over n of (R_n - R_{n-1}) P_n, as in scikit-learn.

Everything is a pixel count summed over all images before any ratio is formed. Counts are exact integers, so a
result depends neither on the order of the images nor on the device.
"""

from collections.abc import Callable, Sequence
from queue import SimpleQueue

import numpy as np
import torch
from torch import Tensor

from rfbench.evaluation.pixels import BINS, Channel, Counter, OneScore
from rfbench.lesions import counts
from rfbench.lesions.counts import AT_01, AT_HALF, THRESHOLDS, ap_bounds, ratio
from rfbench.names import LESIONS, METRICS
from rfbench.threads import threads

_INTEGERS = (torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64)


class LesionMetrics:
    """Papers' AUPR, average precision, F, IoU, precision and recall, per lesion and as their mean.

    Label value 0 is background and value c + 1 is `lesions[c]`; the background enters no mean. A lesion
    without a positive pixel counts as 0 in every mean (the papers' recall of 0/0 is 0). The state takes 21 MB
    per lesion however many images are given; whatever the device of the images, it is the CPU's memory that holds it.

    Args:
        lesions: names, one per probability channel.
        threads: that share an image's lesions; 5 bytes of memory a pixel each.
    """

    def __init__(self, lesions: Sequence[str] = LESIONS, threads: int = 1):
        self.lesions, self.threads = tuple(lesions), min(threads, len(lesions))
        if not self.lesions or len(set(self.lesions)) != len(self.lesions) or "mean" in self.lesions:
            raise ValueError(f"lesions must be distinct names other than 'mean', at least one; got {lesions!r}")
        self.images = 0
        self._pixels = 0
        self._above = None  # allocated at the first image

    @property
    def nbytes(self) -> int:
        """Bytes of state: 0 before the first image, the same after every later one."""
        return 0 if self._above is None else sum(t.nbytes for t in (self._above, self._hist, self._score))

    @torch.no_grad()
    def update(
        self, prob: Tensor, label: Tensor, visit: Callable[[int, Channel], None] | None = None
    ) -> dict[str, dict[str, int]]:
        """Add one image; nothing is added if a ValueError is raised.

        Args:
            prob: float32 (C, H, W), probabilities in [0, 1] at the size of the image file. 16-bit scores are
                refused: rounding the lowest to 0 changes the papers' AUPR by points (docs/protocol.md).
            label: integer (H, W), 0 for background, c + 1 for lesion c.
            visit: called with each lesion's index and what was counted of this image, by several threads at once.

        Returns:
            This image's pixel counts at 0.5, per lesion: `tp`, `predicted`, `positives`.

        Raises:
            ValueError: a dtype, shape or value other than the above.
        """
        highest = self._check(prob, label)
        if self._above is None:
            self._allocate()
        scores, truth, free = prob.detach().cpu().numpy(), label.cpu().numpy(), SimpleQueue()
        for _ in range(self.threads):
            free.put(Counter(label.numel()))

        def count(c: int) -> dict[str, int]:
            counter = free.get()
            channel = counter.count(scores[c], truth == c + 1, OneScore(self._score[c]))
            self._above[c] += torch.from_numpy(channel.above)
            self._hist[c] += torch.from_numpy(channel.histogram)
            if visit:
                visit(c, channel)
            free.put(counter)
            predicted, tp = channel.above[:, AT_HALF].tolist()
            self._max_score[c] = max(self._max_score[c], highest[c])
            return {"tp": tp, "predicted": predicted, "positives": len(channel.where)}

        with threads(self.threads) as pool:
            shown = dict(zip(self.lesions, pool.map(count, range(len(self.lesions))), strict=True))
        self.images += 1
        self._pixels += label.numel()
        return shown

    def compute(self) -> dict[str, dict[str, float]]:
        """The metrics as fractions in [0, 1]: {metric: {lesion: value, "mean": value}} for each of METRICS.

        `f`, `iou`, `precision` and `recall` are taken at probability > 0.5 and are 0 where they are 0/0. (On
        the papers' 11-point curve an empty prediction has precision 1.) `aupr11` and `ap` are 0 for a lesion
        without a positive pixel. `ap` is the middle of its proven bounds; `details()` gives the distance.

        Raises:
            RuntimeError: no image has been given.
        """
        ap, _ = self._average_precision()
        values = {"ap": ap, **counts.metrics(self._counts(), self._positives())}
        return {
            metric: dict(zip((*self.lesions, "mean"), [*map(float, v), float(np.mean(v))], strict=True))
            for metric, v in ((metric, values[metric]) for metric in METRICS)
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
        above, positives = self._counts(), self._positives()
        return {
            lesion: {
                "ap_error": float(error[c]),
                "aupr11_artefact": bool(above[c, 0, AT_01] == 0),
                "absent": bool(positives[c] == 0),
                "max_score": self._max_score[c],
                "positives": int(positives[c]),
                "pixels": self._pixels,
                "tp": int(above[c, 1, AT_HALF]),
                "predicted": int(above[c, 0, AT_HALF]),
            }
            for c, lesion in enumerate(self.lesions)
        }

    def curve11(self) -> dict[str, dict[str, np.ndarray]]:
        """The points of `aupr11`: {lesion: {name: (11,)}}.

        Names: `thresholds`, `precision`, `recall`, and the pixel counts `tp` and `predicted` above each one.

        Raises:
            RuntimeError: no image has been given.
        """
        above = self._counts()
        precision, recall = counts.curve(above, self._positives())  # (C, 11) each
        return {
            lesion: {
                "thresholds": THRESHOLDS.copy(),
                "precision": precision[c],
                "recall": recall[c],
                "tp": above[c, 1],
                "predicted": above[c, 0],
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
            curves[lesion] = {"recall": ratio(tp[at], tp[-1]), "precision": ratio(tp[at], predicted[at])}
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

    def _allocate(self) -> None:
        n = len(self.lesions)
        # Row 0 counts all pixels, row 1 the positive ones.
        self._above = torch.zeros(n, 2, len(THRESHOLDS), dtype=torch.int64)
        self._hist = torch.zeros(n, 2, BINS, dtype=torch.int64)
        self._score = OneScore.empty(n)
        self._max_score = [0.0] * n

    def _counts(self) -> np.ndarray:
        """Pixels above each threshold, (C, 2, 11): predicted, true positive."""
        if self._above is None:
            raise RuntimeError("no image has been given: call update(prob, label) before asking for results")
        return self._above.numpy().copy()  # else it would follow later updates

    def _histogram(self, c: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Lesion c's used bins from the highest score down: pixels, positives, whether of one score only."""
        self._counts()
        total, positive = self._hist[c].numpy()
        at = np.flatnonzero(total)[::-1]
        return total[at], positive[at], OneScore(self._score[c]).tied[at]

    def _positives(self) -> np.ndarray:
        self._counts()
        return self._hist[:, 1].sum(1).numpy()  # (C,)

    def _average_precision(self) -> tuple[np.ndarray, np.ndarray]:
        """Middle and half width of the bounds of average precision, (C,) each."""
        bounds = np.array([ap_bounds(*self._histogram(c)) for c in range(len(self.lesions))])  # (C, 2)
        return bounds.mean(1), (bounds[:, 1] - bounds[:, 0]) / 2


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
