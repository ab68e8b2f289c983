"""Writing prepared files so that a second run changes nothing and an interrupted one never looks finished."""

import hashlib
import os
from collections.abc import Iterable
from pathlib import Path

from rfbench.errors import DataError


def sha256(content: bytes) -> str:
    """SHA-256 of `content` in lower-case hexadecimal."""
    return hashlib.sha256(content).hexdigest()


def write_file(path: Path, content: bytes) -> None:
    """Make `path` hold `content`: whole, by rename, and untouched where it already does; DataError if it cannot."""
    if path.is_file() and path.stat().st_size == len(content) and path.read_bytes() == content:
        return
    # By process: an orphan of a killed Snakemake may be writing the same file.
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part.write_bytes(content)
        os.replace(part, path)
    except OSError as error:
        raise DataError(f"{path}: cannot be written ({error.strerror}). Check --output and the free space.") from error


def refuse_leftovers(root: Path, folders: Iterable[str], expected: set[str]) -> None:
    """Raise DataError if `root`'s `folders` hold files beyond `expected` (relative, with `/`).

    They come from another preparation; nothing here deletes what it did not write. A link is refused too:
    what is written through it would leave `root`.
    """
    found = [path for folder in folders for path in ((root / folder), *(root / folder).rglob("*"))]
    links = sorted(path for path in found if path.is_symlink())
    if links:
        raise DataError(f"{links[0]}: expected no link in the output, found one. Remove it or choose another --output.")
    present = {path.relative_to(root).as_posix() for path in found if path.is_file()}
    foreign = sorted(name for name in present - expected if not name.endswith(".part"))
    if foreign:
        raise DataError(
            f"{root}: expected an empty folder or an earlier preparation of the same data, "
            f"found {len(foreign)} other file(s), first {foreign[0]}. "
            "Choose another --output or empty this one."
        )
