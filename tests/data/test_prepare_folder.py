"""Own data: the table dataset.csv, and every way it can be wrong."""

import io
import unicodedata

import cv2
import numpy as np
import pytest
from PIL import ExifTags, Image

from rfbench.data.labels import Unfit, decode_any_mask
from rfbench.data.manifest import lesions_of
from rfbench.data.prepare import prepare_folder, read_manifest
from rfbench.errors import DataError

from . import tiny_archive as tiny

LESIONS = ("MA", "Drusen")
ROWS = (
    "images/Eye 1.png,MA,masks/1_ma.png,train",
    "images/Eye 1.png,Drusen,masks/1_dr.bmp,train",
    "images/Eye 1.png,NV,masks/1_ma.png,train",
    "images/2.jpg,MA,masks/2_ma.tif,valid",
    "images/3.JPG,,,test",
)
DRAWN = tiny.mask((2, 2, 8, 8)), tiny.mask((6, 6, 9, 9), (20, 20, 21, 21))


def png(pixels: np.ndarray, form: str = "PNG") -> bytes:
    return tiny.saved(Image.fromarray(pixels), form)


def files(*rows: str, header: str = "image,lesion,mask,split") -> dict[str, bytes]:
    """A data set of three images in three formats, its table made of `rows`."""
    photograph = np.asarray(Image.open(io.BytesIO(tiny.jpeg())))
    return {
        "dataset.csv": "\n".join([header, *(rows or ROWS)]).encode(),
        "images/Eye 1.png": png(photograph),
        "images/2.jpg": tiny.jpeg(seed=2),
        "images/3.JPG": tiny.jpeg(seed=3),
        "masks/1_ma.png": png(DRAWN[0].astype(np.uint8)),  # {0, 1}: black to the eye
        "masks/1_dr.bmp": png(np.dstack([DRAWN[1] * np.uint8(255)] * 3), "BMP"),
        "masks/2_ma.tif": png(DRAWN[0] * np.uint8(255), "TIFF"),
    }


def prepare(tmp_path, content, lesions=LESIONS):
    return prepare_folder(tiny.write_tree(tmp_path / "mine", content), tmp_path / "out", lesions=lesions,
                          progress=False)  # fmt: skip


def test_prepared_layout(tmp_path):
    frame = read_manifest(prepare(tmp_path, files()))
    assert lesions_of(frame) == LESIONS
    assert frame["image"].tolist() == ["images/train/Eye 1.png", "images/val/2.jpg", "images/test/3.jpg"]
    assert frame["MA_pixels"].tolist() == [36, 36, 0]
    assert frame["Drusen_regions"].tolist() == [2, 0, 0]
    label = np.asarray(Image.open(tmp_path / "out" / frame["label"][0]))
    assert [label[point] for point in ((3, 3), (7, 7), (20, 20), (0, 0))] == [1, 2, 2, 0]
    summary = (tmp_path / "out" / "summary.md").read_text()
    assert "# mine, prepared" in summary
    assert "- masks of other lesions, left out: NV 1" in summary


def test_zip_with_a_top_folder_and_a_byte_order_mark(tmp_path):
    content = {f"top/{name}": data for name, data in files().items()}
    content["top/dataset.csv"] = b"\xef\xbb\xbf" + content["top/dataset.csv"].replace(b"\n", b"\r\n")
    prepare_folder(tiny.write_zip(tmp_path / "s.zip", content), tmp_path / "zip", lesions=LESIONS, progress=False)
    prepare(tmp_path, files())
    assert (tmp_path / "zip" / "manifest.csv").read_bytes() == (tmp_path / "out" / "manifest.csv").read_bytes()


def test_the_order_of_lesions_decides_who_is_on_top(tmp_path):
    frame = read_manifest(prepare(tmp_path, files(), lesions=("Drusen", "MA")))
    assert np.asarray(Image.open(tmp_path / "out" / frame["label"][0]))[7, 7] == 2


