"""One photograph and its masks on their way into a prepared data set."""

import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import ExifTags, Image

from rfbench.data import LESIONS, idrid
from rfbench.data.archive import DAMAGE, Source
from rfbench.data.files import sha256, write_file
from rfbench.data.findings import Finding
from rfbench.data.labels import UNREADABLE, MaskError, count_regions, decode_mask, encode_label, paint


@dataclass(frozen=True)
class Ingested:
    """What became of one item: its manifest row (None if it has findings) and its digests by file name."""

    row: dict | None
    findings: list[Finding]
    digests: dict[str, str]


def image_path(item: idrid.Item) -> str:
    """Where the photograph lies in a prepared data set; built from the validated stem alone."""
    return f"images/{item.split}/{item.stem}.jpg"


def label_path(item: idrid.Item) -> str:
    """Where the label map lies in a prepared data set."""
    return f"labels/{item.split}/{item.stem}.png"


def ingest(source: Source, item: idrid.Item, output: Path, official: bool) -> Ingested:
    """Check one item and write its image, unchanged, and its label map below `output`, if all is well."""
    digests: dict[str, str] = {}
    findings: list[Finding] = []
    content = _read(source, item.image, digests, findings)
    size = _photograph_size(content, item.image, official, findings) if content is not None else None
    masks = {}
    for lesion in LESIONS:
        if lesion in item.masks:
            mask = _mask(source, item.masks[lesion], size, digests, findings)
            if mask is not None:
                masks[lesion] = mask
    if findings:
        return Ingested(None, findings, digests)
    label = encode_label(paint(masks, size[::-1]))
    write_file(output / image_path(item), content)
    write_file(output / label_path(item), label)
    row = {"stem": item.stem, "split": item.split, "image": image_path(item), "label": label_path(item)}
    row |= {"sha256": sha256(content), "width": size[0], "height": size[1], "label_sha256": sha256(label)}
    return Ingested(row | _counts(masks), [], digests)


def _read(source: Source, name: str, digests: dict[str, str], findings: list[Finding]) -> bytes | None:
    """Bytes of a member, its digest noted; None with a finding if the source is damaged there."""
    try:
        content = source.read(name)
    except DAMAGE as error:
        findings.append(Finding(name, "a readable file", f"damage ({error})", idrid.OBTAIN))
        return None
    digests[name.rsplit("/", 1)[-1]] = sha256(content)
    return content


def _photograph_size(content: bytes, name: str, official: bool, findings: list[Finding]) -> tuple[int, int] | None:
    """(width, height) of a photograph that decodes to its last row; None with a finding otherwise."""
    try:
        with Image.open(io.BytesIO(content), formats=["JPEG"]) as image:
            image.load()  # a truncated file opens well and fails only here
            size, mode = image.size, image.mode
            turned = image.getexif().get(ExifTags.Base.Orientation, 1)
    except UNREADABLE as error:
        findings.append(Finding(name, "a readable JPEG", f"damage ({error})", idrid.OBTAIN))
        return None
    if mode != "RGB":
        findings.append(Finding(name, "a colour (RGB) JPEG", f"mode {mode}", idrid.OBTAIN))
    if turned != 1:
        findings.append(Finding(name, "EXIF orientation 1", f"{turned}, which readers treat differently", idrid.OBTAIN))
    if official and size != (idrid.WIDTH, idrid.HEIGHT):
        advice = f"{idrid.OBTAIN} {idrid.UNOFFICIAL}"
        findings.append(Finding(name, f"{idrid.WIDTH}x{idrid.HEIGHT} pixels", f"{size[0]}x{size[1]}", advice))
    return size


def _mask(
    source: Source, name: str, size: tuple[int, int] | None, digests: dict[str, str], findings: list[Finding]
) -> np.ndarray | None:
    """(H, W) bool mask of the photograph's `size` (width, height); None with a finding otherwise."""
    content = _read(source, name, digests, findings)
    if content is None:
        return None
    try:
        mask = decode_mask(content)
    except MaskError as error:
        findings.append(Finding(name, error.expected, error.found, idrid.OBTAIN))
        return None
    except UNREADABLE as error:
        findings.append(Finding(name, "a readable mask", f"damage ({error})", idrid.OBTAIN))
        return None
    height, width = mask.shape
    if size is not None and (width, height) != size:
        expected = f"the photograph's {size[0]}x{size[1]} pixels"
        findings.append(Finding(name, expected, f"{width}x{height}", idrid.OBTAIN))
    if mask.mean() > idrid.LARGEST_FRACTION:
        expected = f"at most {idrid.LARGEST_FRACTION:.0%} of the frame"
        advice = f"Alpha or background was saved as lesion. {idrid.OBTAIN}"
        findings.append(Finding(name, expected, f"{mask.mean():.1%}", advice))
    return mask


def _counts(masks: dict[str, np.ndarray]) -> dict[str, int]:
    """Regions and pixels per lesion, from the masks as drawn; 0 for an absent mask."""
    counts = {}
    for lesion in LESIONS:
        mask = masks.get(lesion)
        counts[f"{lesion}_regions"] = 0 if mask is None else count_regions(mask)
        counts[f"{lesion}_pixels"] = 0 if mask is None else int(np.count_nonzero(mask))
    return counts
