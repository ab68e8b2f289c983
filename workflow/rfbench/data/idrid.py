"""The raw layout of IDRiD's lesion segmentation set (Porwal et al. 2018, doi:10.3390/data3030025).

Folder names are matched by the words in them, so that the usual variants of the tree are read alike: doubled,
missing or percent-encoded top folders, missing numbers, another case (docs/datasets.md).
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from importlib import resources
from urllib.parse import unquote

import pandas as pd

from rfbench.data.findings import Finding
from rfbench.data.layout import Item, Layout, in_order, is_dropping, letters, mixed, place, shared_stems
from rfbench.data.manifest import region_totals
from rfbench.names import LESIONS

SPLITS = ("train", "test")

WIDTH, HEIGHT = 4288, 2848
REGIONS = {"EX": 11720, "HE": 1903, "SE": 150, "MA": 3503}
REQUIRED = ("EX", "MA")  # an absent HE or SE file says that the image has no such lesion
LARGEST_FRACTION = 0.30  # the largest true mask covers 14.9 %; more is the alpha trap

OBTAIN = "Restore it from the official archive (idrid.grand-challenge.org, 'A. Segmentation.zip')."
UNOFFICIAL = "For a cut-down set use --unofficial."

_PREFIXES = {"idrid": "IDRiD", "syn": "SYN"}
_NAME = re.compile(r"(idrid|syn)_(\d{2,4})(?:_(ex|he|se|ma|od))?\.(jpe?g|tiff?)", re.IGNORECASE)
_FOLDER_OF = {
    "EX": re.compile("hardexud"),
    "HE": re.compile("ha?emorrhage"),
    "SE": re.compile("softexud"),
    "MA": re.compile("microan"),
}


def layout(official: bool) -> Layout:
    """What ingestion needs to know of IDRiD; `official` adds the checks of the complete release."""
    return Layout(
        title="IDRiD",
        obtain=OBTAIN,
        lookup=("IDRiD_NN.jpg below a training or testing folder", "Give 'A. Segmentation.zip' or the folder in it."),
        lesions=LESIONS,
        splits=SPLITS,
        frame=(WIDTH, HEIGHT) if official else None,
        largest_fraction=LARGEST_FRACTION,
        **({"conclude": _conclude} if official else {}),
    )


@dataclass(frozen=True)
class _Member:
    name: str
    stem: str
    lesion: str | None  # None: the photograph
    folders: tuple[str, ...]  # letters only, lower case, outermost first

    @property
    def file(self) -> str:
        """The official file name, whatever its case in the source."""
        return f"{self.stem}_{self.lesion}.tif" if self.lesion else f"{self.stem}.jpg"

    @property
    def split(self) -> str | None:
        """Split named by the innermost folder that names one."""
        found = [split for folder in self.folders for split in SPLITS if split in folder]
        return found[-1] if found else None

    @property
    def folder_lesion(self) -> str | None:
        """Lesion named by a folder, if one is."""
        found = [lesion for folder in self.folders for lesion, word in _FOLDER_OF.items() if word.search(folder)]
        return found[-1] if found else None


def scan(names: Iterable[str]) -> tuple[list[Item], list[Finding]]:
    """Sort a source's member names into items (train first, then by stem) and what is wrong with them.

    Optic-disc masks, licences and the droppings of operating systems are passed over.
    """
    members = _select(names)
    items: dict[tuple[str, str], Item] = {}
    findings: list[Finding] = []
    for member in sorted(members, key=lambda member: (member.lesion is not None, member.name)):
        findings += _place(member, items)
    ordered = in_order(items.values())
    return ordered, findings + _structure(ordered)


def _select(names: Iterable[str]) -> list[_Member]:
    """Photographs and lesion masks among the names."""
    members = [member for name in names if (member := _parse(name))]
    segmentation = [member for member in members if {"asegmentation", "segmentation"} & set(member.folders)]
    return segmentation or members  # a whole IDRiD download has grading images too


def _parse(name: str) -> _Member | None:
    """Member for a photograph or lesion mask, None for a file that is neither."""
    *folders, file = (unquote(part) for part in re.split(r"[/\\]", name))  # some Windows zips use \\
    match = _NAME.fullmatch(file)
    if not match or is_dropping(folders):
        return None
    prefix, number, suffix, kind = match.groups()
    if (suffix is None) != kind.lower().startswith("j") or (suffix or "").lower() == "od":
        return None
    words = tuple(map(letters, folders))
    return _Member(name, f"{_PREFIXES[prefix.lower()]}_{number}", suffix and suffix.upper(), words)


def _place(member: _Member, items: dict[tuple[str, str], Item]) -> list[Finding]:
    """Put one member into `items` (photographs come first); return what forbids it."""
    if member.split is None:
        found = "neither in its path"
        return [Finding(member.name, "a folder named Training Set or Testing Set", found, "Keep the official tree.")]
    if member.lesion and member.folder_lesion not in (None, member.lesion):
        found = f"it among the {member.folder_lesion} masks"
        return [Finding(member.name, f"the mask in the {member.lesion} folder", found, "Move it back.")]
    return place(items, member.name, member.stem, member.split, member.lesion, OBTAIN)


def _structure(items: list[Item]) -> list[Finding]:
    """Findings about the set as a whole that need no pixel."""
    findings = shared_stems(items, OBTAIN)
    for item in items:
        for lesion in REQUIRED:
            if lesion not in item.masks:
                findings.append(
                    Finding(f"{item.stem}_{lesion}.tif", f"this mask for {item.image}", "no such file", OBTAIN)
                )
    return findings + mixed(items, "IDRiD")


def check_complete(names: Iterable[str]) -> list[Finding]:
    """Compare a source's photographs and masks, split by split, with the official list; each difference by name."""
    present = {(member.split, member.file) for member in _select(names)}
    official = {(member.split, member.file) for member in _select(official_digests())}
    advice = f"{OBTAIN} {UNOFFICIAL}"
    return [
        Finding(file, f"this file of the official {split} set", "no such file", advice)
        for split, file in sorted(official - present)
    ] + [
        Finding(file, f"only official files in the {split} set", "one more", f"Remove it. {UNOFFICIAL}")
        for split, file in sorted(present - official, key=str)
    ]


def check_regions(totals: dict[str, int]) -> list[Finding]:
    """Compare the 4-connected regions over all masks with the official release: the end-to-end check."""
    return [
        Finding(f"{lesion} masks", f"{REGIONS[lesion]} regions in all", f"{totals[lesion]}", OBTAIN)
        for lesion in LESIONS
        if totals[lesion] != REGIONS[lesion]
    ]


def _conclude(frame: pd.DataFrame, digests: dict[str, str]) -> tuple[list[Finding], list[str]]:
    """Region totals, and how many of the files read have the digest of our list.

    A re-packed copy may differ there and be sound, so that is a warning.
    """
    listed = {path.rsplit("/", 1)[-1]: digest for path, digest in official_digests().items()}
    differing = sorted(name for name, digest in digests.items() if listed.get(name) != digest)
    line = f"digests: {len(digests) - len(differing)} of {len(digests)} files used match the list"
    if differing:
        line = f"WARNING {line}; different: {', '.join(differing)}"
    return check_regions(region_totals(frame)), ["checks: complete official release", line]


def official_digests() -> dict[str, str]:
    """SHA-256 of every official file by its path (the list shipped with the package)."""
    text = resources.files("rfbench.data").joinpath("idrid-sha256.txt").read_text(encoding="utf-8")
    lines = (line.split(maxsplit=1) for line in text.splitlines() if line and not line.startswith("#"))
    return {path: digest for digest, path in lines}
