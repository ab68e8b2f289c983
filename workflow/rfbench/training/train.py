"""Train one network: one data set, one competitor (an operator pair or a method), one seed.

The recipe is the configuration's; its defaults are the paper's (M2MRF v2, "Implementation details") as the
authors' released code runs it; `loop` runs it. Checkpoints live in a work folder that survives a failed job; the record
is written whole when the training has ended.
"""

import json
import sys
import time
from contextlib import nullcontext
from pathlib import Path

import torch

from rfbench import devices, provenance, stages
from rfbench.data.manifest import read_manifest
from rfbench.devices import pick_device
from rfbench.errors import RFBenchError
from rfbench.models.initial import initial_model
from rfbench.precision import arithmetic, set_precision
from rfbench.settings import Recipe, RunSettings, needs_gpu
from rfbench.training import compiling, memory
from rfbench.training.loop import Curve, Diverged, run_updates
from rfbench.training.ranks import Ranks, joined, leads
from rfbench.training.watchdog import TimedOut, Watchdog, count_timeout
from rfbench.training.workfolder import (
    finish,
    finished,
    keep_only_own,
    locked,
    newest_checkpoint,
    reported,
    save_tensors,
)


def train(
    run: RunSettings,
    recipe: Recipe,
    device: str,
    *,
    manifest: Path,
    work: Path,
    output: Path,
    weights: Path | None = None,
) -> dict:
    """Train one network and write its record.

    Args:
        run: the settings of the run.
        recipe: the configuration's whole recipe, for what changes no number: processes, intervals, time limit.
        device: auto, cpu or cuda.
        manifest: the prepared data set's manifest.csv.
        work: folder of checkpoints and the training curve; a training that finds checkpoints of its own resumes.
        output: the record (JSON) to write; its times go to `times.json` beside it.
        weights: ImageNet checkpoint of the backbone.

    Returns:
        The record; `state` is done, diverged, timeout or oom (out of memory); of the processes that train together
        the first has it, the others only `state` followed.
    """
    with reported(work) if leads() else nullcontext():
        chosen = pick_device(device)
        with joined(chosen) as ranks:
            if ranks.leads:
                return _lead(run, recipe, chosen, ranks, manifest, work, output, weights)
            return _follow(run, recipe, chosen, ranks, manifest=manifest, work=work, weights=weights)


def _lead(run: RunSettings, recipe: Recipe, device: torch.device, ranks: Ranks, manifest: Path, work: Path,
          output: Path, weights: Path | None) -> dict:  # fmt: skip
    """Train as the process that holds the work folder."""
    fallback = _prepare(run, device)
    if fallback:
        print(f"recipe.compile: torch.compile does not work here, so training goes on without ({fallback})",
              file=sys.stderr)  # fmt: skip
    read_manifest(manifest, "train", run.dataset.lesions)  # named before anything starts
    identity = _identity(run, manifest, device, compiled=run.recipe.compile and not fallback)
    with locked(work):
        identity = keep_only_own(work, identity)
        outcome = finished(work)
        if outcome is None:
            outcome = _train(run, recipe, device, ranks, manifest, work, output, identity, weights, fallback)
        else:
            ranks.told(None)
        _publish(*outcome, work, output)
    return outcome[0]


def _follow(run: RunSettings, recipe: Recipe, device: torch.device, ranks: Ranks, *, manifest: Path, work: Path,
            weights: Path | None) -> dict:  # fmt: skip
    """Train as one of the other processes, which write nothing; they end in the state that the first one records."""
    fallback = _prepare(run, device)
    begun = ranks.told(None)
    if begun is None:  # trained before
        return {"state": "followed"}
    model, _ = initial_model(run, weights)
    watchdog = Watchdog(recipe.time_limit, run.dataset.iterations)
    _drive(model, _computed(run, fallback), recipe, device, ranks=ranks, manifest=manifest, work=work,
           checkpoint=begun["checkpoint"], watchdog=watchdog)  # fmt: skip
    return {"state": "followed"}


def _prepare(run: RunSettings, device: torch.device) -> str | None:
    """Refuse what the device cannot compute, set threads and precision; why nothing is compiled, if so."""
    if device.type == "cpu" and (problems := needs_gpu(run.recipe)):
        raise RFBenchError(" ".join(problems))
    torch.set_num_threads(run.recipe.threads)
    set_precision(tf32=run.recipe.tf32, cudnn_benchmark=run.recipe.cudnn_benchmark)
    return compiling.problem(device) if run.recipe.compile else None


