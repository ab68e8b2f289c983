"""Which GPUs there are and may be used: an nvidia-smi of ours on PATH, the driver's files, CUDA_VISIBLE_DEVICES."""

import os
import time
from pathlib import Path

import pytest

from rfbench import gpus
from rfbench.errors import RFBenchError

TWO = "GPU 0: NVIDIA H200 (UUID: GPU-aaa0)\nGPU 1: NVIDIA H200 (UUID: GPU-abb1)\n"
DIFFERENT = "GPU 0: NVIDIA T4 (UUID: GPU-aaa0)\nGPU 1: NVIDIA H200 (UUID: GPU-abb1)\n"
SLICED = (
    "GPU 0: NVIDIA A100-SXM4-40GB (UUID: GPU-aaa0)\n"
    "  MIG 3g.20gb     Device  0: (UUID: MIG-ccc2)\n"
    "  MIG 3g.20gb     Device  1: (UUID: MIG-cdd3)\n"
    "GPU 1: NVIDIA A100-SXM4-40GB (UUID: GPU-abb1)\n"
)
LOST = (
    "GPU 0: NVIDIA H200 (UUID: GPU-aaa0)\n"
    "Unable to determine the device handle for gpu 0000:3B:00.0: GPU is lost.  Reboot the system to recover this GPU\n"
    "GPU 2: NVIDIA H200 (UUID: GPU-eee4)\n"
)


@pytest.fixture(autouse=True)
def bare_machine(tmp_path, monkeypatch) -> None:
    """No driver, no nvidia-smi, nothing in the environment that speaks of GPUs."""
    monkeypatch.setattr(gpus, "PROC", tmp_path / "proc")
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}{os.pathsep}/bin{os.pathsep}/usr/bin")
    for name in ("CUDA_VISIBLE_DEVICES", "CUDA_DEVICE_ORDER", *gpus.CLUSTER_JOBS):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def nvidia_smi(tmp_path):
    """Writes an nvidia-smi from a text that it prints, or from a script."""

    def write(text: str = "", script: str = "", status: int = 0) -> None:
        (tmp_path / "text").write_text(text)
        file = tmp_path / "bin" / "nvidia-smi"
        file.parent.mkdir(exist_ok=True)
        file.write_text(f"#!/bin/sh\n{script or f'cat {tmp_path}/text'}\nexit {status}\n")
        file.chmod(0o755)

    return write


def uuids() -> list[str]:
    return [gpu.uuid for gpu in gpus.usable()]


def write_proc(tmp_path: Path, *gpus_there: tuple[str, str]) -> None:
    """The driver's files for GPUs of these slots and UUIDs."""
    for slot, uuid in gpus_there:
        folder = tmp_path / "proc" / "gpus" / slot
        folder.mkdir(parents=True)
        (folder / "information").write_text(f"Model: \t\t NVIDIA H200\nGPU UUID: \t {uuid}\nBus Location: \t {slot}\n")


def test_without_a_driver_there_is_none():
    assert gpus.listed() == []
    assert gpus.driver() is None


def test_without_nvidia_smi_the_drivers_files_tell_in_order_of_slots(tmp_path):
    write_proc(tmp_path, ("0000:9b:00.0", "GPU-abb1"), ("0000:3b:00.0", "GPU-aaa0"), ("0000:1b:00.0", "GPU-????????"))
    assert [(gpu.uuid, gpu.number, gpu.model) for gpu in gpus.listed()] == [
        ("GPU-aaa0", 1, "NVIDIA H200"),
        ("GPU-abb1", 2, "NVIDIA H200"),
    ]


def test_a_failing_nvidia_smi_is_no_missing_gpu(tmp_path, nvidia_smi, capsys):
    nvidia_smi("Failed to initialize NVML: Driver/library version mismatch\n", status=18)
    write_proc(tmp_path, ("0000:3b:00.0", "GPU-aaa0"))
    assert uuids() == ["GPU-aaa0"]
    assert "version mismatch" in capsys.readouterr().err


@pytest.mark.parametrize(
    "text", ["No devices were found\n", "NVIDIA-SMI has failed because it couldn't communicate with the driver.\n"]
)
def test_an_nvidia_smi_that_finds_nothing_is_quiet(nvidia_smi, capsys, text):
    nvidia_smi(text, status=9)
    assert uuids() == []
    assert capsys.readouterr().err == ""


def test_a_hanging_nvidia_smi_is_an_error_soon(nvidia_smi, monkeypatch):
    """Its child keeps the pipe, and it ignores what can be ignored."""
    nvidia_smi(script="trap '' TERM INT\nsleep 600 &\nsleep 600")
    monkeypatch.setattr(gpus, "PATIENCE", 0.5)
    started = time.monotonic()
    with pytest.raises(RFBenchError, match=r"did not answer within 0.5 s.*driver hangs.*device: cpu"):
        gpus.listed()
    assert time.monotonic() - started < 20


