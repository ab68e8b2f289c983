"""Trainings that are stopped: by their time limit, by a hang, by kill -9 at any moment, by an orphan."""

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import yaml

from rfbench import stages
from rfbench.errors import RFBenchError
from rfbench.files import write_whole
from rfbench.pipeline import Pipeline
from rfbench.report.aggregate import aggregate
from rfbench.runs import run_folder
from rfbench.training import memory, step, train, watchdog, workfolder

from ..checkout import ROOT
from ..tiny_run import PAIR, changed, evaluated, make_settings, plain, run, same, stop_after, weights

RECORDS = ("train.json", "curve.csv", "work/model.pth")


class Killed(BaseException):
    """Stands for kill -9 within this process."""


def expire_at(monkeypatch, updates: int) -> None:
    """Let every time limit be reached after so many updates."""
    monkeypatch.setattr(watchdog.Watchdog, "expired", lambda self: self.hours is not None and self.done == updates)


def equal(a: Path, b: Path) -> bool:
    """Whether two runs left the same bytes."""
    return all((a / name).read_bytes() == (b / name).read_bytes() for name in RECORDS)


@pytest.fixture(scope="session")
def whole(manifest, tmp_path_factory) -> Path:
    """An undisturbed run with curve rows of four updates."""
    folder = tmp_path_factory.mktemp("whole")
    run(make_settings(log_interval=4), manifest, folder)
    return folder


def test_over_the_limit_is_a_timeout_with_a_checkpoint(manifest, tmp_path, monkeypatch, whole):
    with monkeypatch.context() as patch:
        expire_at(patch, 3)
        record = run(make_settings(log_interval=4, time_limit=0.5), manifest, tmp_path)
    assert record["state"] == "timeout"
    assert record["reason"].startswith("recipe.time_limit of 0.5 h reached at iteration 3 of 6. Raise the limit")
    assert (record["time_limit"], record["checkpoint_sha256"]) == (0.5, None)
    assert record == json.loads((tmp_path / "train.json").read_text())
    assert sorted(path.name for path in tmp_path.glob("work/iter_*.pth")) == ["iter_2.pth", "iter_3.pth"]
    again = run(make_settings(log_interval=4), manifest, tmp_path)
    assert again["state"] == "done"
    assert json.loads((tmp_path / "times.json").read_text())["resumed"] is True
    assert equal(tmp_path, whole), "stopped between two rows of the curve"


def test_a_timeout_is_a_hole_with_its_reason(manifest, tmp_path, monkeypatch):
    expire_at(monkeypatch, 3)
    settings = changed(make_settings(time_limit=0.5), "results", str(tmp_path))
    folder = run_folder(tmp_path, "SYN", PAIR, 0)
    run(settings, manifest, folder)
    files = [folder / "train.json", folder / "work", folder / "evaluation.json"]
    assert "metrics" not in evaluated(settings, "SYN", PAIR, 0, manifest, *files)
    table = aggregate(settings)
    assert set(table["state"]) == {"timeout"}
    assert table["value"].isna().all()
    assert "iteration 3 of 6" in table["reason"].iloc[0]


def test_an_evaluation_of_other_settings_is_a_hole(manifest, tmp_path):
    """The settings changed, then the training failed: the old numbers stand for nothing."""
    settings = changed(make_settings(), "results", str(tmp_path))
    folder = run_folder(tmp_path, "SYN", PAIR, 0)
    run(settings, manifest, folder)
    files = [folder / "train.json", folder / "work", folder / "evaluation.json"]
    evaluated(settings, "SYN", PAIR, 0, manifest, *files)
    assert set(aggregate(settings)["state"]) == {"done"}
    table = aggregate(changed(make_settings(power=0.5), "results", str(tmp_path)))
    assert set(table["state"]) == {"missing"}
    assert "recorded with other settings" in table["reason"].iloc[0]


