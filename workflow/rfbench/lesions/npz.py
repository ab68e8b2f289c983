"""Records of arrays in a compressed file: the same bytes for the same arrays. No torch."""

import io
import zipfile
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import TypeVar

import numpy as np

from rfbench.errors import RFBenchError
from rfbench.files import write_whole

Record = TypeVar("Record")
"""A dataclass whose fields are arrays."""


def write(path: str | Path, record: Record) -> None:
    """Write a record as .npz, whole, by rename; numpy dates every member 1980, so equal arrays give equal bytes."""
    buffer = io.BytesIO()
    np.savez_compressed(buffer, allow_pickle=False, **vars(record))
    write_whole(path, buffer.getvalue())


def read(path: str | Path, kind: type[Record], what: str, advice: str) -> Record:
    """Read a record.

    Args:
        path: file of `write`.
        kind: its class.
        what: what the file should be, for the message.
        advice: what to do if it is not.

    Raises:
        RFBenchError: there is no such file, it is damaged, or it holds other arrays.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            found = {name: file[name] for name in file.files}
    except FileNotFoundError:
        raise RFBenchError(f"{path}: expected {what}, found no file. {advice}") from None
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise RFBenchError(f"{path}: expected {what}, found an unreadable file ({error}). {advice}") from error
    if found.keys() != (names := {field.name for field in fields(kind)}):
        differing = ", ".join(sorted(found.keys() ^ names))
        raise RFBenchError(f"{path}: expected {what}, found other arrays ({differing}). {advice}")
    return kind(**found)


def joined(parts: Sequence[np.ndarray], dtype: type, shape: tuple[int, ...] = ()) -> np.ndarray:
    """Concatenate arrays (…, *shape), of which there may be none."""
    return np.concatenate([np.zeros((0, *shape), dtype), *parts]).astype(dtype)


def offsets(parts: Sequence[np.ndarray]) -> np.ndarray:
    """Where each of these arrays begins once they are joined, and where the last ends: int64."""
    return np.append(0, np.cumsum([len(part) for part in parts], dtype=np.int64))
