"""A validation part of the training images, for data sets that come without one.

Whatever is chosen by looking at results (a recipe, a threshold) is chosen on these images, and the test images stay
unseen until it is frozen.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace

from rfbench.data.layout import Item, in_order
from rfbench.errors import DataError


@dataclass(frozen=True)
class Validation:
    """How many of the training images are held out, and the seed that they are drawn with."""

    count: int
    seed: int = 0

    def __str__(self) -> str:
        return f"{self.count} of the training images, drawn with seed {self.seed}"


def hold_out(items: Sequence[Item], part: Validation) -> list[Item]:
    """The items in the manifest's order, `part.count` of the split train now in the split val.

    Those are the training images whose SHA-256 of `<seed>/<stem>` is smallest: no generator's version, no order of
    files and no other image has a say in it, and a larger part of the same seed contains the smaller one.

    Raises:
        DataError: the data set has validation images of its own, or no training image would be left.
    """
    train = [item for item in items if item.split == "train"]
    own = sum(item.split == "val" for item in items)
    if own:
        raise DataError(
            f"validation: expected a data set without validation images of its own, found {own}. "
            "Leave the key out; its own ones are the split val."
        )
    if not 0 < part.count < len(train):
        raise DataError(
            f"validation.count: expected at least 1 and fewer than the {len(train)} training images, "
            f"found {part.count}."
        )
    held = {item.stem for item in sorted(train, key=lambda item: _rank(item, part.seed))[: part.count]}
    return in_order(
        replace(item, split="val") if item.split == "train" and item.stem in held else item for item in items
    )


def _rank(item: Item, seed: int) -> str:
    return hashlib.sha256(f"{seed}/{item.stem}".encode()).hexdigest()
