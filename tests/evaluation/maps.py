"""Label maps and score maps to judge, made up."""

import numpy as np
import torch
from scipy import ndimage

KINDS = ("plain", "poor", "saturated", "pixel noise", "constant", "steps", "empty")


def label_map(rng: np.random.Generator, size=(40, 56), lesions=4, density=0.25) -> np.ndarray:
    """Blobs of every lesion, uint8 (H, W), the later ones painted over the earlier; some touch."""
    label = np.zeros(size, np.uint8)
    for c in range(lesions):
        smooth = ndimage.gaussian_filter(rng.standard_normal(size), 1.2)
        label[smooth > np.quantile(smooth, 1 - density / lesions)] = c + 1
    return label


def score_maps(rng: np.random.Generator, label: np.ndarray, kind: str, lesions=4) -> np.ndarray:
    """Scores float32 (C, H, W) that know something of the label map."""
    shape = (lesions, *label.shape)
    own = label == np.arange(1, lesions + 1)[:, None, None]
    noise = np.stack([ndimage.gaussian_filter(v, 1.5) * 5 for v in rng.standard_normal(shape)])
    blurred = np.stack([ndimage.gaussian_filter(v, 0.8) for v in own.astype(float)])
    logit = {
        "plain": lambda: 8 * blurred - 4 + noise,
        "poor": lambda: blurred - 1 + noise,
        "saturated": lambda: 60 * blurred - 25 + 6 * noise,
        "pixel noise": lambda: own + 2 * rng.standard_normal(shape),
        "constant": lambda: np.full(shape, 0.7),
        "steps": lambda: np.round(4 * blurred - 2 + noise),
        "empty": lambda: np.full(shape, -200.0),
    }[kind]()
    return torch.from_numpy(logit).float().sigmoid().numpy()
