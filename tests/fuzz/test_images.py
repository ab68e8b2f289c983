"""Images of every format, damaged: a decoder gives pixels or one of the errors that are caught and named."""

import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import ExifTags, Image

from rfbench.data.images import decode_photograph
from rfbench.data.labels import UNREADABLE, decode_any_mask, decode_label, decode_mask, encode_label
from rfbench.evaluation.predict import read_photograph

from ..data import tiny_archive as tiny
from .standard import damaged, held

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:PIL")

DRAWN = tiny.mask((2, 2, 8, 8), (10, 20, 14, 30))
PIXELS = np.random.default_rng(0).integers(0, 256, (24, 40, 3), dtype=np.uint8)
EXIF = Image.Exif()
EXIF[ExifTags.Base.Orientation] = 6
EXIF[ExifTags.Base.Make] = "x" * 40


def photograph(form: str, **options: object) -> bytes:
    return tiny.saved(Image.fromarray(PIXELS), form, **options)


PHOTOGRAPHS = [
    photograph("JPEG"),
    photograph("JPEG", progressive=True, exif=EXIF),
    photograph("JPEG", restart_marker_blocks=2)[:-2] + bytes(range(40)) + b"\xff\xd9",
    photograph("PNG", exif=EXIF),
    photograph("PNG", icc_profile=b"x" * 200),
    photograph("TIFF", exif=EXIF),
    photograph("TIFF", compression="tiff_lzw"),
    photograph("TIFF", compression="tiff_deflate"),
    photograph("TIFF", save_all=True, append_images=[Image.new("RGB", (3, 3))]),
    photograph("BMP"),
    photograph("WEBP", lossless=True, exif=EXIF),
    tiny.tifffile_bytes(PIXELS.astype(np.uint16) * 257),
]
MASKS = [
    tiny.palette(DRAWN),
    tiny.rgba(DRAWN),
    tiny.grey(DRAWN * 255),
    tiny.saved(Image.fromarray(DRAWN * np.uint8(255)), "PNG"),
    tiny.saved(Image.fromarray(DRAWN), "TIFF", compression="group4"),
    tiny.saved(Image.fromarray(DRAWN * np.uint8(1)), "BMP"),
    tiny.tifffile_bytes(DRAWN.astype(np.float32)),
    tiny.saved(Image.fromarray(DRAWN * np.uint16(65535)), "PNG"),
]


@given(st.one_of(map(damaged, MASKS)))
@pytest.mark.parametrize("decode", [decode_mask, decode_any_mask])
def test_masks(decode, content):
    try:
        mask = decode(content)
    except UNREADABLE:
        return
    assert mask.dtype == bool
    assert mask.ndim == 2


@given(st.one_of(map(damaged, PHOTOGRAPHS)))
def test_prepared_photographs(content):
    try:
        pixels = decode_photograph(content)
    except UNREADABLE:
        return
    assert pixels.dtype == np.uint8
    assert pixels.ndim == 3


@given(st.one_of(map(damaged, PHOTOGRAPHS)))
def test_photographs_to_predict(tmp_path_factory, content):
    path = tmp_path_factory.getbasetemp() / "photograph"
    path.write_bytes(content)
    pixels = held(lambda: read_photograph(path))
    assert not isinstance(pixels, np.ndarray) or (pixels.dtype == np.uint8 and pixels.shape[2] == 3)


@given(damaged(encode_label(DRAWN.astype(np.uint8))))
def test_label_maps(content):
    try:
        label = decode_label(content)
    except ValueError:
        return
    assert label.dtype == np.uint8


def test_sound_ones_decode():
    for content in PHOTOGRAPHS[:3] + PHOTOGRAPHS[4:5] + PHOTOGRAPHS[6:8]:
        assert decode_photograph(content).shape == PIXELS.shape
    for content in MASKS:
        assert np.array_equal(decode_any_mask(content), DRAWN)
    assert Image.open(io.BytesIO(PHOTOGRAPHS[9])).size == (40, 24)
