"""One way to read a data set's source, be it a zip or its extracted tree; nothing is extracted to disk."""

import os
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path

from rfbench.errors import DataError

DAMAGE = (OSError, EOFError, zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError)
"""What reading a member raises when the source is damaged, encrypted or packed by an unknown method."""


@dataclass(frozen=True)
class Source:
    """A readable zip or folder. Member names use `/` and are only ever looked up, never written to."""

    path: Path

    @property
    def is_zip(self) -> bool:
        return self.path.is_file()

    @property
    def kind(self) -> str:
        return "zip archive" if self.is_zip else "folder"

    @property
    def name(self) -> str:
        """Last component of the path, which is all of it that may enter a result."""
        return self.path.resolve().name

    def names(self) -> list[str]:
        """All files of the source, sorted; a zip that lists a name twice yields it twice."""
        if self.is_zip:
            with zipfile.ZipFile(self.path) as archive:
                return sorted(info.filename for info in archive.infolist() if not info.is_dir())
        walked = os.walk(self.path, onerror=_raise)
        return sorted(
            (Path(top) / file).relative_to(self.path).as_posix() for top, _, files in walked for file in files
        )

    def read(self, name: str) -> bytes:
        """Bytes of one member; raises one of DAMAGE if it cannot be read."""
        if not self.is_zip:
            return (self.path / name).read_bytes()
        with zipfile.ZipFile(self.path) as archive:  # opened anew each time: threads share no file position
            return archive.read(name)


def _raise(error: OSError) -> None:
    raise error  # os.walk would pass over an unreadable folder in silence


def open_source(path: Path) -> Source:
    """Return the source at `path`, a zip or a folder; DataError if it is missing or unreadable."""
    path = Path(path)
    if not path.exists():
        raise DataError(f"{path}: expected a zip or a folder, found nothing. Give the path of the downloaded archive.")
    source = Source(path)
    try:
        source.names()
    except DAMAGE as error:
        raise DataError(
            f"{path}: expected a readable {source.kind}, found damage ({error}). Download it again, "
            "or give the folder you extracted it to."
        ) from error
    return source
