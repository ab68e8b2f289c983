"""One way to read a data set's source: a zip, a zip split into numbered parts, or an extracted tree.

Nothing is ever extracted to disk: member names are looked up and never become paths of written files.
"""

import bisect
import io
import os
import re
import stat
import threading
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from rfbench.data.findings import Finding
from rfbench.errors import DataError, printable
from rfbench.files import kind
from rfbench.provenance import digest

DAMAGE = (OSError, EOFError, zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError)
"""What reading a member raises when the source is damaged, encrypted or packed by an unknown method."""

LARGEST_MEMBER = 1 << 28
"""Bytes a member may unpack to. The largest real file, an RGBA mask of 5184x3456 pixels, has 72 MB."""

ENCRYPTED = 0x1  # bit of a member's flags

_PART = re.compile(r"(.+\.zip)\.(\d{3})", re.IGNORECASE)


class Joined(io.RawIOBase):
    """Files one after the other as a single read-only, seekable one: a split zip is the plain cut of a whole."""

    def __init__(self, paths: tuple[Path, ...]):
        self._files = []
        self._ends: list[int] = []
        for path in paths:
            self._files.append(open(path, "rb", buffering=0))  # noqa: SIM115 (closed in close)
            self._ends.append((self._ends[-1] if self._ends else 0) + path.stat().st_size)
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._ends[-1]}[whence]
        if start + offset < 0:
            raise OSError(f"seek to {start + offset}, before the beginning")
        self._position = start + offset
        return self._position

    def readinto(self, buffer) -> int:
        """Fill `buffer` from the file at the position, up to that file's end; 0 at the very end."""
        index = bisect.bisect_right(self._ends, self._position)
        if index == len(self._files):
            return 0
        start = self._ends[index - 1] if index else 0
        self._files[index].seek(self._position - start)
        count = self._files[index].readinto(memoryview(buffer)[: self._ends[index] - self._position])
        self._position += count
        return count

    def close(self) -> None:
        for file in self._files:
            file.close()
        super().close()


@dataclass(frozen=True)
class Source:
    """A readable zip, whole or in parts, or a folder. Make it with `open_source`."""

    path: Path
    parts: tuple[Path, ...] = ()
    _opened: threading.local = field(default_factory=threading.local, repr=False, compare=False)

    @property
    def is_zip(self) -> bool:
        return bool(self.parts) or self.path.is_file()

    @property
    def kind(self) -> str:
        if self.parts:
            return f"zip archive in {len(self.parts)} parts"
        return "zip archive" if self.is_zip else "folder"

    @property
    def name(self) -> str:
        """Last component of the path, printable, which is all of it that may enter a result."""
        return printable(self.path.resolve().name)

    def names(self) -> list[str]:
        """All files of the source, sorted; a zip that lists a name twice yields it twice."""
        return sorted(name for name, *_ in self.contents())

    def contents(self) -> list[tuple[str, int, int]]:
        """Name, size in bytes and CRC (0 in a folder) of every file, sorted, without reading one."""
        if self.is_zip:
            infos = (info for info in self._zip().infolist() if not info.is_dir())
            return sorted((info.filename, info.file_size, info.CRC) for info in infos)
        return sorted(
            (path.relative_to(self.path).as_posix(), path.stat().st_size if path.exists() else 0, 0)
            for path in self._walk(folders=False)
        )

    def read(self, name: str, most: int = LARGEST_MEMBER) -> bytes:
        """Bytes of one member; raises one of DAMAGE if it is damaged, above `most` bytes, or no plain file."""
        if self.is_zip:
            info = self._zip().getinfo(name)
            if stat.S_ISLNK(info.external_attr >> 16):
                raise OSError("a link, which an archive of images has no use for")
            if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                raise OSError(f"packed by {_packing(info.compress_type)}; stored and deflated members are read")
            _refuse_large(info.file_size, most)
            with self._zip().open(info) as member:
                return member.read(info.file_size + 1)  # not read(): that unpacks all and cuts it off afterwards
        path = self.path / name
        if not path.resolve().is_relative_to(self.path.resolve()):
            raise OSError(f"a link out of the folder, to {os.readlink(path) if path.is_symlink() else path.resolve()}")
        if path.exists() and not path.is_file():
            raise OSError(kind(path))
        _refuse_large(path.stat().st_size, most)
        return path.read_bytes()

    def encrypted(self) -> list[str]:
        """Members that a password locks, sorted."""
        infos = self._zip().infolist() if self.is_zip else ()
        return sorted(info.filename for info in infos if info.flag_bits & ENCRYPTED)

    def links(self) -> list[Finding]:
        """Folders that are links: they are not followed, so what they hold would be missed."""
        if self.is_zip:
            return []
        advice = "Replace the link by the folder, or give the folder itself."
        linked = [path for path in self._walk(folders=True) if path.is_symlink()]
        return [
            Finding(path.relative_to(self.path).as_posix(), "a folder", f"a link to {os.readlink(path)}", advice)
            for path in sorted(linked)
        ]

    def _walk(self, folders: bool) -> Iterator[Path]:
        for top, below, files in os.walk(self.path, onerror=_raise):
            yield from (Path(top) / name for name in (below if folders else files))

    def _zip(self) -> zipfile.ZipFile:
        """The archive, opened once a thread: threads share no position, and DDR lists 18,249 members."""
        if not hasattr(self._opened, "zip"):
            file = io.BufferedReader(Joined(self.parts), 1 << 16) if self.parts else self.path
            self._opened.zip = zipfile.ZipFile(file)
        return self._opened.zip


