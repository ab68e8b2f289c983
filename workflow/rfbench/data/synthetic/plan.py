"""A raw archive of generated images in the layout of IDRiD or DDR (docs/datasets.md, Synthetic sets).

The files go through the same ingestion as the real ones, traps included; `rawfiles` has their names and encodings.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from rfbench.data.synthetic.eye import draw_ddr_eye, draw_eye, paint_retina, photograph
from rfbench.data.synthetic.lesions import KINDS, draw_lesions
from rfbench.data.synthetic.rawfiles import Subject, encode, stem
from rfbench.errors import DataError
from rfbench.names import LESIONS

STREAMS = {"train": 0, "test": 1, "val": 2}  # of random numbers
ODDS = {  # share of images with the lesion; DDR's EX, HE and MA are assumptions, its SE depends on the split
    "idrid": {"EX": 1.0, "HE": 0.99, "SE": 0.49, "MA": 1.0},
    "ddr": {"EX": 0.65, "HE": 0.80, "SE": 0.24, "MA": 0.75},
}
ODDS_OF_DDR_SE = {"train": 0.29, "test": 0.19}

# DDR's mean areas belong to fields of view 1906 px across (root mean square of `eye.DDR_FRAMES`), KINDS' to 3412 px.
_GROWTH = 2 * math.log(3412 / 1906)


def _ddr(lesion: str, mean_count: float, area: tuple[float, float], most: int):
    """IDRiD's lesion with DDR's numbers and sizes (docs/datasets.md); the spread of the counts stays IDRiD's."""
    kind = KINDS[lesion]
    count = (math.log(mean_count / ODDS["ddr"][lesion]) - kind.count[1] ** 2 / 2, kind.count[1])
    return replace(kind, count=count, count_range=(1, most), area=(area[0] + _GROWTH, area[1]))


KINDS_OF = {
    "idrid": KINDS,
    "ddr": {
        "EX": _ddr("EX", 35.0, (4.79, 1.22), 472),
        "HE": _ddr("HE", 12.4, (6.35, 1.23), 106),
        "SE": _ddr("SE", 1.9, (6.95, 0.85), 25),
        "MA": _ddr("MA", 15.1, (4.11, 0.68), 126),
    },
}


@dataclass(frozen=True)
class Plan:
    """A synthetic archive. Equal plans render equal bytes.

    `factor` scales the lengths of the real frames, `contrast` the measured contrasts of the lesions.
    """

    train: int
    test: int
    factor: float
    seed: int
    contrast: float = 1.0
    layout: str = "idrid"
    val: int = 0

    def __post_init__(self) -> None:
        if self.layout not in KINDS_OF:
            raise DataError(f"layout: expected {' or '.join(KINDS_OF)}, found {self.layout}.")
        for key, value, low, high in (
            ("train", self.train, 1, 5000),
            ("val", self.val, 0, 4999 if self.layout == "ddr" else 0),
            ("test", self.test, 1, 4999),
            ("factor", self.factor, 0.05, 1.0),
            ("seed", self.seed, 0, 2**63 - 1),
            ("contrast", self.contrast, 0.1, 10.0),
        ):
            if not low <= value <= high:
                raise DataError(f"{key}: expected a value from {low} to {high}, found {value}.")

    def __len__(self) -> int:
        return self.train + self.val + self.test

    def subjects(self) -> Iterator[Subject]:
        """All images, numbered through the splits as IDRiD's are."""
        number = 0
        for split, count in (("train", self.train), ("val", self.val), ("test", self.test)):
            for index in range(count):
                number += 1
                yield Subject(split, index, stem(self.layout, number, len(self)), index == count - 1)

    def render(self, subject: Subject) -> dict[str, bytes]:
        """Files of one image by name: the photograph as JPEG and TIFF masks."""
        ddr = self.layout == "ddr"
        rng = np.random.default_rng([self.seed, STREAMS[subject.split], subject.index, *[1] * ddr])
        odds = ODDS[self.layout] | ({"SE": ODDS_OF_DDR_SE.get(subject.split, 0.24)} if ddr else {})
        present = {lesion for lesion in LESIONS if rng.random() < odds[lesion]} - self._dropped(subject)
        eye = draw_ddr_eye(rng, self.factor) if ddr else draw_eye(rng, self.factor)
        scene = paint_retina(rng, eye)
        masks = draw_lesions(rng, eye, scene, present, KINDS_OF[self.layout], self.contrast)
        return encode(self.layout, subject, photograph(rng, eye, scene), masks)

    def _dropped(self, subject: Subject) -> set[str]:
        """One training image lacks HE, at the place of IDRiD_43 among 54."""
        here = subject.split == "train" and subject.index == round(0.8 * self.train) - 1 > 0
        return {"HE"} if here and self.layout == "idrid" else set()
