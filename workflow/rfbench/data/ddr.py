"""The raw layout of DDR's lesion segmentation set (Li et al. 2019, doi:10.1016/j.ins.2019.06.011).

`lesion_segmentation/{train,valid,test}` hold `image/<stem>.jpg` and four masks per image, all black where the
lesion is absent. The folder of masks is called `label`, in the official `valid` `segmentation label`, after some
conversions `annotations`; split and kind of folder also come in the other order (docs/datasets.md).
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import unquote

from rfbench.data.findings import Finding
from rfbench.data.layout import (
    Item,
    Layout,
    count_splits,
    in_order,
    is_dropping,
    letters,
    mixed,
    place,
    shared_stems,
)
from rfbench.names import LESIONS

IMAGES = {"train": 383, "val": 149, "test": 225}
OBTAIN = "Restore it from the official archive (github.com/nkicsl/DDR-dataset, ten parts DDR-dataset.zip.001 to .010)."
UNOFFICIAL = "For a cut-down set use --unofficial."

_SPLIT_OF = {"train": "train", "training": "train", "valid": "val", "val": "val", "validation": "val", "test": "test"}
_MASK_FOLDERS = {"label", "labels", "segmentationlabel", "annotations", "annotation", "mask", "masks"}
_IMAGE_FOLDERS = {"image", "images"}
_NAME = re.compile(r"([A-Za-z0-9][A-Za-z0-9_-]*)\.(jpe?g|tiff?)", re.IGNORECASE)


def layout(official: bool) -> Layout:
    """What ingestion needs to know of DDR; `official` says in the summary that the numbers were checked."""
    checked = ["checks: complete official release, 383 + 149 + 225 images with four masks each"]
    return Layout(
        title="DDR",
        obtain=OBTAIN,
        lookup=("train/image/<stem>.jpg with its masks in train/label/", "Give 'DDR-dataset.zip.001' or its tree."),
        lesions=LESIONS,
        strict_fraction=False,  # its labels are noisy: docs/datasets.md
        black_masks=True,
        conclude=lambda frame, digests: ([], checked if official else []),
    )


@dataclass(frozen=True)
class _Member:
    name: str
    stem: str
    split: str | None
    lesion: str | None  # None: the photograph


def scan(names: Iterable[str]) -> tuple[list[Item], list[Finding]]:
    """Sort a source's member names into items (train, val, test; then by stem) and what is wrong with them.

    Grading images, detection boxes and the droppings of operating systems are passed over.
    """
    members = sorted(filter(None, map(_parse, names)), key=lambda member: (member.lesion is not None, member.name))
    items: dict[tuple[str, str], Item] = {}
    findings: list[Finding] = []
    for member in members:
        findings += _place(member, items)
    ordered = in_order(items.values())
    for item in ordered:
        findings += [
            Finding(f"{item.stem}.tif", f"the {lesion} mask of {item.image}, black if it has none", "no file", OBTAIN)
            for lesion in LESIONS
            if lesion not in item.masks
        ]
    return ordered, findings + shared_stems(ordered, OBTAIN) + mixed(ordered, "DDR")


def check_complete(items: Iterable[Item]) -> list[Finding]:
    """Compare the numbers of photographs with the official 383, 149 and 225."""
    return count_splits(items, IMAGES, "the official set", f"{OBTAIN} {UNOFFICIAL}")


def _parse(name: str) -> _Member | None:
    """Member for a photograph or lesion mask, None for a file that is neither."""
    *folders, file = (unquote(part) for part in re.split(r"[/\\]", name))
    words = [letters(folder) for folder in folders]
    match = _NAME.fullmatch(file)
    if not match or is_dropping(folders) or {"lesiondetection", "drgrading"} & set(words):
        return None
    stem, kind = match.groups()
    splits = [_SPLIT_OF[word] for word in words if word in _SPLIT_OF]
    split = splits[-1] if splits else None
    last = words[-1].upper() if words else ""
    if kind.lower().startswith("j"):
        return _Member(name, stem, split, None) if _IMAGE_FOLDERS & set(words) else None
    if last in LESIONS and _MASK_FOLDERS & set(words):
        return _Member(name, stem, split, last)
    return None


def _place(member: _Member, items: dict[tuple[str, str], Item]) -> list[Finding]:
    """Put one member into `items` (photographs come first); return what forbids it."""
    if member.split is None:
        advice = "Keep the official tree."
        return [Finding(member.name, "a folder named train, valid or test", "none in its path", advice)]
    return place(items, member.name, member.stem, member.split, member.lesion, OBTAIN)
