"""Fetch the ImageNet checkpoint of a backbone and check its digest."""

import os
import re
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPException
from pathlib import Path
from typing import IO

from rich.console import Console
from rich.progress import wrap_file

from rfbench import provenance
from rfbench.errors import RFBenchError
from rfbench.files import kind
from rfbench.settings import expand, is_address

WHOLE = 64  # digits of a SHA-256
PATIENCE = 60  # seconds without a byte, after which a download is given up
PIECE = 1 << 20  # bytes


def fetch(source: str, sha256: str, output: Path) -> str:
    """Copy or download a checkpoint to `output`, whole or not at all; return its whole digest.

    Args:
        source: file, or address that begins with http:// or https://.
        sha256: digest in hexadecimal, or at least its first eight digits, in any case.

    Raises:
        RFBenchError: the source cannot be read, its digest is another, or the output cannot be written.
    """
    expected = sha256.lower()
    if not re.fullmatch(f"[0-9a-f]{{8,{WHOLE}}}", expected):
        raise RFBenchError(f"--sha256: expected 8 to {WHOLE} hexadecimal digits, found {sha256!r}.")
    if output.is_dir():
        raise RFBenchError(f"--output {output}: expected the file to write, found a folder.")
    partial = output.with_name(f".{output.name}.{os.getpid()}.part")
    try:
        with _opened(source) as stream:
            output.parent.mkdir(parents=True, exist_ok=True)
            with open(partial, "wb") as target:
                for piece in _pieces(stream, source):
                    target.write(piece)
        found = provenance.sha256(partial)
        if not found.startswith(expected):
            raise RFBenchError(
                f"{source}: expected SHA-256 {sha256}, found {found}. The file is damaged or another one."
            )
        os.replace(partial, output)
    except OSError as error:  # the source's are told apart where they arise
        raise RFBenchError(
            f"--output {output}: cannot be written ({error.strerror}). Check folder and free space."
        ) from error
    finally:
        if partial.parent.is_dir():
            partial.unlink(missing_ok=True)
    return found


@contextmanager
def _opened(source: str) -> Iterator[IO[bytes]]:
    """The source as a stream; a bar follows it where someone watches."""
    console = Console(stderr=True)
    try:
        if is_address(source):
            stream = urllib.request.urlopen(source, timeout=PATIENCE)
            size = int(stream.headers.get("Content-Length") or 0)
        else:
            path = Path(expand(source))
            if kind(path) != "a file":
                raise ValueError(f"expected a file or an address (https://…), found {kind(path)}")
            stream, size = open(path, "rb"), path.stat().st_size  # noqa: SIM115 (closed below)
    except (OSError, HTTPException, ValueError) as error:
        raise _unreadable(source, error) from error
    with stream, wrap_file(stream, size, description="fetching", console=console, disable=not console.is_terminal) as f:
        yield f


def _pieces(stream: IO[bytes], source: str) -> Iterator[bytes]:
    try:
        while piece := stream.read(PIECE):
            yield piece
    except (OSError, HTTPException) as error:
        raise _unreadable(source, error) from error


def _unreadable(source: str, error: Exception) -> RFBenchError:
    return RFBenchError(
        f"{source}: cannot be read ({error}). Download it by hand and give its path as model.pretrained.source, "
        "or set model.pretrained to none (the tables will say so)."
    )
