"""An image as runs, horizontal stretches of equal value: few enough to connect as a graph. No torch."""

from dataclasses import dataclass

import numpy as np
from scipy import sparse
from scipy.sparse import csgraph


@dataclass(frozen=True)
class Runs:
    """Horizontal stretches of equal value, in reading order.

    Attributes:
        start: (R,) index into the flattened image of each one's first pixel.
        end: (R,) the same of the pixel after its last.
        value: (R,).
        width: of the image.
    """

    start: np.ndarray
    end: np.ndarray
    value: np.ndarray
    width: int

    @classmethod
    def of(cls, image: np.ndarray, least: int) -> "Runs":
        """The runs of an (H, W) image of integers, without those of a value below `least`."""
        flat = np.ascontiguousarray(image).reshape(-1)
        begins = np.empty(flat.size, bool)
        np.not_equal(flat[1:], flat[:-1], out=begins[1:])
        begins[:: image.shape[1]] = True  # no run goes on in the next row
        start = np.flatnonzero(begins)
        end = np.append(start[1:], flat.size)
        value = flat[start]
        kept = value >= least
        return cls(start[kept], end[kept], value[kept], image.shape[1])

    @property
    def length(self) -> np.ndarray:
        """Pixels of each run, (R,)."""
        return self.end - self.start

    def at(self, pixels: np.ndarray) -> np.ndarray:
        """The run that each pixel lies in or, if in none, the last before it (-1 if there is none)."""
        return np.searchsorted(self.start, pixels, "right") - 1

    def touching(self) -> tuple[np.ndarray, np.ndarray]:
        """Pairs of runs that share an edge of a pixel, as two arrays of indices."""
        beside = np.flatnonzero((self.end[:-1] == self.start[1:]) & (self.start[1:] % self.width != 0))
        # Two runs below each other share a stretch that begins where one of them does.
        above, below = self.at(self.start - self.width), self.at(self.start + self.width)
        lower = np.flatnonzero((above >= 0) & (self.end[above] > self.start - self.width))
        upper = np.flatnonzero(
            (self.end[below] > self.start + self.width) & (self.start[below] != self.start + self.width)
        )
        first = np.concatenate([beside, above[lower], upper])
        return first, np.concatenate([beside + 1, lower, below[upper]])


def components(count: int, first: np.ndarray, second: np.ndarray) -> tuple[int, np.ndarray]:
    """Connected components of a graph of `count` nodes and these edges: their number, and each node's one."""
    pairs = first.astype(np.int32), second.astype(np.int32)  # scipy's own type: a fifth faster
    edges = sparse.coo_array((np.ones(len(first), np.int8), pairs), shape=(count, count))
    return csgraph.connected_components(edges.tocsr(), directed=False)


def expand(start: np.ndarray, end: np.ndarray) -> np.ndarray:
    """Indices of all pixels of these runs, in their order."""
    length = end - start
    before = np.cumsum(length) - length
    return np.repeat(start - before, length) + np.arange(length.sum())


def sums(index: np.ndarray, values: np.ndarray, count: int) -> np.ndarray:
    """Integer totals (count,) of `values` by index; exact below 2^53."""
    return np.bincount(index, values, count).astype(np.int64)
