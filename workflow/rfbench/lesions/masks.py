"""masks.npz: where a run sees each lesion at 0.5, so that pictures of it need no network. No torch.

A mask is kept as the horizontal stretches that it consists of. A network that gives noise would fill the memory with
them, so a mask of more than MOST_RUNS is left out, and said to be; of the true masks of IDRiD's test images the largest
has 20,259.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from rfbench.lesions import npz
from rfbench.lesions.npz import joined, offsets
from rfbench.lesions.runlength import Runs

NAME = "masks.npz"
MOST_RUNS = 100_000  # of an image and lesion: 0.8 MB of memory


@dataclass(frozen=True)
class Masks:
    """The arrays of masks.npz: N images, C lesion classes, R runs.

    Attributes:
        names: str (C,), the classes.
        stems: str (N,), the images.
        size: int32 (N, 2), width and height of the maps.
        offsets: int64 (N * C + 1,); the runs of image i and class c are those from offsets[i * C + c] up to the next.
        noise: bool (N, C), whether the mask has more than MOST_RUNS runs, and none are kept.
        gap: uint32 (R,), pixels in reading order between a run and the end of the one before it, or the image's start.
        length: uint32 (R,), pixels of the run.
    """

    names: np.ndarray
    stems: np.ndarray
    size: np.ndarray
    offsets: np.ndarray
    noise: np.ndarray
    gap: np.ndarray
    length: np.ndarray

    @classmethod
    def of(cls, names: Sequence[str], stems: Sequence[str], size: Sequence[tuple[int, int]],
           parts: Sequence[Runs | None]) -> "Masks":  # fmt: skip
        """Gather the images' masks; `parts` holds each image's classes in turn, None for noise (`runs_of`)."""
        start = [np.zeros(0, np.int64) if runs is None else runs.start for runs in parts]
        end = [np.zeros(0, np.int64) if runs is None else runs.end for runs in parts]
        before = [np.append(0, ends[:-1])[: len(ends)] for ends in end]
        pairs = list(zip(start, before, strict=True))
        return cls(
            names=np.array(names, str),
            stems=np.array(stems, str),
            size=np.array(size, np.int32).reshape(-1, 2),
            offsets=offsets(start),
            noise=np.array([runs is None for runs in parts], bool).reshape(len(stems), len(names)),
            gap=joined([starts - ends for starts, ends in pairs], np.uint32),
            length=joined([ends - starts for starts, ends in zip(start, end, strict=True)], np.uint32),
        )

    def runs(self, stem: str, lesion: str) -> Runs | None:
        """The mask of an image and lesion as runs of value 1; None for noise.

        Raises:
            KeyError: there is no such image or lesion.
        """
        images, kinds = np.flatnonzero(self.stems == stem), np.flatnonzero(self.names == lesion)
        if not (len(images) and len(kinds)):
            raise KeyError(f"{stem}, {lesion}")
        image, kind = int(images[0]), int(kinds[0])
        if self.noise[image, kind]:
            return None
        span = slice(*self.offsets[image * len(self.names) + kind :][:2])
        length = self.length[span].astype(np.int64)
        end = (self.gap[span].astype(np.int64) + length).cumsum()
        return Runs(end - length, end, np.ones(len(end), np.uint8), int(self.size[image, 0]))


def runs_of(mask: np.ndarray) -> Runs | None:
    """The runs of a mask, bool (H, W); None if it has more than MOST_RUNS."""
    runs = Runs.of(mask.view(np.uint8), 1)
    return runs if len(runs.start) <= MOST_RUNS else None


def write(path: str | Path, masks: Masks) -> None:
    """Write masks.npz; the same bytes for the same masks."""
    npz.write(path, masks)


def read(path: str | Path) -> Masks:
    """Read masks.npz.

    Raises:
        RFBenchError: it is missing, damaged or of another version.
    """
    return npz.read(path, Masks, "the masks of a run", "Evaluate the run again: run snakemake.")
