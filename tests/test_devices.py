"""One GPU per job, with simulated devices: an nvidia-smi of ours on PATH, processes that hold what they claimed."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml

from rfbench import devices, gpus
from rfbench.errors import RFBenchError
from rfbench.pipeline import Pipeline

from .checkout import ROOT, SMALLEST

CLAIM = "import sys; from rfbench import devices as d; print(*d.claim(int(sys.argv[1])), flush=True); sys.stdin.read()"


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
    for name in ("CUDA_VISIBLE_DEVICES", *gpus.CLUSTER_JOBS):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    monkeypatch.setattr(devices, "_claimed", [])
    return os.environ


class Job:
    """A process that claims GPUs and holds them until it is ended."""

    def __init__(self, count: int = 1, **environment: str) -> None:
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        command = [sys.executable, "-c", CLAIM, str(count)]
        self.process = subprocess.Popen(command, env={**os.environ, **environment}, **pipes)

    def device(self) -> str:
        """What it got; waits as long as the job does."""
        return self.process.stdout.readline().strip()

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


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


def test_a_job_of_two_gpus_takes_both_or_none(environment):
    """While it waits it holds none, so that two such jobs never wait for each other's half."""
    one = Job()
    assert one.device() == "GPU-000"
    pair = Job(count=2)
    assert pair.process.stderr.readline() == "waiting for 2 GPUs: too many of 2 are taken by other jobs\n"
    other = Job()
    assert other.device() == "GPU-111"
    one.kill()
    other.kill()
    assert pair.device() == "GPU-000 GPU-111"
    pair.kill()


def test_more_gpus_than_there_are_is_refused(environment):
    with pytest.raises(RFBenchError, match=r"recipe.gpus: expected 3 GPUs.*found 2"):
        devices.claim(3)


def test_a_cluster_that_gives_two_is_taken_at_its_word(environment):
    jobs = [Job(count=2, PBS_JOBID=str(k)) for k in (1, 2)]
    assert [job.device() for job in jobs] == ["GPU-000 GPU-111"] * 2
    for job in jobs:
        job.kill()


WATCH = """
import os, sys, torch
torch.version.cuda = "13.0"
torch.cuda._is_compiled = lambda: True
torch._C._cuda_getDeviceCount = lambda: print("asked", os.environ.get("CUDA_VISIBLE_DEVICES"), flush=True) or 0
from rfbench import cli
sys.exit(cli.main(sys.argv[1:]))
"""


def commands(config: Path, folder: Path) -> dict[str, list]:
    """Every verb that computes on a GPU, with arguments that carry it to its first question to CUDA."""
    run = ["--config", config, "--dataset", "SYN-IDRiD", "--pair", "m2mrf_c", "--seed", "0"]
    files = ["--manifest", folder / "manifest.csv", "--work", folder / "work", "--output", folder / "x.json"]
    foreign = ["--checkpoint", folder / "x.pth", "--device", "cuda"]
    return {
        "train": [*run, *files],
        "evaluate": [*run, *files, "--record", folder / "train.json"],
        "profile": ["--device", "cuda", "--output", folder / "x.json"],
        "gpu": ["--output", folder / "x.json"],
        "plan": [config],
        "score": [*foreign, "--data", folder],
        "predict": [*foreign, "--output", folder, folder / "x.jpg"],
    }


@pytest.mark.slow
@pytest.mark.parametrize("verb", ["train", "evaluate", "profile", "gpu", "plan", "score", "predict"])
def test_a_gpu_is_claimed_before_anything_asks_cuda(environment, tmp_path, verb):
    """mmengine asks when it is imported, and what CUDA shows is settled then."""
    config = tmp_path / "config.yaml"
    config.write_text(yaml.safe_dump({**SMALLEST, "device": "cuda", "results": str(tmp_path / "results")}))
    command = [sys.executable, "-c", WATCH, verb, *map(str, commands(config, tmp_path)[verb])]
    first = Job()
    assert first.device() == "GPU-000"
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    first.kill()
    asked = [line for line in done.stdout.splitlines() if line.startswith("asked")]
    assert asked, done.stderr
    assert set(asked) == {"asked GPU-111"}


class Shown:
    """What torch tells of a GPU."""

    def __init__(self, uuid: str) -> None:
        self.uuid = uuid


