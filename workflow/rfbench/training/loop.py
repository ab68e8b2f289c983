"""The training loop: data, update, schedule, log, checkpoint.

Whatever decides an update is a function of the run's settings and of the number of updates before it, or is in the
checkpoint; so a training that was killed ends, on a CPU, with the bytes of one that was not.
"""

import math
import sys
import time
from collections.abc import Iterator, Sequence
from datetime import timedelta
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from rfbench import provenance
from rfbench.models.normalise import pad_labels
from rfbench.settings import Recipe, RunSettings, Training
from rfbench.training.ranks import Ranks
from rfbench.training.step import Update, device_of
from rfbench.training.stream import TrainingStream, batches_ahead
from rfbench.training.watchdog import Watchdog, heed_parent_alone
from rfbench.training.workfolder import random_states, save_checkpoint, set_random_states


class Diverged(Exception):
    """The loss is no longer finite."""


def run_updates(
    model: nn.Module,
    run: RunSettings,
    technical: Recipe,
    *,
    manifest: Path,
    work: Path,
    checkpoint: Path | None,
    watchdog: Watchdog,
    ranks: Ranks = Ranks(),  # noqa: B008 (frozen)
) -> None:
    """Train a network to its last update.

    Args:
        model: `models.initial.initial_model`'s, on the device that computes.
        run: its settings.
        technical: the configuration's whole recipe, for processes and intervals, which change no number.
        manifest: the prepared data set's manifest.csv.
        work: folder of checkpoints and of the curve.
        checkpoint: where to continue; None at the start.
        watchdog: the time limit, and signals.
        ranks: the processes that train together; each calls this with the same arguments.

    Raises:
        Diverged, TimedOut, Stopped: with the reason.
    """
    recipe, total, done = run.recipe, run.dataset.iterations, 0
    model.train()
    update, curve = Update(model, recipe, ranks), Curve(work / "curve.csv", total, written=ranks.leads)
    if checkpoint:
        state = torch.load(checkpoint, map_location="cpu", weights_only=True)
        model.load_state_dict(state["model"])
        update.load_state(state["update"])
        curve.load_state(state["curve"])
        set_random_states(state["random_states"])
        done = watchdog.done = state["done"]
    curve.start(done)
    for images, label in batches(model, run, technical, manifest, done, ranks):
        rate = learning_rate(done, total, recipe)
        curve.add(update(images, label, rate))
        done = watchdog.done = done + 1
        if done % technical.log_interval == 0 or done == total:
            curve.log(done, rate)
        expired = done < total and (ranks.told(watchdog.expired()) if watchdog.may_expire else False)
        if expired or (done % technical.checkpoint_interval == 0 and done < total):
            state = {"done": done, "model": model.state_dict(), "update": update.state(), "curve": curve.state(done)}
            if ranks.leads:
                save_checkpoint(work, {**state, "random_states": random_states()})
        if expired:
            raise watchdog.end()


def batches(
    model: nn.Module,
    run: RunSettings,
    technical: Recipe,
    manifest: Path,
    done: int,
    ranks: Ranks = Ranks(),  # noqa: B008
) -> Iterator[tuple[Tensor, Tensor]]:
    """Normalised images (N, 3, H, W) and labels (N, H, W) of every update from number `done` on, on the device.

    N is this process's share of the batch.
    """
    recipe, dataset, device = run.recipe, run.dataset, device_of(model)
    width, height = dataset.crop
    stream = TrainingStream(manifest, dataset, recipe, run.seed, technical.store)
    draws = ranks.draws(range(done, dataset.iterations), technical)
    for images, labels in loader(stream, draws, ranks.share(technical), dataset.crop, pinned=device.type == "cuda"):
        yield model.normalise(images, (height, width)), pad_labels(labels, (height, width), device)


