"""The lesions of label maps, and lesions.npz, which holds those of a data set once for all its runs. No torch."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from rfbench.lesions import npz
from rfbench.lesions.npz import joined
from rfbench.lesions.runlength import Runs, components, expand, sums

NAME = "lesions.npz"
FRAME = (4288, 2848)  # width and height of IDRiD's images …
DIAMETER = 3412.0  # … and of the field of view in them, px: what lesion areas are compared at
DARK = 10  # luma up to which a pixel counts as outside the field of view


@dataclass(frozen=True)
class ImageLesions:
    """The 4-connected regions of a label map, by class and then in the order of `scipy.ndimage.label`.

    Attributes:
        kind: uint8 (L,), index of each one's class: its label value less 1.
        area: int64 (L,), pixels.
        box: int64 (L, 4) of left, top, width and height.
        runs: the labelled runs of the map.
        lesion: int64 (R,), the lesion of each run.
        pixels: int64 (P,), the labelled pixels in reading order, as indices into the flattened map.
        run: int64 (P,), the run of each.
    """

    kind: np.ndarray
    area: np.ndarray
    box: np.ndarray
    runs: Runs
    lesion: np.ndarray
    pixels: np.ndarray
    run: np.ndarray

    @classmethod
    def of(cls, label: np.ndarray) -> "ImageLesions":
        """The lesions of a label map (H, W)."""
        runs = Runs.of(label, 1)
        first, second = runs.touching()
        alike = runs.value[first] == runs.value[second]
        count, region = components(len(runs.start), first[alike], second[alike])
        _, begin = np.unique(region, return_index=True)  # runs are in reading order, as scipy's labels are
        order = np.lexsort((begin, runs.value[begin]))
        place = np.empty(count, np.int64)
        place[order] = np.arange(count)
        lesion = place[region]
        kind = (runs.value[begin] - 1)[order].astype(np.uint8)
        row, left = np.divmod(runs.start, runs.width)
        edges = [_extremes(lesion, values, count) for values in (left, left + runs.length, row, row + 1)]
        (left, _), (_, right), (top, _), (_, bottom) = edges
        box = np.stack([left, top, right - left, bottom - top], axis=1)
        pixels, run = expand(runs.start, runs.end), np.repeat(np.arange(len(lesion)), runs.length)
        return cls(kind, sums(lesion, runs.length, count), box, runs, lesion, pixels, run)

    def of_class(self, c: int) -> tuple[np.ndarray, np.ndarray]:
        """Class c's pixels, as indices into the flattened map, and the lesion of each."""
        chosen = self.runs.value[self.run] == c + 1
        return self.pixels[chosen], self.lesion[self.run[chosen]]

    def pieces(self, values: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The runs cut to where `values` (H, W) are constant, too: first pixel, length and lesion of each piece."""
        here = values.reshape(-1)[self.pixels]
        cut = np.append(True, (here[1:] != here[:-1]) | (self.run[1:] != self.run[:-1]))[: len(here)]
        at = np.flatnonzero(cut)
        return self.pixels[at], np.diff(at, append=len(here)), self.lesion[self.run[at]]

    def span(self, c: int) -> slice:
        """Where class c's lesions stand."""
        return slice(*np.searchsorted(self.kind, [c, c + 1]))


def _extremes(index: np.ndarray, values: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Least and largest of `values` by index, (count,) each."""
    least, most = np.full(count, np.iinfo(np.int64).max), np.zeros(count, np.int64)
    np.minimum.at(least, index, values)
    np.maximum.at(most, index, values)
    return least, most


def field_of_view(image: np.ndarray) -> float:
    """Diameter in pixels of a fundus photograph's field of view.

    The larger of its width and height, since cameras cut the circle above and below, and some crops at the sides: where
    more than 1 % of a column or a row is brighter than luma 10. The frame's longer side if nothing is.

    Args:
        image: uint8 (H, W, 3) in BGR order.
    """
    lit = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY) > DARK
    sides = []
    for axis in (0, 1):
        seen = np.flatnonzero(lit.mean(axis=axis) > 0.01)
        sides.append(int(seen[-1] - seen[0]) + 1 if len(seen) else 0)
    return float(max(sides) or max(lit.shape))


@dataclass(frozen=True)
class Truth:
    """The lesions of the evaluated images of a data set, at the size that they are evaluated at: lesions.npz.

    N images, C classes, L lesions, by image, then class, then the order of `scipy.ndimage.label`.

    Attributes:
        names: str (C,), the classes.
        stems: str (N,), the images.
        size: int32 (N, 2), width and height.
        diameter: float32 (N,), of the field of view, px.
        offsets: int64 (N * C + 1,), lesions of image i and class c are those from offsets[i * C + c] up to the next.
        image: int32 (L,), index of the image.
        kind: uint8 (L,), index of the class.
        id: int32 (L,), number within image and class, from 1: scipy's label.
        area: int32 (L,), px.
        box: int32 (L, 4), left, top, width and height, px.
    """

    names: np.ndarray
    stems: np.ndarray
    size: np.ndarray
    diameter: np.ndarray
    offsets: np.ndarray
    image: np.ndarray
    kind: np.ndarray
    id: np.ndarray
    area: np.ndarray
    box: np.ndarray

    @classmethod
    def of(
        cls, names: Sequence[str], stems: Sequence[str], size: Sequence[tuple[int, int]],
        diameter: Sequence[float], found: Sequence[ImageLesions],
    ) -> "Truth":  # fmt: skip
        """Gather the images' lesions; one size, diameter and entry of `found` per stem."""
        kinds = [np.bincount(lesions.kind, minlength=len(names)) for lesions in found]
        counts = np.concatenate([np.zeros(0, np.int64), *kinds])  # (N * C,)
        return cls(
            names=np.array(names, str),
            stems=np.array(stems, str),
            size=np.array(size, np.int32).reshape(-1, 2),
            diameter=np.array(diameter, np.float32),
            offsets=np.append(0, counts.cumsum()),
            image=np.repeat(np.arange(len(found), dtype=np.int32), [len(lesions.kind) for lesions in found]),
            kind=joined([lesions.kind for lesions in found], np.uint8),
            id=joined([np.arange(1, count + 1) for count in counts], np.int32),
            area=joined([lesions.area for lesions in found], np.int32),
            box=joined([lesions.box for lesions in found], np.int32, (4,)),
        )

    @property
    def native_area(self) -> np.ndarray:
        """Areas (L,) in IDRiD's pixels: those of its frame as they are, others by the diameter of the field of view."""
        scale = np.where((self.size == FRAME).all(axis=1), 1.0, (DIAMETER / self.diameter.astype(float)) ** 2)
        return self.area * scale[self.image]


def write(path: str | Path, truth: Truth) -> None:
    """Write lesions.npz; the same bytes for the same lesions."""
    npz.write(path, truth)


def read(path: str | Path) -> Truth:
    """Read lesions.npz.

    Raises:
        RFBenchError: it is missing, damaged or of another version.
    """
    return npz.read(path, Truth, "the lesions of a data set", "Run snakemake, which writes it.")
