"""One GPU per job, with simulated devices: an nvidia-smi of ours on PATH, processes that hold what they claimed."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from rfbench import devices
from rfbench.pipeline import Pipeline

from .checkout import SMALLEST

CLAIM = "import sys; from rfbench import devices; print(devices.claim(), flush=True); sys.stdin.read()"


def fake_gpus(folder: Path, count: int, path: str = os.environ["PATH"]) -> str:
    """PATH with an nvidia-smi that lists so many GPUs."""
    lines = "".join(f"GPU {k}: Simulated (UUID: GPU-{k}{k}{k})\n" for k in range(count))
    (folder / "nvidia-smi").write_text(f"#!/bin/sh\nprintf '{lines}'\n")
    (folder / "nvidia-smi").chmod(0o755)
    return f"{folder}{os.pathsep}{path}"


@pytest.fixture
def environment(tmp_path, monkeypatch) -> dict:
    """Environment of a machine with two simulated GPUs."""
    monkeypatch.setenv("PATH", fake_gpus(tmp_path, 2))
    monkeypatch.setenv("RFBENCH_GPU_LOCKS", str(tmp_path / "locks"))
    for name in ("CUDA_VISIBLE_DEVICES", "SLURM_JOB_ID"):
        monkeypatch.delenv(name, raising=False)
    return os.environ


class Job:
    """A process that claims a GPU and holds it until it is ended."""

    def __init__(self, **environment: str) -> None:
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        self.process = subprocess.Popen([sys.executable, "-c", CLAIM], env={**os.environ, **environment}, **pipes)

    def device(self) -> str:
        """What it got; waits as long as the job does."""
        return self.process.stdout.readline().strip()

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


def test_visible_devices_by_listing_and_by_variable(environment, monkeypatch):
    assert devices.visible() == ["GPU-000", "GPU-111"]
    for named, expected in (("1", ["GPU-111"]), ("GPU-000", ["GPU-000"]), ("", []), ("1,0", ["GPU-111", "GPU-000"])):
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", named)
        assert devices.visible() == expected
    monkeypatch.setenv("PATH", "")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3")
    assert devices.visible() == ["3"], "without nvidia-smi, the variable's words"
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    assert devices.visible() == []


def test_concurrent_jobs_get_distinct_devices_and_a_killed_one_frees_its(environment):
    one, two = Job(), Job()
    got = one.device(), two.device()
    assert set(got) == {"GPU-000", "GPU-111"}
    three = Job()
    assert three.process.stderr.readline() == "waiting for a GPU: all 2 are taken by other jobs\n"
    one.kill()
    assert three.device() == got[0], "the kernel freed it"
    for job in (two, three):
        job.kill()


def test_two_projects_never_share_a_device_unknowingly(environment):
    """One names its device by ordinal, the other by UUID, the third not at all."""
    jobs = [Job(CUDA_VISIBLE_DEVICES="1"), Job(CUDA_VISIBLE_DEVICES="GPU-000")]
    assert [job.device() for job in jobs] == ["GPU-111", "GPU-000"]
    late = Job()
    assert "all 2 are taken" in late.process.stderr.readline()
    for job in (late, *jobs):
        job.kill()


def test_slurms_own_choice_is_taken_as_it_is(environment):
    jobs = [Job(CUDA_VISIBLE_DEVICES="0", SLURM_JOB_ID=str(k)) for k in (1, 2)]  # cgroups give each its own "0"
    assert [job.device() for job in jobs] == ["GPU-000", "GPU-000"]
    shared = [Job(SLURM_JOB_ID="3") for _ in range(2)]  # one allocation of two, jobs started within it
    assert {job.device() for job in shared} == {"GPU-000", "GPU-111"}
    for job in (*jobs, *shared):
        job.kill()


def test_torch_sees_the_claimed_device_alone(environment):
    code = "import os, rfbench.training.train as t; t.pick_device('auto'); print(os.environ['CUDA_VISIBLE_DEVICES'])"
    first = Job()
    assert first.device() == "GPU-000"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout == "GPU-111\n", done.stderr
    first.kill()


def test_on_a_cpu_nothing_is_claimed(environment, monkeypatch):
    monkeypatch.setenv("PATH", "")
    assert devices.claim() is None
    assert "CUDA_VISIBLE_DEVICES" not in os.environ
    assert Pipeline({**SMALLEST, "device": "auto"}).gpus == 0


def test_the_pool_is_the_number_of_visible_devices(environment, monkeypatch):
    def pipeline(device: str) -> tuple[int, int]:
        made = Pipeline({**SMALLEST, "device": device})
        return made.gpus, made.gpu_pool

    assert (pipeline("auto"), pipeline("cpu")) == ((1, 2), (0, 2))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    assert pipeline("auto") == (1, 1)
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    assert (pipeline("auto"), pipeline("cuda")) == ((0, 1), (1, 1)), "without a GPU, device: cuda fails by itself"
