"""`rfbench predict`: lesion probabilities and an overlay for any fundus photograph.

For each photograph `<stem>_<lesion>.png`, the probabilities at its own size as 16-bit grey (65535 is 1), and
`<stem>_overlay.png`, the regions above the threshold outlined in the papers' colours (HE green, MA blue, EX red, SE
yellow; lesions may overlap, then one outline runs around the other). `predictions.json` says which network made them;
a folder holds the maps of one network, and more photographs may follow. A photograph's EXIF orientation is applied
first. For research; no medical device.
"""

from pathlib import Path

import cv2
import numpy as np
import torch
from PIL import ImageOps

from rfbench import provenance
from rfbench.data.labels import UNREADABLE, opened
from rfbench.data.show import overlay
from rfbench.errors import RFBenchError
from rfbench.evaluation.run import predict
from rfbench.files import write_changed

FORMATS = ("JPEG", "PNG", "TIFF", "BMP", "WEBP")
RECORD = "predictions.json"
COMMON = ("checkpoint", "settings", "threshold")  # to all that one folder holds
FULL_SCALE = 65535  # grey value of probability 1
COLOUR = ("RGB", "RGBA", "P", "CMYK", "YCbCr")  # Pillow's modes


def read_photograph(path: Path) -> np.ndarray:
    """A colour photograph as (H, W, 3) uint8 in BGR order, upright.

    Raises:
        RFBenchError: no such file, damaged, not of one of FORMATS, or not in colour.
    """
    try:
        with opened(path.read_bytes(), FORMATS) as image:
            if image.mode not in COLOUR:
                raise ValueError(f"mode {image.mode}")
            upright = ImageOps.exif_transpose(image).convert("RGB")
    except UNREADABLE as error:
        what = error.strerror if isinstance(error, OSError) and error.strerror else error
        raise RFBenchError(f"{path}: expected a colour photograph ({', '.join(FORMATS)}), found: {what}.") from error
    return np.ascontiguousarray(np.asarray(upright)[..., ::-1])


def save_maps(folder: Path, stem: str, maps: torch.Tensor, lesions: list[str]) -> None:
    """Write probabilities (L, H, W) as `<stem>_<lesion>.png`, 16-bit grey, 65535 for 1."""
    for lesion, values in zip(lesions, maps.cpu().numpy(), strict=True):
        _, encoded = cv2.imencode(".png", np.rint(values * FULL_SCALE).astype(np.uint16))
        write_changed(folder / f"{stem}_{lesion}.png", encoded.tobytes())


def outlined(image: np.ndarray, maps: torch.Tensor, lesions: list[str], threshold: float, title: str) -> np.ndarray:
    """The photograph (H, W, 3) with the regions where the probability exceeds the threshold outlined, as in `show`."""
    return overlay(image, (maps > threshold).cpu().numpy(), tuple(lesions), title)


def predict_file(path: Path, model: torch.nn.Module, dataset: dict, device: torch.device, folder: Path,
                 threshold: float) -> dict:  # fmt: skip
    """Write one photograph's maps and overlay; its size and the share of pixels above the threshold by lesion."""
    image = read_photograph(path)
    maps = predict(model, image, tuple(dataset["scale"]), device)
    height, width = image.shape[:2]
    title = f"{path.name}  {width}x{height} px  probability > {threshold:g}"
    _, encoded = cv2.imencode(".png", outlined(image, maps, dataset["lesions"], threshold, title))
    save_maps(folder, path.stem, maps, dataset["lesions"])
    write_changed(folder / f"{path.stem}_overlay.png", encoded.tobytes())
    above = (maps > threshold).float().mean((1, 2)).tolist()
    return {"size": [width, height], "above": dict(zip(dataset["lesions"], above, strict=True))}


def predicted_before(folder: Path, record: dict) -> dict:
    """The images that the folder's record holds already.

    Raises:
        RFBenchError: a file of that name, or the folder holds what another checkpoint, setting or threshold made.
    """
    if folder.exists() and not folder.is_dir():
        raise RFBenchError(f"--output {folder}: expected a folder, found a file.")
    if not (folder / RECORD).exists():
        return {}
    earlier = provenance.read_json(folder / RECORD)
    differing = [key for key in COMMON if earlier.get(key) != record[key]]
    if differing:
        raise RFBenchError(
            f"--output {folder}: holds predictions that were made differently ({', '.join(differing)}). "
            "Choose another folder."
        )
    return earlier["images"]
