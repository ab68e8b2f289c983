"""Exclusive locks on files, which the kernel frees when their process dies, however it dies."""

import fcntl
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from rfbench.errors import RFBenchError

_HELD: set[IO] = set()


def take(path: Path, mode: int = 0o644) -> IO | None:
    """Lock a file, made with `mode` if need be, and write this process's id into it; None if another process holds it.

    The lock lasts until `release` or the end of this process. Forked children, such as the workers of a data loader,
    do not share it: they may outlive a killed parent.
    """
    try:  # not O_CREAT at once, which the kernel refuses for another user's file in /tmp
        descriptor = os.open(path, os.O_RDWR)
    except FileNotFoundError:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, mode)
        os.fchmod(descriptor, mode)
    file = open(descriptor, "r+")  # noqa: SIM115 (held open on purpose)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        return None
    _HELD.add(file)
    file.truncate(0)
    file.write(f"{os.getpid()}\n")
    file.flush()
    return file


@contextmanager
def held(path: Path, doing: str, patience: float = float("inf")) -> Iterator[None]:
    """Hold a file's lock; wait for the process that has it, and say so once.

    Args:
        path: the file, in the folder that the lock is about.
        doing: what whoever holds it does, such as "is training".
        patience: seconds to wait.

    Raises:
        RFBenchError: another process still holds it after that time.
    """
    until, told = time.monotonic() + patience, False
    while (file := take(path)) is None:
        if time.monotonic() >= until:
            raise RFBenchError(
                f"{path.parent}: another process ({holder(path)}) {doing} here. Wait for it to end, or end it."
            )
        if not told:
            print(f"{path.parent}: waiting for process {holder(path)}, which {doing} here", file=sys.stderr, flush=True)
            told = True
        time.sleep(1)
    try:
        yield
    finally:
        release(file)


def release(file: IO) -> None:
    """Give a lock back."""
    _HELD.discard(file)
    file.close()


def hand_on() -> None:
    """Let what this process becomes by exec go on to hold its locks."""
    for file in _HELD:
        os.set_inheritable(file.fileno(), True)


def holder(path: Path) -> str:
    """The process that wrote itself into a lock's file last."""
    return path.read_text().strip() or "unknown"


def _close_in_child() -> None:
    for file in _HELD:
        file.close()
    _HELD.clear()


os.register_at_fork(after_in_child=_close_in_child)
