"""Named arrays in a compressed file: the same bytes for the same arrays. No torch."""

import io
import zipfile
from collections.abc import Collection, Mapping
from pathlib import Path

import numpy as np

from rfbench.errors import RFBenchError
from rfbench.files import write_whole


def write(path: str | Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Write arrays as .npz, whole, by rename; numpy dates every member 1980, so equal arrays give equal bytes."""
    buffer = io.BytesIO()
    np.savez_compressed(buffer, allow_pickle=False, **arrays)
    write_whole(path, buffer.getvalue())


def read(path: str | Path, names: Collection[str], what: str, advice: str) -> dict[str, np.ndarray]:
    """Read the arrays of these names.

    Args:
        path: file of `write`.
        names: of all its arrays.
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
    if found.keys() != set(names):
        differing = ", ".join(sorted(found.keys() ^ set(names)))
        raise RFBenchError(f"{path}: expected {what}, found other arrays ({differing}). {advice}")
    return found
