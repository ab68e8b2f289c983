"""What every data set's layout shares: the item it yields, the limits its files keep, the words for its faults."""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

import pandas as pd

from rfbench.data import SPLITS
from rfbench.data.findings import Finding
from rfbench.names import is_generated


@dataclass
class Item:
    """One photograph and its masks, as member names of the source; `masks` is keyed by lesion."""

    stem: str
    split: str
    image: str
    masks: dict[str, str] = field(default_factory=dict)


def _nothing(*_) -> tuple[list[Finding], list[str]]:
    return [], []


@dataclass(frozen=True)
class Layout:
    """How ingestion treats one data set.

    Attributes:
        title: name of the data set in its summary.
        obtain: what to do about a file that is missing or damaged.
        lookup: what a source should hold, and what to give instead of one that holds nothing of it.
        lesions: names in painting order.
        splits: those of the summary, in order.
        image_formats: Pillow's names of the formats that photographs may have.
        any_mask: whether masks may have any two values and any lossless format, or the official ones only.
        frame: width and height that every photograph must have, if any.
        largest_fraction: part of the frame that a mask may cover; more is an error if `strict_fraction`, else a
            warning.
        black_masks: whether an absent lesion is an all-black mask (then they are counted), not an absent file.
        factor: length of a synthetic frame relative to the full one; lesion areas are shown at full size.
        conclude: given the manifest and the digests by file name, findings about the whole and lines for the summary.
    """

    title: str
    obtain: str
    lookup: tuple[str, str]
    lesions: tuple[str, ...]
    splits: tuple[str, ...] = SPLITS
    image_formats: tuple[str, ...] = ("JPEG",)
    any_mask: bool = False
    frame: tuple[int, int] | None = None
    largest_fraction: float = 0.30
    strict_fraction: bool = True
    black_masks: bool = False
    factor: float = 1.0
    conclude: Callable[[pd.DataFrame, dict[str, str]], tuple[list[Finding], list[str]]] = _nothing


def letters(folder: str) -> str:
    """A folder's name without case, numbers and signs, for comparison."""
    return re.sub("[^a-z]", "", folder.lower())


def is_dropping(folders: Iterable[str]) -> bool:
    """Whether a member lies in a folder that an operating system made, or above the archive."""
    return any(folder.startswith(("__MACOSX", ".")) and folder != "." for folder in folders)


def in_order(items: Iterable[Item]) -> list[Item]:
    """Items by split, then by stem: the order of the manifest."""
    return sorted(items, key=lambda item: (SPLITS.index(item.split), item.stem))


def twice(name: str, other: str) -> Finding:
    """Two members that claim to be the same file."""
    return Finding(name, "one file of this name in a split", f"also {other}", "Remove the copy that is not official.")


def no_photograph(stem: str, split: str, advice: str) -> Finding:
    """A mask whose photograph is not in its split."""
    expected = f"this photograph in the {split} set, which has masks of it"
    return Finding(f"{stem}.jpg", expected, "no such file", advice)


def place(items: dict[tuple[str, str], Item], name: str, stem: str, split: str, lesion: str | None,
          advice: str) -> list[Finding]:  # fmt: skip
    """Put a member into `items`, a photograph (`lesion` None) before its masks; return what forbids it."""
    item = items.get((split, stem))
    if lesion is None:
        if item:
            return [twice(name, item.image)]
        items[split, stem] = Item(stem, split, name)
        return []
    if not item:
        return [no_photograph(stem, split, advice)]
    if lesion in item.masks:
        return [twice(name, item.masks[lesion])]
    item.masks[lesion] = name
    return []


def shared_stems(items: Iterable[Item], advice: str) -> list[Finding]:
    """Stems that are in more than one split: an image to learn from must not be one to be judged by."""
    splits: dict[str, list[str]] = {}
    for item in items:
        splits.setdefault(item.stem, []).append(item.split)
    return [
        Finding(f"{stem}.jpg", "a stem in one split only", f"it in {' and '.join(found)}", advice)
        for stem, found in splits.items()
        if len(found) > 1
    ]


def mixed(items: Sequence[Item], title: str) -> list[Finding]:
    """Real and generated photographs in one source: no result could say which it is about."""
    generated = [item.stem for item in items if is_generated(item.stem)]
    if len(generated) in (0, len(items)):
        return []
    found = f"both (SYN_ marks generated ones, such as {generated[0]})"
    return [Finding("stems", f"{title} or synthetic images", found, "Keep the two in separate sets, or rename it.")]


def count_splits(items: Iterable[Item], official: dict[str, int], title: str, advice: str) -> list[Finding]:
    """Compare the number of photographs in each split with the official release."""
    found = Counter(item.split for item in items)
    return [
        Finding(f"{split} photographs", f"the {count} of {title}", f"{found[split]}", advice)
        for split, count in official.items()
        if found[split] != count
    ]
