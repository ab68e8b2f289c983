"""Drawn images with scores, and what evaluation would leave of them, computed the slow way."""

from pathlib import Path

import numpy as np

IMAGES, SIZE = 6, (24, 31)
THRESHOLDS = np.linspace(0, 1, 11).astype(np.float32)
EDGES = 1 / (1 + np.exp(-np.linspace(-30, 16, 2000)))  # of bins even in log odds


def draw_labels(seed: int, rare: float = 0.1) -> np.ndarray:
    """Label maps (N, H, W), a share `rare` of the pixels for each of four lesions."""
    return np.random.default_rng(seed).choice(5, (IMAGES, *SIZE), p=[1 - 4 * rare, *[rare] * 4])


def draw_scores(label: np.ndarray, seed: int, sharpness: float = 1.5) -> np.ndarray:
    """Probabilities (N, 4, H, W) float32, higher on the lesions on average."""
    rng, truth = np.random.default_rng(seed), label[:, None] == np.arange(1, 5)[:, None, None]
    odds = rng.normal(-2, 1, truth.shape) + sharpness * truth + rng.normal(0, 0.5, (len(label), 4, 1, 1))
    return (1 / (1 + np.exp(-odds))).astype(np.float32)


def per_image(prob: np.ndarray, label: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """counts (N, 4, 2, 11) and positives (N, 4), by comparing every pixel with every threshold."""
    truth = label[:, None] == np.arange(1, 5)[:, None, None]
    above = prob[:, :, None] > THRESHOLDS[:, None, None]  # (N, 4, 11, H, W)
    counts = np.stack([above.sum((3, 4)), (above & truth[:, :, None]).sum((3, 4))], axis=2)
    return counts, truth.sum((2, 3))


def histograms(prob: np.ndarray, label: np.ndarray) -> tuple[np.ndarray, ...]:
    """Sparse histograms of scores: offsets, bins, pixels, positive."""
    offsets, columns = [0], []
    for image, classes in zip(prob, label, strict=True):
        for c, scores in enumerate(image):
            index = np.digitize(scores, EDGES).ravel()
            own = (classes == c + 1).ravel()
            bins = np.unique(index)
            columns.append([(k, (index == k).sum(), (own & (index == k)).sum()) for k in bins])
            offsets.append(offsets[-1] + len(bins))
    bins, pixels, positive = np.array([entry for part in columns for entry in part]).T
    return np.array(offsets), bins.astype(np.uint16), pixels.astype(np.uint32), positive.astype(np.uint32)


def write_evidence(path: Path, prob: np.ndarray, label: np.ndarray) -> None:
    """evidence.npz of a run with these scores."""
    counts, positives = per_image(prob, label)
    names = ("hist_offsets", "hist_id", "hist_all", "hist_positive")
    path.parent.mkdir(parents=True, exist_ok=True)
    stored = dict(zip(names, histograms(prob, label), strict=True))
    np.savez_compressed(path, counts=counts, positives=positives, pixels=np.full(len(label), label[0].size), **stored)
