"""Images of known truth: bright discs of 1 to 50 cells, half of them in regions of louder noise, on a 1/f texture.

An image is texture + noise + discs. Texture (amplitude 1/f) and noise (white) together have SD 1, the unit of the
discs' contrast. A *disc* of n cells is the n cells whose centres lie nearest to a point drawn at random, so that its
size is exact. Of each size, as many discs lie wholly inside the regions as wholly outside; dark discs lie anywhere.

- Arm "fusion": the noise is louder inside the regions, and only the bright discs inside are lesions. A cell's own
  neighbourhood shows the disc; whether it is a lesion, only a wider one can tell.
- Arm "serial": the same images without the louder noise; every bright disc is a lesion.
"""

from dataclasses import dataclass

import numpy as np

from rfbench.errors import RFBenchError
from rfbench.probe.protocol import Images

SPLITS = ("train", "test")
ARMS = ("fusion", "serial")
_TRIES = 2000  # places drawn for a disc before it counts as impossible
_GAP = 1  # cells around a disc that no other disc may take


@dataclass(frozen=True)
class Planted:
    """Images and their truth.

    Attributes:
        images: float32 (N, 1, side, side).
        size: uint8 (N, side, side); cells of the lesion that a cell belongs to, 0 background.
        contrast: uint8 (N, side, side); contrast of that lesion, 0 background.
        coexisting: bool (N,); whether the image holds a lesion of the largest size.
    """

    images: np.ndarray
    size: np.ndarray
    contrast: np.ndarray
    coexisting: np.ndarray


def draw(protocol: Images, arm: str, split: str, seed: int) -> Planted:
    """The images of one seed. Both arms draw the same places, textures and noise.

    Args:
        protocol: sizes, numbers, contrasts and noise.
        arm: one of ARMS.
        split: one of SPLITS; the two share nothing.
        seed: of a run; every operator pair sees the same images.
    """
    rng = np.random.default_rng([seed, SPLITS.index(split)])
    n, side = getattr(protocol, split), protocol.side
    regions = _regions(rng, n, side, protocol.region_scale)
    background = _texture(rng, n, side) * np.sqrt(1 - protocol.noise**2)
    louder = 1 + (protocol.region_noise - 1) * regions if arm == "fusion" else 1
    background += rng.standard_normal((n, side, side)) * protocol.noise * louder
    bright, contrast, dark = _plant(rng, protocol, regions)
    truth = bright * regions if arm == "fusion" else bright
    return Planted(
        images=(background + contrast * ((bright > 0) * 1.0 - dark)).astype(np.float32)[:, None],
        size=truth,
        contrast=contrast * (truth > 0),
        coexisting=(truth == max(protocol.sizes)).any((1, 2)),
    )


def _spectrum(rng: np.random.Generator, n: int, side: int, gain: np.ndarray) -> np.ndarray:
    """White noise filtered by `gain` in the frequency plane, each image of mean 0 and SD 1. (n, side, side)"""
    fields = np.fft.irfft2(np.fft.rfft2(rng.standard_normal((n, side, side))) * gain, s=(side, side))
    fields -= fields.mean((1, 2), keepdims=True)
    return fields / fields.std((1, 2), keepdims=True)


def _frequency(side: int) -> np.ndarray:
    """Distance of each coefficient of rfft2 from the origin, in cycles a cell."""
    return np.hypot(np.fft.fftfreq(side)[:, None], np.fft.rfftfreq(side)[None])


def _texture(rng: np.random.Generator, n: int, side: int) -> np.ndarray:
    """Amplitude 1/f, without a mean."""
    frequency = _frequency(side)
    gain = np.divide(1, frequency, out=np.zeros_like(frequency), where=frequency > 0)
    return _spectrum(rng, n, side, gain)


def _regions(rng: np.random.Generator, n: int, side: int, scale: float) -> np.ndarray:
    """Half of each image: where white noise smoothed by a Gaussian of `scale` cells exceeds its median. bool (n, …)"""
    gain = np.exp(-2 * (np.pi * scale * _frequency(side)) ** 2)
    gain[0, 0] = 0
    fields = _spectrum(rng, n, side, gain)
    return fields > np.median(fields, axis=(1, 2), keepdims=True)


def _plant(rng: np.random.Generator, protocol: Images, regions: np.ndarray) -> tuple[np.ndarray, ...]:
    """Bright discs by size, the contrast of every disc, where the dark ones are; uint8, uint8, bool (n, side, side).

    The largest first, so that each finds room.
    """
    n = len(regions)
    bright, contrast, dark = (np.zeros(regions.shape, kind) for kind in (np.uint8, np.uint8, bool))
    taken = np.zeros(regions.shape, bool)
    everywhere = np.ones_like(regions)
    with_largest = rng.permutation(n) < n // 2
    for size in sorted(protocol.sizes, reverse=True):
        images = np.flatnonzero(with_largest) if size == max(protocol.sizes) else np.arange(n)
        for where in [regions, ~regions] * protocol.discs[size]:
            cells = _place(rng, images, size, where, taken)
            bright[cells] = size
            contrast[cells] = rng.choice(protocol.contrasts, n)[cells[0]]
        cells = _place(rng, images, size, everywhere, taken)
        dark[cells] = True
        contrast[cells] = rng.choice(protocol.contrasts, n)[cells[0]]
    return bright, contrast, dark


def _place(
    rng: np.random.Generator, images: np.ndarray, size: int, where: np.ndarray, taken: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A disc in each of the images, wholly in `where` and apart from others: its cells (image, row, column).

    `taken` is marked with the cells and those around them. Raises RFBenchError where there is no room.
    """
    side = where.shape[1]
    free = where & ~taken
    found = []
    for _ in range(_TRIES):
        rows, columns = _disc(rng, len(images), size, side)
        inside = ((rows >= 0) & (rows < side) & (columns >= 0) & (columns < side)).all(1)
        safe = np.clip(rows, 0, side - 1), np.clip(columns, 0, side - 1)
        fits = inside & free[images[:, None], *safe].all(1)
        found.append((np.repeat(images[fits], size), rows[fits].ravel(), columns[fits].ravel()))
        images = images[~fits]
        if not len(images):
            break
    else:
        raise RFBenchError(
            f"images: found no room for a disc of {size} cells among the others in {len(images)} images of "
            f"{side}x{side} cells. Lower `discs`, or raise `side`."
        )
    cells = tuple(np.concatenate(parts) for parts in zip(*found, strict=True))
    for row in range(-_GAP, _GAP + 1):
        for column in range(-_GAP, _GAP + 1):
            taken[cells[0], np.clip(cells[1] + row, 0, side - 1), np.clip(cells[2] + column, 0, side - 1)] = True
    return cells


def _disc(rng: np.random.Generator, n: int, size: int, side: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows and columns (n, size) of n discs: the cells nearest to a point drawn in the image, two out of the frame."""
    point = rng.uniform(0, side, (n, 2))
    middle = np.floor(point).astype(int)
    reach = int(np.sqrt(size / np.pi)) + 2  # further away than any of the nearest cells
    steps = np.stack(np.meshgrid(*[np.arange(-reach, reach + 1)] * 2, indexing="ij"), -1).reshape(-1, 2)
    cells = middle[:, None] + steps  # (n, window, 2)
    distance = ((cells + 0.5 - point[:, None]) ** 2).sum(-1)
    nearest = np.argpartition(distance, size - 1, axis=1)[:, :size]
    chosen = np.take_along_axis(cells, nearest[..., None], 1)
    return chosen[..., 0], chosen[..., 1]
