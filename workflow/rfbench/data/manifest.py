"""The manifest of a prepared data set, which later stages read, and its summary for people."""

from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from rfbench.data import LESIONS, SPLITS
from rfbench.errors import DataError

NAME = "manifest.csv"
SUMMARY = "summary.md"
COUNTS = tuple(f"{lesion}_{what}" for lesion in LESIONS for what in ("regions", "pixels"))
COLUMNS = ("stem", "split", "image", "label", "sha256", "width", "height", "label_sha256", *COUNTS)


def tabulate(rows: Iterable[dict]) -> pd.DataFrame:
    """Rows, in the order given, as a frame with COLUMNS."""
    return pd.DataFrame(list(rows), columns=list(COLUMNS))


def encode_manifest(frame: pd.DataFrame) -> bytes:
    """A frame of `tabulate` as CSV with `\\n` line ends."""
    return frame.to_csv(index=False, lineterminator="\n").encode()


def read_manifest(path: Path, split: str | None = None) -> pd.DataFrame:
    """Read a manifest, of one split if given; one row per image, paths relative to the manifest's folder.

    Regions are 4-connected and, like pixels, counted per mask file before one lesion overwrites another.
    Raises DataError if the file is absent, no manifest of ours, or has no image of the split.
    """
    path = Path(path)
    if not path.is_file():
        raise DataError(
            f"{path}: expected the manifest of a prepared data set, found no file. "
            "Run `rfbench prepare` first; an interrupted preparation leaves no manifest."
        )
    try:
        frame = pd.read_csv(path, dtype={"stem": str})
    except (ValueError, UnicodeDecodeError) as error:  # pandas' parser errors are ValueErrors
        raise DataError(f"{path}: expected a CSV manifest, found an unreadable file ({error}).") from error
    missing = [column for column in COLUMNS if column not in frame.columns]
    if missing:
        raise DataError(
            f"{path}: expected the columns {', '.join(COLUMNS)}, found none named {', '.join(missing)}. "
            "Prepare the data set again with this version."
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
    return bool(frame["stem"].str.startswith("SYN_").any())


def region_totals(frame: pd.DataFrame) -> dict[str, int]:
    """Regions over all images, by lesion."""
    return {lesion: int(frame[f"{lesion}_regions"].sum()) for lesion in LESIONS}


def describe(frame: pd.DataFrame, source: str, notes: Iterable[str]) -> str:
    """The summary as Markdown: plain integers, no times and no paths, so equal data give equal text."""
    synthetic = is_synthetic(frame)
    splits = ", ".join(f"{split} {(frame['split'] == split).sum()}" for split in SPLITS)
    totals = ", ".join(f"{lesion} {count}" for lesion, count in region_totals(frame).items())
    sizes = ", ".join(f"{w}x{h}" for w, h in sorted(set(zip(frame["width"], frame["height"], strict=True))))
    lines = [
        f"# {'SYNTHETIC images in the layout of IDRiD' if synthetic else 'IDRiD'}, prepared",
        "",
        *(["- SYNTHETIC: generated images, not photographs; no result on them says anything of eyes"] * synthetic),
        f"- source: {source}",
        f"- images: {splits}",
        f"- size: {sizes}",
        f"- regions: {totals}",
        *(f"- {note}" for note in notes),
        "",
        "Regions are 4-connected; regions and pixels are counted per mask, before one overwrites another.",
        "",
        "| split | lesion | images | regions | pixels | percent of frame |",
        "|---|---|---:|---:|---:|---:|",
        *(_line(frame[frame["split"] == split], split, lesion) for split in SPLITS for lesion in LESIONS),
    ]
    return "\n".join(lines) + "\n"


def _line(frame: pd.DataFrame, split: str, lesion: str) -> str:
    """One row of the summary's table; the percentage is of all frames of the split."""
    regions, pixels = frame[f"{lesion}_regions"], frame[f"{lesion}_pixels"]
    frames = int((frame["width"] * frame["height"]).sum())
    share = f"{100 * pixels.sum() / frames:.4f}" if frames else "–"
    return f"| {split} | {lesion} | {(regions > 0).sum()} | {regions.sum()} | {pixels.sum()} | {share} |"
