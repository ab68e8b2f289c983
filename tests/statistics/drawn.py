"""Drawn images with scores, and what evaluation leaves of them."""

import numpy as np
import torch

from rfbench.evaluation.recording import Recorder
from rfbench.lesions.lesion_metrics import lesion_metrics

IMAGES, SIZE = 6, (24, 31)
DIAMETER = 300.0  # px of the field of view: a lesion of one pixel counts as 129 native ones


def draw_labels(seed: int, rare: float = 0.1) -> np.ndarray:
    """Label maps (N, H, W), a share `rare` of the pixels for each of four lesions."""
    return np.random.default_rng(seed).choice(5, (IMAGES, *SIZE), p=[1 - 4 * rare, *[rare] * 4])


def draw_scores(label: np.ndarray, seed: int, sharpness: float = 1.5) -> np.ndarray:
    """Probabilities (N, 4, H, W) float32, higher on the lesions on average."""
    rng, truth = np.random.default_rng(seed), label[:, None] == np.arange(1, 5)[:, None, None]
    odds = rng.normal(-2, 1, truth.shape) + sharpness * truth + rng.normal(0, 0.5, (len(label), 4, 1, 1))
    return (1 / (1 + np.exp(-odds))).astype(np.float32)


def record(prob: np.ndarray, label: np.ndarray, without: int | None = None) -> Recorder:
    """What evaluation keeps of all images, or of all but one."""
    recorder = Recorder()
    for image in sorted(set(range(len(label))) - {without}):
        recorder.update(f"{image:02}", torch.from_numpy(prob[image]), torch.from_numpy(label[image]), DIAMETER)
    return recorder


def measure(recorder: Recorder) -> dict[str, dict[str, float | None]]:
    """All metrics of these images, pixels' and lesions', by metric and lesion."""
    return {**recorder.metrics.compute(), **lesion_metrics(recorder.evidence(), recorder.truth())}
