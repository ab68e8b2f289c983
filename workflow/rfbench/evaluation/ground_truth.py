"""What networks are held against: a data set's label maps and lesions at the size of evaluation.

The size is that of the image on disk (native), or that of the image fitted into `scale` and padded to it (prepared);
run.py says why.
"""

from collections.abc import Sequence
from pathlib import Path

import mmcv
import numpy as np

from rfbench.data.images import read_native
from rfbench.data.manifest import read_manifest
from rfbench.lesions.truth import ImageLesions, Truth, field_of_view


def fit_label(label: np.ndarray, scale: tuple[int, int], eval_size: str) -> np.ndarray:
    """The label map (H, W) uint8 that `predict`'s probabilities are held against."""
    if eval_size == "native":
        return label
    resized = mmcv.imrescale(label, tuple(scale), interpolation="nearest")
    width, height = scale
    return np.pad(resized, ((0, height - resized.shape[0]), (0, width - resized.shape[1])))


def fit_diameter(image: np.ndarray, scale: tuple[int, int], eval_size: str) -> float:
    """Diameter of a photograph's field of view in px of `fit_label`'s map; image (H, W, 3) uint8 in BGR order."""
    diameter = field_of_view(image)
    if eval_size == "native":
        return diameter
    width, _ = mmcv.rescale_size(image.shape[1::-1], tuple(scale))
    return diameter * width / image.shape[1]


def lesions_of(manifest: Path, split: str, *, lesions: Sequence[str], scale: tuple[int, int], eval_size: str) -> Truth:
    """Every lesion of a split's images, in the manifest's order; for the arguments see `run.evaluate_model`."""
    stems, sizes, diameters = [], [], []
    found: list[ImageLesions] = []
    for row in read_manifest(manifest, split, lesions).itertuples():
        image, label = read_native(manifest.parent, row)
        fitted = fit_label(label, scale, eval_size)
        stems.append(row.stem)
        sizes.append(fitted.shape[::-1])
        diameters.append(fit_diameter(image, scale, eval_size))
        found.append(ImageLesions.of(fitted))
    return Truth.of(lesions, stems, sizes, diameters, found)
