"""Decoded training images beside the manifest, mapped into memory by every training and loading process of a machine.

Decoding a photograph and its label map is most of what a training sample costs. `store/<split>/<stem>.pixels` holds
both as the decoder gives them: a line of JSON, filled with blanks to 4096 bytes, the image (H, W, 3) uint8 in BGR
order, the label map (H, W) uint8. The line names the two files by their sha256, which the manifest lists, the decoder,
and the digest of the pixels; all are checked before a training begins. Processes share one copy in the system's file
cache, which gives way where memory is short. The store may be deleted while nobody trains; a training makes it anew.
"""

import hashlib
import json
import shutil
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

import cv2
import numpy as np

from rfbench import flocks, provenance
from rfbench.data.images import read_native
from rfbench.data.manifest import read_manifest
from rfbench.data.progress import follow
from rfbench.errors import DataError, RFBenchError, print_lines
from rfbench.files import write_whole
from rfbench.threads import threads

FOLDER, SUFFIX = "store", ".pixels"
HEADER = 4096  # bytes, so that the pixels begin on a page
MISSING = "missing"
WITHOUT = "or set recipe.store: false (the same numbers, but every sample is decoded)"


def path_of(folder: Path, row) -> Path:
    """Where the decoded image of a manifest's row lies; `folder` is the manifest's."""
    return folder / FOLDER / row.split / f"{row.stem}{SUFFIX}"


def bytes_of(width: int, height: int) -> int:
    """Size of a decoded image's file."""
    return HEADER + 4 * width * height


def read_stored(folder: Path, row) -> tuple[np.ndarray, np.ndarray]:
    """What `read_native` reads, from the store: read-only arrays that are mapped, not copied, into memory.

    Raises:
        DataError: the file is gone, though `fill` saw it.
    """
    path, (height, width) = path_of(folder, row), (row.height, row.width)
    try:
        pixels = np.asarray(np.memmap(path, np.uint8, "r", HEADER, (4 * height * width,)))
    except (OSError, ValueError) as error:
        raise DataError(
            f"{path}: expected a decoded image, found it gone or cut since the training began ({error}). Start again, "
            "which makes it anew."
        ) from error
    image, label = np.split(pixels, [3 * height * width])
    return image.reshape(height, width, 3), label.reshape(height, width)


def fill(manifest: Path, split: str = "train", *, progress: bool = True, jobs: int = 2) -> None:
    """Bring the store up to date: check every image's file, decode what is missing, damaged or of another image.

    Files are written whole, so whatever was killed, what it finished stays. One process fills a store at a time, others
    wait for it; a store that is complete is only read.

    Args:
        manifest: the prepared data set's manifest.csv.
        split: whose images.
        progress: report on stderr.
        jobs: threads; each needs memory for two decoded images.

    Raises:
        RFBenchError: the store cannot be written, or the disk has no room for it.
        DataError: a prepared file is gone, unreadable or not the one that the manifest lists.
    """
    folder = Path(manifest).parent
    rows = list(read_manifest(manifest, split).itertuples())
    with threads(jobs) as pool:
        if not any(_faults(folder, rows, pool)) and not _leftovers(folder, rows):
            return
        with _locked(folder / FOLDER):
            faults = _faults(folder, rows, pool)  # again: another process may have filled it meanwhile
            wrong = [row for row, fault in zip(rows, faults, strict=True) if fault]
            for row, fault in zip(rows, faults, strict=True):
                if fault not in (None, MISSING):
                    print_lines([f"{path_of(folder, row)}: {fault}; decoded again"], file=sys.stderr)
            for path in [*_leftovers(folder, rows), *(path_of(folder, row) for row in wrong)]:
                path.unlink(missing_ok=True)
            _check_room(folder / FOLDER, sum(bytes_of(row.width, row.height) for row in wrong))
            for _ in follow(pool.map(partial(_decode, folder), wrong), len(wrong), "decode", progress):
                pass


@contextmanager
def _locked(store: Path) -> Iterator[None]:
    """Hold the store, in which nobody else writes meanwhile."""
    with ExitStack() as stack:
        try:
            store.mkdir(parents=True, exist_ok=True)
            stack.enter_context(flocks.held(store / "lock", "is decoding images"))
        except OSError as error:
            raise RFBenchError(
                f"{store}: cannot be written ({error.strerror}). Make it writable, {WITHOUT}."
            ) from error
        yield


def _faults(folder: Path, rows: list, pool: ThreadPoolExecutor) -> list[str | None]:
    """What is wrong with each image's file, None where nothing is."""
    return list(pool.map(partial(_fault, folder), rows))


def _fault(folder: Path, row) -> str | None:
    try:
        with path_of(folder, row).open("rb") as file:
            header = json.loads(file.read(HEADER))
            if not isinstance(header, dict) or header | {"pixels": None} != _header(row):
                return "of another image, decoder or version than wanted"
            # Read on from the pixels' first byte to the file's end.
            if header["pixels"] != hashlib.file_digest(file, "sha256").hexdigest():
                return "damaged (not the pixels that were written)"
    except FileNotFoundError:
        return MISSING
    except (OSError, ValueError, KeyError) as error:
        return f"no decoded image of ours ({error})"
    return None


def _leftovers(folder: Path, rows: list) -> list[Path]:
    """Files of the store that belong to no image: what a killed process began, and images of an earlier preparation."""
    expected = {path_of(folder, row) for row in rows}
    found = {path for split in {row.split for row in rows} for path in (folder / FOLDER / split).glob("*")}
    return sorted(path for path in found - expected if path.suffix in (SUFFIX, ".part"))


def _check_room(store: Path, needed: int) -> None:
    free = shutil.disk_usage(store).free
    if needed > free:
        raise RFBenchError(
            f"{store}: expected {needed / 1e9:,.2f} GB of free disk for decoded training images, found "
            f"{free / 1e9:,.2f} GB. Make room, {WITHOUT}."
        )


def _decode(folder: Path, row) -> None:
    """Decode one image, which must be the manifest's, and write its file."""
    for name, digest in ((row.image, row.sha256), (row.label, row.label_sha256)):
        if (folder / name).is_file() and provenance.sha256(folder / name) != digest:
            raise DataError(
                f"{folder / name}: expected the file that the manifest lists, of digest {digest[:12]}…, found another. "
                "Prepare the data set again (delete its manifest.csv and run the same command)."
            )
    pixels = read_native(folder, row)  # says what is missing
    digest = hashlib.sha256(pixels[0])
    digest.update(pixels[1])
    header = json.dumps(_header(row) | {"pixels": digest.hexdigest()}).encode().ljust(HEADER - 1) + b"\n"
    try:
        write_whole(path_of(folder, row), b"".join([header, *pixels]))
    except RFBenchError as error:
        raise RFBenchError(f"{error} Make room, {WITHOUT}.") from error


def _header(row) -> dict:
    """The first line of an image's file without the digest of the pixels."""
    return {
        "format": 1,
        "opencv": cv2.__version__,  # another one may decode a JPEG to other values
        "image": row.sha256,
        "label": row.label_sha256,
        "width": row.width,
        "height": row.height,
        "pixels": None,
    }