def test_a_raised_limit_continues_and_nothing_else_does(manifest, tmp_path, monkeypatch):
    """What Snakemake sees as the rule's parameter, from the first start to the finished run."""
    expire_at(monkeypatch, 3)
    wildcards = SimpleNamespace(dataset="SYN", pair=PAIR, seed="0")
    folder = run_folder(tmp_path, "SYN", PAIR, 0)

    def parameter(limit: float | None) -> str:
        return Pipeline({**plain(make_settings(time_limit=limit)), "results": str(tmp_path)}).continuations(wildcards)

    first = parameter(0.5)
    run(make_settings(time_limit=0.5), manifest, folder)
    assert parameter(0.5) == parameter(0.4) == first, "the same or a lower limit leaves the hole"
    raised = parameter(1)
    assert raised == parameter(None) != first
    run(make_settings(time_limit=1), manifest, folder)
    assert json.loads((folder / "train.json").read_text())["state"] == "done"
    assert parameter(1) == parameter(0.5) == parameter(None) == raised, "a finished run stays"


HANGING = """
import sys, time
from pathlib import Path
from rfbench.training import train, watchdog
from rfbench.training.stream import TrainingStream
sys.path.insert(0, sys.argv[1])
from tests.tiny_run import make_settings, run

watchdog.GRACE = 2.0
read = TrainingStream.__getitem__
TrainingStream.__getitem__ = lambda self, draw: time.sleep(1000) if draw == 14 else read(self, draw)
run(make_settings(time_limit=12 / 3600, workers=WORKERS), Path(sys.argv[2]), Path(sys.argv[3]))
"""


