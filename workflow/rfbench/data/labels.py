"""Lesion masks to label maps: the pixel rules of the mask files, regions, label PNGs."""

import io
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import cv2
import numpy as np
from PIL import ExifTags, Image, UnidentifiedImageError

from rfbench.names import LARGEST_FRAME

UNREADABLE = (OSError, SyntaxError, ValueError, EOFError, Image.DecompressionBombError)
"""What Pillow raises on bytes that are no image, or a damaged one."""

warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)  # `opened` refuses by LARGEST_FRAME
warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")  # remarks on EXIF; what matters is an error


class Unfit(ValueError):
    """An image that decodes but breaks a rule; carries what was expected and what was found."""

    def __init__(self, expected: str, found: str):
        super().__init__(f"expected {expected}, found {found}")
        self.expected, self.found = expected, found


@contextmanager
def opened(content: bytes, formats: Sequence[str]) -> Iterator[Image.Image]:
    """An image of one of Pillow's `formats`, not yet decoded.

    Raises ValueError if it is none or above LARGEST_FRAME, and Unfit if it is the first of several: every reader would
    pass over the others in silence. (A camera's MPO is a JPEG with previews behind it.)
    """
    try:
        image = Image.open(io.BytesIO(content), formats=list(formats))
    except UnidentifiedImageError:  # its own message names an address in memory
        start = f"it begins with {content[:8]!r}" if content else "it is empty"
        raise ValueError(f"not a file of this format: {start}") from None
    with image:
        width, height = image.size
        if width * height > LARGEST_FRAME:
            raise ValueError(f"{width}x{height} pixels, more than the {LARGEST_FRAME} any image here needs")
        if image.format != "MPO" and getattr(image, "is_animated", False):
            raise Unfit("one image in the file", "several pages or frames")
        yield image


def check_samples(image: Image.Image) -> None:
    """Refuse what Pillow would change in passing: an image that is to be turned, or colours of 16 bits.

    Call it before the image is decoded: Pillow turns a TIFF then, and drops its tag. Raises Unfit.
    """
    colour = image.mode in ("RGB", "RGBA", "LA") and image.format in ("PNG", "TIFF")
    if colour and any(";16" in str(tile.args) for tile in image.tile):  # Pillow keeps the upper eight
        raise Unfit("8 bits per colour", "16")
    turned = image.getexif().get(ExifTags.Base.Orientation, 1)
    if turned != 1:
        raise Unfit("EXIF orientation 1", f"{turned}, which readers treat differently")


