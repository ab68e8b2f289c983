"""Names and encodings of a generated archive's files, as IDRiD and DDR have them, and its packing.

The quirks are theirs: IDRiD's masks are 1-bit palette TIFFs, absent where there is no lesion, and one is an opaque
RGBA; DDR's are grey, all black where there is none, with a folder of another name in `valid`, stems of two styles
and a photograph with stray bytes before its end (docs/datasets.md).
"""

import io
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tifffile
from PIL import Image

from rfbench.names import LESIONS

IDRID_SPLITS = {"train": "a. Training Set", "test": "b. Testing Set"}
IDRID_LESIONS = {
    "MA": "1. Microaneurysms",
    "HE": "2. Haemorrhages",
    "EX": "3. Hard Exudates",
    "SE": "4. Soft Exudates",
}
DDR_SPLITS = {"train": "train", "val": "valid", "test": "test"}
DDR_LABELS = {"train": "label", "val": "segmentation label", "test": "label"}
ZIPS = {"idrid": "A. Segmentation.zip", "ddr": "DDR-dataset.zip"}
PARTS = 10
JPEG_QUALITY = 85
RED = (0, 65535, 0, 0, 0, 0)  # TIFF ColorMap of two entries, all reds first: black, red
STRAY = bytes(range(1, 41))  # no 0xFF among them, which would begin a marker


@dataclass(frozen=True)
class Subject:
    """One image to generate: its split, its index in it, its stem; `last` of its split or not."""

    split: str
    index: int
    stem: str
    last: bool


def stem(layout: str, number: int, images: int) -> str:
    """Stem of the image of this number, counted from 1 through all splits; it begins with SYN_."""
    if layout == "idrid":
        return f"SYN_{number:0{max(2, len(str(images)))}d}"
    return f"SYN_007-{number:04d}-100" if number % 2 else f"SYN_20170627{number:09d}"


def image_name(layout: str, subject: Subject) -> str:
    """Member name of a photograph."""
    if layout == "idrid":
        return f"A. Segmentation/1. Original Images/{IDRID_SPLITS[subject.split]}/{subject.stem}.jpg"
    return f"DDR-dataset/lesion_segmentation/{DDR_SPLITS[subject.split]}/image/{subject.stem}.jpg"


def mask_name(layout: str, subject: Subject, lesion: str) -> str:
    """Member name of a mask."""
    if layout == "idrid":
        folder = f"{IDRID_SPLITS[subject.split]}/{IDRID_LESIONS[lesion]}"
        return f"A. Segmentation/2. All Segmentation Groundtruths/{folder}/{subject.stem}_{lesion}.tif"
    folder = f"{DDR_SPLITS[subject.split]}/{DDR_LABELS[subject.split]}/{lesion}"
    return f"DDR-dataset/lesion_segmentation/{folder}/{subject.stem}.tif"


def names(layout: str, subject: Subject) -> set[str]:
    """Every name one image may use in the archive; in IDRiD's layout an absent lesion leaves its mask out."""
    return {image_name(layout, subject), *(mask_name(layout, subject, lesion) for lesion in LESIONS)}


def encode(layout: str, subject: Subject, photograph: np.ndarray, masks: dict[str, np.ndarray]) -> dict[str, bytes]:
    """Files of one image by name, from (H, W, 3) uint8 RGB and the (H, W) bool masks of the lesions it has."""
    files = {image_name(layout, subject): _jpeg(photograph)}
    if layout == "ddr":
        black = np.zeros(photograph.shape[:2], bool)
        if subject.split == "train" and subject.index == 0:
            files = {name: content[:-2] + STRAY + content[-2:] for name, content in files.items()}
        return files | {mask_name(layout, subject, name): _grey(masks.get(name, black)) for name in LESIONS}
    for lesion, mask in masks.items():
        odd = subject.split == "test" and subject.last and lesion == "EX"
        files[mask_name(layout, subject, lesion)] = _rgba(mask) if odd else _palette(mask)
    return files


def pack(path: Path, files: Iterable[tuple[str, bytes]]) -> None:
    """Write a zip whose bytes depend on the files and their order alone."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as target:
        for name, content in files:
            info = zipfile.ZipInfo(name)  # its date is fixed
            info.compress_type = zipfile.ZIP_STORED if name.endswith(".jpg") else zipfile.ZIP_DEFLATED
            target.writestr(info, content, compresslevel=1)


def part_names(name: str) -> list[str]:
    """Names of a split zip's parts."""
    return [f"{name}.{number:03}" for number in range(1, PARTS + 1)]


def cut(path: Path, parts: list[Path]) -> None:
    """Cut a file into so many pieces, of equal length but for the last, and remove it."""
    length = -(-path.stat().st_size // len(parts))
    with path.open("rb") as whole:
        for part in parts:
            part.write_bytes(whole.read(length))
    path.unlink()


def _jpeg(pixels: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=JPEG_QUALITY)
    return buffer.getvalue()


def _palette(mask: np.ndarray) -> bytes:
    """(H, W) bool as IDRiD's 1-bit palette TIFF, which Pillow reads but cannot write."""
    buffer = io.BytesIO()
    colours = [(320, "H", len(RED), RED, True)]
    tifffile.imwrite(buffer, mask, photometric=3, extratags=colours, metadata=None, software=False)
    return buffer.getvalue()


def _rgba(mask: np.ndarray) -> bytes:
    """(H, W) bool as the odd one out, IDRiD_81_EX: RGBA, LZW, red on black, opaque everywhere."""
    pixels = np.zeros((*mask.shape, 4), np.uint8)
    pixels[..., 0] = np.where(mask, 255, 0)
    pixels[..., 3] = 255
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "TIFF", compression="tiff_lzw")
    return buffer.getvalue()


def _grey(mask: np.ndarray) -> bytes:
    """(H, W) bool as DDR's 8-bit grey TIFF of 0 and 255."""
    buffer = io.BytesIO()
    Image.fromarray(mask * np.uint8(255)).save(buffer, "TIFF")
    return buffer.getvalue()
