"""From pixel counts to metrics: the formulas, over arrays of counts. No torch.

The counts may be one image's, a run's, or those of every subset of images that a resampling wants.
"""

import numpy as np

# The authors compare float32 probabilities with float32 thresholds: float32(0.3) is not above 0.3.
THRESHOLDS = np.linspace(0, 1, 11).astype(np.float32)  # (11,)
AT_01, AT_HALF = 1, 5  # THRESHOLDS[1] = 0.1, THRESHOLDS[5] = 0.5
# Of the FROC curve: beyond 0.9, too, since a network trained with the Dice loss gives scores near 1 or near 0.
FROC_THRESHOLDS = np.array([0.01, *THRESHOLDS[1:-1], 0.99, 0.999, 0.9999, 0.99999], np.float32)  # (14,)
COUNTED = ("aupr11", "f", "iou", "precision", "recall")  # metrics that the counts at THRESHOLDS give exactly


def metrics(above: np.ndarray, positives: np.ndarray) -> dict[str, np.ndarray]:
    """COUNTED, as fractions (…,).

    Args:
        above: (…, 2, 11) pixels above each of THRESHOLDS: all, and those of the class.
        positives: (…,) pixels of the class.
    """
    precision, recall = curve(above, positives)
    predicted, tp = np.moveaxis(above[..., AT_HALF], -1, 0)
    return {
        "aupr11": np.trapezoid(precision[..., ::-1], recall[..., ::-1]),  # recall falls as the threshold rises
        "f": ratio(2 * tp, predicted + positives),  # P + TP + FN = P + positives
        "iou": ratio(tp, predicted + positives - tp),
        "precision": ratio(tp, predicted),
        "recall": ratio(tp, positives),
    }


def curve(above: np.ndarray, positives: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Precision, 1 of an empty prediction, and recall at THRESHOLDS, (…, 11) each; arguments as of `metrics`."""
    predicted, tp = above[..., 0, :], above[..., 1, :]
    return ratio(tp, predicted, empty=1.0), ratio(tp, np.asarray(positives)[..., None])


def ratio(part: np.ndarray, whole: np.ndarray, empty: float = 0.0) -> np.ndarray:
    """part / whole, and `empty` where whole is 0."""
    part, whole = np.broadcast_arrays(part, whole)
    return np.divide(part, whole, out=np.full(part.shape, empty), where=whole > 0)


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


def average_precision(total: np.ndarray, positive: np.ndarray, tied: np.ndarray) -> np.ndarray:
    """Average precision (…,) if the positives lie evenly among the pixels of each bin; 0 without a positive.

    The i-th of k positives among a bin's n pixels, with TP positives among the P pixels above the bin, has the
    precision (TP + i) / (P + ½ + (i - ½) n / k); their sum is taken as the integral over i from ½ to k + ½. A bin of
    one score is exact. What the true order within the others can make of it, `ap_bounds` says.

    Args:
        total, positive: integer (…, n), pixels and positives per bin of the score, highest scores first.
        tied: bool (n,), whether all scores in the bin are equal.
    """
    n, k = total.astype(float), positive.astype(float)
    tp, predicted = k.cumsum(-1), n.cumsum(-1)  # at the end of the bin
    share, above = k / np.maximum(n, 1), predicted - n + 0.5
    even = share * (k + (tp - k + 0.5 - above * share) * np.log1p(n / above))
    gained = np.where(tied, k * tp / np.maximum(predicted, 1), even)
    return ratio(gained.sum(-1), tp[..., -1])
