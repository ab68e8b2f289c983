"""The work folder of one training: its lock, its owner, its checkpoints.

It survives a failed or killed job (Snakemake deletes declared outputs only), so everything in it is written so
that a kill at any moment leaves the previous checkpoint usable.
"""

import os
import random
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch

from rfbench import flocks, provenance, records
from rfbench.errors import RFBenchError, print_lines

BEGUN_ELSEWHERE = ", begun elsewhere"
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
    with flocks.held(work / "lock", "is training", patience):
        yield


@contextmanager
def reported(work: Path) -> Iterator[None]:
    """Leave the reason of a failure in the work folder, where `aggregate` finds it, and let the failure go on."""
    (work / "error.json").unlink(missing_ok=True)
    try:
        yield
    except Exception as error:
        provenance.write_json(work / "error.json", {"reason": f"{type(error).__name__}: {error}".splitlines()[0]})
        raise


def keep_only_own(work: Path, identity: dict) -> dict:
    """Drop what another configuration, other data or other code left in the work folder; mark it as one's own.

    Returns:
        The identity. Where the mark was deleted, so that a training goes on with other arithmetic, it says so.

    Raises:
        RFBenchError: its checkpoints are this training's, but were computed with other arithmetic.
    """
    mark, begun = work / "identity.json", any(work.glob("iter_*.pth"))
    kept = provenance.read_json(mark) if mark.exists() else None
    if kept and {**kept, "arithmetic": ""} != {**identity, "arithmetic": ""}:
        print_lines(
            [f"{work}: what it holds is of other settings, data or code; training starts anew"], file=sys.stderr
        )
        (work / "finished.json").unlink(missing_ok=True)
        drop_checkpoints(work)
    elif kept and begun:
        if kept["arithmetic"].removesuffix(BEGUN_ELSEWHERE) != identity["arithmetic"]:
            raise RFBenchError(
                f"{work}: its checkpoints were computed on {kept['arithmetic']}, this would go on on "
                f"{identity['arithmetic']}, which rounds otherwise. Continue it there; or delete {mark} to go on here "
                "all the same, which the record will say; or delete the folder to train anew."
            )
        identity = kept
    elif begun:
        identity = identity | {"arithmetic": identity["arithmetic"] + BEGUN_ELSEWHERE}
    provenance.write_json(mark, identity)
    return identity


def finish(work: Path, record: dict, times: dict) -> None:
    """Keep a finished training's record and times in the work folder; its checkpoints have then served."""
    provenance.write_json(work / "finished.json", {"record": record, "times": times})
    drop_checkpoints(work)


def finished(work: Path) -> tuple[dict, dict] | None:
    """Record and times, if this very training has finished here: Snakemake deletes what an orphan left as output."""
    if not (work / "finished.json").exists():
        return None
    (record, times), weights = records.read_finished(work / "finished.json"), work / "model.pth"
    expected = record["checkpoint_sha256"]
    if expected and not (weights.exists() and provenance.sha256(weights) == expected):
        print_lines([f"{weights}: not the weights of the finished training; it is trained again"], file=sys.stderr)
        return None
    drop_checkpoints(work)
    return record, times


def newest_checkpoint(work: Path) -> Path | None:
    """The newest checkpoint that is whole, by its digest; a damaged one is named and passed over."""
    for path in sorted(work.glob("iter_*.pth"), key=_iteration, reverse=True):
        digest = path.with_suffix(".sha256")
        if digest.exists() and digest.read_text().strip() == provenance.sha256(path):
            return path
        print_lines([f"{path}: damaged, the checkpoint before it is used"], file=sys.stderr)
    return None


def drop_checkpoints(work: Path) -> None:
    """Remove the checkpoints of a finished run (half a gigabyte each with W48); model.pth holds the weights."""
    for path in [*work.glob("iter_*.pth"), *work.glob("iter_*.sha256"), *work.glob("unfinished.pth")]:
        path.unlink()


def _iteration(path: Path) -> int:
    return int(path.stem.removeprefix("iter_"))


def save_checkpoint(work: Path, state: dict) -> None:
    """Write a checkpoint whole, by rename, after its digest; the last KEPT stay.

    Args:
        work: the work folder.
        state: of tensors and plain values; `done` is the number of updates.
    """
    unfinished, path = work / "unfinished.pth", work / f"iter_{state['done']}.pth"
    save_tensors(unfinished, state)
    provenance.write_text(path.with_suffix(".sha256"), f"{provenance.sha256(unfinished)}\n")
    os.replace(unfinished, path)
    for old in sorted(work.glob("iter_*.pth"), key=_iteration)[:-KEPT]:
        old.unlink()
        old.with_suffix(".sha256").unlink(missing_ok=True)


def save_tensors(path: Path, state: dict) -> None:
    """`torch.save`, on the disk for good before anything follows that relies on it.

    Raises:
        RFBenchError: it cannot be written; of a disk that is full torch's own error says nothing.
    """
    try:
        with path.open("wb") as file:
            torch.save(state, file)
            file.flush()
            os.fsync(file.fileno())
    except (OSError, RuntimeError) as error:
        cause = error if isinstance(error, OSError) else error.__context__
        if not isinstance(cause, OSError):
            raise
        path.unlink(missing_ok=True)  # it would keep what little room there is
        raise RFBenchError(
            f"{path}: cannot be written ({cause.strerror}). Check folder and free space; the next start goes on from "
            "the last checkpoint."
        ) from error


def random_states() -> dict:
    """States of every generator that a network may draw from, as plain values and tensors."""
    numpy = np.random.get_state(legacy=False)  # noqa: NPY002 (mmcv's transforms use the global generator)
    return {
        "python": random.getstate(),
        "numpy": {**numpy, "state": {**numpy["state"], "key": numpy["state"]["key"].tolist()}},
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else [],
    }


def set_random_states(states: dict) -> None:
    """Continue from `random_states`."""
    random.setstate(states["python"])
    np.random.set_state(states["numpy"])  # noqa: NPY002
    torch.set_rng_state(states["torch"])
    if states["cuda"]:
        torch.cuda.set_rng_state_all(states["cuda"])
