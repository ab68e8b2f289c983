"""`rfbench doctor` on a narrow terminal: each missing file once, no name cut, paths relative."""

import argparse
import os
import shutil
import subprocess
import sys

import pytest

from rfbench import devices, gpus
from rfbench.commands import doctor
from rfbench.errors import RFBenchError

from .checkout import ROOT


@pytest.fixture
def lines(tmp_path, monkeypatch, capsys):
    """What the command prints in 80 columns, run in a folder whose own path is longer than a column."""
    folder = tmp_path / "a folder of the machine" / "with-a-path-longer-than-any-column-of-the-table"
    (folder / "config").mkdir(parents=True)
    monkeypatch.chdir(folder)
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("RFBENCH_DATA", str(folder / "data"))

    def printed(*names: str) -> tuple[int, list[str]]:
        for name in names:
            shutil.copy(ROOT / "config" / name, folder / "config")
        paths = [folder / "config" / name for name in names]
        arguments = argparse.Namespace(lock=ROOT / "envs" / "cpu.txt", config=paths)
        return doctor.run(arguments), capsys.readouterr().out.splitlines()

    return printed


def test_an_archive_that_three_configurations_lack_is_one_line(lines, tmp_path):
    status, printed = lines("idrid.yaml", "idrid_cpu.yaml", "paper.yaml", "ci.yaml")
    text = "\n".join(printed)
    assert status == 1
    assert max(map(len, printed)) <= 80
    assert "…" not in text
    assert str(tmp_path) not in text
    for name in ("idrid", "idrid_cpu", "ci"):
        assert text.count(f"config/{name}.yaml") == 1, name
    assert text.count("config/paper.yaml") == 2, "it lacks both archives"
    assert text.count("data/DDR-dataset.zip.001") == 1
    assert " ".join(text.split()).count("Download the archive") == 2
    (first,) = [number for number, line in enumerate(printed) if "data/A." in line]
    beside = [line.split()[0] for line in printed[first : first + 3]]
    assert beside == ["config/idrid.yaml", "config/idrid_cpu.yaml", "config/paper.yaml"]


def test_a_configuration_with_its_data_is_fine_and_one_with_a_mistake_is_told(lines, tmp_path):
    status, printed = lines("ci.yaml")
    assert "valid, and the data is there" in " ".join(" ".join(printed).split())
    assert status == int(any(" missing " in line for line in printed)), "the environment's own state"
    broken = tmp_path / "broken.yaml"
    broken.write_text("datasets: [1, 2]\n")
    ((name, state, sentence),) = doctor.check_configurations([broken])
    assert (name, state) == (str(broken), "missing")
    assert "datasets: expected a mapping" in sentence


def test_a_lock_anywhere_is_compared_and_a_file_that_pins_nothing_is_refused(tmp_path):
    lock = tmp_path / "lock.txt"
    lock.write_text((ROOT / "envs" / "cpu.txt").read_text())
    (packages,) = [finding for finding in doctor.check_environment(lock) if finding[0] == "packages"]
    assert packages == ("packages", "ok", f"all as pinned in {lock}")
    for content in (b"", b"hello\n", bytes(range(256))):
        lock.write_bytes(content)
        with pytest.raises(RFBenchError, match=r"--lock .*lock\.txt: expected lines such as numpy==.*, found none"):
            doctor.check_environment(lock)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(RFBenchError, match=r"--lock .*pipe: expected a lock file, found a named pipe"):
        doctor.check_environment(tmp_path / "pipe")


def test_files_of_a_kind_are_told_apart(tmp_path, monkeypatch):
    """Two configurations that lack different files have a line each."""
    monkeypatch.setenv("RFBENCH_DATA", str(tmp_path))
    findings = doctor.check_configurations([ROOT / "config" / name for name in ("ddr.yaml", "idrid.yaml")])
    assert [state for _, state, _ in findings] == ["missing", "missing"]
    assert "DDR-dataset.zip.001 does not exist" in findings[0][2]
    assert "A. Segmentation.zip does not exist" in findings[1][2]


@pytest.mark.parametrize(("driver", "state"), [("580.65.06", "ok"), ("600.1", "ok"), ("570.133.20", "missing")])
def test_the_gpu_lock_needs_a_driver_of_its_cuda(monkeypatch, driver, state):
    """NVIDIA's table of CUDA 13.0: 580 at least, on Linux."""
    monkeypatch.setattr(gpus, "driver", lambda: driver)
    ((what, found, sentence),) = doctor.check_driver()
    assert (what, found) == ("driver", state)
    assert driver in sentence
    assert ("CUDA 13 of envs/gpu.txt needs 580 or newer" in sentence) == (state == "missing")


def test_a_gpu_with_an_old_driver_or_a_hanging_one_is_missing(monkeypatch):
    monkeypatch.setattr(devices, "visible", lambda: ["GPU-000"])
    monkeypatch.setattr(gpus, "driver", lambda: "535.104.05")
    found = {what: (state, sentence) for what, state, sentence in doctor.check_device()}
    assert [found[what][0] for what in ("device", "driver")] == ["missing", "missing"]

    def hanging() -> list[str]:
        raise RFBenchError("nvidia-smi did not answer")

    monkeypatch.setattr(devices, "visible", hanging)
    assert doctor.check_device() == [("device", "missing", "nvidia-smi did not answer")]


def test_without_torch_no_device_computes(monkeypatch):
    monkeypatch.setattr(doctor, "find_spec", lambda name: None)
    ((what, state, sentence),) = doctor.check_device()
    assert (what, state) == ("device", "missing")
    assert "Run `make env`" in sentence


def test_without_torch_the_rest_is_told():
    """In a process of its own, where an import of torch fails as it does where it is not installed."""
    code = "import sys; sys.modules['torch'] = None; from rfbench.cli import main; sys.exit(main(sys.argv[1:]))"
    words = [sys.executable, "-c", code, "doctor", "--config", ROOT / "config" / "ci.yaml"]
    done = subprocess.run(words, capture_output=True, text=True)
    assert done.returncode == 1, done.stdout + done.stderr
    said = " ".join(done.stdout.split())
    assert "torch, which computes, is not installed" in said
    assert "valid as far as can be said without torch" in said
    assert "Python" in said
