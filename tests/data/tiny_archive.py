"""Tiny archives in IDRiD's layout, as {name: bytes}, to be bent by the tests."""

import io
import zipfile
from pathlib import Path

import numpy as np
import tifffile
from PIL import Image

HEIGHT, WIDTH = 24, 40
FOLDERS = {"EX": "3. Hard Exudates", "HE": "2. Haemorrhages", "SE": "4. Soft Exudates", "MA": "1. Microaneurysms"}
SPLITS = {"train": "a. Training Set", "test": "b. Testing Set"}


def image_name(split: str, stem: str) -> str:
    return f"A. Segmentation/1. Original Images/{SPLITS[split]}/{stem}.jpg"


def mask_name(split: str, stem: str, lesion: str) -> str:
    top = f"A. Segmentation/2. All Segmentation Groundtruths/{SPLITS[split]}"
    return f"{top}/{FOLDERS[lesion]}/{stem}_{lesion}.tif"


def mask(*boxes: tuple[int, int, int, int], shape: tuple[int, int] = (HEIGHT, WIDTH)) -> np.ndarray:
    """Bool mask of boxes (top, left, bottom, right), ends excluded."""
    drawn = np.zeros(shape, bool)
    for top, left, bottom, right in boxes:
        drawn[top:bottom, left:right] = True
    return drawn


def jpeg(shape: tuple[int, int] = (HEIGHT, WIDTH), seed: int = 0) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 256, (*shape, 3), dtype=np.uint8)
    return saved(Image.fromarray(pixels), "JPEG")


def palette(drawn: np.ndarray) -> bytes:
    """IDRiD's own encoding: 1-bit, index 1 red."""
    buffer = io.BytesIO()
    colours = [(320, "H", 6, (0, 65535, 0, 0, 0, 0), True)]
    tifffile.imwrite(buffer, drawn, photometric=3, extratags=colours, metadata=None, software=False)
    return buffer.getvalue()


def rgba(drawn: np.ndarray, alpha: int = 255) -> bytes:
    pixels = np.zeros((*drawn.shape, 4), np.uint8)
    pixels[..., 0] = drawn * 255
    pixels[..., 3] = alpha
    return saved(Image.fromarray(pixels), "TIFF", compression="tiff_lzw")


def grey(values: np.ndarray) -> bytes:
    return saved(Image.fromarray(values.astype(np.uint8)), "TIFF")


def tifffile_bytes(values: np.ndarray, **options: object) -> bytes:
    """A TIFF of kinds that Pillow reads and cannot write: 16-bit colour, float."""
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, values, photometric="rgb" if values.ndim == 3 else "minisblack", metadata=None, **options)
    return buffer.getvalue()


def saved(image: Image.Image, form: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


def archive() -> dict[str, bytes]:
    """Two training images and a test image; the first has all lesions, overlapping, the last EX is RGBA."""
    first = {"EX": mask((2, 2, 8, 8)), "HE": mask((4, 4, 10, 10)), "SE": mask((6, 6, 12, 12)), "MA": mask((7, 7, 9, 9))}
    few = {"EX": mask((1, 1, 2, 2), (2, 2, 3, 3)), "MA": mask((15, 20, 17, 22))}
    files = {"A. Segmentation/LICENSE.txt": b"CC BY 4.0"}
    sets = (("train", "IDRiD_01", first), ("train", "IDRiD_02", few), ("test", "IDRiD_55", few))
    for seed, (split, stem, masks) in enumerate(sets):
        files[image_name(split, stem)] = jpeg(seed=seed)
        for lesion, drawn in masks.items():
            encode = rgba if (split, lesion) == ("test", "EX") else palette
            files[mask_name(split, stem, lesion)] = encode(drawn)
    return files


def write_tree(folder: Path, files: dict[str, bytes]) -> Path:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return folder


def write_zip(path: Path, files: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as target:
        for name, content in files.items():
            target.writestr(name, content)
    return path


def snapshot(folder: Path) -> dict[str, bytes]:
    """Every file below a folder with its bytes."""
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
