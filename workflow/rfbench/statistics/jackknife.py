"""Every metric of a run without each of its images, from the per-image counts and score histograms of a run.

Metrics pool the pixels of all images before any ratio is formed, so leaving an image out is a subtraction. Plain numpy
arrays come in; `rfbench.statistics.evidence` reads them from a run's folder.
"""

import numpy as np

THRESHOLDS = 11
AT_HALF = 5  # of the thresholds 0, 0.1, …, 1
_BLOCK = 8  # images at a time
COUNTED = ("aupr11", "f", "iou", "precision", "recall")


def without_each(counts: np.ndarray, positives: np.ndarray) -> dict[str, np.ndarray]:
    """The metrics that pixel counts at eleven thresholds give, without each image: (N, C) each, fractions.

    Args:
        counts: integer (N, C, 2, 11): pixels above each threshold, predicted and true positive.
        positives: integer (N, C): pixels of the lesion.

    Returns:
        `aupr11`, `f`, `iou`, `precision`, `recall` as `rfbench.metrics.LesionMetrics` defines them.
    """
    left = counts.sum(0) - counts  # (N, C, 2, 11)
    present = positives.sum(0) - positives  # (N, C)
    predicted, hit = left[:, :, 0, AT_HALF], left[:, :, 1, AT_HALF]
    return {
        "aupr11": _aupr11(left[:, :, 0], left[:, :, 1], present),
        "f": _ratio(2 * hit, predicted + present),
        "iou": _ratio(hit, predicted + present - hit),
        "precision": _ratio(hit, predicted),
        "recall": _ratio(hit, present),
    }


def average_precision_without_each(
    offsets: np.ndarray, bins: np.ndarray, pixels: np.ndarray, positive: np.ndarray, lesions: int
) -> np.ndarray:
    """Average precision over every score, without each image. (N, C), fractions.

    Args:
        offsets: integer (N·C + 1,): image i and class c have the entries offsets[i·C + c] to offsets[i·C + c + 1].
        bins: integer (entries,): score bin, higher for higher scores; each once per image and class.
        pixels: integer (entries,): pixels of the image in the bin.
        positive: integer (entries,): how many of them belong to the lesion.
        lesions: C.
    """
    columns = int(bins.max(initial=0)) + 1
    column = columns - 1 - bins.astype(np.int64)  # highest scores first
    owner = np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))
    counts = np.stack([pixels, positive]).astype(float)
    place = owner % lesions * columns + column
    total = np.stack([np.bincount(place, each, lesions * columns) for each in counts]).reshape(2, lesions, columns)
    found = []
    for first in range(0, len(offsets) - 1, _BLOCK * lesions):  # all images at once would not fit the cache
        owners = min(_BLOCK * lesions, len(offsets) - 1 - first)
        part = slice(offsets[first], offsets[first + owners])
        own = np.zeros((2, owners * columns))
        own[:, (owner[part] - first) * columns + column[part]] = counts[:, part]
        found.append(average_precision(*(total[:, None] - own.reshape(2, -1, lesions, columns))))
    return np.concatenate(found)


def average_precision(pixels: np.ndarray, positive: np.ndarray) -> np.ndarray:
    """Average precision from counts per score bin, the positives taken to lie evenly among the pixels of their bin.

    The j-th of k positives of a bin of m pixels, with A positives among the B pixels above the bin, has the precision
    (A + j) / (B + ½ + (j - ½)m/k); their sum is taken as the integral over j from ½ to k + ½. Exact for a bin that
    holds one pixel; with bins as narrow as `evidence.npz` has them within 3e-4 even for nearly constant maps.

    Args:
        pixels: (…, bins), highest scores first.
        positive: (…, bins), how many of them are positive.

    Returns:
        (…,); 0 where there is no positive.
    """
    above, hit = pixels.cumsum(-1) - pixels + 0.5, positive.cumsum(-1) - positive + 0.5
    share = positive / np.maximum(pixels, 1)
    area = share * (positive + (hit - above * share) * np.log1p(pixels / above))
    return _ratio(area.sum(-1), positive.sum(-1))


def _aupr11(predicted: np.ndarray, hit: np.ndarray, present: np.ndarray) -> np.ndarray:
    """Trapezoid over recall of the eleven points; precision 0/0 is 1, recall 0/0 is 0. (…, 11) → (…,)"""
    precision = np.where(predicted > 0, _ratio(hit, predicted), 1.0)
    recall = _ratio(hit, present[..., None])
    return -np.trapezoid(precision, recall, axis=-1)  # recall falls as the threshold rises


def _ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """part / whole, 0 where whole is 0."""
    part, whole = np.broadcast_arrays(part, whole)
    return np.divide(part, whole, out=np.zeros(whole.shape), where=whole > 0)
