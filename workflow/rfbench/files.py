"""Writing files whole: a reader sees the old content or the new one, never a part. And what lies at a path."""

import contextlib
import os
import stat
from pathlib import Path

from rfbench.errors import RFBenchError

_KINDS = (
    (stat.S_ISREG, "a file"),
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a named pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


def kind(path: str | Path) -> str:
    """What lies at a path, in words. Only a file may be opened: reading a named pipe would wait without end."""
    try:
        mode = os.stat(path).st_mode
    except (OSError, ValueError) as error:  # ValueError: a name with NUL, which no file has
        return "nothing" if isinstance(error, (FileNotFoundError, ValueError)) else f"nothing ({error.strerror})"
    return next((word for test, word in _KINDS if test(mode)), "something else")


def write_whole(path: str | Path, content: bytes, *, lasting: bool = False) -> None:
    """Write a file by rename; its folder is made if need be.

    Args:
        path: of the file.
        content: of the file.
        lasting: wait until the disk has it: what follows may not come true without it, should the power fail.

    Raises:
        RFBenchError: it cannot be written.
    """
    path = Path(path)
    # By process: an orphan of a killed Snakemake may be writing the same file.
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part.write_bytes(content)
        if lasting:
            with part.open("rb") as file:
                os.fsync(file.fileno())
        os.replace(part, path)
    except OSError as error:
        with contextlib.suppress(OSError):
            part.unlink()  # on a full disk, it would keep what little room there is
        raise RFBenchError(f"{path}: cannot be written ({error.strerror}). Check folder and free space.") from error


def write_changed(path: Path, content: bytes) -> None:
    """`write_whole`, but a file that already holds `content` stays untouched."""
    if path.is_file() and path.stat().st_size == len(content) and path.read_bytes() == content:
        return
    write_whole(path, content)
