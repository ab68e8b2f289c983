"""Exclusive locks on files, which the kernel frees when their process dies, however it dies.

On a file system that machines share, the kernel's word is not enough: some keep a lock to the machine that took it
(Lustre with localflock), some keep one whose machine is gone (NFS, until it is back). So the file names the process,
its machine and that machine's boot, and its holder touches it every BEAT seconds. Of a process on this machine the
kernel knows; one elsewhere counts as lost when it has been silent for LOST seconds by the file server's clock. Should
it have been merely frozen, it finds itself replaced at its next beat, and ends.
"""

import fcntl
import os
import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from rfbench.errors import RFBenchError, printable

BEAT, LOST = 20.0, 120.0  # seconds between two signs of life; of silence, after which nobody is alive there
SETTLED = 1.0  # seconds after which, of several that replace a lost lock at once, the last one is known

_HELD: dict[IO, Path] = {}
_beating: list[threading.Thread] = []  # one at most


def _boot() -> str:
    """What tells this machine since it was started from every other one."""
    file = Path("/proc/sys/kernel/random/boot_id")
    return file.read_text().strip() if file.exists() else socket.gethostname()


@dataclass(frozen=True)
class Holder:
    """Who wrote itself into a lock's file."""

    pid: str
    host: str = ""
    boot: str = ""

    @classmethod
    def of(cls, text: str) -> "Holder | None":
        """By the file's content; versions before this wrote the process alone, of whose machine nothing is known."""
        words = text.split()
        return cls(*words[:3]) if words else None

    @property
    def elsewhere(self) -> bool:
        """Whether it runs, or ran, on another machine, or before this one was started anew."""
        return bool(self.boot) and self.boot != OWN.boot

    def __str__(self) -> str:
        return printable(f"{self.pid} on {self.host}" if self.host else self.pid)


OWN = Holder("", socket.gethostname(), _boot())  # without the process, which may fork


def _own() -> str:
    return f"{os.getpid()} {OWN.host} {OWN.boot}\n"


def take(path: Path, mode: int = 0o644) -> IO | None:
    """Lock a file, made with `mode` if need be, and write this process into it; None if another process holds it.

    The lock lasts until `release` or the end of this process. Forked children, such as the workers of a data loader,
    do not share it: they may outlive a killed parent.
    """
    file = _opened(path, mode)
    other = Holder.of(file.read())
    locked = _flock(file)
    if other and other.elsewhere:
        silent = _silence(file, path)
        if silent < LOST:
            locked = False  # it is alive, though this file system may not tell of its lock
        elif not locked:
            file.close()
            return _replaced(path, mode, other, silent)
    if not locked or not _lies_at(file, path):
        file.close()
        return None
    return _kept(file, path)


def _opened(path: Path, mode: int) -> IO:
    try:  # not O_CREAT at once, which the kernel refuses for another user's file in /tmp
        descriptor = os.open(path, os.O_RDWR)
    except FileNotFoundError:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, mode)
        os.fchmod(descriptor, mode)
    return open(descriptor, "r+", errors="replace")


def _flock(file: IO) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _kept(file: IO, path: Path) -> IO:
    """Write this process into a file that it has locked, and show signs of life from now on."""
    file.seek(0)
    file.truncate(0)
    file.write(_own())
    file.flush()
    _HELD[file] = path.absolute()
    if not _beating:
        _beating.append(threading.Thread(target=_beat, name="locks", daemon=True))
        _beating[0].start()
    return file


def _replaced(path: Path, mode: int, lost: Holder, silent: float) -> IO | None:
    """Put a locked file of this process in the place of a lost one's; None if another process did so last."""
    new = path.with_name(f".{path.name}.{OWN.host}.{os.getpid()}")
    new.unlink(missing_ok=True)
    file = _opened(new, mode)
    _flock(file)
    _kept(file, path)
    os.replace(new, path)
    time.sleep(SETTLED)
    if not _lies_at(file, path):
        release(file)
        return None
    due = f"no sign of life for {silent:.0f} s where one is due every {BEAT:g} s, so it counts as lost"
    print(f"{path.parent}: process {lost}, which held it, has shown {due}", file=sys.stderr, flush=True)
    return file


def _lies_at(file: IO, path: Path) -> bool:
    """Whether an open file is the one that lies at a path now."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), os.stat(path))
    except FileNotFoundError:
        return False


def _silence(file: IO, path: Path) -> float:
    """Seconds since the last sign of life, both times by the clock of whoever keeps the files."""
    mark = path.with_name(f".{path.name}.{OWN.host}.{os.getpid()}.now")
    mark.touch()
    now = mark.stat().st_mtime
    mark.unlink(missing_ok=True)
    return now - os.fstat(file.fileno()).st_mtime


def _beat() -> None:
    """Show signs of life; end this process where another one has taken its lock, for which it must have seemed lost."""
    while True:
        time.sleep(BEAT)
        for file, path in list(_HELD.items()):
            with suppress(OSError, ValueError):  # released or deleted meanwhile, or a file server that is away
                content = path.read_text(errors="replace")
                if content and content != _own():
                    why = f"since this one ({os.getpid()} on {OWN.host}) seemed lost; it ends"
                    print(f"{path.parent}: process {Holder.of(content)} has taken it over, {why}", file=sys.stderr)
                    sys.stderr.flush()
                    os._exit(1)
                os.utime(file.fileno())


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
    """Give a lock back; that its file is empty tells every machine so."""
    path = _HELD.pop(file, None)
    if path and _lies_at(file, path):
        file.seek(0)
        file.truncate(0)
    file.close()


def hand_on() -> None:
    """Let what this process becomes by exec go on to hold its locks."""
    for file in _HELD:
        os.set_inheritable(file.fileno(), True)


def holder(path: Path) -> str:
    """The process that wrote itself into a lock's file last, and its machine."""
    return str(Holder.of(path.read_text(errors="replace")) or "unknown")


def _close_in_child() -> None:
    for file in _HELD:
        file.close()
    _HELD.clear()
    _beating.clear()


os.register_at_fork(after_in_child=_close_in_child)
