"""Masks to label maps: encodings, painting order, regions."""

import io

import cv2
import numpy as np
import pytest
from PIL import ExifTags, Image

from rfbench.data.labels import (
    Unfit,
    count_regions,
    decode_any_mask,
    decode_mask,
    encode_label,
    paint,
    region_areas,
    region_table,
)
from rfbench.names import LESIONS

from .tiny_archive import grey, mask, palette, rgba, saved, tifffile_bytes

DRAWN = mask((1, 2, 5, 9), (10, 11, 12, 13), shape=(24, 41))


@pytest.mark.parametrize("encode", [palette, rgba, lambda drawn: grey(drawn * 255)], ids=["palette", "rgba", "grey"])
def test_encodings_decode_alike(encode):
    decoded = decode_mask(encode(DRAWN))
    assert decoded.dtype == bool
    assert np.array_equal(decoded, DRAWN)


def test_palette_decides_not_the_index():
    black_red, red_black = (np.array(colours, "<u2").tobytes() for colours in ([0, 65535, 0], [65535, 0, 0]))
    assert np.array_equal(decode_mask(palette(~DRAWN).replace(black_red, red_black)), DRAWN)


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (rgba(DRAWN, alpha=0), "transparent"),
        (grey(DRAWN * 76), "such as 76"),
        (saved(Image.fromarray(DRAWN * np.uint8(255)).convert("P"), "TIFF"), "8 bits"),
        (saved(Image.fromarray(np.dstack([DRAWN * np.uint8(255)] * 3)), "TIFF"), "mode RGB"),
    ],
    ids=["transparent", "grey-76", "palette-8-bit", "rgb"],
)
def test_other_encodings_are_refused(content, found):
    with pytest.raises(Unfit, match=found):
        decode_mask(content)


def tagged(tag: int, **options: object) -> bytes:
    """The grey mask with an orientation tag."""
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = tag
    return saved(Image.fromarray(DRAWN * np.uint8(255)), "TIFF", exif=exif, **options)


DEEP = np.dstack([DRAWN * np.uint16(1)] * 3)  # 1 of 65535: black, once Pillow has dropped the lower eight bits
TRAPS = {
    "second page": (saved(Image.fromarray(DRAWN * np.uint8(255)), "TIFF", save_all=True,
                          append_images=[Image.fromarray(~DRAWN * np.uint8(255))]), "several pages"),
    "upside down": (tagged(3), "expected EXIF orientation 1, found 3"),
    "turned, packed": (tagged(6, compression="tiff_lzw"), "expected EXIF orientation 1, found 6"),
}  # fmt: skip
TRAPS_OF_OWN = {
    "16-bit TIFF": (tifffile_bytes(DEEP), "expected 8 bits per colour, found 16"),
    "16-bit PNG": (cv2.imencode(".png", DEEP)[1].tobytes(), "expected 8 bits per colour, found 16"),
    "no number": (tifffile_bytes(np.where(DRAWN, np.float32(1), np.float32("nan"))), "no finite number"),
}


@pytest.mark.parametrize(("content", "found"), TRAPS.values(), ids=TRAPS)
@pytest.mark.parametrize("decode", [decode_mask, decode_any_mask])
def test_masks_that_would_be_read_otherwise_than_drawn(decode, content, found):
    with pytest.raises(Unfit, match=found):
        decode(content)


@pytest.mark.parametrize(("content", "found"), TRAPS_OF_OWN.values(), ids=TRAPS_OF_OWN)
def test_own_masks_that_would_lose_their_values(content, found):
    with pytest.raises(Unfit, match=found):
        decode_any_mask(content)


def test_float_mask():
    assert np.array_equal(decode_any_mask(tifffile_bytes(DRAWN.astype(np.float32))), DRAWN)


def test_later_lesions_overwrite_earlier_ones():
    nested = {lesion: mask((0, 0, 4, 10 - 2 * index)) for index, lesion in enumerate(LESIONS)}
    assert paint(nested, (24, 40), LESIONS)[0, :12].tolist() == [4, 4, 4, 4, 3, 3, 2, 2, 1, 1, 0, 0]


def test_label_png_is_eight_bit_and_deterministic():
    label = paint({"EX": DRAWN, "MA": mask((2, 3, 4, 5), shape=(24, 41))}, DRAWN.shape, LESIONS)
    content = encode_label(label)
    assert content == encode_label(label.copy())
    with Image.open(io.BytesIO(content)) as image:
        assert (image.mode, image.format) == ("L", "PNG")
        assert np.array_equal(np.asarray(image), label)


def flood_fill_count(drawn: np.ndarray) -> int:
    """4-connected regions counted in plain Python."""
    left = {(int(row), int(column)) for row, column in zip(*np.nonzero(drawn), strict=True)}
    count = 0
    while left:
        count += 1
        stack = [left.pop()]
        while stack:
            row, column = stack.pop()
            for near in ((row - 1, column), (row + 1, column), (row, column - 1), (row, column + 1)):
                if near in left:
                    left.remove(near)
                    stack.append(near)
    return count


@pytest.mark.parametrize("density", [0.0, 0.2, 0.45, 0.7, 1.0])
def test_regions_equal_a_flood_fill(density):
    drawn = np.random.default_rng(3).random((31, 47)) < density
    assert count_regions(drawn) == len(region_areas(drawn)) == len(region_table(drawn)) == flood_fill_count(drawn)
    assert region_areas(drawn).sum() == drawn.sum()


def test_diagonal_neighbours_are_two_regions():
    assert count_regions(mask((0, 0, 1, 1), (1, 1, 2, 2))) == 2


def test_regions_have_their_boxes_and_areas():
    drawn = mask((3, 5, 6, 9), (10, 11, 12, 12))
    assert region_table(drawn).tolist() == [[5, 3, 4, 3, 12], [11, 10, 1, 2, 2]]
    assert region_areas(drawn).tolist() == [12, 2]
    assert region_table(mask()).shape == (0, 5)
    assert region_areas(mask()).shape == (0,)