@pytest.mark.slow
@pytest.mark.parametrize("workers", [0, 1])
def test_a_hung_training_ends_as_a_timeout(manifest, tmp_path, workers, whole):
    """The fourth update's images never come; the record is written, the lock is free, and the run can go on."""
    code = HANGING.replace("WORKERS", str(workers))
    done = subprocess.run(
        [sys.executable, "-c", code, ROOT, manifest, tmp_path], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    record = json.loads((tmp_path / "train.json").read_text())
    assert record["state"] == "timeout"
    assert "at iteration 3 of 6 and no update" in record["reason"]
    assert (tmp_path / "curve.csv").read_text().count("\n") == 4
    with workfolder.locked(tmp_path / "work", patience=0):
        pass
    run(make_settings(), manifest, tmp_path)
    assert same(weights(tmp_path), weights(whole))


HUNG_IN_C = """
import ctypes, sys
from pathlib import Path
from rfbench.training import train, watchdog
from rfbench.training.stream import TrainingStream
sys.path.insert(0, sys.argv[1])
from tests.tiny_run import make_settings, run

watchdog.GRACE = 2.0
read, sleep = TrainingStream.__getitem__, ctypes.PyDLL(None).sleep  # PyDLL: no other thread runs meanwhile
TrainingStream.__getitem__ = lambda self, draw: sleep(1000) if draw == 14 else read(self, draw)
run(make_settings(time_limit=12 / 3600), Path(sys.argv[2]), Path(sys.argv[3]))
"""


@pytest.mark.slow
def test_a_training_hung_in_c_code_is_ended_from_outside(manifest, tmp_path, whole):
    """No thread of its own can run, so there is no record; the reason is left, the lock free, the checkpoint there."""
    command = [sys.executable, "-c", HUNG_IN_C, ROOT, manifest, tmp_path]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert not (tmp_path / "train.json").exists()
    until = time.monotonic() + 20
    while not (tmp_path / "work" / "error.json").exists():
        assert time.monotonic() < until, "the reason follows the kill"
        time.sleep(0.1)
    reason = json.loads((tmp_path / "work" / "error.json").read_text())["reason"]
    assert "reached at iteration 3 of 6 and no update" in reason
    assert "it hung where no thread of its own could end it, and was killed" in reason
    with workfolder.locked(tmp_path / "work", patience=0):
        pass
    run(make_settings(), manifest, tmp_path)
    assert json.loads((tmp_path / "times.json").read_text())["resumed"] is True
    assert same(weights(tmp_path), weights(whole))


TOLD_TO_END = """
import os, signal, sys
from pathlib import Path
from rfbench.training import loop
sys.path.insert(0, sys.argv[1])
from tests.tiny_run import make_settings, run

rate = loop.learning_rate

def told(done, total, recipe):  # within the fourth update; the first signal comes twice, as from a queue
    if done == 3 and os.environ["SIGNAL"]:
        for _ in range(2):
            os.killpg(0, int(os.environ["SIGNAL"]))
    return rate(done, total, recipe)

loop.learning_rate = told
run(make_settings(log_interval=4, workers=WORKERS, checkpoint_interval=1000), Path(sys.argv[2]), Path(sys.argv[3]))
"""


@pytest.mark.slow
@pytest.mark.parametrize("workers", [0, 1])
@pytest.mark.parametrize("number", [signal.SIGUSR1, signal.SIGTERM])
def test_a_signal_to_the_whole_job_leaves_a_checkpoint_and_the_next_start_goes_on(
    manifest, tmp_path, workers, number, whole
):
    """As a queue sends it, to every process of the job at once: the training fails, with its last update saved."""
    command = [sys.executable, "-c", TOLD_TO_END.replace("WORKERS", str(workers)), ROOT, manifest, tmp_path]
    options = {"capture_output": True, "text": True, "timeout": 120, "start_new_session": True}
    first = subprocess.run(command, env={**os.environ, "SIGNAL": str(int(number))}, **options)
    assert first.returncode == 1, first.stderr
    sentence = f"told to end ({number.name}) at iteration 4 of 6. Its checkpoint is written"
    assert sentence in json.loads((tmp_path / "work" / "error.json").read_text())["reason"]
    assert [path.name for path in tmp_path.glob("work/iter_*.pth")] == ["iter_4.pth"]
    assert not (tmp_path / "train.json").exists()
    second = subprocess.run(command, env={**os.environ, "SIGNAL": ""}, **options)
    assert second.returncode == 0, second.stderr
    assert json.loads((tmp_path / "times.json").read_text())["resumed"] is True
    assert equal(tmp_path, whole)


def test_a_second_signal_ends_a_training_that_does_not_come_to_its_next_update(monkeypatch):
    dog, ended = watchdog.Watchdog(None, 6), []
    monkeypatch.setattr(signal, "raise_signal", ended.append)
    before = signal.getsignal(signal.SIGUSR1)
    with dog.heeding():
        os.kill(os.getpid(), signal.SIGUSR1)
        assert dog.expired()
        os.kill(os.getpid(), signal.SIGUSR1)
        assert ended == [], "an echo of the first"
        dog._told -= 2 * watchdog.PATIENCE
        os.kill(os.getpid(), signal.SIGUSR1)
        assert ended == [signal.SIGUSR1]
        assert signal.getsignal(signal.SIGUSR1) is signal.SIG_DFL
    assert signal.getsignal(signal.SIGUSR1) is before


def test_an_unfinished_row_of_the_curve_survives(manifest, tmp_path, monkeypatch, whole):
    """Killed after the checkpoint of update 2, in the middle of the curve's first row."""
    with monkeypatch.context() as patch:
        stop_after(patch, 3, Killed())
        with pytest.raises(Killed):
            run(make_settings(log_interval=4), manifest, tmp_path)
    (tmp_path / "work" / "curve.csv").write_text("iteration,loss,lr\n1")  # a torn write
    run(make_settings(log_interval=4), manifest, tmp_path)
    assert equal(tmp_path, whole)


@pytest.mark.parametrize("workers", [0, 1])
def test_every_random_state_survives(manifest, tmp_path, monkeypatch, workers):
    """A network that draws from all three generators ends the same."""
    backward = step.Update.backward

    def drawing(self, *batch):
        noise = torch.rand(1).item() + random.random() + np.random.random()  # noqa: NPY002
        parameter = next(iter(self.optimizer.param_groups[0]["params"]))
        parameter.data.mul_(1 + 0.01 * noise)
        return backward(self, *batch)

    monkeypatch.setattr(step.Update, "backward", drawing)
    run(make_settings(workers=workers), manifest, tmp_path / "whole")
    with monkeypatch.context() as patch:
        stop_after(patch, 3, Killed())
        with pytest.raises(Killed):
            run(make_settings(workers=workers), manifest, tmp_path / "cut")
    run(make_settings(workers=workers), manifest, tmp_path / "cut")
    assert same(weights(tmp_path / "whole"), weights(tmp_path / "cut"))


def test_what_snakemake_deletes_comes_back_from_the_work_folder(manifest, tmp_path, monkeypatch):
    """An orphan finished; the next Snakemake deletes its outputs as incomplete and starts the job."""
    record = run(make_settings(), manifest, tmp_path)
    (tmp_path / "work" / "unfinished.pth").touch()  # killed while it tidied up
    for name in ("train.json", "curve.csv", "times.json"):
        (tmp_path / name).unlink()
    with monkeypatch.context() as patch:
        patch.setattr(train, "_train", None)
        assert run(make_settings(), manifest, tmp_path) == record
    assert not (tmp_path / "work" / "unfinished.pth").exists()
    (tmp_path / "work" / "model.pth").write_bytes(b"damaged")
    assert run(make_settings(), manifest, tmp_path) == record, "damaged weights are trained again"


def test_checkpoints_of_other_code_are_not_resumed(manifest, tmp_path, monkeypatch, capsys):
    with monkeypatch.context() as patch:
        patch.setattr(stages, "code_digest", lambda *of: "other")
        stop_after(patch, 4, Killed())
        with pytest.raises(Killed):
            run(make_settings(), manifest, tmp_path)
    run(make_settings(), manifest, tmp_path)
    assert "other settings, data or code; training starts anew" in capsys.readouterr().err
    assert json.loads((tmp_path / "times.json").read_text())["resumed"] is False


def begin_on(arithmetic: str, manifest: Path, folder: Path, monkeypatch) -> None:
    """Leave a training's checkpoints as those of another device or precision."""
    with monkeypatch.context() as patch:
        patch.setattr(train, "arithmetic", lambda *of: arithmetic)
        stop_after(patch, 4, Killed())
        with pytest.raises(Killed):
            run(make_settings(), manifest, folder)


@pytest.mark.parametrize("arithmetic", ["cuda, float32", "cpu, bfloat16"])
def test_checkpoints_of_another_device_or_precision_are_neither_resumed_nor_dropped(
    manifest, tmp_path, monkeypatch, arithmetic
):
    begin_on(arithmetic, manifest, tmp_path, monkeypatch)
    with pytest.raises(RFBenchError, match=f"computed on {arithmetic}, this would go on on cpu, float32"):
        run(make_settings(), manifest, tmp_path)
    assert "rounds otherwise" in json.loads((tmp_path / "work" / "error.json").read_text())["reason"]
    assert sorted(path.name for path in tmp_path.glob("work/iter_*.pth")) == ["iter_2.pth", "iter_4.pth"]


def test_going_on_elsewhere_is_asked_for_and_recorded(manifest, tmp_path, monkeypatch):
    begin_on("cuda, float32", manifest, tmp_path, monkeypatch)
    (tmp_path / "work" / "identity.json").unlink()
    with monkeypatch.context() as patch:
        stop_after(patch, 5, Killed())
        with pytest.raises(Killed):
            run(make_settings(), manifest, tmp_path)
    record = run(make_settings(), manifest, tmp_path)
    assert record["identity"]["arithmetic"] == "cpu, float32, begun elsewhere"
    assert json.loads((tmp_path / "times.json").read_text())["resumed"] is True


def test_what_another_device_finished_is_taken_over(manifest, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(train, "arithmetic", lambda *of: "cuda, float32")
        record = run(make_settings(), manifest, tmp_path)
    assert record["identity"]["arithmetic"] == "cuda, float32"
    assert run(make_settings(), manifest, tmp_path) == record
    (tmp_path / "work" / "model.pth").write_bytes(b"damaged")
    assert run(make_settings(), manifest, tmp_path)["identity"]["arithmetic"] == "cpu, float32"


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB.\nSee documentation"),
        RuntimeError("[enforce fail at alloc_cpu.cpp:124] . DefaultCPUAllocator: can't allocate memory: you tried"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling cublasCreate(handle)"),
        MemoryError(),
    ],
)
def test_out_of_memory_is_a_state_with_advice_and_its_checkpoint_stays(manifest, tmp_path, monkeypatch, whole, error):
    """As where another process takes the memory at the fourth update; with more, the training goes on."""
    with monkeypatch.context() as patch:
        stop_after(patch, 3, error)
        record = run(make_settings(log_interval=4), manifest, tmp_path)
    assert (record["state"], record["checkpoint_sha256"]) == ("oom", None)
    assert record == json.loads((tmp_path / "train.json").read_text())
    assert record["reason"].startswith(str(error).partition("\n")[0] or "The machine's memory is used up.")
    assert "recipe.micro_batches: 2 (batch norm then sees 2 images)" in record["reason"]
    assert not (tmp_path / "work" / "error.json").exists()
    assert run(make_settings(log_interval=4), manifest, tmp_path)["state"] == "done"
    assert equal(tmp_path, whole)


def test_an_allocation_that_no_machine_can_make_is_out_of_memory():
    with pytest.raises(RuntimeError) as caught:
        torch.empty(2**50)
    assert memory.is_out_of_memory(caught.value)
    assert not memory.is_out_of_memory(RuntimeError("shapes do not match"))


def test_advice_names_only_what_is_left_to_try():
    recipe = make_settings(batch_size=6, micro_batches=3, amp="bfloat16").recipe
    assert memory.advice(recipe).startswith("Train it with recipe.micro_batches: 6 (batch norm then sees 1 images), or")
    recipe = make_settings(batch_size=6, micro_batches=6).recipe
    assert memory.advice(recipe).startswith("Train it with recipe.amp: bfloat16, or a device with more memory")


def test_out_of_memory_is_a_hole_with_its_reason(manifest, tmp_path, monkeypatch):
    stop_after(monkeypatch, 1, torch.OutOfMemoryError("CUDA out of memory."))
    settings = changed(make_settings(), "results", str(tmp_path))
    folder = run_folder(tmp_path, "SYN", PAIR, 0)
    run(settings, manifest, folder)
    files = [folder / "train.json", folder / "work", folder / "evaluation.json"]
    assert "metrics" not in evaluated(settings, "SYN", PAIR, 0, manifest, *files)
    table = aggregate(settings)
    assert set(table["state"]) == {"oom"}
    assert "micro_batches" in table["reason"].iloc[0]


def test_a_diverged_run_has_no_weights(manifest, tmp_path, monkeypatch):
    monkeypatch.setattr("rfbench.training.step.dice_loss", lambda logits, label, **_: logits.sum() * float("nan"))
    record = run(make_settings(), manifest, tmp_path)
    assert (record["state"], record["checkpoint_sha256"]) == ("diverged", None)
    assert not (tmp_path / "work" / "model.pth").exists()


def test_the_update_that_diverged_is_named_though_losses_are_read_later(manifest, tmp_path, monkeypatch):
    """Whole, and resumed from the checkpoint of update 2; no checkpoint holds what came of it."""
    dice, seen = step.dice_loss, []

    def poisoned(logits, label, **options):
        seen.append(label)
        return dice(logits, label, **options) * (float("inf") if len(seen) == 4 else 1)

    monkeypatch.setattr(step, "dice_loss", poisoned)
    record = run(make_settings(log_interval=6, checkpoint_interval=5), manifest, tmp_path / "whole")
    assert (record["state"], record["reason"]) == ("diverged", "loss inf at iteration 4")
    seen.clear()
    with monkeypatch.context() as patch:
        stop_after(patch, 3, Killed())
        with pytest.raises(Killed):
            run(make_settings(log_interval=6), manifest, tmp_path / "cut")
    assert [path.name for path in (tmp_path / "cut" / "work").glob("iter_*.pth")] == ["iter_2.pth"]
    seen.pop()
    record = run(make_settings(log_interval=6), manifest, tmp_path / "cut")
    assert record["reason"] == "loss inf at iteration 4"
    assert json.loads((tmp_path / "cut" / "times.json").read_text())["resumed"] is True


@pytest.mark.slow
def test_an_evaluation_that_fails_leaves_its_reason(manifest, tmp_path):
    settings = changed(make_settings(), "results", str(tmp_path))
    folder = run_folder(tmp_path, "SYN", PAIR, 0)
    run(settings, manifest, folder)
    (folder / "work" / "model.pth").write_bytes(b"damaged")
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(plain(settings)))
    command = command_line("evaluate", tmp_path / "config.yaml", manifest, folder, "evaluation.json")
    assert subprocess.run([*command, "--record", folder / "train.json"], capture_output=True).returncode == 1
    table = aggregate(settings)
    assert set(table["state"]) == {"error"}
    assert "expected the checkpoint of digest" in table["reason"].iloc[0]


