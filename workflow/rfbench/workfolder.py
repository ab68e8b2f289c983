"""The work folder of one training: its lock, its owner, its checkpoints.

It survives a failed or killed job (Snakemake deletes declared outputs only), so everything in it is written so
that a kill at any moment leaves the previous checkpoint usable.
"""

import fcntl
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mmengine.hooks import Hook
from mmengine.runner import Runner

from rfbench import provenance
from rfbench.errors import RFBenchError

KEPT = 2  # checkpoints: should the last be damaged, the one before serves


@contextmanager
def locked(work: Path, patience: float = float("inf")) -> Iterator[None]:
    """Hold the work folder; wait for an orphan of a killed Snakemake that still trains in it.

    Args:
        work: the folder; made if need be.
        patience: seconds to wait.

    Raises:
        RFBenchError: another process still holds it after that time.
    """
    work.mkdir(parents=True, exist_ok=True)
    with open(work / "lock", "a+") as file:
        _wait(file, work, time.monotonic() + patience)
        file.truncate(0)
        file.write(f"{os.getpid()}\n")
        file.flush()
        yield


def _wait(file, work: Path, until: float) -> None:
    told = False
    while True:
        try:
            return fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            holder = file.read().strip() or "unknown"
            if time.monotonic() >= until:
                raise RFBenchError(
                    f"{work}: another process ({holder}) is training here. Wait for it to end, or end it."
                ) from None
            if not told:
                print(f"{work}: waiting for process {holder}, which is training here", file=sys.stderr, flush=True)
                told = True
            time.sleep(1)


def keep_only_own(work: Path, identity: dict) -> None:
    """Drop checkpoints that another configuration, or other data, left in the work folder."""
    mark = work / "identity.json"
    if mark.exists() and provenance.read_json(mark) != identity:
        print(f"{work}: its checkpoints belong to other settings or data; training starts anew", file=sys.stderr)
        drop_checkpoints(work)
    provenance.write_json(mark, identity)
    (work / "error.json").unlink(missing_ok=True)


def newest_checkpoint(work: Path) -> Path | None:
    """The newest checkpoint that is whole, by its digest; a damaged one is named and passed over."""
    for path in sorted(work.glob("iter_*.pth"), key=_iteration, reverse=True):
        digest = path.with_suffix(".sha256")
        if digest.exists() and digest.read_text().strip() == provenance.sha256(path):
            return path
        print(f"{path}: damaged, the checkpoint before it is used", file=sys.stderr)
    return None


def drop_checkpoints(work: Path) -> None:
    """Remove the checkpoints of a finished run (half a gigabyte each with W48); model.pth holds the weights."""
    for path in [*work.glob("iter_*.pth"), *work.glob("iter_*.sha256")]:
        path.unlink()


def _iteration(path: Path) -> int:
    return int(path.stem.removeprefix("iter_"))


class CheckpointHook(Hook):
    """Write a checkpoint every `interval` updates: whole, by rename, after its digest; keep the last two."""

    priority = "VERY_LOW"  # after the scheduler's step, which the checkpoint holds

    def __init__(self, work: Path, interval: int) -> None:
        self.work, self.interval = work, interval

    def after_train_iter(self, runner: Runner, batch_idx: int, data_batch=None, outputs=None) -> None:
        done = runner.iter + 1
        if done % self.interval or done == runner.max_iters:
            return
        runner.save_checkpoint(str(self.work), "unfinished.pth", by_epoch=False)
        unfinished, path = self.work / "unfinished.pth", self.work / f"iter_{done}.pth"
        provenance.write_text(path.with_suffix(".sha256"), f"{provenance.sha256(unfinished)}\n")
        os.replace(unfinished, path)
        for old in sorted(self.work.glob("iter_*.pth"), key=_iteration)[:-KEPT]:
            old.unlink()
            old.with_suffix(".sha256").unlink()
