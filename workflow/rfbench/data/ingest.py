"""One photograph and its masks on their way into a prepared data set."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

import numpy as np

from rfbench.data.archive import DAMAGE, Source
from rfbench.data.files import sha256
from rfbench.data.findings import Finding
from rfbench.data.labels import (
    UNREADABLE,
    Unfit,
    check_samples,
    decode_any_mask,
    decode_mask,
    encode_label,
    opened,
    paint,
    region_areas,
)
from rfbench.data.layout import Item, Layout
from rfbench.errors import DataError
from rfbench.files import write_changed

_SUFFIXES = {".jpeg": ".jpg", ".tiff": ".tif"}


@dataclass
class Ingested:
    """What became of one item.

    `row` is its line of the manifest (None if it has findings), `label` its encoded label map, `areas` the px of each
    region by lesion, `digests` those of its files by name; `warnings` do not stop the preparation.
    """

    row: dict | None = None
    label: bytes = b""
    findings: list[Finding] = field(default_factory=list)
    warnings: list[Finding] = field(default_factory=list)
    digests: dict[str, str] = field(default_factory=dict)
    areas: dict[str, np.ndarray] = field(default_factory=dict)


def image_path(item: Item) -> str:
    """Where the photograph lies in a prepared data set; built from the validated stem and suffix alone."""
    suffix = PurePosixPath(item.image).suffix.lower()
    return f"images/{item.split}/{item.stem}{_SUFFIXES.get(suffix, suffix)}"


def label_path(item: Item) -> str:
    """Where the label map lies in a prepared data set."""
    return f"labels/{item.split}/{item.stem}.png"


def ingest(source: Source, item: Item, layout: Layout) -> Ingested:
    """Check one item and encode its label map; nothing is written."""
    done = Ingested()
    content = _read(source, item.image, done, layout)
    size = _photograph_size(content, item.image, done, layout) if content is not None else None
    masks = {}
    for lesion in layout.lesions:
        if lesion in item.masks:
            mask = _mask(source, item.masks[lesion], size, done, layout)
            if mask is not None:
                masks[lesion] = mask
    if done.findings:
        return done
    done.label = encode_label(paint(masks, size[::-1], layout.lesions))
    row = {"stem": item.stem, "split": item.split, "image": image_path(item), "label": label_path(item)}
    row |= {"sha256": sha256(content), "width": size[0], "height": size[1], "label_sha256": sha256(done.label)}
    done.areas = {lesion: region_areas(mask) for lesion, mask in masks.items()}
    done.row = row | _counts(done.areas, layout)
    return done


def write(source: Source, item: Item, done: Ingested, output: Path) -> None:
    """Write a sound item's image, unchanged, and its label map below `output`.

    The photograph is read a second time, so that not all of them are held until the last one is checked. Raises
    DataError if it is no longer the one that was checked.
    """
    try:
        content = source.read(item.image)
    except DAMAGE as error:
        raise DataError(f"{item.image}: expected a readable file, found damage ({error}). Run it again.") from error
    if sha256(content) != done.row["sha256"]:
        raise DataError(f"{item.image}: expected the photograph as it was checked, found another. Run it again.")
    write_changed(output / image_path(item), content)
    write_changed(output / label_path(item), done.label)


def _read(source: Source, name: str, done: Ingested, layout: Layout) -> bytes | None:
    """Bytes of a member, its digest noted; None with a finding if the source is damaged there."""
    try:
        content = source.read(name)
    except DAMAGE as error:
        done.findings.append(Finding(name, "a readable file", f"damage ({error})", layout.obtain))
        return None
    done.digests[name.rsplit("/", 1)[-1]] = sha256(content)
    return content


def _photograph_size(content: bytes, name: str, done: Ingested, layout: Layout) -> tuple[int, int] | None:
    """(width, height) of a photograph that decodes to its last row; None with a finding otherwise."""
    formats = " or ".join(layout.image_formats)
    try:
        with opened(content, layout.image_formats) as image:
            check_samples(image)
            image.load()  # a truncated file opens well and fails only here
            size, mode = image.size, image.mode
    except Unfit as error:
        done.findings.append(Finding(name, error.expected, error.found, layout.obtain))
        return None
    except UNREADABLE as error:
        done.findings.append(Finding(name, f"a readable {formats}", f"damage ({error})", layout.obtain))
        return None
    wrong = []
    if mode != "RGB":
        wrong.append((f"a colour (RGB) {formats}", f"mode {mode}"))
    if layout.frame and size != layout.frame:
        wrong.append((f"the official {layout.frame[0]}x{layout.frame[1]} pixels", f"{size[0]}x{size[1]}"))
    done.findings += [Finding(name, expected, found, layout.obtain) for expected, found in wrong]
    return size


def _mask(source: Source, name: str, size: tuple[int, int] | None, done: Ingested, layout: Layout) -> np.ndarray | None:
    """(H, W) bool mask of the photograph's `size` (width, height); None with a finding otherwise."""
    content = _read(source, name, done, layout)
    if content is None:
        return None
    try:
        mask = decode_any_mask(content) if layout.any_mask else decode_mask(content)
    except Unfit as error:
        done.findings.append(Finding(name, error.expected, error.found, layout.obtain))
        return None
    except UNREADABLE as error:
        done.findings.append(Finding(name, "a readable mask", f"damage ({error})", layout.obtain))
        return None
    height, width = mask.shape
    if size is not None and (width, height) != size:
        expected = f"the photograph's {size[0]}x{size[1]} pixels"
        done.findings.append(Finding(name, expected, f"{width}x{height}", layout.obtain))
    if mask.mean() > layout.largest_fraction:
        expected, found = f"at most {layout.largest_fraction:.0%} of the frame", f"{mask.mean():.1%}"
        advice = f"Alpha or background was saved as lesion. {layout.obtain}"
        (done.findings if layout.strict_fraction else done.warnings).append(Finding(name, expected, found, advice))
    return mask


def _counts(areas: Mapping[str, np.ndarray], layout: Layout) -> dict[str, int]:
    """Regions and pixels per lesion, from the masks as drawn; 0 for an absent mask."""
    counts = {}
    for lesion in layout.lesions:
        counts[f"{lesion}_regions"] = len(areas.get(lesion, ()))
        counts[f"{lesion}_pixels"] = int(sum(areas.get(lesion, ())))
    return counts
