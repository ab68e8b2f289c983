"""A raw archive of generated images in IDRiD's layout and file formats (datasets.md 3.3).

The files go through the same ingestion as the real ones, traps included: masks are 1-bit palette TIFFs, those
of absent lesions do not exist, one training image has no HE file, the last EX mask is an opaque RGBA TIFF.
"""

import io
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import tifffile
from PIL import Image

from rfbench.data import LESIONS
from rfbench.data.eye import draw_eye, paint_retina, photograph
from rfbench.data.lesions import draw_lesions
from rfbench.errors import DataError

STREAMS = {"train": 0, "test": 1}  # of random numbers
TOP = "A. Segmentation"
SPLIT_FOLDERS = {"train": "a. Training Set", "test": "b. Testing Set"}
LESION_FOLDERS = {
    "MA": "1. Microaneurysms",
    "HE": "2. Haemorrhages",
    "EX": "3. Hard Exudates",
    "SE": "4. Soft Exudates",
}
ODDS = {"EX": 1.0, "HE": 0.99, "SE": 0.49, "MA": 1.0}  # share of images with the lesion
JPEG_QUALITY = 85
RED = (0, 65535, 0, 0, 0, 0)  # TIFF ColorMap of two entries, all reds first: black, red


@dataclass(frozen=True)
class Subject:
    """One image to generate: its split, its index in it, its stem."""

    split: str
    index: int
    stem: str


def names(subject: Subject) -> set[str]:
    """Every name one image may use in the archive: an absent lesion leaves its mask out."""
    return {_image_name(subject), *(_mask_name(subject, lesion) for lesion in LESIONS)}


@dataclass(frozen=True)
class Plan:
    """A synthetic archive; `factor` scales lengths of IDRiD's frame. Equal plans render equal bytes."""

    train: int
    test: int
    factor: float
    seed: int

    def __post_init__(self) -> None:
        for key, value, low, high in (
            ("train", self.train, 1, 5000),
            ("test", self.test, 1, 4999),
            ("factor", self.factor, 0.05, 1.0),
            ("seed", self.seed, 0, 2**63 - 1),
        ):
            if not low <= value <= high:
                raise DataError(f"{key}: expected a value from {low} to {high}, found {value}.")

    def subjects(self) -> Iterator[Subject]:
        """All images, numbered through both splits as IDRiD's are."""
        width = max(2, len(str(self.train + self.test)))
        splits = [("train", index) for index in range(self.train)] + [("test", index) for index in range(self.test)]
        for number, (split, index) in enumerate(splits, start=1):
            yield Subject(split, index, f"SYN_{number:0{width}d}")

    def names(self) -> set[str]:
        """Every name the archive may use: an absent lesion leaves some out."""
        return set().union(*map(names, self.subjects()))

    def render(self, subject: Subject) -> dict[str, bytes]:
        """Files of one image by name: the photograph as JPEG and a TIFF for each lesion it has."""
        rng = np.random.default_rng([self.seed, STREAMS[subject.split], subject.index])
        present = {lesion for lesion in LESIONS if rng.random() < ODDS[lesion]} - self._dropped(subject)
        eye = draw_eye(rng, self.factor)
        scene = paint_retina(rng, eye)
        masks = draw_lesions(rng, eye, scene, present)
        files = {_image_name(subject): _encode_jpeg(photograph(rng, eye, scene))}
        for lesion, mask in masks.items():
            last = subject.split == "test" and subject.index == self.test - 1
            encode = _encode_rgba if last and lesion == "EX" else _encode_palette
            files[_mask_name(subject, lesion)] = encode(mask)
        return files

    def _dropped(self, subject: Subject) -> set[str]:
        """One training image lacks HE, at the place of IDRiD_43 among 54."""
        return {"HE"} if subject.split == "train" and subject.index == round(0.8 * self.train) - 1 > 0 else set()


def _image_name(subject: Subject) -> str:
    return f"{TOP}/1. Original Images/{SPLIT_FOLDERS[subject.split]}/{subject.stem}.jpg"


def _mask_name(subject: Subject, lesion: str) -> str:
    folder = f"{SPLIT_FOLDERS[subject.split]}/{LESION_FOLDERS[lesion]}"
    return f"{TOP}/2. All Segmentation Groundtruths/{folder}/{subject.stem}_{lesion}.tif"


def _encode_jpeg(pixels: np.ndarray) -> bytes:
    """(H, W, 3) uint8 RGB as JPEG."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=JPEG_QUALITY)
    return buffer.getvalue()


def _encode_palette(mask: np.ndarray) -> bytes:
    """(H, W) bool as IDRiD's 1-bit palette TIFF, which Pillow reads but cannot write."""
    buffer = io.BytesIO()
    colours = [(320, "H", len(RED), RED, True)]
    tifffile.imwrite(buffer, mask, photometric=3, extratags=colours, metadata=None, software=False)
    return buffer.getvalue()


def _encode_rgba(mask: np.ndarray) -> bytes:
    """(H, W) bool as the odd one out, IDRiD_81_EX: RGBA, LZW, red on black, opaque everywhere."""
    pixels = np.zeros((*mask.shape, 4), np.uint8)
    pixels[..., 0] = np.where(mask, 255, 0)
    pixels[..., 3] = 255
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "TIFF", compression="tiff_lzw")
    return buffer.getvalue()
