"""The manifest of a prepared data set, which later stages read, and its summary for people."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from rfbench.data import LESIONS, areas
from rfbench.data.layout import Layout
from rfbench.errors import DataError

NAME = "manifest.csv"
SUMMARY = "summary.md"
FIXED = ("stem", "split", "image", "label", "sha256", "width", "height", "label_sha256")
SIZES_SHOWN = 8


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
    return bool(frame["stem"].str.startswith("SYN_").any())


def region_totals(frame: pd.DataFrame) -> dict[str, int]:
    """Regions over all images, by lesion."""
    return {lesion: int(frame[f"{lesion}_regions"].sum()) for lesion in lesions_of(frame)}


def identical_images(frame: pd.DataFrame) -> list[str]:
    """A sentence for each photograph that is there more than once, byte for byte."""
    copies = frame[frame.duplicated("sha256", keep=False)]
    sentences = []
    for _, group in copies.groupby("sha256", sort=False):
        where = ", ".join(f"{row.split}/{row.stem}" for row in group.itertuples())
        leak = " in different splits: the test images must not be learnt from" if group["split"].nunique() > 1 else ""
        sentences.append(f"WARNING identical photographs{leak}: {where}")
    return sentences


def describe(
    frame: pd.DataFrame, layout: Layout, source: str, notes: Iterable[str], sizes: Mapping[str, np.ndarray]
) -> str:
    """The summary as Markdown: plain numbers, no times and no paths, so equal data give equal text.

    `sizes` holds the area of every region in pixels of the full frame, by lesion.
    """
    synthetic = is_synthetic(frame)
    splits = ", ".join(f"{split} {(frame['split'] == split).sum()}" for split in layout.splits)
    totals = ", ".join(f"{lesion} {count}" for lesion, count in region_totals(frame).items())
    warning = "SYNTHETIC: generated images, not photographs; no result on them says anything of eyes"
    lines = [
        f"# {f'SYNTHETIC images in the layout of {layout.title}' if synthetic else layout.title}, prepared",
        "",
        *([f"- {warning}"] * synthetic),
        f"- source: {source}",
        f"- images: {splits}",
        f"- size: {_sizes(frame)}",
        f"- regions: {totals}",
        *(f"- {note}" for note in [*notes, *identical_images(frame)]),
        "",
        "Regions are 4-connected; regions and pixels are counted per mask, before one overwrites another.",
        "",
        f"| split | lesion | images | {'black masks | ' * layout.black_masks}regions | pixels | percent of frame |",
        f"|---|---|{'---:|' * (4 + layout.black_masks)}",
        *(
            _line(frame[frame["split"] == split], split, lesion, layout)
            for split in layout.splits
            for lesion in layout.lesions
        ),
        "",
        f"## Lesion areas ({area_unit(layout)})",
        "",
        *areas.table(sizes),
        "",
        f"Drawn in [{areas.NAME}]({areas.NAME}). The papers give 74, 256 and 1920 px as the 10, 50 and 90 % quantiles "
        "of IDRiD's lesions.",
    ]
    return "\n".join(lines) + "\n"


def area_unit(layout: Layout) -> str:
    """What the areas of the summary are counted in."""
    return "px of the image" if layout.factor == 1 else f"px of the full-size frame: px here / {layout.factor:g}²"


def _sizes(frame: pd.DataFrame) -> str:
    """The frame sizes, or how many there are and the extremes by area."""
    found = sorted(set(zip(frame["width"], frame["height"], strict=True)), key=lambda size: (size[0] * size[1], size))
    names = [f"{width}x{height}" for width, height in found]
    return ", ".join(names) if len(names) <= SIZES_SHOWN else f"{len(names)} sizes from {names[0]} to {names[-1]}"


def _line(frame: pd.DataFrame, split: str, lesion: str, layout: Layout) -> str:
    """One row of the summary's table; the percentage is of all frames of the split."""
    regions, pixels = frame[f"{lesion}_regions"], frame[f"{lesion}_pixels"]
    frames = int((frame["width"] * frame["height"]).sum())
    share = f"{100 * pixels.sum() / frames:.4f}" if frames else "–"
    black = f"{(regions == 0).sum()} | " * layout.black_masks
    return f"| {split} | {lesion} | {(regions > 0).sum()} | {black}{regions.sum()} | {pixels.sum()} | {share} |"
