"""The checks of `rfbench gpu --accept` (`accept.CHECKS`), one function each, which returns what it found.

What fails by an exception has failed; `skip` raises for what this machine does not have.
"""

import json
import math
import os
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
import yaml
from torch import nn

from rfbench import devices
from rfbench.data.prepare import prepare_synthetic
from rfbench.errors import RFBenchError
from rfbench.evaluation.score import PRINTED, score
from rfbench.models import build_model
from rfbench.names import BASELINE_PAIR, LESIONS
from rfbench.precision import set_precision
from rfbench.profiling.accept import FAILED, PASSED, SKIPPED, Asked, Finding
from rfbench.profiling.profile import clock, synthetic_batch
from rfbench.profiling.suite import Suite
from rfbench.settings import Training, complete, own_recipe
from rfbench.training import compiling
from rfbench.training.loop import loader
from rfbench.training.step import Update
from rfbench.training.stream import TrainingStream

SMALL, SIDE = "hrnetv2_embedded", 128  # network and crops where a CPU must keep up
# How far the first losses may be from float32's on a CPU: some roundings of each type, which has 24, 11, 8 and 11 bits.
PRECISIONS = {
    "float32": (Training(), 1e-5),
    "tf32": (Training(tf32=True), 1e-3),
    "bfloat16": (Training(amp="bfloat16"), 1e-3),
    "float16": (Training(amp="float16"), 1e-3),
}
FIRST = 3  # updates whose losses are compared one by one; later ones drift apart, as those of any two machines do
FASTEST = Training(tf32=True, amp="bfloat16", channels_last=True, cudnn_benchmark=True)
WARM_UP, TIMED = 5, 20  # updates
POINTS = 0.5  # that a checkpoint's score may differ from the printed one


class Skipped(Exception):
    """What the check needs is not here."""


def run(asked: Asked, name: str, folder: Path) -> Finding:
    """One check; `folder` is for what it generates and trains, and may hold what an earlier start left there."""
    try:
        return Finding(*_CHECKS[name](asked, folder))
    except Skipped as reason:
        return Finding(SKIPPED, str(reason))
    except Exception as error:  # the report names it, and the next check may still tell something
        return Finding(FAILED, f"{type(error).__name__}: {error}".splitlines()[0])


def _judged(good: bool, figure: str) -> tuple[str, str]:
    return PASSED if good else FAILED, figure


def _device(suite: Suite) -> torch.device:
    """The device, claimed and compared with the claim."""
    return devices.pick_device(suite.device)


def _network(competitor: str, backbone: str, device: torch.device) -> nn.Module:
    """A network whose weights are the same on every device."""
    torch.manual_seed(0)
    return build_model(competitor, backbone, len(LESIONS)).to(device).train()


def _updates(suite: Suite, recipe: Training, competitor: str, count: int) -> tuple[list[float], list[float]]:
    """Losses and seconds of so many updates by the suite's batch."""
    device = _device(suite)
    set_precision(tf32=recipe.tf32, cudnn_benchmark=recipe.cudnn_benchmark)
    update, losses, seconds = Update(_network(competitor, suite.backbone, device), recipe), [], []
    for number in range(count):
        images, label = synthetic_batch((suite.batch, 3, *reversed(suite.crop)), device, number)
        started = clock(device)
        losses.append(update(images, label, recipe.optimizer.lr))
        seconds.append(clock(device) - started)
    return torch.stack(losses).mean(1).tolist(), seconds


def check_device(asked: Asked, folder: Path) -> tuple[str, str]:
    """`devices.pick_device` compares what CUDA shows with the claim, and raises."""
    if asked.suite.device == "cpu":
        raise Skipped("device: cpu")
    device = _device(asked.suite)
    found, shown = devices.provenance_on(device), torch.cuda.get_device_properties(device)
    gpu = found["gpu"]
    return PASSED, (
        f"{found['device']}, UUID {shown.uuid}, {shown.total_memory / 2**30:.0f} GiB, driver {gpu['driver']}, CUDA "
        f"{gpu['cuda']}, cuDNN {gpu['cudnn']}"
    )


