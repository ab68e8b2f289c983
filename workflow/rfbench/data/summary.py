"""The summary of a prepared data set for people."""

from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from rfbench.data import areas
from rfbench.data.layout import Layout
from rfbench.data.manifest import is_synthetic, region_totals
from rfbench.errors import printable

SUMMARY = "summary.md"
SIZES_SHOWN = 8
WARNING_SHOWN = 400  # characters of a warning that are printed
_WARNING = "- WARNING "


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


def warnings_of(summary: Path) -> list[str]:
    """The warnings of a summary, one printable line each; what is longer than a few lines is cut short."""
    lines = [line.removeprefix(_WARNING) for line in summary.read_text().splitlines() if line.startswith(_WARNING)]
    return [
        printable(line if len(line) <= WARNING_SHOWN else f"{line[:WARNING_SHOWN]} … (all of it in {summary})")
        for line in lines
    ]


def area_unit(layout: Layout) -> str:
    """What the areas of the summary are counted in."""
    return "px of the image" if layout.factor == 1 else f"px of the full-size frame: px here / {layout.factor:g}²"


def identical_images(frame: pd.DataFrame) -> list[str]:
    """A sentence for each photograph that is there more than once, byte for byte."""
    copies = frame[frame.duplicated("sha256", keep=False)]
    sentences = []
    for _, group in copies.groupby("sha256", sort=False):
        where = ", ".join(f"{row.split}/{row.stem}" for row in group.itertuples())
        leak = " in different splits: the test images must not be learnt from" if group["split"].nunique() > 1 else ""
        sentences.append(f"WARNING identical photographs{leak}: {where}")
    return sentences


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
