"""Every metric of a run without each of its images, from what evaluation keeps of every image.

Metrics pool the pixels, lesions or regions of all images before any ratio is formed, so leaving an image out is a
subtraction.
"""

import numpy as np

from rfbench.lesions import counts, histogram
from rfbench.lesions.evidence import AT_HALF, Evidence
from rfbench.lesions.lesion_metrics import RATES, SIZES, size_class
from rfbench.lesions.truth import Truth

_BLOCK = 8  # images at a time: all of them would not fit the cache
BY_SIZE = ("lesion_recall", *(f"lesion_recall_{size}" for size in SIZES))


def without_each(own: Evidence, truth: Truth | None = None) -> dict[str, np.ndarray]:
    """The metrics without each of N images, (N, C) each, as metrics.csv has them.

    `aupr11`, `ap`, `f`, `iou`, `precision`, `recall`; of lesions `lesion_recall` (by size only with `truth`),
    `lesion_precision`, `lesion_f1`, `fp_per_image` and `cpm`.

    Args:
        own: of the run.
        truth: the lesions of its images.
    """
    pixels = counts.metrics(own.counts.sum(0) - own.counts, own.positives.sum(0) - own.positives)
    average = np.stack([_average_precision(own.histograms(c)) for c in range(len(own.names))], axis=1)
    return {**pixels, "ap": average, **_lesions(own), **_recalls(own, truth)}


def support(own: Evidence, truth: Truth | None = None) -> dict[str, np.ndarray]:
    """In how many images each metric has something to find, (C,) each: pixels of the lesion, or lesions of a size."""
    images = (own.positives > 0).sum(0)
    there = {metric: (lesions > 0).sum(0) for metric, (lesions, _) in _by_size(own, truth).items()}
    return {**dict.fromkeys(("aupr11", "ap", "f", "iou", "precision", "recall"), images),
            **dict.fromkeys(("lesion_precision", "lesion_f1", "fp_per_image", "cpm"), images), **there}  # fmt: skip


def _average_precision(histograms: np.ndarray) -> np.ndarray:
    """Average precision (N,) without each image, from the images' histograms (N, 2, bins)."""
    total, found = histograms.sum(0), []
    for first in range(0, len(histograms), _BLOCK):
        left = (total - histograms[first : first + _BLOCK])[..., ::-1]  # highest scores first
        found.append(counts.average_precision(left[:, 0], left[:, 1], histogram.SINGLE[::-1]))
    return np.concatenate(found)


def _by_size(own: Evidence, truth: Truth | None) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Lesions, and those hit at 0.5, of each image and class, (N, C) each, by metric: all, and those of each size."""
    shape = own.positives.shape
    owner = np.repeat(np.arange(len(own.lesion_offsets) - 1), np.diff(own.lesion_offsets))
    hit = own.lesion_hits >> AT_HALF & 1
    sizes = {"lesion_recall": np.ones(len(owner), bool)}
    if truth is not None:
        kind = size_class(truth.native_area)
        sizes |= {f"lesion_recall_{size}": kind == k for k, size in enumerate(SIZES)}
    return {
        metric: tuple(np.bincount(owner[chosen], weight[chosen], np.prod(shape)).reshape(shape)
                      for weight in (np.ones(len(owner)), hit))
        for metric, chosen in sizes.items()
    }  # fmt: skip


def _recalls(own: Evidence, truth: Truth | None) -> dict[str, np.ndarray]:
    """Share of lesions that are hit at 0.5, all and by size."""
    return {
        metric: counts.ratio(hit.sum(0) - hit, lesions.sum(0) - lesions)
        for metric, (lesions, hit) in _by_size(own, truth).items()
    }


def _lesions(own: Evidence) -> dict[str, np.ndarray]:
    """What predicted regions say, alone and together with the lesions."""
    regions, false = np.moveaxis(own.froc.sum(0, dtype=np.int64) - own.froc, -1, 0)  # (N, C, 14) each
    rate = false / (len(own.stems) - 1)
    hits = own.lesion_hits[:, None] >> np.arange(regions.shape[-1]) & 1  # (L, 14)
    owner = np.repeat(np.arange(len(own.lesion_offsets) - 1), np.diff(own.lesion_offsets))
    hit = np.stack([np.bincount(owner, each, len(own.lesion_offsets) - 1) for each in hits.T], axis=-1)
    hit, lesions = hit.reshape(regions.shape), np.diff(own.lesion_offsets).reshape(own.positives.shape)
    recall = counts.ratio(hit.sum(0) - hit, (lesions.sum(0) - lesions)[..., None])  # (N, C, 14)
    precision = counts.ratio((regions - false)[..., AT_HALF], regions[..., AT_HALF])
    both = precision + recall[..., AT_HALF]
    within = [np.where(rate <= limit, recall, 0).max(-1) for limit in RATES]
    return {
        "lesion_precision": precision,
        "lesion_f1": counts.ratio(2 * precision * recall[..., AT_HALF], both),
        "fp_per_image": rate[..., AT_HALF],
        "cpm": np.mean(within, axis=0),
    }
