"""Drawn images with scores, and what evaluation leaves of them."""

from pathlib import Path

import numpy as np
import torch

from rfbench.evaluation import evidence
from rfbench.evaluation.recording import Recorder
from rfbench.names import LESIONS

IMAGES, SIZE = 6, (24, 31)


def draw_labels(seed: int, rare: float = 0.1) -> np.ndarray:
    """Label maps (N, H, W), a share `rare` of the pixels for each of four lesions."""
    return np.random.default_rng(seed).choice(5, (IMAGES, *SIZE), p=[1 - 4 * rare, *[rare] * 4])


def draw_scores(label: np.ndarray, seed: int, sharpness: float = 1.5) -> np.ndarray:
    """Probabilities (N, 4, H, W) float32, higher on the lesions on average."""
    rng, truth = np.random.default_rng(seed), label[:, None] == np.arange(1, 5)[:, None, None]
    odds = rng.normal(-2, 1, truth.shape) + sharpness * truth + rng.normal(0, 0.5, (len(label), 4, 1, 1))
    return (1 / (1 + np.exp(-odds))).astype(np.float32)


def evaluated(prob: np.ndarray, label: np.ndarray, lesions=LESIONS) -> evidence.Evidence:
    """The evidence of a run with these scores."""
    recorder = Recorder(lesions)
    for k, image in enumerate(prob):
        recorder.update(f"image{k}", torch.from_numpy(image), torch.from_numpy(label[k]), float(SIZE[1]))
    return recorder.evidence()


def write_evidence(path: Path, prob: np.ndarray, label: np.ndarray) -> None:
    """evidence.npz of a run with these scores."""
    evidence.write(path, evaluated(prob, label))