def _packing(method: int) -> str:
    """Name of a zip's packing method: zipfile unpacks the others it knows at once, however much comes out."""
    return {zipfile.ZIP_BZIP2: "bzip2", zipfile.ZIP_LZMA: "LZMA"}.get(method, f"method {method}")


def _refuse_large(size: int, most: int) -> None:
    if size > most:
        raise OSError(f"{size} bytes once unpacked, more than the {most} that any such file here needs")


def _raise(error: OSError) -> None:
    raise error  # os.walk would pass over an unreadable folder in silence


def open_source(path: Path) -> Source:
    """Return the source at `path`: a zip, any part of a split one, a folder with such parts, or a tree.

    Raises DataError if it is missing or unreadable, or if a part between others is.
    """
    path = Path(path)
    if not path.exists():
        first = path.with_name(f"{path.name}.001")
        advice = f"Give {first}." if first.exists() else "Give the path of the downloaded archive."
        raise DataError(f"{path}: expected a zip or a folder, found nothing. {advice}")
    if not path.is_file() and not path.is_dir():
        raise DataError(f"{path}: expected a zip or a folder, found {kind(path)}. Give the downloaded archive.")
    source = Source(path, _parts(path))
    try:
        source.names()
        encrypted = source.encrypted()
    except DAMAGE as error:
        advice = "Download it again, or give the folder you extracted it to."
        if source.parts:
            advice = f"Its last part may be missing (found {len(source.parts)}) or be cut short; download it again."
        raise DataError(f"{path}: expected a readable {source.kind}, found damage ({error}). {advice}") from error
    if encrypted:
        raise DataError(
            f"{path}: expected a {source.kind} that no password locks, found {len(encrypted)} encrypted file(s), "
            f"first {encrypted[0]}. Extract it with its password and give the folder."
        )
    return source


def _parts(path: Path) -> tuple[Path, ...]:
    """The numbered parts that `path` names or, as a folder, holds; none for anything else."""
    match = _PART.fullmatch(path.name)
    folder = path if path.is_dir() else path.parent
    if path.is_file() and not match:
        return ()
    found: dict[str, dict[int, Path]] = {}
    for other in folder.iterdir():
        part = _PART.fullmatch(other.name)
        if part and other.is_file() and (path.is_dir() or part[1] == match[1]):
            found.setdefault(part[1], {})[int(part[2])] = other
    if not found:
        return ()
    if len(found) > 1:
        raise DataError(f"{path}: expected one split zip, found {', '.join(sorted(found))}. Give one's first part.")
    ((name, numbered),) = found.items()
    gaps = sorted(set(range(1, max(numbered) + 1)) - set(numbered))
    if gaps:
        missing = ", ".join(f"{name}.{gap:03}" for gap in gaps)
        raise DataError(f"{path}: expected parts 001 to {max(numbered):03}, found no {missing}. Download it again.")
    return tuple(numbered[number] for number in sorted(numbered))


def fingerprint(path: Path) -> str:
    """Digest of an archive's table of contents (names, sizes, checksums), read without reading the archive.

    It changes with the content, neither with the archive's date nor with its place; `absent` if there is none.
    """
    if not path.exists():
        return "absent"
    try:
        source = open_source(path)
    except DataError:  # `rfbench prepare` says what is wrong with it
        return "unreadable"
    return digest([entry if source.is_zip else entry[:2] for entry in source.contents()])
