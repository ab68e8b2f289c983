"""The pipeline on a real SLURM of two nodes (`slurm.Cluster`), with the profile that the project brings.

A training here waits a second before each update, so that it lasts long enough to be disturbed and computes little.
"""

import os
import re
import signal
import subprocess
import time
from pathlib import Path

import pytest

from ..checkout import Checkout
from ..kill_diary import differences
from . import slurm

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(slurm.missing() is not None, reason=str(slurm.missing())),
]
plugin = pytest.importorskip("snakemake_executor_plugin_slurm", reason="pip install -e .[slurm]")

PROFILE = ("--workflow-profile", "workflow/profiles/slurm")
# As an administrator would have it here: no accounts, no accounting, and a queue that answers at once.
HERE = ("--slurm-no-account", "--slurm-status-command", "squeue", "--slurm-init-seconds-before-status-checks", "3",
        "--slurm-keep-successful-logs", "--latency-wait", "5")  # fmt: skip
RUN = "results/ci/runs/SYN-IDRiD/strideconv_bilinear/seed0"
UPDATES, WARNED = 90, 60  # of a disturbed training; seconds before the limit of three minutes


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    with slurm.Cluster(tmp_path_factory.mktemp("slurm")) as two_nodes:
        yield two_nodes


@pytest.fixture(autouse=True)
def idle(request):
    """Both nodes answer before a test and nothing runs after it."""
    yield
    for job, state in request.getfixturevalue("cluster").jobs().items():
        if state in ("RUNNING", "PENDING", "COMPLETING"):
            slurm.run("scancel", "-s", "KILL", "--full", job, check=False)
            slurm.run("scancel", job, check=False)


def checkout_at(folder: Path) -> Checkout:
    """A copy of the project whose jobs find the plugin."""
    checkout = Checkout(folder)
    checkout.environment["PYTHONPATH"] += f":{Path(plugin.__file__).parents[1]}"
    checkout.edit("workflow/profiles/slurm/config.yaml", "# slurm_partition: gpu ", "slurm_partition: main #")
    checkout.edit("workflow/profiles/slurm/config.yaml", "mem_mb: 4000", "mem_mb: 3000")
    return checkout


def slow(folder: Path) -> Checkout:
    """A checkout whose trainings on the cluster wait before each update; what is neutral changes no digest."""
    checkout = checkout_at(folder)
    checkout.edit("config/ci.yaml", "iterations: 4", f"iterations: {UPDATES}")
    checkout.edit("config/ci.yaml", "log_interval: 1", "log_interval: 1\n  checkpoint_interval: 1000")
    waiting = 'time.sleep("SLURM_JOB_ID" in os.environ)\n        return self.signal is not None or'
    checkout.edit("workflow/rfbench/training/watchdog.py", "return self.signal is not None or", waiting)
    return checkout


@pytest.fixture(scope="module")
def calm(tmp_path_factory) -> Checkout:
    """The training that the tests below disturb, undisturbed and on this machine alone."""
    checkout = slow(tmp_path_factory.mktemp("calm"))
    checkout.snakemake("--cores", "2", "--", f"{RUN}/train.json")
    return checkout


def start(checkout: Checkout, log: str, *arguments: str) -> subprocess.Popen:
    """Snakemake that hands its jobs to SLURM, for the one training."""
    words = [*PROFILE, *HERE, *arguments, "--", f"{RUN}/train.json"]
    return checkout.start("config/ci.yaml", checkout.folder / log, *words)


def wait_for_update(checkout: Checkout, least: int, snakemake: subprocess.Popen, log: str) -> None:
    """Until the training has done so many updates."""
    curve = checkout.folder / RUN / "work" / "curve.csv"
    while not curve.exists() or curve.read_text().count("\n") <= least:
        assert snakemake.poll() is None, (checkout.folder / log).read_text()
        time.sleep(0.2)


def ended_well(checkout: Checkout, snakemake: subprocess.Popen, log: str, calm: Checkout) -> None:
    """Snakemake ends well, the training went on from a checkpoint, and its bytes are those of an undisturbed one."""
    assert snakemake.wait(600) == 0, (checkout.folder / log).read_text()
    assert '"resumed": true' in (checkout.folder / RUN / "times.json").read_text()
    for name in ("train.json", "curve.csv", "work/model.pth"):
        assert (checkout.folder / RUN / name).read_bytes() == (calm.folder / RUN / name).read_bytes(), name


