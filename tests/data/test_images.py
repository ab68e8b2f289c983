"""Prepared photographs: the pixels that OpenCV reads, without its decoders' remarks."""

import cv2
import numpy as np
import pytest
from PIL import Image

from rfbench.data.images import decode_photograph
from rfbench.data.labels import UNREADABLE

from . import tiny_archive as tiny

NOISE = np.random.default_rng(0).integers(0, 256, (61, 83, 3), dtype=np.uint8)
SCENE = cv2.GaussianBlur(NOISE, (0, 0), 4)
STRAY = bytes(range(1, 41))


def opencv(content: bytes) -> np.ndarray:
    return cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)


def jpeg(pixels: np.ndarray, **options: object) -> bytes:
    return tiny.saved(Image.fromarray(pixels), "JPEG", **options)


JPEGS = {
    f"{name}, {subsampling}, {kind}": jpeg(pixels, quality=quality, subsampling=subsampling, **options)
    for name, pixels, quality in (("noise", NOISE, 98), ("scene", SCENE, 60))
    for subsampling in ("4:4:4", "4:2:2", "4:2:0")
    for kind, options in {
        "baseline": {},
        "progressive": {"progressive": True},
        "restarts": {"restart_marker_blocks": 3},
        "huffman": {"optimize": True},
        "thumbnail": {"exif": b"Exif\0\0" + jpeg(SCENE[:8, :8])},  # an end marker within the head
    }.items()
}


@pytest.mark.parametrize("content", JPEGS.values(), ids=JPEGS)
@pytest.mark.parametrize("stray", [b"", STRAY], ids=["clean", "stray"])
@pytest.mark.parametrize("behind", [b"", b"\xff\xd8 a preview\xff\xd9"], ids=["", "behind"])
def test_jpeg_pixels_are_opencv_s_and_nothing_is_said(capfd, content, stray, behind):
    expected = opencv(content)
    decoded = decode_photograph(content[:-2] + stray + content[-2:] + behind)
    assert np.array_equal(decoded, expected)
    assert decoded.dtype == np.uint8
    assert capfd.readouterr() == ("", "")


def test_opencv_itself_does_speak(capfd):
    content = jpeg(SCENE)
    opencv(content[:-2] + STRAY + content[-2:])
    assert "extraneous bytes" in capfd.readouterr().err, "else this module is not needed any more"


OTHERS = {
    "png": tiny.saved(Image.fromarray(NOISE), "PNG"),
    "png with a bad profile": tiny.saved(Image.fromarray(NOISE), "PNG", icc_profile=b"none" * 40),
    "tiff": tiny.saved(Image.fromarray(NOISE), "TIFF"),
    "tiff, packed": tiny.saved(Image.fromarray(NOISE), "TIFF", compression="tiff_lzw"),
    "tiff with a foreign tag": tiny.tifffile_bytes(NOISE, extratags=[(42113, "s", 0, "-1", True)]),
}


@pytest.mark.parametrize("content", OTHERS.values(), ids=OTHERS)
def test_other_formats(capfd, content):
    assert np.array_equal(decode_photograph(content), NOISE[..., ::-1])
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    "content",
    [b"", b"\xff\xd8", b"\xff\xd8\xff", jpeg(SCENE)[:300], tiny.saved(Image.new("L", (9, 9)), "PNG"), b"GIF89a"],
    ids=["empty", "start", "half a marker", "cut", "grey", "other"],
)
def test_damage(content):
    with pytest.raises(UNREADABLE):
        decode_photograph(content)


@pytest.mark.real
@pytest.mark.slow
def test_real_photographs_are_opencv_s(real_data, capfd):
    import zipfile

    for archive in sorted(real_data.glob("*.zip")):
        with zipfile.ZipFile(archive) as opened:
            for name in opened.namelist():
                if name.lower().endswith(".jpg"):
                    content = opened.read(name)
                    assert np.array_equal(decode_photograph(content), opencv(content)), name
