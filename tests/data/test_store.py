"""The store of decoded images: the decoder's bits, whatever was killed, damaged, exchanged or too small."""

import shutil
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from PIL import Image

from rfbench.data import store
from rfbench.data.manifest import read_manifest
from rfbench.data.prepare import prepare_idrid
from rfbench.errors import DataError, RFBenchError
from rfbench.training.stream import TrainingStream

from ..tiny_run import make_settings
from . import tiny_archive as tiny


@pytest.fixture
def prepared(tmp_path) -> Path:
    """Manifest of two training images of 40x24 px and a test image, without a store."""
    source = tiny.write_zip(tmp_path / "raw.zip", tiny.archive())
    return prepare_idrid(source, tmp_path / "out", expect_official=False, progress=False)


def rows(manifest: Path, split: str = "train") -> list:
    return list(read_manifest(manifest, split).itertuples())


def files(manifest: Path) -> dict[str, tuple[int, int]]:
    """Inode and time of every file of the store but its lock: an untouched file keeps both."""
    found = {path.relative_to(manifest.parent): path.stat() for path in (manifest.parent / "store").rglob("*")}
    return {
        str(path): (stat.st_ino, stat.st_mtime_ns)
        for path, stat in found.items()
        if path.suffix and path.name != "lock"
    }


def assert_whole(manifest: Path) -> None:
    """Every training image is there as PIL and OpenCV decode its files, and nothing else."""
    for row in rows(manifest):
        image, label = store.read_stored(manifest.parent, row)
        assert np.array_equal(image, cv2.imread(str(manifest.parent / row.image)))
        assert np.array_equal(label, np.asarray(Image.open(manifest.parent / row.label)))
    assert set(files(manifest)) == {f"store/train/{row.stem}.pixels" for row in rows(manifest)}


def test_decoded_once_and_then_only_read(prepared, capsys):
    store.fill(prepared)
    assert "decode: 2 of 2 images" in capsys.readouterr().err
    assert_whole(prepared)
    before = files(prepared)
    store.fill(prepared)
    assert files(prepared) == before
    assert capsys.readouterr().err == ""
    size = sum((prepared.parent / name).stat().st_size for name in before)
    assert size == sum(store.bytes_of(row.width, row.height) for row in rows(prepared))
    image, _ = store.read_stored(prepared.parent, rows(prepared)[0])
    with pytest.raises(ValueError, match="read-only"):
        image[0] = 0


def flip(path: Path, byte: int) -> None:
    content = bytearray(path.read_bytes())
    content[byte] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("harm", "reason"),
    [
        (lambda path: flip(path, -1), "damaged"),
        (lambda path: flip(path, store.HEADER), "damaged"),
        (lambda path: path.write_bytes(path.read_bytes()[:-7]), "damaged"),
        (lambda path: path.write_bytes(path.read_bytes() + b"x"), "damaged"),
        (lambda path: path.write_bytes(b""), "no decoded image of ours"),
        (lambda path: path.write_bytes(b"[1]".ljust(store.HEADER)), "of another image, decoder or version"),
        (lambda path: shutil.copy(path.with_name("IDRiD_02.pixels"), path), "of another image, decoder or version"),
    ],
)
def test_a_harmed_file_is_named_and_made_again(prepared, capsys, harm, reason):
    store.fill(prepared, progress=False)
    before = files(prepared)
    path = store.path_of(prepared.parent, rows(prepared)[0])
    harm(path)
    store.fill(prepared, progress=False)
    error = capsys.readouterr().err
    assert f"{path}: {reason}" in error
    assert error.count("decoded again") == 1
    assert_whole(prepared)
    other = "store/train/IDRiD_02.pixels"
    assert files(prepared)[other] == before[other], "what was whole stays"


def test_another_decoder_decodes_again(prepared, monkeypatch, capsys):
    with monkeypatch.context() as old:
        old.setattr(store.cv2, "__version__", "4.0.0")
        store.fill(prepared, progress=False)
    store.fill(prepared, progress=False)
    assert capsys.readouterr().err.count("of another image, decoder or version than wanted; decoded again") == 2
    assert_whole(prepared)


def test_prepared_again_from_other_images(prepared, tmp_path):
    store.fill(prepared, progress=False)
    archive = tiny.archive()
    archive[tiny.image_name("train", "IDRiD_01")] = tiny.jpeg(seed=9)
    archive = {name: content for name, content in archive.items() if "IDRiD_02" not in name}
    shutil.rmtree(prepared.parent / "images")
    shutil.rmtree(prepared.parent / "labels")
    source = tiny.write_zip(tmp_path / "other.zip", archive)
    prepare_idrid(source, prepared.parent, expect_official=False, progress=False)
    store.fill(prepared, progress=False)
    assert_whole(prepared)
    assert len(rows(prepared)) == 1


KILLED = """
import os, signal, sys
from pathlib import Path
from rfbench.data import store
replace, moment, done = os.replace, sys.argv[2], []
def dying(part, path):
    if len(done) == 1 and moment == "before":
        os.kill(os.getpid(), signal.SIGKILL)
    replace(part, path)
    done.append(path)
    if len(done) == 1 and moment == "after":
        os.kill(os.getpid(), signal.SIGKILL)
os.replace = dying
store.fill(Path(sys.argv[1]), progress=False, jobs=1)
"""


