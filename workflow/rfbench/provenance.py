"""Where a number comes from: commit, versions, device, digests."""

import csv
import hashlib
import io
import json
import os
import platform
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path

from rfbench.errors import RFBenchError
from rfbench.files import kind, write_whole

PACKAGES = (
    "torch",
    "numpy",
    "onedl-mmcv",
    "onedl-mmengine",
    "onedl-mmsegmentation",
    "opencv-python-headless",
)


def commit() -> tuple[str, bool]:
    """Commit of the project's checkout and whether tracked files differ from it.

    In a copy without its .git: what RFBENCH_COMMIT says, else "unknown"; and True.
    """
    here = Path(__file__).parent
    try:
        head = _git(here, "rev-parse", "HEAD").strip()
        return head, bool(_git(here, "status", "--porcelain", "--untracked-files=no").strip())
    except (FileNotFoundError, subprocess.CalledProcessError):
        return os.environ.get("RFBENCH_COMMIT", "unknown"), True


def _git(folder: Path, *arguments: str) -> str:
    return subprocess.run(["git", "-C", folder, *arguments], capture_output=True, text=True, check=True).stdout


def collect(device: str) -> dict:
    """Commit, dirty flag, Python and package versions, and the name of the device that computes."""
    head, dirty = commit()
    return {
        "commit": head,
        "dirty": dirty,
        "python": platform.python_version(),
        "versions": {package: version(package) for package in PACKAGES},
        "device": device,
    }


def digest(value) -> str:
    """Short digest of a JSON-like value: the first 12 hexadecimal digits of its SHA-256."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def sha256(path: str | Path) -> str:
    """SHA-256 of a file in hexadecimal; RFBenchError for what would be read without end, such as a named pipe."""
    if (found := kind(path)) not in ("a file", "nothing"):
        raise RFBenchError(f"{path}: expected a file, found {found}.")
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_json(path: str | Path, value: dict) -> None:
    """Write a record whole, by rename, so that an interrupted job never leaves half of one."""
    write_whole(path, (json.dumps(value, indent=1, sort_keys=True) + "\n").encode(), lasting=True)


def write_text(path: str | Path, text: str) -> None:
    """Write a text file whole, by rename; RFBenchError if it cannot be written."""
    write_whole(path, text.encode())


def write_csv(path: str | Path, columns: Sequence[str], rows: Iterable[Mapping]) -> None:
    """Write rows as CSV, whole, by rename; RFBenchError if it cannot be written."""
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_text(path, text.getvalue())


def read_json(path: str | Path) -> dict:
    """Read a record written by `write_json`.

    Raises:
        RFBenchError: there is no such record, or it is damaged.
    """
    if (found := kind(path)) == "nothing":
        raise RFBenchError(f"{path}: expected a record, found no file. `snakemake` runs what writes it.")
    if found != "a file":
        raise RFBenchError(f"{path}: expected a record, found {found}.")
    try:
        value = json.loads(Path(path).read_bytes())
    except (ValueError, RecursionError, OSError) as error:  # ValueError: no JSON, no UTF-8
        raise RFBenchError(f"{path}: expected a record (JSON), found {error}. Delete it and run snakemake.") from None
    if not isinstance(value, dict):
        raise RFBenchError(f"{path}: expected a record (a JSON object), found another value. Delete it.")
    return value
