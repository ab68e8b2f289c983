"""Writing files whole: a reader sees the old content or the new one, never a part."""

import contextlib
import os
from pathlib import Path

from rfbench.errors import RFBenchError


def write_whole(path: str | Path, content: bytes) -> None:
    """Write a file by rename; its folder is made if need be.

    Raises:
        RFBenchError: it cannot be written.
    """
    path = Path(path)
    # By process: an orphan of a killed Snakemake may be writing the same file.
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part.write_bytes(content)
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