WRONG = {
    "missing image": (["images/9.png,,,test"], "line 2: expected an image of the data set, found 'images/9.png'"),
    "missing mask": (["images/2.jpg,MA,masks/9.tif,test"], "found 'masks/9.tif', no such file"),
    "climbing path": (["../mine/images/2.jpg,,,test"], "found '../mine/images/2.jpg', no such file"),
    "absolute path": (["images/2.jpg,MA,/etc/passwd,test"], "found '/etc/passwd', no such file"),
    "mask without lesion": (["images/2.jpg,,masks/2_ma.tif,test"], "expected lesion and mask, or neither"),
    "unknown split": (["images/2.jpg,MA,masks/2_ma.tif,dev"], "expected split train, val or test, found 'dev'"),
    "two splits": (["images/2.jpg,MA,masks/2_ma.tif,train", "images/2.jpg,,,test"], "found it in train and test"),
    "mask twice": (["images/2.jpg,MA,masks/2_ma.tif,train"] * 2, "line 3: expected one MA mask of images/2.jpg"),
    "no such lesion anywhere": (["images/2.jpg,MA,masks/2_ma.tif,train"], "masks of Drusen, which"),
}


@pytest.mark.parametrize(("rows", "found"), WRONG.values(), ids=WRONG)
def test_mistakes_in_the_table_are_named(tmp_path, rows, found):
    with pytest.raises(DataError) as error:
        prepare(tmp_path, files(*rows))
    assert found in str(error.value)


def test_a_name_used_in_two_folders(tmp_path):
    content = files(*ROWS, "other/2.png,,,test") | {"other/2.png": files()["images/Eye 1.png"]}
    with pytest.raises(DataError, match=r"used once, found '2' in images/2\.jpg \(val\) and other/2\.png \(test\)"):
        prepare(tmp_path, content)


def test_a_name_that_could_leave_the_output(tmp_path):
    content = files(*ROWS, "images/-x.jpg,,,test") | {"images/-x.jpg": tiny.jpeg()}
    with pytest.raises(DataError, match=r"found '-x'\. Rename it"):
        prepare(tmp_path, content)