def decode_mask(content: bytes) -> np.ndarray:
    """Decode one official mask file to (H, W) bool by one rule: drop alpha, take the largest colour channel, keep > 0.

    The official masks are 1-bit palette TIFFs whose foreground is red (76 as grey, so a threshold at 127
    empties them) and one RGBA TIFF, opaque everywhere (counting alpha fills the frame); docs/datasets.md.
    Raises Unfit for any other encoding and one of UNREADABLE for damaged bytes.
    """
    with opened(content, ["TIFF"]) as image:
        check_samples(image)
        pixels = np.asarray(image)
        bits = image.tag_v2.get(258, (1,))[0]  # BitsPerSample; a TIFF without it has 1
        mode, palette = image.mode, image.getpalette()
    if mode == "P" and bits == 1:
        lit = np.zeros(256, bool)
        lit[: len(palette) // 3] = np.reshape(palette, (-1, 3)).max(axis=1) > 0
        return cv2.LUT(pixels, lit.view(np.uint8)).view(bool)  # four times as fast as indexing
    if mode == "RGBA" and (pixels[..., 3] == 255).all():
        return _two_valued(pixels[..., :3].max(axis=2))
    if mode == "L":
        return _two_valued(pixels)
    raise Unfit("a 1-bit palette, opaque RGBA or {0, 255} grey mask", _describe(mode, bits))


def _two_valued(grey: np.ndarray) -> np.ndarray:
    """(H, W) grey of 0 and 255 to bool; anything between is a resampled or lossy mask."""
    odd = (grey != 0) & (grey != 255)
    if odd.any():
        raise Unfit("mask values 0 and 255 only", f"{int(odd.sum())} pixels between, such as {int(grey[odd][0])}")
    return grey > 0


def decode_any_mask(content: bytes) -> np.ndarray:
    """Decode a mask of one's own data to (H, W) bool: TIFF, PNG or BMP with background 0 and one other value.

    Grey of any depth, colour, palette and opaque RGBA are read alike: the largest colour channel counts. More
    values than two mean a resampled, a lossy or a several-lesion mask. Raises as `decode_mask` does.
    """
    with opened(content, ["TIFF", "PNG", "BMP"]) as image:
        check_samples(image)
        mode = image.mode
        pixels = np.asarray(image.convert("RGB") if mode == "P" else image)
    if mode in ("RGBA", "LA"):
        if (pixels[..., -1] != 255).any():
            raise Unfit("an opaque mask", f"mode {mode} with transparent pixels")
        pixels = pixels[..., :-1]
    grey = pixels.max(axis=2) if pixels.ndim == 3 else pixels
    if grey.dtype.kind == "f" and not np.isfinite(grey).all():
        raise Unfit("0 and one other value", "values that are no finite number")
    values = np.unique(grey)
    lit = values[values != 0]
    if len(lit) > 1:
        listed = ", ".join(str(value) for value in values[:4])
        raise Unfit("0 and one other value", f"{len(values)} values ({listed}{', …' if len(values) > 4 else ''})")
    return grey != 0


def _describe(mode: str, bits: int) -> str:
    return "RGBA with transparent pixels" if mode == "RGBA" else f"mode {mode} at {bits} bits per sample"


def count_regions(mask: np.ndarray) -> int:
    """Number of 4-connected regions of an (H, W) bool mask, as the paper counts lesions."""
    regions, _ = cv2.connectedComponents(mask.view(np.uint8), connectivity=4)
    return regions - 1  # without the background


def region_areas(mask: np.ndarray) -> np.ndarray:
    """Pixels of each 4-connected region of an (H, W) bool mask: int (N,)."""
    part, _ = _lit_part(mask)
    count, regions = cv2.connectedComponents(part.view(np.uint8), connectivity=4)
    return np.bincount(regions[part], minlength=count)[
        1:
    ]  # lesions are few: three times as fast as OpenCV's statistics


def region_table(mask: np.ndarray) -> np.ndarray:
    """4-connected regions of an (H, W) bool mask: int (N, 5) of left, top, width, height and area in pixels."""
    part, corner = _lit_part(mask)
    _, _, stats, _ = cv2.connectedComponentsWithStats(part.view(np.uint8), connectivity=4)
    return stats[1:].astype(np.int64) + np.array([*corner, 0, 0, 0])  # without the background


def _lit_part(mask: np.ndarray) -> tuple[np.ndarray, tuple[int, int]]:
    """The box around all that is lit, at least a pixel, and its left and top."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not len(rows):
        return np.zeros((1, 1), bool), (0, 0)
    top, left = int(rows[0]), int(columns[0])
    return np.ascontiguousarray(mask[top : rows[-1] + 1, left : columns[-1] + 1]), (left, top)


def paint(masks: Mapping[str, np.ndarray], shape: tuple[int, int], lesions: Sequence[str]) -> np.ndarray:
    """Label map (H, W) uint8 from (H, W) bool masks by lesion: 0 background, then `lesions`; the later wins."""
    label = np.zeros(shape, np.uint8)
    for value, lesion in enumerate(lesions, start=1):
        if lesion in masks:
            label[masks[lesion]] = value
    return label


def imdecode(content: bytes, flags: int) -> np.ndarray | None:
    """OpenCV's `imdecode`, None for whatever it cannot decode (it raises an error of its own for some of that)."""
    try:
        return cv2.imdecode(np.frombuffer(content, np.uint8), flags) if content else None
    except cv2.error:
        return None


def decode_label(content: bytes) -> np.ndarray:
    """(H, W) uint8 label map of `encode_label`'s bytes; ValueError for others."""
    label = imdecode(content, cv2.IMREAD_UNCHANGED)
    if label is None or label.ndim != 2 or label.dtype != np.uint8:
        raise ValueError("no 8-bit grey PNG")
    return label


def encode_label(label: np.ndarray) -> bytes:
    """(H, W) uint8 label map as an 8-bit greyscale PNG, the same bytes for the same map."""
    buffer = io.BytesIO()
    Image.fromarray(label).save(buffer, "PNG")
    return buffer.getvalue()