def test_a_file_that_an_orphan_writes_too_is_whole(tmp_path, monkeypatch):
    """Another preparation of the same data renames the same file between our write and our rename."""
    replace = os.replace

    def orphan_first(part: Path, path: Path) -> None:
        monkeypatch.setattr(os, "replace", replace)
        with monkeypatch.context() as other:
            other.setattr(os, "getpid", lambda: -1)
            write_whole(path, b"whole")
        path.unlink()  # and Snakemake deletes it
        replace(part, path)

    monkeypatch.setattr(os, "replace", orphan_first)
    write_whole(tmp_path / "x", b"whole")
    assert (tmp_path / "x").read_bytes() == b"whole"


def command_line(verb: str, config: Path, manifest: Path, folder: Path, output: str) -> list:
    """`rfbench train` or `rfbench evaluate` of the smallest run."""
    run_of = ["--dataset", "SYN", "--pair", PAIR, "--seed", "0", "--manifest", manifest]
    files = ["--work", folder / "work", "--output", folder / output]
    return [sys.executable, "-m", "rfbench", verb, "--config", config, *run_of, *files]


def kill_in_the_middle(command: list, wait: float, condition=lambda: True) -> bool:
    """Start a command and kill it -9 so many seconds after a condition holds; False if it had ended before."""
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    while not condition() and process.poll() is None:
        time.sleep(0.001)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(wait)
        return False
    process.kill()
    process.wait()
    return True


