"""Manifests that are not what a preparation writes: every value is checked where it is read."""

import os

import pandas as pd
import pytest

from rfbench.data.manifest import read_manifest
from rfbench.errors import DataError

ROW = {
    "stem": "IDRiD_01", "split": "train", "image": "images/train/IDRiD_01.jpg", "label": "labels/train/IDRiD_01.png",
    "sha256": "0f" * 32, "width": "40", "height": "24", "label_sha256": "a1" * 32, "EX_regions": "2", "EX_pixels": "9",
}  # fmt: skip
OTHER = ROW | {"stem": "007", "image": "images/train/007.jpg", "label": "labels/train/007.png"}


def write(folder, *rows: dict) -> str:
    path = folder / "manifest.csv"
    path.write_text("\n".join([",".join(rows[0]), *(",".join(row.values()) for row in rows)]) + "\n")
    return path


def test_a_sound_one_is_read_as_pandas_reads_it(tmp_path):
    path = write(tmp_path, ROW, OTHER)
    expected = pd.read_csv(path, dtype={"stem": str})
    pd.testing.assert_frame_equal(read_manifest(path), expected)
    assert read_manifest(path)["stem"].tolist() == ["IDRiD_01", "007"], "a stem of digits stays a text"


WRONG = {
    "climbing stem": {"stem": "/../../x", "image": "images/train//../../x.jpg", "label": "labels/train//../../x.png"},
    "stem with an escape": {"stem": "a\x1b[2J"},
    "empty stem": {"stem": ""},
    "split": {"split": "dev"},
    "climbing image": {"image": "images/train/../../x.jpg"},
    "absolute image": {"image": "/etc/passwd"},
    "image of another stem": {"image": "images/train/IDRiD_02.jpg"},
    "image of another split": {"image": "images/test/IDRiD_01.jpg"},
    "climbing label": {"label": "labels/train/../x.png"},
    "digest": {"sha256": "0" * 63},
    "label digest": {"label_sha256": "A" * 64},
    "width": {"width": "0"},
    "height": {"height": "-3"},
    "text": {"width": "wide"},
    "fraction": {"height": "24.0"},
    "Arabic digits": {"width": "\u0664\u0660"},
    "count": {"EX_regions": "-1"},
    "endless": {"EX_pixels": "9" * 5000},
    "no number": {"EX_pixels": "nan"},
}


@pytest.mark.parametrize("change", WRONG.values(), ids=WRONG)
def test_a_wrong_value_is_named(tmp_path, change):
    key = next(iter(change))
    with pytest.raises(DataError) as error:
        read_manifest(write(tmp_path, OTHER, ROW | change))
    message = str(error.value)
    assert f"manifest.csv, line 3: {key}: expected " in message
    assert "Prepare the data set again" in message
    assert "\n" not in message
    assert len(message) < 600


WHOLE = {
    "stem twice": ((ROW, ROW), "expected every stem once, found IDRiD_01 again"),
    "real and generated": (
        (ROW, ROW | {"stem": "SYN_1", "image": "images/train/SYN_1.jpg", "label": "labels/train/SYN_1.png"}),
        "found both (SYN_ marks generated ones)",
    ),
    "lesion": (({**ROW, "../x_regions": "1", "../x_pixels": "1"},), "found '../x'"),
    "no lesion": (({key: value for key, value in ROW.items() if "EX" not in key},), "<lesion>_regions"),
    "no column": (({key: value for key, value in ROW.items() if key != "label"},), "found none named label"),
    "short line": ((ROW, {"stem": "a"}), "1 fields in line 3 and 10 columns"),
}


@pytest.mark.parametrize(("rows", "found"), WHOLE.values(), ids=WHOLE)
def test_a_wrong_whole_is_one_sentence(tmp_path, rows, found):
    with pytest.raises(DataError) as error:
        read_manifest(write(tmp_path, *rows))
    assert found in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("content", [b"\xff\xfe", b"\x00" * 99, b'stem\n"open', b"stem,stem\n", b"\n\n"])
def test_files_that_are_none(tmp_path, content):
    (tmp_path / "manifest.csv").write_bytes(content)
    with pytest.raises(DataError, match=r"manifest\.csv: expected (a CSV manifest|the columns)"):
        read_manifest(tmp_path / "manifest.csv")


def test_a_named_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "manifest.csv")
    with pytest.raises(DataError, match="found no file"):
        read_manifest(tmp_path / "manifest.csv")
