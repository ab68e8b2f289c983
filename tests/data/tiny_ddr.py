"""Tiny archives in DDR's layout, as {name: bytes}, to be bent by the tests."""

import zipfile
from pathlib import Path

from rfbench.names import LESIONS

from . import tiny_archive as tiny

TOP = "DDR-dataset/lesion_segmentation"
LABELS = {"train": "label", "valid": "segmentation label", "test": "label"}
STEMS = {"train": ("007-1774-100", "20170627170651362"), "valid": ("007-1851-100",), "test": ("007-6219-300",)}
SIZES = {"007-1774-100": (30, 44), "20170627170651362": (36, 36), "007-1851-100": (24, 40), "007-6219-300": (40, 30)}


def image_name(split: str, stem: str) -> str:
    return f"{TOP}/{split}/image/{stem}.jpg"


def mask_name(split: str, stem: str, lesion: str) -> str:
    return f"{TOP}/{split}/{LABELS[split]}/{lesion}/{stem}.tif"


def archive() -> dict[str, bytes]:
    """Two training images, one to validate and one to test, each of another size; SE is black in all."""
    boxes = {"EX": (2, 2, 8, 8), "HE": (4, 4, 10, 10), "SE": (0, 0, 0, 0), "MA": (12, 12, 14, 14)}
    files = {"DDR-dataset/DR_grading/train/20170413102628830.jpg": b"any", "DDR-dataset/readme.txt": b"any"}
    for split, stems in STEMS.items():
        for stem in stems:
            files[image_name(split, stem)] = tiny.jpeg(SIZES[stem], seed=len(files))
            for lesion in LESIONS:
                drawn = tiny.mask(boxes[lesion], shape=SIZES[stem])
                files[mask_name(split, stem, lesion)] = tiny.grey(drawn * 255)
    return files


def write_parts(folder: Path, files: dict[str, bytes], count: int = 10) -> list[Path]:
    """A zip cut into numbered parts, as the official download comes."""
    folder.mkdir()
    whole = tiny.write_zip(folder / "whole", files)
    content = whole.read_bytes()
    whole.unlink()
    length = -(-len(content) // count)
    parts = [folder / f"DDR-dataset.zip.{number:03}" for number in range(1, count + 1)]
    for index, part in enumerate(parts):
        part.write_bytes(content[index * length : (index + 1) * length])
    assert zipfile.is_zipfile(parts[0]) is False
    return parts