@pytest.mark.parametrize("moment", ["before", "after"])
def test_killed_at_any_moment_goes_on_where_it_was(prepared, moment):
    """Before the second file got its name, or right after the first did."""
    done = subprocess.run([sys.executable, "-c", KILLED, prepared, moment])
    assert done.returncode == -signal.SIGKILL
    first = {name: stat for name, stat in files(prepared).items() if name.endswith(".pixels")}
    assert len(first) == 1
    assert len(files(prepared)) == (2 if moment == "before" else 1), "a part is left"
    store.fill(prepared, progress=False)
    assert_whole(prepared)
    assert first.items() <= files(prepared).items()


def test_processes_that_start_together_share_one_store(prepared):
    code = "import sys; from rfbench.data import store; store.fill(sys.argv[1], jobs=1)"
    together = [subprocess.Popen([sys.executable, "-c", code, prepared], stderr=subprocess.PIPE) for _ in range(3)]
    errors = [process.communicate()[1].decode() for process in together]
    assert [process.returncode for process in together] == [0, 0, 0], errors
    assert sum("decode: 2 of 2" in error for error in errors) == 1, "one did the work"
    assert_whole(prepared)


def test_too_small_a_disk_is_a_sentence(prepared, monkeypatch):
    needed = sum(store.bytes_of(row.width, row.height) for row in rows(prepared))
    assert needed == 2 * (4096 + 4 * 40 * 24)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=needed - 1))
    with pytest.raises(RFBenchError, match=r"out/store: expected 0.00 GB of free disk .*recipe\.store: false"):
        store.fill(prepared)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=needed))
    store.fill(prepared, progress=False)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=0))
    store.fill(prepared)  # needs nothing more


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_disk_that_fills_up_meanwhile_leaves_no_part(prepared, monkeypatch):
    def full(path: Path, content: bytes) -> int:
        path.touch()
        return Path("/dev/full").open("wb", buffering=0).write(content)

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(RFBenchError, match=r"No space left on device.*recipe\.store: false"):
        store.fill(prepared, progress=False)
    assert files(prepared) == {}


def test_a_store_that_cannot_be_written(prepared):
    (prepared.parent / "store").write_text("")
    with pytest.raises(RFBenchError, match=r"out/store: cannot be written .*recipe\.store: false"):
        store.fill(prepared)


def test_a_complete_store_is_not_even_locked(prepared, monkeypatch):
    """Many trainings, or one of a user who may only read, use it at once."""
    store.fill(prepared, progress=False)
    monkeypatch.setattr(store.flocks, "take", lambda *_: pytest.fail("locked"))
    store.fill(prepared)


def test_only_the_files_of_the_manifest_are_decoded(prepared):
    row = rows(prepared)[0]
    cv2.imwrite(str(prepared.parent / row.label), np.zeros((row.height, row.width), np.uint8))
    with pytest.raises(DataError, match=rf"{row.label}: expected the file that the manifest lists"):
        store.fill(prepared, progress=False)
    (prepared.parent / row.image).unlink()
    (prepared.parent / row.label).unlink()
    with pytest.raises(DataError, match=rf"{row.image}: expected a readable image"):
        store.fill(prepared, progress=False)


def test_a_file_that_vanishes_during_a_training_is_named(prepared):
    store.fill(prepared, progress=False)
    row = rows(prepared)[0]
    path = store.path_of(prepared.parent, row)
    path.write_bytes(path.read_bytes()[:-7])
    with pytest.raises(DataError, match=r"gone or cut since the training began"):
        store.read_stored(prepared.parent, row)
    path.unlink()
    with pytest.raises(DataError, match=r"gone or cut since the training began"):
        store.read_stored(prepared.parent, row)


def test_no_test_image_is_decoded(prepared):
    for row in rows(prepared, "test"):
        (prepared.parent / row.image).unlink()
        (prepared.parent / row.label).unlink()
    store.fill(prepared, progress=False)
    assert_whole(prepared)


@pytest.mark.parametrize("source", ["native", "cached_2x"])
def test_a_stream_of_the_store_gives_the_same_samples(manifest, source):
    dataset = SimpleNamespace(scale=(120, 80), crop=(96, 64), lesions=("EX", "HE", "SE", "MA"))
    recipe = make_settings(train_source=source).recipe
    decoded, stored = (TrainingStream(manifest, dataset, recipe, 7, stored) for stored in (False, True))
    for draw in range(24):
        for one, two in zip(decoded.sample(draw), stored.sample(draw), strict=True):
            assert np.array_equal(one, two), draw


def test_the_command_fills_it(tmp_path):
    from rfbench.cli import main

    source = tiny.write_zip(tmp_path / "raw.zip", tiny.archive())
    command = ["prepare", "idrid", "--unofficial", "--source", str(source), "--output", str(tmp_path / "out")]
    assert main(command) == 0
    assert not (tmp_path / "out" / "store").exists()
    assert main([*command, "--store"]) == 0
    assert_whole(tmp_path / "out" / "manifest.csv")
