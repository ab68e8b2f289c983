"""Reading one image of a prepared data set, without a word on stderr.

The decoders in OpenCV write their remarks on sound files straight to it: libjpeg on stray bytes between the data and
the end marker (a photograph of DDR has 40), libpng on a colour profile, libtiff on tags it does not know. Pillow is
silent and decodes to the same pixels, but takes twice as long, and a training reads one photograph after the other.
"""

import re
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

from rfbench.data.labels import UNREADABLE, decode_label, imdecode, opened
from rfbench.errors import DataError
from rfbench.files import kind

AGAIN = "Prepare it again (delete the folder's manifest.csv and run the same command)."
FORMATS = ("JPEG", "PNG", "TIFF")
_FLAGS = cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION  # masks know no orientation, so turning would part the two

_JPEG = b"\xff\xd8"
_MARKER = re.compile(rb"\xff+[^\x00\xff\xd0-\xd7]")  # but for those within the data: stuffing, restarts
_END = 0xD9
_AHEAD = 64  # bytes: more than a decoder reads ahead of what it decodes


def read_native(folder: Path, row) -> tuple[np.ndarray, np.ndarray]:
    """Read one manifest row: image (H, W, 3) uint8 in BGR order and label map (H, W) uint8, both as on disk.

    Raises:
        DataError: a file of the prepared data set is gone, unreadable, or not what the manifest says.
    """
    image = _read(folder / row.image, decode_photograph)
    label = _read(folder / row.label, decode_label)
    if image.shape[:2] != label.shape:
        (height, width), found = image.shape[:2], f"{label.shape[1]}x{label.shape[0]}"
        raise DataError(f"{folder / row.label}: expected the image's {width}x{height} pixels, found {found}. {AGAIN}")
    return image, label


def _read(path: Path, decode: Callable[[bytes], np.ndarray]) -> np.ndarray:
    try:
        if not path.is_file():
            raise ValueError(kind(path))
        return decode(path.read_bytes())
    except UNREADABLE as error:
        raise DataError(
            f"{path}: expected a readable image of the prepared data set, found: {error}. {AGAIN}"
        ) from error


def decode_photograph(content: bytes) -> np.ndarray:
    """A photograph as (H, W, 3) uint8 in BGR order, as on disk: an orientation tag is ignored.

    Raises one of `labels.UNREADABLE` for what is no photograph, or a damaged one.
    """
    if content.startswith(_JPEG):
        # Without its end marker, where libjpeg makes the remark. Only a file of one scan decodes so.
        image = imdecode(_without_end(content), _FLAGS)
        if image is not None:
            return image
    with opened(content, FORMATS) as image:
        if image.mode != "RGB":
            raise ValueError(f"mode {image.mode}")
        return cv2.cvtColor(np.asarray(image), cv2.COLOR_RGB2BGR)


def _without_end(content: bytes) -> bytes:
    """A JPEG with zeros for its end marker and what follows; unchanged if it has none."""
    position = len(_JPEG)
    while marker := _MARKER.search(content, position):
        if content[marker.end() - 1] == _END:
            return content[: marker.start()] + bytes(_AHEAD)
        length = content[marker.end() : marker.end() + 2]  # of the segment, these two bytes included
        position = marker.end() + int.from_bytes(length)
    return content