def test_a_lost_gpu_is_named_and_the_others_keep_their_numbers(nvidia_smi, monkeypatch, capsys):
    nvidia_smi(LOST, status=15)
    assert uuids() == ["GPU-aaa0", "GPU-eee4"]
    assert "0000:3B:00.0: GPU is lost" in capsys.readouterr().err
    for named, expected in (("2", ["GPU-eee4"]), ("1", []), ("0,1,2", ["GPU-aaa0"])):
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", named)
        assert uuids() == expected, named


@pytest.mark.parametrize(
    ("named", "expected"),
    [
        ("1", ["GPU-abb1"]),
        ("1,0", ["GPU-abb1", "GPU-aaa0"]),
        (" 1 , 0 ", ["GPU-abb1", "GPU-aaa0"]),
        ("GPU-aaa0", ["GPU-aaa0"]),
        ("GPU-ab", ["GPU-abb1"]),
        ("GPU-ab,0", ["GPU-abb1", "GPU-aaa0"]),
        ("0,0", ["GPU-aaa0"]),
        ("", []),
        ("-1", []),
        ("NoDevFiles", []),
        ("none", []),
        ("0,-1,1", ["GPU-aaa0"]),
        ("7", []),
        ("1,7,0", ["GPU-abb1"]),
        ("GPU-unknown", []),
    ],
)
def test_cuda_visible_devices_is_read_as_cuda_reads_it(nvidia_smi, monkeypatch, named, expected):
    nvidia_smi(TWO)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", named)
    assert uuids() == expected


def test_a_beginning_of_two_uuids_is_refused(nvidia_smi, monkeypatch):
    nvidia_smi(TWO)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "GPU-a")
    with pytest.raises(RFBenchError, match="GPU-a is the beginning of several"):
        gpus.usable()


@pytest.mark.parametrize(("named", "expected"), [("3", ["3"]), ("GPU-x,-1,2", ["GPU-x"]), ("-1", []), ("", [])])
def test_where_nothing_lists_the_gpus_the_words_are_taken(monkeypatch, named, expected):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", named)
    assert uuids() == expected


@pytest.mark.parametrize(
    ("named", "expected"),
    [
        (None, ["MIG-ccc2", "MIG-cdd3", "GPU-abb1"]),
        ("MIG-cdd3", ["MIG-cdd3"]),
        ("MIG-cd", ["MIG-cdd3"]),
        ("0", ["MIG-ccc2", "MIG-cdd3"]),
        ("GPU-aaa0", ["MIG-ccc2", "MIG-cdd3"]),
        ("1", ["GPU-abb1"]),
    ],
)
def test_a_sliced_gpu_stands_for_its_slices(nvidia_smi, monkeypatch, named, expected):
    nvidia_smi(SLICED)
    if named is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", named)
    assert uuids() == expected


def test_a_slice_is_known_by_its_own_uuid_and_by_its_gpus(nvidia_smi):
    nvidia_smi(SLICED)
    first = gpus.usable()[0]
    assert first.is_called("ccc2")
    assert first.is_called("AAA0")
    assert not first.is_called("cdd3")
    assert gpus.Gpu("MIG-GPU-aaa0/1/0").is_called("aaa0"), "the name of drivers before 470"


def test_numbers_of_different_gpus_need_an_order(nvidia_smi, monkeypatch):
    """CUDA numbers the fastest GPU 0 unless told otherwise; a scheduler's numbers are by slot."""
    nvidia_smi(DIFFERENT)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    with pytest.raises(RFBenchError, match="CUDA_DEVICE_ORDER=PCI_BUS_ID"):
        gpus.usable()
    for name, value in (("CUDA_DEVICE_ORDER", "PCI_BUS_ID"), ("SLURM_JOB_ID", "7")):
        with monkeypatch.context() as patch:
            patch.setenv(name, value)
            assert uuids() == ["GPU-abb1"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "GPU-aaa0")
    assert uuids() == ["GPU-aaa0"]


def test_the_drivers_version_by_its_file_or_by_nvidia_smi(tmp_path, nvidia_smi):
    nvidia_smi("570.133.20\n570.133.20\n")
    assert gpus.driver() == "570.133.20"
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc" / "version").write_text(
        "NVRM version: NVIDIA UNIX x86_64 Kernel Module  580.65.06  Sun Jul 27\nGCC version:  gcc version 12.3.0\n"
    )
    assert gpus.driver() == "580.65.06"
