"""Train one network: one data set, one operator pair, one seed.

The recipe is the configuration's; its defaults are the paper's (M2MRF v2, "Implementation details") as the
authors' released code runs it. mmengine's runner drives it. Checkpoints live in a work folder that survives a
failed job; the record is written whole when the training has ended.
"""

import json
import math
import sys
import time
import warnings
from pathlib import Path

import torch
from mmengine.hooks import Hook
from mmengine.runner import IterBasedTrainLoop, Runner
from torch.utils.data import DataLoader

from rfbench import provenance, stages
from rfbench.data.manifest import read_manifest
from rfbench.devices import device_name, pick_device
from rfbench.errors import RFBenchError
from rfbench.models.initial import initial_model
from rfbench.settings import Recipe, RunSettings
from rfbench.training.stream import Draws, TrainingStream, batches_ahead
from rfbench.training.watchdog import TimedOut, Watchdog, count_timeout
from rfbench.training.workfolder import (
    CheckpointHook,
    finish,
    finished,
    keep_only_own,
    locked,
    newest_checkpoint,
    reported,
)


class Diverged(Exception):
    """The loss is no longer finite."""


class UpdateLoop(IterBasedTrainLoop):
    """A loop in which one iteration is one parameter update, whatever the number of micro-batches.

    mmengine's own accumulation counts micro-batches as iterations, which would shift the learning rate's
    schedule and the meaning of `iterations`.
    """

    def run_iter(self, data_batch: dict) -> None:
        runner, optim = self.runner, self.runner.optim_wrapper
        runner.call_hook("before_train_iter", batch_idx=self._iter, data_batch=data_batch)
        parts, bfloat16 = runner.rfbench.micro_batches, runner.rfbench.amp == "bfloat16"
        size = len(data_batch["inputs"]) // parts
        total = 0.0
        for part in range(parts):
            micro = {key: value[part * size : (part + 1) * size] for key, value in data_batch.items()}
            with (
                optim.optim_context(runner.model),
                torch.autocast(next(runner.model.parameters()).device.type, torch.bfloat16, enabled=bfloat16),
            ):
                losses = runner.model(**runner.model.data_preprocessor(micro, True), mode="loss")
            loss, _ = runner.model.parse_losses(losses)
            optim.backward(loss / parts)
            total += loss.item() / parts
        optim.step()
        optim.zero_grad()
        runner.call_hook("after_train_iter", batch_idx=self._iter, data_batch=data_batch, outputs={"loss": total})
        self._iter += 1


class OneDeviceRunner(Runner):
    """mmengine's runner, but the model stays on the device where it is: mmengine would move it to any visible GPU."""

    def wrap_model(self, model_wrapper_cfg: dict | None, model: torch.nn.Module) -> torch.nn.Module:
        return model


class CurveHook(Hook):
    """Write the training curve, show progress, and stop a training whose loss is not finite.

    The rows so far are part of every checkpoint, so the file is whole whenever a training was killed.
    """

    HEADER = "iteration,loss,lr\n"

    def __init__(self, path: Path, interval: int) -> None:
        self.path, self.interval = path, interval
        self.rows: list[str] = []
        self.losses: list[float] = []  # since the last row

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        checkpoint["curve"] = {"rows": self.rows, "losses": self.losses}

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        self.rows, self.losses = checkpoint["curve"]["rows"], checkpoint["curve"]["losses"]

    def before_train(self, runner: Runner) -> None:
        provenance.write_text(self.path, "".join([self.HEADER, *self.rows]))
        self.started, self.first = time.monotonic(), runner.iter

    def after_train_iter(self, runner: Runner, batch_idx: int, data_batch=None, outputs=None) -> None:
        if not math.isfinite(outputs["loss"]):
            raise Diverged(f"loss {outputs['loss']} at iteration {runner.iter + 1}")
        self.losses.append(outputs["loss"])
        done = runner.iter + 1
        if done % self.interval and done != runner.max_iters:
            return
        loss, lr = sum(self.losses) / len(self.losses), runner.optim_wrapper.get_lr()["lr"][0]
        self.losses.clear()
        self.rows.append(f"{done},{loss:.6f},{lr:.8f}\n")
        with self.path.open("a") as file:
            file.write(self.rows[-1])
        speed = (done - self.first) / (time.monotonic() - self.started)
        left = time.strftime("%H:%M:%S", time.gmtime((runner.max_iters - done) / speed))
        print(f"{done}/{runner.max_iters}  loss {loss:.4f}  lr {lr:.2e}  {speed:.2f} it/s  {left} left",
              file=sys.stderr, flush=True)  # fmt: skip


