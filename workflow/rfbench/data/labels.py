"""Lesion masks to label maps: the pixel rules of IDRiD's TIFF files, region counts, label PNGs."""

import io
from collections.abc import Mapping

import cv2
import numpy as np
from PIL import Image

from rfbench.data import LESIONS

UNREADABLE = (OSError, SyntaxError, ValueError, EOFError, Image.DecompressionBombError)
"""What Pillow raises on bytes that are no image, or a damaged one."""


class MaskError(ValueError):
    """A mask that decodes but breaks the rules; carries what was expected and what was found."""

    def __init__(self, expected: str, found: str):
        super().__init__(f"expected {expected}, found {found}")
        self.expected, self.found = expected, found


def decode_mask(content: bytes) -> np.ndarray:
    """Decode one mask file to (H, W) bool by one rule: drop alpha, take the largest colour channel, keep > 0.

    The official masks are 1-bit palette TIFFs whose foreground is red (76 as grey, so a threshold at 127
    empties them) and one RGBA TIFF, opaque everywhere (counting alpha fills the frame); datasets.md 1.1.
    Raises MaskError for any other encoding and one of UNREADABLE for damaged bytes.
    """
    with Image.open(io.BytesIO(content), formats=["TIFF"]) as image:
        pixels = np.asarray(image)
        bits = image.tag_v2.get(258, (1,))[0]  # BitsPerSample; a TIFF without it has 1
        mode, palette = image.mode, image.getpalette()
    if mode == "P" and bits == 1:
        lit = np.reshape(palette, (-1, 3)).max(axis=1) > 0
        return lit[pixels]
    if mode == "RGBA" and (pixels[..., 3] == 255).all():
        return _two_valued(pixels[..., :3].max(axis=2))
    if mode == "L":
        return _two_valued(pixels)
    raise MaskError("a 1-bit palette, opaque RGBA or {0, 255} grey mask", _describe(mode, bits))


def _two_valued(grey: np.ndarray) -> np.ndarray:
    """(H, W) grey of 0 and 255 to bool; anything between is a resampled or lossy mask."""
    odd = (grey != 0) & (grey != 255)
    if odd.any():
        raise MaskError("mask values 0 and 255 only", f"{int(odd.sum())} pixels between, such as {int(grey[odd][0])}")
    return grey > 0


def _describe(mode: str, bits: int) -> str:
    return "RGBA with transparent pixels" if mode == "RGBA" else f"mode {mode} at {bits} bits per sample"


def count_regions(mask: np.ndarray) -> int:
    """Number of 4-connected regions of an (H, W) bool mask, as the paper counts lesions."""
    regions, _ = cv2.connectedComponents(mask.view(np.uint8), connectivity=4)
    return regions - 1  # without the background


def paint(masks: Mapping[str, np.ndarray], shape: tuple[int, int]) -> np.ndarray:
    """Label map (H, W) uint8 from (H, W) bool masks by lesion: 0 background, EX 1 to MA 4; the later wins."""
    label = np.zeros(shape, np.uint8)
    for value, lesion in enumerate(LESIONS, start=1):
        if lesion in masks:
            label[masks[lesion]] = value
    return label


def encode_label(label: np.ndarray) -> bytes:
    """(H, W) uint8 label map as an 8-bit greyscale PNG, the same bytes for the same map."""
    buffer = io.BytesIO()
    Image.fromarray(label).save(buffer, "PNG")
    return buffer.getvalue()
