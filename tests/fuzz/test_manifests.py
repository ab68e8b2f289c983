"""Manifests and the records of predictions: any text, and sound ones damaged."""

import json
import tempfile
from pathlib import Path

from hypothesis import example, given
from hypothesis import strategies as st

from rfbench.data.manifest import lesions_of, read_manifest
from rfbench.data.show import show_image
from rfbench.errors import RFBenchError, printable
from rfbench.evaluation.predictions import RECORD, Predictions
from rfbench.names import is_stem

from ..data.test_manifest import OTHER, ROW
from .standard import NAMES, damaged, everything_below, held

SOUND = "\n".join([",".join(ROW), *(",".join(row.values()) for row in (ROW, OTHER))]) + "\n"
CELLS = st.one_of(NAMES, st.sampled_from(["-1", "0", "1e400", "nan", "9" * 400, "1_0", " 1", "0x1", "\u0664"]))


def check(content: bytes) -> None:
    """Whatever a manifest says, what it is read as names no file outside its folder."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "set"
        folder.mkdir()
        (folder / "manifest.csv").write_bytes(content)
        frame = held(lambda: read_manifest(folder / "manifest.csv"))
        if isinstance(frame, RFBenchError):
            return
        for row in frame.itertuples():
            for path in (row.image, row.label, f"{row.stem}.png", *(f"{row.stem}_{x}.png" for x in lesions_of(frame))):
                assert (folder / path).resolve().is_relative_to(folder.resolve())
        before = everything_below(Path(name))
        for stem in frame["stem"]:
            assert isinstance(held(lambda stem=stem: show_image(folder, stem, Path(name) / "out")), RFBenchError)
        assert everything_below(Path(name)) == before


@given(content=damaged(SOUND.encode()))
def test_bytes(content):
    check(content)


@given(column=st.sampled_from(list(ROW)), cell=CELLS, also=st.sampled_from(list(ROW)), other=CELLS)
@example(column="stem", cell="/../../x", also="image", other="images/train//../../x.jpg")
@example(column="image", cell="images/train/../../../x.jpg", also="label", other="labels/train/IDRiD_01.png")
def test_cells(column, cell, also, other):
    row = {**ROW, column: cell, also: other}
    check("\n".join([",".join(ROW), ",".join(row.values()), ",".join(OTHER.values())]).encode(errors="replace"))


@given(header=st.lists(st.one_of(st.sampled_from(list(ROW)), NAMES), max_size=12))
def test_columns(header):
    check("\n".join([",".join(header), ",".join(["1"] * len(header))]).encode(errors="replace"))


def test_a_sound_one_is_read(tmp_path):
    (tmp_path / "manifest.csv").write_text(SOUND)
    assert len(read_manifest(tmp_path / "manifest.csv")) == 2


JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), NAMES),
    lambda children: st.one_of(st.lists(children, max_size=3), st.dictionaries(NAMES, children, max_size=3)),
    max_leaves=6,
)
MADE = {"checkpoint": {"file": "m.pth"}, "settings": {"dataset": {"lesions": ["EX"]}}, "threshold": 0.5}
EARLIER = json.dumps(MADE | {"images": {"eye.png": {"size": [1, 1]}}})


@given(
    content=st.one_of(
        JSON.map(json.dumps).map(str.encode),
        JSON.map(lambda images: json.dumps(MADE | {"images": images}).encode()),
        damaged(EARLIER.encode()),
        st.binary(max_size=20),
    )
)
@example(content=b"[]")
@example(content=b"[" * 100_000)
@example(content=b"\xff\xfe")
def test_records_of_predictions(content):
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / RECORD).write_bytes(content)
        (folder / "eye_EX.png").write_bytes(b"mine")
        before = everything_below(folder)
        predictions = held(lambda: Predictions(folder, MADE, "--output"))
        if not isinstance(predictions, RFBenchError):
            listed = {Path(image).stem for image in predictions.images}
            refused = held(lambda: predictions.refuse_foreign(["eye"]))
            assert ("eye" in listed) != isinstance(refused, RFBenchError)
        assert everything_below(folder) == before


@given(text=st.one_of(NAMES, st.text()))
def test_what_is_printed_obeys_nobody(text):
    assert printable(text).isprintable() or not text
    if is_stem(text):
        assert Path("/folder", f"{text}_EX.png").resolve().parent == Path("/folder")
        assert printable(text) == text