def build_runner(run: RunSettings, technical: Recipe, model: torch.nn.Module, manifest: Path, work: Path,
                 checkpoint: Path | None, watchdog: Watchdog) -> Runner:  # fmt: skip
    """mmengine's runner for one training, which resumes from `checkpoint` where there is one."""
    recipe, dataset = run.recipe, run.dataset
    wrapper = {"type": "OptimWrapper", "optimizer": recipe.optimizer.model_dump()}
    if recipe.amp == "float16":  # needs gradient scaling, which mmengine's wrapper does; bfloat16 does not
        wrapper |= {"type": "AmpOptimWrapper", "dtype": "float16"}
    loader = DataLoader(
        TrainingStream(manifest, dataset, recipe, run.seed, technical.store),
        batch_size=recipe.batch_size,
        sampler=Draws(dataset.iterations * recipe.batch_size),
        num_workers=technical.workers,
        prefetch_factor=batches_ahead(dataset.crop, recipe.batch_size, technical.workers),
        persistent_workers=technical.workers > 0,
        collate_fn=_collate,
        generator=torch.Generator(),  # a loader draws when it starts, so a resumed one would shift torch's own state
    )
    runner = OneDeviceRunner(
        model=model,
        work_dir=str(work),
        experiment_name="run",
        train_dataloader=loader,
        train_cfg={"type": UpdateLoop, "max_iters": dataset.iterations},
        optim_wrapper=wrapper,
        param_scheduler={
            "type": "PolyLR",
            "power": recipe.power,
            "eta_min": recipe.min_lr,
            "begin": 0,
            "end": dataset.iterations + 1,  # mmengine reaches eta_min one step early; the authors' mmcv did not
            "by_epoch": False,
        },
        default_hooks={
            "logger": None,
            "checkpoint": CheckpointHook(work, technical.checkpoint_interval, watchdog),
        },
        custom_hooks=[CurveHook(work / "curve.csv", technical.log_interval)],
        load_from=str(checkpoint) if checkpoint else None,
        resume=checkpoint is not None,
        log_level="ERROR",  # its notices are many and its own; progress and errors are ours
        default_scope="mmseg",
    )
    runner.rfbench = recipe
    return runner


def _collate(samples: list[dict]) -> dict:
    return {key: [sample[key] for sample in samples] for key in samples[0]}


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
        The record; `state` is done, diverged or timeout.
    """
    with reported(work):
        chosen = pick_device(device)
        if run.recipe.amp == "float16" and chosen.type == "cpu":
            raise RFBenchError("recipe.amp: float16 needs a GPU, found cpu. Use bfloat16 or none.")
        torch.set_num_threads(run.recipe.threads)
        read_manifest(manifest, "train", run.dataset.lesions)  # named before anything starts
        identity = _identity(run, manifest)
        with locked(work):
            keep_only_own(work, identity)
            outcome = finished(work)
            if outcome is None:
                outcome = _train(run, recipe, chosen, manifest, work, output, identity, weights)
            _publish(*outcome, work, output)
    return outcome[0]


def _identity(run: RunSettings, manifest: Path) -> dict:
    """Digests of all that decides a training's numbers: only checkpoints of the same are its own."""
    return {
        "settings": run.digest,
        "manifest": provenance.sha256(manifest),
        "code": stages.code_digest("train", run.pair),
    }


def _train(run: RunSettings, technical: Recipe, device: torch.device, manifest: Path, work: Path, output: Path,
           identity: dict, weights: Path | None) -> tuple[dict, dict]:  # fmt: skip
    """Train until an end of whatever kind; the record and its times."""
    started, checkpoint = time.monotonic(), newest_checkpoint(work)
    watchdog = Watchdog(technical.time_limit, run.dataset.iterations)
    record = _draft(run, identity, device)

    def ended(state: str, reason: str | None) -> tuple[dict, dict]:
        record.update(state=state, reason=reason)
        if state == "timeout":
            count_timeout(work)
            record["time_limit"] = watchdog.hours
        return record, {"seconds": round(time.monotonic() - started, 1), "resumed": checkpoint is not None}

    with watchdog.guard(lambda reason: _publish(*ended("timeout", reason), work, output)):
        model, record["pretrained"] = initial_model(run, weights)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module=r"mmengine|mmcv|mmseg")
            runner = build_runner(run, technical, model.to(device), manifest, work, checkpoint, watchdog)
            state, reason = _drive(runner)
    record, times = ended(state, reason)
    if device.type == "cuda":
        times["max_memory_allocated"] = torch.cuda.max_memory_allocated(device)
    if state == "done":
        record["checkpoint_sha256"] = _save_weights(model, work / "model.pth", run)
    if state != "timeout":
        finish(work, record, times)
    return record, times


def _draft(run: RunSettings, identity: dict, device: torch.device) -> dict:
    """What a training's record says whatever its end; only a finished one has weights to give a digest of."""
    return {
        "kind": "training",
        "settings": run.model_dump(mode="json"),
        "identity": identity,
        "pretrained": None,
        "batch_norm_images": run.recipe.batch_size // run.recipe.micro_batches,
        "checkpoint_sha256": None,
        "provenance": provenance.collect(device_name(device)),
    }


def _publish(record: dict, times: dict, work: Path, output: Path) -> None:
    """Write the outputs of the rule, the record last; a training that hung before its first update has no curve."""
    curve = work / "curve.csv"
    provenance.write_json(output.with_name("times.json"), times)
    provenance.write_text(output.with_name("curve.csv"), curve.read_text() if curve.exists() else CurveHook.HEADER)
    provenance.write_json(output, record)


def _drive(runner: Runner) -> tuple[str, str | None]:
    """Train; the state that the run ends in and, unless it is done, the reason."""
    try:
        runner.train()
    except Diverged as error:
        return "diverged", str(error)
    except TimedOut as error:
        return "timeout", str(error)
    return "done", None


def _save_weights(model: torch.nn.Module, path: Path, run: RunSettings) -> str:
    """Write the network's weights in our format and return the file's digest."""
    weights = {name: tensor.cpu() for name, tensor in model.state_dict().items()}
    meta = {  # all that `rfbench predict` and `rfbench score` need to know
        "pair": run.pair,
        **run.model.model_dump(include={"backbone", "operator_options"}),
        **run.dataset.model_dump(include={"lesions", "scale", "mean", "std"}),
    }
    meta = json.loads(json.dumps(meta, sort_keys=True))  # the same bytes for any order in the configuration file
    torch.save({"state_dict": weights, "meta": meta}, path)
    return provenance.sha256(path)