PHOTOGRAPH = np.random.default_rng(0).integers(0, 256, (24, 40, 3), dtype=np.uint8)
DEEP = PHOTOGRAPH * np.uint16(257)
TURNED = Image.Exif()
TURNED[ExifTags.Base.Orientation] = 3
PHOTOGRAPHS = {
    "16-bit PNG": ("png", cv2.imencode(".png", DEEP)[1].tobytes(), "8 bits per colour, found 16"),
    "16-bit TIFF": ("tif", tiny.tifffile_bytes(DEEP), "8 bits per colour, found 16"),
    "turned": ("tif", tiny.saved(Image.fromarray(PHOTOGRAPH), "TIFF", exif=TURNED), "orientation 1, found 3"),
    "turned, packed": (
        "tif", tiny.saved(Image.fromarray(PHOTOGRAPH), "TIFF", exif=TURNED, compression="tiff_lzw"),
        "orientation 1, found 3",
    ),
    "pages": (
        "tif", tiny.saved(Image.fromarray(PHOTOGRAPH), "TIFF", save_all=True, append_images=[Image.new("RGB", (2, 2))]),
        "one image in the file, found several pages",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("kind", "content", "found"), PHOTOGRAPHS.values(), ids=PHOTOGRAPHS)
def test_photographs_that_readers_would_read_otherwise(tmp_path, kind, content, found):
    with pytest.raises(DataError, match=rf"images/4\.{kind}: expected .*{found}"):
        prepare(tmp_path, files(*ROWS, f"images/4.{kind},,,test") | {f"images/4.{kind}": content})


def test_one_generated_stem_does_not_make_a_real_set_synthetic(tmp_path):
    content = files(*ROWS, "images/SYN_1.jpg,,,test") | {"images/SYN_1.jpg": tiny.jpeg(seed=4)}
    with pytest.raises(DataError, match=r"expected real or synthetic images, found both \(SYN_ marks .*SYN_1\)"):
        prepare(tmp_path, content)


@pytest.mark.parametrize(
    ("lesions", "found"),
    [
        (("EX", "EX", "MA"), "expected every lesion once, found EX 2 times"),
        (("EX", "../x"), "found '../x'"),
        (("MA\n",), r"found 'MA\n'"),
        ((), "found 0"),
    ],
)
def test_lesions_that_can_be_no_columns_and_file_names(tmp_path, lesions, found):
    with pytest.raises(DataError) as error:
        prepare(tmp_path, files(), lesions=lesions)
    assert str(error.value).startswith("lesions: ")
    assert found in str(error.value)
    assert not (tmp_path / "out").exists()


def test_composed_and_decomposed_names_are_the_same(tmp_path):
    content = files(*ROWS, "images/rétine.jpg,MA,masks/é.png,test")
    mac = {unicodedata.normalize("NFD", name): data for name, data in (
        ("images/rétine.jpg", tiny.jpeg(seed=4)), ("masks/é.png", png(DRAWN[0])))}  # fmt: skip
    frame = read_manifest(prepare(tmp_path, content | mac))
    assert frame["stem"].tolist()[-1] == unicodedata.normalize("NFC", "rétine")
    assert frame["MA_pixels"].tolist()[-1] == 36


def test_two_names_that_look_the_same(tmp_path):
    names = [unicodedata.normalize(form, "images/é.jpg") for form in ("NFC", "NFD")]
    content = files(*ROWS, f"{names[0]},,,test") | {name: tiny.jpeg() for name in names}
    with pytest.raises(DataError, match=r"found 'images/é\.jpg', the name of 2 files"):
        prepare(tmp_path, content)


def test_tables_that_are_ambiguous(tmp_path):
    with pytest.raises(DataError, match=r"found damage \(the column image 2 times\)"):
        prepare(tmp_path, files(header="image,lesion,mask,split,image"))
    two = {f"{top}/{name}": data for top in "ab" for name, data in files().items()}
    with pytest.raises(DataError, match=r"expected one dataset\.csv at the top, found a/dataset\.csv and b/dataset"):
        prepare(tmp_path / "other", two)


def test_a_table_too_large_to_hold(tmp_path):
    with pytest.raises(DataError, match="more than the 16777216"):
        prepare(tmp_path, files() | {"dataset.csv": bytes((1 << 24) + 1)})


def test_table_that_cannot_be_read(tmp_path):
    for header, found in (("image;mask", "found image;mask"), ("\x00", "found")):
        with pytest.raises(DataError, match=f"dataset.csv.*{found}"):
            prepare(tmp_path, files(header=header))
    with pytest.raises(DataError, match=r"expected dataset\.csv as CSV in UTF-8"):
        prepare(tmp_path, files() | {"dataset.csv": b"image,lesion,mask,split\n\xff"})


def test_no_table(tmp_path):
    tiny.write_tree(tmp_path / "empty", {"a.jpg": b""})
    with pytest.raises(DataError, match=r"expected dataset\.csv with the columns image,lesion,mask,split, found none"):
        prepare_folder(tmp_path / "empty", tmp_path / "out", lesions=LESIONS, progress=False)


@pytest.mark.parametrize(
    ("pixels", "form"),
    [
        (DRAWN[1], "PNG"),
        (DRAWN[1].astype(np.uint8), "TIFF"),
        (DRAWN[1] * np.uint16(65535), "PNG"),
        (np.dstack([DRAWN[1] * np.uint8(9)] * 3 + [np.full(DRAWN[1].shape, 255, np.uint8)]), "PNG"),
    ],
    ids=["1-bit", "0-1", "16-bit", "rgba"],
)
def test_masks_of_any_two_values(pixels, form):
    assert np.array_equal(decode_any_mask(png(pixels, form)), DRAWN[1])


def test_palette_mask():
    image = Image.fromarray(DRAWN[1].astype(np.uint8), "P")
    image.putpalette([0, 0, 0, 0, 128, 0])
    assert np.array_equal(decode_any_mask(tiny.saved(image, "PNG")), DRAWN[1])


def test_masks_of_more_values_are_refused():
    with pytest.raises(Unfit, match=r"3 values \(0, 76, 255\)"):
        decode_any_mask(png(DRAWN[0] * np.uint8(76) + tiny.mask((20, 20, 22, 22)) * np.uint8(255)))
    with pytest.raises(Unfit, match="transparent"):
        decode_any_mask(tiny.rgba(DRAWN[0], alpha=7))
