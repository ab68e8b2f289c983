"""The manifest of a prepared data set, which later stages read."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import pandas as pd

from rfbench.data.naming import is_generated
from rfbench.errors import DataError
from rfbench.names import LESIONS

NAME = "manifest.csv"
FIXED = ("stem", "split", "image", "label", "sha256", "width", "height", "label_sha256")


def columns(lesions: Sequence[str]) -> tuple[str, ...]:
    """Columns of a manifest: FIXED, then regions and pixels of each lesion in painting order."""
    return (*FIXED, *(f"{lesion}_{what}" for lesion in lesions for what in ("regions", "pixels")))


COLUMNS = columns(LESIONS)


def lesions_of(frame: pd.DataFrame) -> tuple[str, ...]:
    """Lesions of a manifest in painting order: label value = index + 1."""
    return tuple(name.removesuffix("_regions") for name in frame.columns if name.endswith("_regions"))


def tabulate(rows: Iterable[dict], lesions: Sequence[str]) -> pd.DataFrame:
    """Rows, in the order given, as a frame with the columns of `lesions`."""
    return pd.DataFrame(list(rows), columns=list(columns(lesions)))


def encode_manifest(frame: pd.DataFrame) -> bytes:
    """A frame of `tabulate` as CSV with `\\n` line ends."""
    return frame.to_csv(index=False, lineterminator="\n").encode()


def read_manifest(path: Path, split: str | None = None, lesions: Sequence[str] | None = None) -> pd.DataFrame:
    """Read a manifest, of one split if given; one row per image, paths relative to the manifest's folder.

    Regions are 4-connected and, like pixels, counted per mask file before one lesion overwrites another.
    Raises DataError if the file is absent, no manifest of ours, has no image of the split, or was prepared with
    other lesions than those given.
    """
    path = Path(path)
    if not path.is_file():
        raise DataError(
            f"{path}: expected the manifest of a prepared data set, found no file. "
            "Run `rfbench prepare` first; an interrupted preparation leaves no manifest."
        )
    try:
        frame = pd.read_csv(path, dtype={"stem": str}, keep_default_na=False)
    except (ValueError, UnicodeDecodeError) as error:  # pandas' parser errors are ValueErrors
        raise DataError(f"{path}: expected a CSV manifest, found an unreadable file ({error}).") from error
    missing = [column for column in columns(lesions_of(frame)) if column not in frame.columns]
    if missing or not lesions_of(frame):
        raise DataError(
            f"{path}: expected the columns {', '.join(FIXED)} and those of the lesions, found none named "
            f"{', '.join(missing) or '<lesion>_regions'}. Prepare the data set again with this version."
        )
    if lesions is not None and lesions_of(frame) != tuple(lesions):
        raise DataError(
            f"{path}: expected the configuration's lesions {', '.join(lesions)}, found {', '.join(lesions_of(frame))}. "
            "Prepare the data set again or correct `lesions` in the configuration."
        )
    return frame if split is None else _of_split(frame, path, split)


def _of_split(frame: pd.DataFrame, path: Path, split: str) -> pd.DataFrame:
    """Rows of one split, numbered from 0; DataError if there are none."""
    chosen = frame[frame["split"] == split].reset_index(drop=True)
    if chosen.empty:
        present = ", ".join(sorted(frame["split"].astype(str).unique())) or "none"
        raise DataError(f"{path}: expected images of split '{split}', found the splits: {present}.")
    return chosen


def is_synthetic(frame: pd.DataFrame) -> bool:
    """Whether a manifest lists generated images; results from them must be stamped so."""
    return any(map(is_generated, frame["stem"]))


def region_totals(frame: pd.DataFrame) -> dict[str, int]:
    """Regions over all images, by lesion."""
    return {lesion: int(frame[f"{lesion}_regions"].sum()) for lesion in lesions_of(frame)}
