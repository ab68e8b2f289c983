"""What ends a training before its last update: its time limit (`recipe.time_limit`), or a signal.

A training over its limit stops between two updates, with a checkpoint. One that never comes to its next update (a
loader or a GPU call that hangs) is ended by a thread, after a grace period; its last checkpoint stays. Where not even a
thread can run, another process ends it (`sentinel`).

A signal (SIGTERM, and SIGUSR1, by which a cluster's queue warns of its own limit) stops it in the same way, but its job
then fails, so that Snakemake's `retries`, or the next start, let it go on.
"""

import multiprocessing
import os
import re
import signal
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from rfbench import gpus, provenance
from rfbench.checked import shown
from rfbench.errors import RFBenchError

GRACE = 600.0  # seconds beyond the limit without an update, after which a training counts as hung
HOW_TO_CONTINUE = "Raise the limit and run snakemake again: it continues from its checkpoint"
SIGNALS = (signal.SIGTERM, signal.SIGUSR1)
PATIENCE = 10.0  # seconds after a signal, from which on a second one ends a training that hangs


class TimedOut(Exception):
    """A training is over its time limit; the message is the record's reason."""


class Stopped(RFBenchError):
    """A training was told to end by a signal, and has left a checkpoint."""


class Watchdog:
    """Args: hours: wall clock that this start of a training may take, None for no limit; total: its updates."""

    def __init__(self, hours: float | None, total: int) -> None:
        self.hours, self.total = hours, total
        self.deadline = float("inf") if hours is None else time.monotonic() + 3600 * hours
        self.signal: signal.Signals | None = None  # the one that told it to end
        self._told = 0.0  # when
        self._done, self._sentinel = 0, None
        self._ending = threading.Lock()

    @property
    def done(self) -> int:
        """Updates so far, told by the training."""
        return self._done

    @done.setter
    def done(self, updates: int) -> None:
        self._done = updates
        if self._sentinel:
            with suppress(BrokenPipeError):
                os.write(self._sentinel.stdin.fileno(), b"%d\n" % updates)

    @property
    def may_expire(self) -> bool:
        """Whether to ask `expired`, the same in all processes that train together, which must agree on the answer.

        These wait for one another to agree; so without a limit they do so in a cluster's job alone.
        """
        from rfbench.training import ranks  # torch, which the pipeline does without

        return self.hours is not None or not ranks.is_one_of_several() or gpus.in_cluster_job()

    def expired(self) -> bool:
        """Whether the limit has passed, or a signal has come."""
        return self.signal is not None or time.monotonic() >= self.deadline

    def end(self) -> Exception:
        """How a training that stopped in good order ends."""
        if self.signal is None and self.hours is not None:
            return TimedOut(f"{self._where()}. {HOW_TO_CONTINUE}")
        name = self.signal.name if self.signal else "a signal to another process"
        return Stopped(f"told to end ({name}) at iteration {self.done} of {self.total}. Its checkpoint is written: the "
                       "next start goes on from there")  # fmt: skip

    def _where(self) -> str:
        return f"recipe.time_limit of {self.hours:g} h reached at iteration {self.done} of {self.total}"

    @contextmanager
    def heeding(self) -> Iterator[None]:
        """Within this context a signal is noted instead of ending the process; only the main thread can do so."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.signal(number, self._note) for number in SIGNALS}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _note(self, number: int, frame: object) -> None:
        if self.signal is None:
            self.signal, self._told = signal.Signals(number), time.monotonic()
        elif time.monotonic() - self._told > PATIENCE:  # no echo of the first, which a queue sends on many ways
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)

    @contextmanager
    def guard(self, leave_record: Callable[[str], None], work: Path) -> Iterator[None]:
        """Within this context a hung training is ended after `leave_record(reason)`, with exit status 0.

        Where that is impossible, it is killed after half the grace period more, with its reason in the work folder.
        """
        if self.hours is None:
            yield
            return
        timer = threading.Timer(self.deadline + GRACE - time.monotonic(), self._end, [leave_record])
        timer.daemon = True
        timer.start()
        self._watch(work)
        try:
            yield
        finally:
            self._ending.acquire()  # never given back: from here on one of the two writes the record
            timer.cancel()
            self._sentinel.stdin.close()
            self._sentinel = None

    def _watch(self, work: Path) -> None:
        """Start the process that watches over this one."""
        where = self._where().replace(f"iteration {self.done} ", "iteration {done} ")
        reason = (f"{where} and no update for {1.5 * GRACE / 60:g} min after: it hung where no thread of its own could "
                  f"end it, and was killed. {HOW_TO_CONTINUE}")  # fmt: skip
        seconds = self.deadline + 1.5 * GRACE - time.monotonic()
        words = [sys.executable, "-m", "rfbench.training.sentinel", str(os.getpid()), str(seconds), str(work), reason]
        self._sentinel = subprocess.Popen(words, stdin=subprocess.PIPE, start_new_session=True)

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


def heed_parent_alone(worker: int) -> None:
    """In a process that loads images: end at a SIGTERM of the training, but not at one that the whole job gets.

    Args:
        worker: its number, which the loader gives.
    """
    if not hasattr(signal, "sigwaitinfo"):  # macOS, which has no queue that sends signals
        return
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    threading.Thread(target=_wait_for_parent, name="signals", daemon=True).start()


def _wait_for_parent() -> None:
    while signal.sigwaitinfo({signal.SIGTERM}).si_pid != os.getppid():
        pass
    os._exit(0)


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