def running(cluster: slurm.Cluster) -> str:
    """The number of the one job that runs."""
    (job,) = [job for job, state in cluster.jobs().items() if state == "RUNNING"]
    return job


def test_the_smallest_benchmark_gives_the_bytes_of_one_machine(cluster, tmp_path):
    before = len(cluster.jobs())
    far, near = checkout_at(tmp_path / "far"), Checkout(tmp_path / "near")
    far.snakemake(*PROFILE, *HERE)
    submitted = dict(list(cluster.jobs().items())[before:])
    assert set(submitted.values()) == {"COMPLETED"}
    assert len(submitted) == 6, "data, profile, its table, two runs, the report: none for each of 15 jobs"
    near.snakemake("--cores", "2")
    differing, compared = differences(far.folder, near.folder)
    assert differing == []
    assert compared > 60
    assert far.planned() == {}


def test_a_training_over_its_limit_goes_on_in_another_job(cluster, calm, tmp_path):
    checkout = slow(tmp_path)
    checkout.edit("workflow/profiles/slurm/config.yaml", "USR1@300", f"USR1@{WARNED}")
    before = set(cluster.jobs())
    snakemake = start(checkout, "log", "--set-resources", "train:runtime=3", "prepare:runtime=10")
    ended_well(checkout, snakemake, "log", calm)
    states = [state for job, state in cluster.jobs().items() if job not in before]
    assert len(states) >= 3, "data, and the training at least twice"
    assert "TIMEOUT" not in states, "warned before the limit, so the job ended by itself"
    assert "FAILED" in states


@pytest.mark.parametrize("way", ["scancel", "preemption"])
def test_a_cancelled_or_preempted_training_goes_on(cluster, calm, tmp_path, way):
    checkout = slow(tmp_path)
    snakemake = start(checkout, "log")
    wait_for_update(checkout, 20, snakemake, "log")
    if way == "scancel":
        slurm.run("scancel", running(cluster))
    else:
        slurm.run("sbatch", "-p", "urgent", "-N2", "--exclusive", "-o", str(tmp_path / "urgent"), "--wrap", "sleep 5")
    work = checkout.folder / RUN / "work"
    while not list(work.glob("iter_*.pth")):
        assert snakemake.poll() is None, (checkout.folder / "log").read_text()
        time.sleep(0.1)
    ended_well(checkout, snakemake, "log", calm)


def test_the_run_of_a_node_that_dies_goes_on_elsewhere(cluster, calm, tmp_path):
    checkout = slow(tmp_path)
    checkout.edit("config/ci.yaml", "checkpoint_interval: 1000", "checkpoint_interval: 5")
    snakemake = start(checkout, "log")
    wait_for_update(checkout, 20, snakemake, "log")
    node = slurm.run("squeue", "-h", "-j", running(cluster), "-o", "%N").strip()
    cluster.kill_node(node)
    ended_well(checkout, snakemake, "log", calm)  # asserts that it resumed, with the calm run's bytes
    cluster.start_node(node)
    slurm.run("scontrol", "update", f"nodename={node}", "state=resume", check=False)


def test_a_killed_head_starts_again_and_its_job_is_waited_for(cluster, calm, tmp_path):
    """The job that outlived its Snakemake trains on; the new one's job waits for it and takes over what it finished."""
    checkout = slow(tmp_path)
    first = start(checkout, "first")
    wait_for_update(checkout, 20, first, "first")
    orphan, training = running(cluster), int((checkout.folder / RUN / "work" / "lock").read_text().split()[0])
    os.kill(training, signal.SIGSTOP)  # so that the next start surely meets it
    first.send_signal(signal.SIGKILL)
    first.wait()
    second = start(checkout, "second")
    log = next((checkout.folder / "results/ci/logs/train").glob("*.log"))
    waiting = r"waiting for process \d+ on \S+, which is training here"
    while not (log.exists() and re.search(waiting, log.read_text())):  # the next start deletes the orphan's log
        assert second.poll() is None, (checkout.folder / "second").read_text()
        time.sleep(0.1)
    assert cluster.jobs()[orphan] == "RUNNING"
    os.kill(training, signal.SIGCONT)
    assert second.wait(600) == 0, (checkout.folder / "second").read_text()
    assert "left by a Snakemake that is gone; cleared" in (checkout.folder / "second").read_text()
    assert cluster.jobs()[orphan] == "COMPLETED"
    for name in ("train.json", "curve.csv", "work/model.pth"):
        assert (checkout.folder / RUN / name).read_bytes() == (calm.folder / RUN / name).read_bytes(), name
