"""Lesion probabilities and an overlay for any fundus photograph (`rfbench predict` says what is written)."""

from pathlib import Path

import numpy as np
import torch
from PIL import ImageOps

from rfbench.data.labels import UNREADABLE, opened
from rfbench.data.show import overlay
from rfbench.errors import RFBenchError
from rfbench.evaluation.predictions import Predictions
from rfbench.evaluation.run import predict
from rfbench.files import kind
from rfbench.names import PHOTOGRAPHS

COLOUR = ("RGB", "RGBA", "P", "CMYK", "YCbCr")  # Pillow's modes


def read_photograph(path: Path) -> np.ndarray:
    """A colour photograph as (H, W, 3) uint8 in BGR order, upright.

    Raises:
        RFBenchError: no such file, damaged, not of one of PHOTOGRAPHS, or not in colour.
    """
    try:
        if (found := kind(path)) not in ("a file", "nothing"):  # a named pipe would be waited for without end
            raise ValueError(found)
        with opened(path.read_bytes(), PHOTOGRAPHS) as image:
            if image.mode not in COLOUR:
                raise ValueError(f"mode {image.mode}")
            upright = ImageOps.exif_transpose(image).convert("RGB")
    except UNREADABLE as error:
        what = error.strerror if isinstance(error, OSError) and error.strerror else error
        raise RFBenchError(
            f"{path}: expected a colour photograph ({', '.join(PHOTOGRAPHS)}), found: {what}."
        ) from error
    return np.ascontiguousarray(np.asarray(upright)[..., ::-1])


def outlined(image: np.ndarray, maps: torch.Tensor, lesions: list[str], threshold: float, title: str) -> np.ndarray:
    """The photograph (H, W, 3) with the regions where the probability exceeds the threshold outlined, as in `show`."""
    return overlay(image, (maps > threshold).cpu().numpy(), tuple(lesions), title)


def predict_file(
    path: Path,
    model: torch.nn.Module,
    dataset: dict,
    device: torch.device,
    predictions: Predictions,
    threshold: float,
) -> None:
    """Write one photograph's maps and overlay; its record has its size and the share of pixels above the threshold.

    Raises:
        RFBenchError: it cannot be read, is too narrow for the network, or has no room in memory.
    """
    image = read_photograph(path)
    try:
        maps = predict(model, image, tuple(dataset["scale"]), device)
    except torch.OutOfMemoryError as error:
        raise RFBenchError(f"{path}: does not fit the GPU's memory. Use --device cpu, or a smaller image.") from error
    height, width = image.shape[:2]
    title = f"{path.name}  {width}x{height} px  probability > {threshold:g}"
    above = (maps > threshold).float().mean((1, 2)).tolist()
    entry = {"size": [width, height], "above": dict(zip(dataset["lesions"], above, strict=True))}
    predictions.add(path.name, entry, maps, outlined(image, maps, dataset["lesions"], threshold, title))