def check_losses(asked: Asked, folder: Path) -> tuple[str, str]:
    """The first losses within the type's roundings, the last quarter's mean within the spread from batch to batch."""
    device, count = _device(asked.suite), asked.suite.iterations
    cpu = torch.device("cpu")
    reference = _small_losses(Training(), cpu, count)
    last = max(count // 4, 2)
    spread, figures, good = statistics.stdev(reference[-last:]), [], True
    for name, (recipe, limit) in PRECISIONS.items():
        if name == "tf32" and device.type == "cpu":
            continue
        losses = _small_losses(recipe, device, count)
        first = max(abs(own - theirs) / theirs for own, theirs in zip(losses[:FIRST], reference, strict=False))
        drift = abs(statistics.mean(losses[-last:]) - statistics.mean(reference[-last:]))
        good &= first <= limit and drift <= spread  # also where one is not a number
        figures.append(f"{name} {first:.1e} (at most {limit:.0e}), {drift:.4f}")
    return _judged(good, f"{'; '.join(figures)} (at most {spread:.4f} over the last {last} of {count} updates)")


def _small_losses(recipe: Training, device: torch.device, count: int) -> list[float]:
    """Of the baseline's smallest network, on batches that are generated on the CPU, whatever computes."""
    set_precision(tf32=recipe.tf32, cudnn_benchmark=False)
    update, losses = Update(_network(BASELINE_PAIR, SMALL, device), recipe), []
    for number in range(count):
        images, label = synthetic_batch((2, 3, SIDE, SIDE), torch.device("cpu"), number)
        losses.append(update(images.to(device), label.to(device), recipe.optimizer.lr))
    return torch.stack(losses).mean(1).tolist()


def check_memory(asked: Asked, folder: Path) -> tuple[str, str]:
    """torch's own count of the most bytes allocated; where they do not fit, it raises."""
    if asked.suite.device == "cpu":
        raise Skipped("device: cpu; only a GPU's memory is counted")
    figures, total = [], torch.cuda.get_device_properties(_device(asked.suite)).total_memory
    for name, recipe in (("published", Training()), ("fastest", FASTEST)):
        torch.cuda.reset_peak_memory_stats()
        _updates(asked.suite, recipe, BASELINE_PAIR, 3)
        figures.append(f"{name} {torch.cuda.max_memory_allocated() / 2**30:.1f} GiB")
    return PASSED, f"{', '.join(figures)} of {total / 2**30:.0f} GiB"


def check_speed(asked: Asked, folder: Path) -> tuple[str, str]:
    """Median updates a second after the warm-up; the fastest recipe must not be slower than the published one."""
    suite = asked.suite
    recipes = {"published": Training()}
    if suite.device != "cpu":  # on which bfloat16 is emulated
        recipes["fastest"] = FASTEST
    rates = {}
    for name, recipe in recipes.items():
        _, seconds = _updates(suite, recipe, BASELINE_PAIR, min(WARM_UP + TIMED, suite.iterations))
        rates[name] = 1 / statistics.median(seconds[min(WARM_UP, len(seconds) // 2) :])
    return _judged(
        list(rates.values()) == sorted(rates.values()),
        ", ".join(f"{name} {rate:.2f} updates/s" for name, rate in rates.items()),
    )


def check_compiled(asked: Asked, folder: Path) -> tuple[str, str]:
    """Logits and the loss's gradients (`compiled_differences`)."""
    suite, device = asked.suite, _device(asked.suite)
    if device.type == "cpu":
        raise Skipped("device: cpu; its kernels take minutes to build")
    if problem := compiling.problem(device):
        raise Skipped(f"torch.compile does not work here ({problem}); recipe.compile would train without")
    set_precision(tf32=False, cudnn_benchmark=False)
    largest = compiled_differences(suite, device)
    figure = ", ".join(f"{pair} {difference:.1e}" for pair, difference in largest.items())
    return _judged(max(largest.values()) <= 1e-2, f"largest difference {figure} (at most 1e-02)")


def compiled_differences(suite: Suite, device: torch.device) -> dict[str, float]:
    """Of the baseline and of M2MRF, the largest difference of logits or gradients, relative to the largest of them."""
    largest, images, label = {}, *synthetic_batch((2, 3, SIDE, SIDE), device)
    for pair in (BASELINE_PAIR, "m2mrf_c"):
        values = []
        for wanted in (False, True):
            update = Update(_network(pair, suite.backbone, device), Training(compile=wanted))
            update.backward(images, label)
            gradients = [parameter.grad.flatten() for parameter in update.model.parameters()]
            with torch.no_grad():
                values.append([update.forward(images).flatten(), torch.cat(gradients)])
        largest[pair] = max(((a - b).abs().max() / a.abs().max()).item() for a, b in zip(*values, strict=True))
    return largest


def _generated(folder: Path) -> Path:
    """A small synthetic data set, prepared once."""
    manifest = folder / "data" / "manifest.csv"
    if not manifest.exists():
        prepare_synthetic(folder / "data", train=4, test=1, factor=0.25, seed=0, progress=False)
    return manifest


def check_loader(asked: Asked, folder: Path) -> tuple[str, str]:
    """Batches a second of a real loader on generated photographs, fitted into as many pixels as a training's."""
    suite = asked.suite
    _, seconds = _updates(suite, FASTEST if suite.device != "cpu" else Training(), BASELINE_PAIR, WARM_UP + 3)
    update = statistics.median(seconds[WARM_UP:])
    settings = _settings(suite, folder, crop=suite.crop, workers=max((os.cpu_count() or 2) - 1, 1))
    dataset, recipe = settings.datasets["SYN"], settings.recipe
    stream, warm, timed = TrainingStream(_generated(folder), dataset, recipe, 0, stored=True), recipe.workers, 10
    batches = iter(loader(stream, range((warm + timed) * recipe.batch_size), recipe, dataset.crop))
    for _ in range(warm):
        next(batches)
    started = time.perf_counter()
    count = sum(1 for _ in batches)
    loading = (time.perf_counter() - started) / count
    return _judged(
        loading <= update,
        f"an update takes {update:.3g} s, loading its batch {loading:.3g} s with {recipe.workers} processes: "
        + ("the network bounds a training" if loading <= update
           else "the loader bounds a training; give it more cores (recipe.workers)"),
    )  # fmt: skip


def check_pairs(asked: Asked, folder: Path) -> tuple[str, str]:
    """Ten updates each, by a method's own recipe; a loss that is no number, or an exception, names whose it is."""
    wrong, recipe = {}, FASTEST if asked.suite.device != "cpu" else Training()
    names = asked.suite.pairs
    for name in names:
        try:
            losses, _ = _updates(asked.suite, recipe.model_copy(update=own_recipe(name)), name, 10)
            if not all(map(math.isfinite, losses)):
                wrong[name] = f"losses {losses}"
        except (RuntimeError, RFBenchError, ValueError) as error:
            wrong[name] = f"{type(error).__name__}: {error}".splitlines()[0]
    told = "".join(f"; {name}: {reason}" for name, reason in wrong.items())
    return _judged(not wrong, f"{len(names) - len(wrong)} of {len(names)} pairs and methods{told}")


def _settings(suite: Suite, folder: Path, crop: tuple[int, int], workers: int = 0, iterations: int = 60):
    """A configuration of the smallest network on the generated data set."""
    return complete(
        {
            "pairs": [BASELINE_PAIR], "seeds": [0, 1], "device": suite.device, "results": str(folder / "runs"),
            "datasets": {"SYN": {
                "kind": "synthetic", "synthetic": {"train": 4, "test": 1, "factor": 0.25, "seed": 0},
                "scale": [max(1072, crop[0]), max(712, crop[1])], "crop": list(crop), "iterations": iterations,
                "mean": [116.513, 56.437, 16.309], "std": [80.206, 41.232, 13.293],
            }},
            "model": {"backbone": SMALL},
            "recipe": {"name": "acceptance", "batch_size": suite.batch, "workers": workers, "checkpoint_interval": 5,
                       "log_interval": 1},
        }
    )  # fmt: skip


def _training(suite: Suite, folder: Path, name: str, seed: int = 0) -> subprocess.Popen:
    """Start `rfbench train` in a folder of this name, where a former one may have left checkpoints."""
    settings, own = _settings(suite, folder, crop=(SIDE, SIDE)), folder / name
    own.mkdir(parents=True, exist_ok=True)
    (own / "config.yaml").write_text(yaml.safe_dump(settings.model_dump(mode="json")))
    command = [sys.executable, "-m", "rfbench", "train", "--config", own / "config.yaml", "--dataset", "SYN",
               "--pair", BASELINE_PAIR, "--seed", str(seed), "--manifest", _generated(folder), "--work", own / "work",
               "--output", own / "train.json"]  # fmt: skip
    with (own / "log").open("ab") as log:
        return subprocess.Popen(command, stderr=log)


def _ended(folder: Path, name: str) -> dict:
    """The record of a training that has ended; RFBenchError with its last words if it has not."""
    path = folder / name / "train.json"
    if not path.exists():
        raise RFBenchError(f"{name} ended without a record: {(folder / name / 'log').read_text()[-200:]}")
    return json.loads(path.read_text())


def check_resume(asked: Asked, folder: Path) -> tuple[str, str]:
    """kill -9 once a checkpoint is there; on a CPU the weights must end the same to the bit, on a GPU the losses."""
    _training(asked.suite, folder, "whole").wait()
    victim = _training(asked.suite, folder, "killed")
    while victim.poll() is None and not any((folder / "killed" / "work").glob("iter_*.sha256")):
        time.sleep(0.01)
    victim.send_signal(signal.SIGKILL)
    victim.wait()
    _training(asked.suite, folder, "killed").wait()
    records = [_ended(folder, name) for name in ("whole", "killed")]
    resumed = json.loads((folder / "killed" / "times.json").read_text())["resumed"]
    curves = [
        [float(row.split(",")[1]) for row in (folder / name / "curve.csv").read_text().splitlines()[1:]]
        for name in ("whole", "killed")
    ]
    largest = max(abs(a - b) for a, b in zip(*curves, strict=True))
    same = records[0]["checkpoint_sha256"] == records[1]["checkpoint_sha256"]
    return _judged(
        resumed and (same or (asked.suite.device != "cpu" and largest <= 0.05)),
        f"{'resumed' if resumed else 'NOT resumed'}, weights {'equal' if same else 'differ'}, losses differ by at most "
        f"{largest:.1e}",
    )


def check_jobs(asked: Asked, folder: Path) -> tuple[str, str]:
    """The UUIDs that two trainings claimed; where both claimed one, the second must have waited for the first."""
    if asked.suite.device == "cpu":
        raise Skipped("device: cpu; nothing is claimed")
    names = ("first", "second")
    jobs = [_training(asked.suite, folder, name, seed) for seed, name in enumerate(names)]
    states = [job.wait() for job in jobs]
    logs = [(folder / name / "log").read_text() for name in names]
    claimed = [next((line for line in log.splitlines() if line.startswith("GPU ")), "none") for log in logs]
    apart = claimed[0] != claimed[1]
    waited = any("waiting for a GPU" in log for log in logs)
    how = "on two GPUs" if apart else "one after the other" if waited else "BOTH AT ONCE on one GPU"
    done = all(_ended(folder, name)["state"] == "done" for name in names)
    return _judged(states == [0, 0] and done and (apart or waited), f"{how}: {', '.join(claimed)}")


def check_checkpoint(asked: Asked, folder: Path) -> tuple[str, str]:
    """The authors' README has the best of three runs, and the file is that run's."""
    if not asked.checkpoint or not asked.data:
        raise Skipped("no --checkpoint and --data were given")
    given = dict.fromkeys(("backbone", "operator_options", "lesions", "scale", "mean", "std")) | {"pair": asked.pair}
    record = score(Path(asked.checkpoint), Path(asked.data), given=given, device=asked.suite.device)
    ours = {printed: 100 * record["metrics"][own]["mean"] for printed, own in PRINTED.items()}
    printed = record["published"]
    if not printed:
        raise Skipped(f"nothing is printed for it on this data set; ours: {ours}")
    figure = ", ".join(f"{name} {value:.2f} (printed {printed[name]:.2f})" for name, value in ours.items())
    return _judged(all(abs(value - printed[name]) <= POINTS for name, value in ours.items()), figure)


_CHECKS: dict[str, Callable[[Asked, Path], tuple[str, str]]] = {
    "device": check_device,
    "losses": check_losses,
    "memory": check_memory,
    "speed": check_speed,
    "compiled": check_compiled,
    "loader": check_loader,
    "pairs": check_pairs,
    "resume": check_resume,
    "jobs": check_jobs,
    "checkpoint": check_checkpoint,
}
