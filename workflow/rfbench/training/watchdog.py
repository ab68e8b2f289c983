"""The time limit of a training (`recipe.time_limit`).

A training over its limit stops between two updates, with a checkpoint. One that never comes to its next update (a
loader or a GPU call that hangs) is ended by a thread, after a grace period; its last checkpoint stays.
"""

import multiprocessing
import os
import re
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from rfbench import provenance
from rfbench.checked import shown
from rfbench.errors import RFBenchError

GRACE = 600.0  # seconds beyond the limit without an update, after which a training counts as hung
HOW_TO_CONTINUE = "Raise the limit and run snakemake again: it continues from its checkpoint"


class TimedOut(Exception):
    """A training is over its time limit; the message is the record's reason."""


class Watchdog:
    """Args: hours: wall clock that this start of a training may take, None for no limit; total: its updates."""

    def __init__(self, hours: float | None, total: int) -> None:
        self.hours, self.total = hours, total
        self.done = 0  # updates so far, told by the training
        self.deadline = float("inf") if hours is None else time.monotonic() + 3600 * hours
        self._ending = threading.Lock()

    def expired(self) -> bool:
        """Whether the limit has passed."""
        return time.monotonic() >= self.deadline

    def reason(self) -> str:
        """Sentence for the record of a training that stopped in good order."""
        return f"{self._where()}. {HOW_TO_CONTINUE}"

    def _where(self) -> str:
        return f"recipe.time_limit of {self.hours:g} h reached at iteration {self.done} of {self.total}"

    @contextmanager
    def guard(self, leave_record: Callable[[str], None]) -> Iterator[None]:
        """Within this context a hung training is ended after `leave_record(reason)`, with exit status 0."""
        if self.hours is None:
            yield
            return
        timer = threading.Timer(self.deadline + GRACE - time.monotonic(), self._end, [leave_record])
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            self._ending.acquire()  # never given back: from here on one of the two writes the record
            timer.cancel()

    def _end(self, leave_record: Callable[[str], None]) -> None:
        if not self._ending.acquire(blocking=False):
            return
        reason = f"{self._where()} and no update for {GRACE / 60:g} min after: it hung. {HOW_TO_CONTINUE}"
        print(reason, file=sys.stderr)
        status = 0
        try:
            leave_record(reason)
        except Exception:
            traceback.print_exc()
            status = 1
        for child in multiprocessing.active_children():  # a hung loader would hold the work folder's lock
            child.kill()
        sys.stderr.flush()
        os._exit(status)


def count_timeout(work: Path) -> None:
    """Note in the work folder that its training has timed out once more."""
    provenance.write_text(work / "timeouts", f"{timeouts(work) + 1}\n")


def timeouts(work: Path) -> int:
    """How often the training of this work folder has timed out. Raises RFBenchError: its count is damaged."""
    path = work / "timeouts"
    if not path.exists():
        return 0
    count = path.read_bytes() if path.is_file() else b""
    if not re.fullmatch(rb"[0-9]{1,9}\n?", count):
        raise RFBenchError(f"{path}: expected how often the training timed out, found {shown(count[:99])}. Delete it.")
    return int(count)