def _computed(run: RunSettings, fallback: str | None) -> RunSettings:
    """The run as it is computed, eagerly where compiling does not work."""
    return run.model_copy(update={"recipe": run.recipe.model_copy(update={"compile": False})}) if fallback else run


def _identity(run: RunSettings, manifest: Path, device: torch.device, *, compiled: bool) -> dict:
    """All that decides a training's numbers, mostly as digests: only checkpoints of the same are its own."""
    return {
        "settings": run.digest,
        "manifest": provenance.sha256(manifest),
        "code": stages.code_digest("train", run.pair),
        "arithmetic": arithmetic(device, run.recipe.amp, run.recipe.tf32, compiled),
    }


def _train(run: RunSettings, technical: Recipe, device: torch.device, ranks: Ranks, manifest: Path, work: Path,
           output: Path, identity: dict, weights: Path | None, fallback: str | None) -> tuple[dict, dict]:  # fmt: skip
    """Train until an end of whatever kind; the record and its times."""
    started, checkpoint = time.monotonic(), newest_checkpoint(work)
    watchdog = Watchdog(technical.time_limit, run.dataset.iterations)
    record = _draft(run, identity, device)
    if run.recipe.compile:
        record["compile_fallback"] = fallback

    def ended(state: str, reason: str | None) -> tuple[dict, dict]:
        record.update(state=state, reason=reason)
        if state == "timeout":
            count_timeout(work)
            record["time_limit"] = watchdog.hours
        return record, {"seconds": round(time.monotonic() - started, 1), "resumed": checkpoint is not None}

    with watchdog.guard(lambda reason: _publish(*ended("timeout", reason), work, output), work):
        ranks.told({"checkpoint": checkpoint})
        model, record["pretrained"] = initial_model(run, weights)
        state, reason = _drive(
            model, _computed(run, fallback), technical, device, ranks=ranks, manifest=manifest, work=work,
            checkpoint=checkpoint, watchdog=watchdog,
        )  # fmt: skip
    record, times = ended(state, reason)
    if device.type == "cuda":
        times["max_memory_allocated"] = torch.cuda.max_memory_allocated(device)
    if state == "done":
        record["checkpoint_sha256"] = _save_weights(model, work / "model.pth", run)
    if state in ("done", "diverged"):  # the others may go on from their checkpoints
        finish(work, record, times)
    return record, times


def _drive(
    model: torch.nn.Module, run: RunSettings, technical: Recipe, device: torch.device, **files
) -> tuple[str, str | None]:
    """Train by `run_updates`; the state that the run ends in and, unless it is done, the reason."""
    try:
        with files["watchdog"].heeding():
            run_updates(model.to(device), run, technical, **files)
    except Diverged as error:
        return "diverged", str(error)
    except TimedOut as error:
        return "timeout", str(error)
    except (RuntimeError, MemoryError) as error:
        if not memory.is_out_of_memory(error):
            raise
        return "oom", memory.reason(error, run.recipe)
    return "done", None


def _draft(run: RunSettings, identity: dict, device: torch.device) -> dict:
    """What a training's record says whatever its end; only a finished one has weights to give a digest of."""
    return {
        "kind": "training",
        "settings": run.model_dump(mode="json"),
        "identity": identity,
        "pretrained": None,
        "batch_norm_images": run.recipe.batch_size // run.recipe.micro_batches,  # synchronised over GPUs
        "checkpoint_sha256": None,
        "provenance": devices.provenance_on(device),
    }


def _publish(record: dict, times: dict, work: Path, output: Path) -> None:
    """Write the outputs of the rule, the record last; a training that hung before its first update has no curve."""
    curve = work / "curve.csv"
    provenance.write_json(output.with_name("times.json"), times)
    provenance.write_text(output.with_name("curve.csv"), curve.read_text() if curve.exists() else Curve.HEADER)
    provenance.write_json(output, record)


def _save_weights(model: torch.nn.Module, path: Path, run: RunSettings) -> str:
    """Write the network's weights in our format and return the file's digest."""
    weights = {name: tensor.cpu().contiguous() for name, tensor in model.state_dict().items()}
    meta = {  # all that `rfbench predict` and `rfbench score` need to know
        "pair": run.pair,
        **run.model.model_dump(include={"backbone", "operator_options", "method_options"}),
        **run.dataset.model_dump(include={"lesions", "scale", "mean", "std"}),
    }
    meta = json.loads(json.dumps(meta, sort_keys=True))  # the same bytes for any order in the configuration file
    save_tensors(path, {"state_dict": weights, "meta": meta})
    return provenance.sha256(path)
