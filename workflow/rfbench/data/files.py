"""Digests of prepared files, and what may lie beside them."""

import hashlib
from collections.abc import Iterable
from pathlib import Path

from rfbench.errors import DataError


def sha256(content: bytes) -> str:
    """SHA-256 of `content` in lower-case hexadecimal."""
    return hashlib.sha256(content).hexdigest()


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