def show(monkeypatch, uuid: str) -> None:
    """Let CUDA show one GPU."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: Shown(uuid))


def test_the_gpu_that_cuda_shows_must_be_the_claimed_one(environment, monkeypatch):
    show(monkeypatch, "000")
    assert devices.pick_device("auto") == torch.device("cuda")
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "GPU-000"
    show(monkeypatch, "111")
    with pytest.raises(RFBenchError, match=r"claimed the GPU GPU-000, but CUDA shows 111"):
        devices.pick_device("auto")


def test_a_gpu_that_nothing_lists_cannot_be_claimed(environment, monkeypatch):
    monkeypatch.setenv("PATH", "")
    show(monkeypatch, "000")
    with pytest.raises(RFBenchError, match=r"neither nvidia-smi nor .* lists"):
        devices.pick_device("cuda")


@pytest.mark.parametrize("name", ["auto", "cuda"])
def test_a_gpu_that_torch_cannot_use_is_an_error_not_a_month_on_a_cpu(environment, monkeypatch, name):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(gpus, "driver", lambda: "535.104.05")
    with pytest.raises(RFBenchError, match=r"CUDA 13.0 of this torch needs driver 580 or newer, found 535.104.05"):
        devices.pick_device(name)
    monkeypatch.setattr(gpus, "driver", lambda: "580.65.06")
    with pytest.raises(RFBenchError, match="torch cannot use the GPU that nvidia-smi lists"):
        devices.pick_device(name)


def test_a_torch_without_cuda_computes_on_the_cpu_unless_told_otherwise(environment, monkeypatch):
    monkeypatch.setattr(torch.version, "cuda", None)
    assert devices.pick_device("auto") == torch.device("cpu")
    assert "CUDA_VISIBLE_DEVICES" not in os.environ, "nothing is taken from others"
    with pytest.raises(RFBenchError, match=r"this torch has no CUDA. Install the GPU environment"):
        devices.pick_device("cuda")


def test_a_head_node_without_gpu_is_an_error_where_cuda_is_configured(environment, monkeypatch):
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert devices.pick_device("auto") == torch.device("cpu")
    with pytest.raises(RFBenchError, match="no GPU is visible: on a cluster's head node"):
        devices.pick_device("cuda")


def test_a_record_names_what_rounds_on_a_gpu(environment, monkeypatch):
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "NVIDIA H200")
    monkeypatch.setattr(torch.backends.cudnn, "version", lambda: 92000)
    monkeypatch.setattr(gpus, "driver", lambda: "580.65.06")
    found = devices.provenance_on(torch.device("cuda"))
    assert found["device"] == "NVIDIA H200"
    versions = {key: found["gpu"][key] for key in ("driver", "cuda", "cudnn")}
    assert versions == {"driver": "580.65.06", "cuda": "13.0", "cudnn": 92000}
    assert set(found["gpu"]) - versions.keys() == {"tf32", "cudnn_benchmark"}
    assert "gpu" not in devices.provenance_on(torch.device("cpu"))


def test_on_a_cpu_nothing_is_claimed(environment, monkeypatch):
    monkeypatch.setenv("PATH", "")
    assert devices.claim() == []
    assert "CUDA_VISIBLE_DEVICES" not in os.environ
    assert Pipeline({**SMALLEST, "device": "auto"}).gpus == 0


def test_the_pool_is_the_number_of_visible_devices(environment, monkeypatch):
    def pipeline(device: str) -> tuple[int, int]:
        made = Pipeline({**SMALLEST, "device": device})
        return made.gpus, made.gpu_pool

    assert (pipeline("auto"), pipeline("cuda"), pipeline("cpu")) == ((1, 2), (1, 2), (0, 1))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    assert pipeline("auto") == (1, 1)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "-1")
    assert (pipeline("auto"), pipeline("cuda")) == ((0, 1), (1, 1)), (
        "the nodes of a cluster may have what its head lacks"
    )
    with monkeypatch.context() as patch:
        patch.delenv("CUDA_VISIBLE_DEVICES")
        patch.setattr(torch.version, "cuda", None)
        assert pipeline("auto") == (0, 1), "a torch without CUDA leaves the GPUs to others"
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    assert (pipeline("auto"), pipeline("cuda")) == ((0, 1), (1, 1)), "without a GPU, device: cuda fails by itself"


def test_a_training_asks_for_its_threads_and_its_loading_processes():
    recipe = {**SMALLEST["recipe"], "threads": 2, "workers": 4}
    made = Pipeline({**SMALLEST, "recipe": recipe})
    assert (made.training_cores, made.threads) == (6, 2)
    rule = (ROOT / "workflow" / "rules" / "train.smk").read_text()
    assert "threads: PIPELINE.training_cores" in rule
