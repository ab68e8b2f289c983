"""A disk that is full, or may not be written: a small file system is mounted for it, which only root may do."""

import json
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from rfbench import cli, runs
from rfbench.errors import RFBenchError
from rfbench.files import write_whole

from ..tiny_run import PAIR, changed, evaluated, make_settings, run

RECORDS = ("train.json", "curve.csv", "work/model.pth")


@pytest.fixture
def small(tmp_path) -> Iterator[Callable[[str], Path]]:
    """Mounts a file system of a size ("600k", "ro" for one that may only be read), or gives it another size."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = []

    def mount(size: str) -> Path:
        words = ["-o", f"remount,{size}" if mounted else size, *([] if mounted else ["-t", "tmpfs", "tmpfs"])]
        done = subprocess.run(["mount", *words, folder], capture_output=True, text=True)
        if done.returncode:
            pytest.skip(f"no file system can be mounted here: {done.stderr.strip()}")
        mounted.append(size)
        return folder

    yield mount
    if mounted:
        subprocess.run(["umount", "-l", folder], check=True)


def test_a_full_disk_leaves_what_was_written_before(small, tmp_path):
    disk = small("size=64k")
    write_whole(disk / "record.json", b"before")
    with pytest.raises(RFBenchError, match=r"record\.json: cannot be written \(No space left on device\)"):
        write_whole(disk / "record.json", os.urandom(200_000))
    assert (disk / "record.json").read_bytes() == b"before"
    assert [path.name for path in disk.iterdir()] == ["record.json"], "no part keeps what little room there is"


def test_a_data_set_that_does_not_fit_is_no_data_set(small, tmp_path):
    disk = small("size=100k")
    words = ["prepare", "synthetic", "--train", "2", "--test", "1", "--factor", "0.1"]
    assert cli.main([*words, "--output", str(disk / "data")]) == 1
    assert not (disk / "data" / "manifest.csv").exists()
    small("size=64m")
    assert cli.main([*words, "--output", str(disk / "data")]) == 0


@pytest.mark.slow
def test_a_checkpoint_that_does_not_fit_ends_the_training_which_goes_on_with_more_room(small, manifest, tmp_path):
    run(make_settings(), manifest, tmp_path / "whole")
    disk = small("size=64m")
    settings = make_settings(checkpoint_interval=2)
    small("size=2500k")
    with pytest.raises(RFBenchError, match=r"unfinished\.pth: cannot be written \(No space left on device\)"):
        run(settings, manifest, disk / "run")
    assert [path.name for path in (disk / "run/work").glob("iter_*.pth")] == ["iter_2.pth"], "the one before it"
    assert not (disk / "run/work/unfinished.pth").exists()
    assert not (disk / "run/train.json").exists()
    reason = json.loads((disk / "run/work/error.json").read_text())["reason"]
    assert "No space left on device" in reason
    small("size=64m")
    run(settings, manifest, disk / "run")
    assert json.loads((disk / "run/times.json").read_text())["resumed"] is True
    for name in RECORDS:
        assert (disk / "run" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes(), name


def test_results_that_may_only_be_read_are_a_sentence(small, tmp_path, capsys):
    disk = small("size=1m")
    write_whole(disk / "metrics.csv", b"before")
    small("ro")
    words = ["prepare", "synthetic", "--train", "1", "--test", "1", "--factor", "0.1", "--output", str(disk / "data")]
    assert cli.main(words) == 1
    assert "Read-only file system" in capsys.readouterr().err
    with pytest.raises(RFBenchError, match=r"metrics\.csv: cannot be written \(Read-only file system\)"):
        write_whole(disk / "metrics.csv", b"after")
    assert (disk / "metrics.csv").read_bytes() == b"before"


@pytest.mark.slow
def test_an_evaluation_and_a_table_that_do_not_fit_leave_the_run_as_it_was(small, manifest, tmp_path):
    settings = changed(make_settings(), "results", str(tmp_path / "results"))
    folder = runs.run_folder(tmp_path / "results", "SYN", PAIR, 0)
    run(settings, manifest, folder)
    trained = (folder / "train.json").read_bytes()
    disk = small("size=8k")
    with pytest.raises(RFBenchError, match=r"cannot be written \(No space left on device\)"):
        evaluated(settings, "SYN", PAIR, 0, manifest, folder / "train.json", folder / "work", disk / "evaluation.json")
    assert not (disk / "evaluation.json").exists(), "the record comes last"
    assert (folder / "train.json").read_bytes() == trained
    small("size=8m")
    record = evaluated(
        settings, "SYN", PAIR, 0, manifest, folder / "train.json", folder / "work", disk / "evaluation.json"
    )
    assert record["state"] == "done"
