"""What a GPU is asked for, in one command: the profile of every competitor in three precisions, and a training step.

Blocks run in the order of `suite.BLOCKS`. The record is written after each, so that a cut-off loses only the block that
runs; what the time does not allow is listed as missing, what fails as failed.
"""

import gc
import statistics
import sys
import time
from dataclasses import asdict, replace
from pathlib import Path

import torch

from rfbench import devices, provenance
from rfbench.competitors import is_method
from rfbench.devices import pick_device
from rfbench.models import assemble, build_model
from rfbench.models.fuse import has_shorter_form
from rfbench.names import BASELINE_PAIR, LESIONS
from rfbench.precision import set_precision
from rfbench.profiling.profile import Conditions, clock, profile, synthetic_batch
from rfbench.profiling.suite import TRAINED, Suite
from rfbench.settings import Training
from rfbench.training.step import Update

COMPILED = (BASELINE_PAIR, "m2mrf_a", "m2mrf_c")
WARM_UP = 10  # steps that compile and try kernels; no time of theirs counts


STEPS = {  # the slowest one last: what the time cuts off is the end of its curve
    "stock_tf32": Training(tf32=True),  # for its time alone, a tenth of the steps
    "ours": Training(tf32=True, amp="bfloat16", channels_last=True, compile=True),
    "stock": Training(),  # as the authors trained: float32
}
"""The published recipe as it stands, with TF32, and with all that a GPU computes faster; `training.step.Update` runs
them, as it runs trainings."""


def measure(suite: Suite, only: tuple[str, ...], minutes: float, output: Path) -> dict:
    """Run the blocks and write the record after each.

    Args:
        only: blocks to run, of `suite.BLOCKS`.
        minutes: after which no block starts and a training stops.
        output: the record (JSON).
    """
    deadline = time.monotonic() + 60 * minutes
    record = {"suite": asdict(suite), "minutes": minutes, "blocks": {}, "failed": {}, "missing": list(only)}
    record["provenance"] = devices.provenance_on(pick_device(suite.device))
    for name in only:
        if time.monotonic() > deadline:
            break
        print(f"{name}: started", file=sys.stderr, flush=True)
        started = time.monotonic()
        try:
            record["blocks"][name] = _block(suite, name, deadline) | {"wall_seconds": time.monotonic() - started}
        except Exception as error:  # the next block may still be worth its minutes; the command ends with status 1
            record["failed"][name] = f"{type(error).__name__}: {error}"
        release()
        record["missing"].remove(name)
        provenance.write_json(output, record)
        print(f"{name}: {record['failed'].get(name, 'done')}, {time.monotonic() - started:.0f} s", file=sys.stderr)
    provenance.write_json(output, record)
    return record


def _block(suite: Suite, name: str, deadline: float) -> dict:
    if name in TRAINED:
        return compare_steps(suite, TRAINED[name], deadline)
    conditions = Conditions(
        suite.pairs, suite.backbone, size=suite.size, rounds=suite.rounds, device=suite.device, paper=False
    )
    if name.startswith("compiled_"):
        conditions = replace(conditions, pairs=COMPILED, compiled=COMPILED, dtype=name.removeprefix("compiled_"))
    else:
        with torch.device("meta"):
            shorter = tuple(name for name in suite.pairs if not is_method(name) and has_shorter_form(assemble(name)))
        conditions = replace(conditions, fused=shorter, dtype=name)
    return profile(conditions)


def release() -> None:
    """Give back what earlier networks held: reference cycles, torch.compile's code, the allocator's free blocks."""
    torch._dynamo.reset()
    gc.collect()
    torch.cuda.empty_cache()  # does nothing where no GPU is used


def compare_steps(suite: Suite, competitor: str, deadline: float) -> dict:
    """Training of the same network on the same batches, computed as the recipes of STEPS say.

    Returns:
        `pair`, which competitor; by step `losses`, `seconds` (all steps), `median_seconds` (without WARM_UP), `memory`,
        `complete` (no step was left out for want of time); and see `compare`.
    """
    runs = {}
    for name, recipe in STEPS.items():
        iterations = suite.iterations if name != "stock_tf32" else max(suite.iterations // 10, 2 * WARM_UP)
        runs[name] = _train(suite, competitor, recipe, iterations, deadline)
        release()
    recipes = {name: recipe.model_dump(mode="json") for name, recipe in STEPS.items()}
    return {"pair": competitor, **runs, "steps": recipes, **compare(runs)}


def compare(runs: dict[str, dict]) -> dict:
    """Our update against stock's.

    Returns:
        `ratio` (stock seconds / own) and `ratio_to_tf32`; over the last quarter of the steps that both have,
        `loss_difference` (mean of own - stock), `loss_spread` (standard deviation of stock's losses, the noise from
        batch to batch), and `within_noise`, whether the difference is no larger than the spread.
    """
    stock, ours = runs["stock"], runs["ours"]
    both = list(zip(stock["losses"], ours["losses"], strict=False))
    last = both[-max(len(both) // 4, 2) :]
    difference = statistics.mean(own - theirs for theirs, own in last)
    spread = statistics.stdev(theirs for theirs, _ in last)
    return {
        "ratio": stock["median_seconds"] / ours["median_seconds"],
        "ratio_to_tf32": runs["stock_tf32"]["median_seconds"] / ours["median_seconds"],
        "loss_difference": difference,
        "loss_spread": spread,
        "within_noise": abs(difference) <= spread,
    }


def told(block: dict) -> str:
    """A training block in a sentence."""
    judged = "within" if block["within_noise"] else "NOT within"
    cut = [name for name in STEPS if not block[name]["complete"]]
    return (
        f"ours {block['ratio']:.2f} times as fast as stock, losses {judged} noise (mean difference "
        f"{block['loss_difference']:+.4f}, spread {block['loss_spread']:.4f})"
        + f"; cut short: {', '.join(cut)}"
        * bool(cut)
    )


def _train(suite: Suite, competitor: str, recipe: Training, iterations: int, deadline: float) -> dict:
    """The recipe at its first learning rate, on batch i of the stream in update i."""
    device = pick_device(suite.device)
    set_precision(tf32=recipe.tf32, cudnn_benchmark=True)
    torch.manual_seed(0)
    with torch.device(device):
        model = build_model(competitor, suite.backbone, len(LESIONS)).train()
    update, losses, seconds, warm = Update(model, recipe), [], [], min(WARM_UP, iterations // 2)
    for iteration in range(iterations):
        if device.type == "cuda" and iteration == warm:  # cuDNN's trials need more room than what it settles on
            torch.cuda.reset_peak_memory_stats()
        image, label = synthetic_batch((suite.batch, 3, suite.crop[1], suite.crop[0]), device, iteration)
        start = clock(device)
        losses.append(update(image, label, recipe.optimizer.lr))
        seconds.append(clock(device) - start)
        if time.monotonic() > deadline and len(losses) >= 2:
            break
    return {
        "losses": torch.cat(losses).tolist(),
        "seconds": seconds,
        "median_seconds": statistics.median(seconds[min(warm, len(seconds) // 2) :]),
        "complete": len(losses) == iterations,
        "memory": torch.cuda.max_memory_allocated() if device.type == "cuda" else None,
    }