def writing(work: Path, least: int) -> bool:
    """Whether a checkpoint is being written and at least so many are whole."""
    return (work / "unfinished.pth").exists() and len(list(work.glob("iter_*.pth"))) >= least


@pytest.mark.slow
@pytest.mark.parametrize("workers", [0, 2])
def test_kill_minus_nine_at_any_moment(manifest, tmp_path, workers):
    """Random instants, and instants while the first or a later checkpoint is written; the end has the same bytes."""
    settings = make_settings(workers=workers, checkpoint_interval=1, log_interval=3)
    settings = changed(settings, "datasets.SYN.iterations", 25)
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(plain(settings)))
    run(settings, manifest, tmp_path / "whole")
    folder, rng = tmp_path / "cut", random.Random(workers)
    command = command_line("train", tmp_path / "config.yaml", manifest, folder, "train.json")
    kills = [kill_in_the_middle(command, rng.uniform(0, 4))]  # a whole run takes longer
    for least in (0, 1, 0, 1):  # whole checkpoints
        (folder / "work" / "unfinished.pth").unlink(missing_ok=True)
        kills.append(kill_in_the_middle(command, rng.uniform(0, 0.01), partial(writing, folder / "work", least)))
    assert kills.count(True) >= 4, kills
    assert subprocess.run(command, env=os.environ).returncode == 0
    assert json.loads((folder / "times.json").read_text())["resumed"] is True
    assert equal(folder, tmp_path / "whole")
    assert not list(folder.glob("work/*iter_*")) + list(folder.glob("work/unfinished.pth"))