def loader(
    stream: TrainingStream, draws: Sequence[int], recipe: Recipe, crop: tuple[int, int], *, pinned: bool = False
) -> DataLoader:
    """Batches of samples, as lists of images uint8 (3, h, w) and of label maps uint8 (h, w).

    Args:
        stream: where the samples are from.
        draws: which of them, in this order.
        recipe: of it `batch_size` and `workers` count.
        crop: (width, height) of the samples.
        pinned: in page-locked memory, so that a copy to the GPU runs beside what it computes.
    """
    return DataLoader(
        stream,
        batch_size=recipe.batch_size,
        sampler=draws,
        num_workers=recipe.workers,
        prefetch_factor=batches_ahead(crop, recipe.batch_size, recipe.workers),
        collate_fn=_side_by_side,
        generator=torch.Generator(),  # a loader draws when it starts, so a resumed one would shift torch's own state
        pin_memory=pinned,
        worker_init_fn=heed_parent_alone,
    )


def _side_by_side(samples: list[tuple[Tensor, Tensor]]) -> tuple[list[Tensor], list[Tensor]]:
    """Images (3, h, w) and label maps (h, w) of a batch, each of its own size: they may be smaller than the crop."""
    images, labels = zip(*samples, strict=True)
    return list(images), list(labels)


def learning_rate(done: int, total: int, recipe: Training) -> float:
    """Rate of the update after `done` of `total`: a polynomial from the optimiser's `lr` to `min_lr`, as in mmcv 1."""
    return (recipe.optimizer.lr - recipe.min_lr) * (1 - done / total) ** recipe.power + recipe.min_lr


class Curve:
    """The training curve: rows of iteration, mean loss since the last row, learning rate; in the file and on stderr.

    Losses stay on the device until a row or a checkpoint needs them. The rows so far are part of every checkpoint, so
    the file is whole whenever a training was killed. Of several processes that train together one writes.
    """

    HEADER = "iteration,loss,lr\n"

    def __init__(self, path: Path, total: int, *, written: bool = True) -> None:
        self.path, self.total, self.written = path, total, written
        self.rows: list[str] = []
        self.pending: list[Tensor] = []  # each update's losses since the last row, by micro-batch

    def start(self, done: int) -> None:
        """Write the rows so far; speed is measured from here."""
        if self.written:
            provenance.write_text(self.path, "".join([self.HEADER, *self.rows]))
        self.started, self.first = time.monotonic(), done

    def add(self, losses: Tensor) -> None:
        """Take in an update's losses."""
        self.pending.append(losses)

    def read(self, done: int) -> list[float]:
        """The losses of the updates since the last row.

        Raises:
            Diverged: one is not finite; the message names its update.
        """
        losses = [sum(loss / len(parts) for loss in parts) for parts in self._values()]
        for iteration, loss in enumerate(losses, done - len(losses) + 1):
            if not math.isfinite(loss):
                raise Diverged(f"loss {loss} at iteration {iteration}")
        return losses

    def log(self, done: int, rate: float) -> None:
        """Add a row."""
        losses = self.read(done)
        self.pending.clear()
        loss = sum(losses) / len(losses)
        self.rows.append(f"{done},{loss:.6f},{rate:.8f}\n")
        if not self.written:
            return
        with self.path.open("a") as file:
            file.write(self.rows[-1])
        speed = (done - self.first) / (time.monotonic() - self.started)
        left = timedelta(seconds=round((self.total - done) / speed))
        print(f"{done}/{self.total}  loss {loss:.4f}  lr {rate:.2e}  {speed:.2f} it/s  {left} left",
              file=sys.stderr, flush=True)  # fmt: skip

    def state(self, done: int) -> dict:
        """What a checkpoint after `done` updates holds of the curve; Diverged as `read`."""
        self.read(done)
        return {"rows": self.rows, "pending": self._values()}

    def load_state(self, state: dict) -> None:
        """Continue from `state`."""
        self.rows, self.pending = state["rows"], [torch.tensor(parts) for parts in state["pending"]]

    def _values(self) -> list[list[float]]:
        return torch.stack([parts.cpu() for parts in self.pending]).tolist() if self.pending else []
