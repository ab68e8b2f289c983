"""Lesions of a generated eye, with the numbers, sizes, places, shapes and contrasts measured on IDRiD.

Table: docs/datasets.md, Synthetic sets; lengths and areas are native pixels, scaled to the canvas here.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import cv2
import numpy as np

from rfbench.data.labels import count_regions
from rfbench.data.synthetic.eye import Eye
from rfbench.names import LESIONS

SMALLEST = 2  # pixels on the canvas, whatever the factor
ATTEMPTS = 30  # places tried before a lesion may touch another of its class


@dataclass(frozen=True)
class Kind:
    """Statistics of one lesion class."""

    count: tuple[float, float]  # ln(regions per image): mean, sd
    count_range: tuple[int, int]
    area: tuple[float, float]  # ln(px): mean, sd
    area_range: tuple[float, float]
    reach: tuple[float, ...]  # distance from the centre over the radius, at quantiles 0, .1, .5, .9, 1
    contrast: tuple[float, float]  # ln |change of green| of a lesion of median area: mean, sd
    growth: float  # contrast grows with (area / median area) to this power (our fit to IDRiD's quartiles of area)
    tint: tuple[float, float, float]  # change of RGB for one unit of contrast
    edge: float  # px over which it fades; below 1 a share of its radius
    rough: float  # how far the outline strays from round
    aspect: tuple[float, float]
    blobs: tuple[int, int] = (1, 1)


KINDS = {
    "EX": Kind((4.47, 1.10), (5, 472), (5.56, 1.22), (20, 376764), (0.02, 0.21, 0.48, 0.79, 0.93),
               (2.40, 0.47), 0.25, (0.70, 1.0, 0.36), 4.0, 0.20, (1.0, 1.6)),
    "HE": Kind((2.77, 0.98), (1, 106), (7.54, 1.23), (60, 1256545), (0.05, 0.30, 0.65, 0.90, 0.95),
               (2.10, 0.50), 0.08, (-0.60, -1.0, -0.10), 9.0, 0.16, (1.0, 1.5), (2, 6)),
    "SE": Kind((1.06, 0.75), (1, 10), (9.06, 0.85), (900, 60776), (0.20, 0.43, 0.79, 0.93, 0.95),
               (2.90, 0.50), 0.15, (0.30, 1.0, 0.65), 0.60, 0.13, (1.0, 1.5)),
    "MA": Kind((3.42, 0.93), (3, 126), (5.46, 0.68), (20, 2231), (0.05, 0.27, 0.60, 0.88, 0.95),
               (2.18, 0.40), 0.10, (-0.60, -1.0, -0.10), 5.0, 0.05, (1.0, 1.15)),
}  # fmt: skip


def draw_lesions(
    rng: np.random.Generator,
    eye: Eye,
    scene: np.ndarray,
    present: Iterable[str],
    kinds: Mapping[str, Kind],
    contrast: float,
) -> dict[str, np.ndarray]:
    """Paint lesions into `scene` (H, W, 3) float32 in place; return (H, W) bool masks of those `present`.

    `contrast` multiplies the measured contrasts.
    """
    masks = {}
    for lesion in (name for name in LESIONS if name in set(present)):
        masks[lesion] = np.zeros(eye.shape, bool)
        _draw_kind(rng, eye, scene, masks[lesion], kinds[lesion], lesion == "EX", contrast)
    return masks


def _draw_kind(
    rng: np.random.Generator,
    eye: Eye,
    scene: np.ndarray,
    mask: np.ndarray,
    kind: Kind,
    clustered: bool,
    factor: float,
) -> None:
    """All lesions of one class: large ones first, so that the small ones find room."""
    count = int(np.clip(round(rng.lognormal(*kind.count)), *kind.count_range))
    areas = rng.lognormal(*kind.area, count)
    if clustered:
        areas *= np.where(rng.random(count) < 0.01, 10, 1)  # plaques make the tail heavier than a lognormal's
    areas = np.sort(np.clip(areas, *kind.area_range))[::-1]
    foci = _foci(rng, eye) if clustered else []
    vivid = 0.6 * rng.standard_normal()  # part of the contrast is the image's, not the lesion's
    for area in areas * eye.factor**2:
        shape, alpha, corner = _fit(rng, eye, mask, kind, foci, area)
        contrast = np.exp(kind.contrast[0] + kind.contrast[1] * (vivid + 0.8 * rng.standard_normal()))
        contrast *= (area / (np.exp(kind.area[0]) * eye.factor**2)) ** kind.growth
        _stamp(scene, mask, shape, alpha * contrast * factor, corner, kind.tint)


def _foci(rng: np.random.Generator, eye: Eye) -> list[tuple[np.ndarray, float, float]]:
    """Centres, radii and first angles of one to four arcs of exudates near the macula."""
    foci = []
    for _ in range(rng.integers(1, 5)):
        angle, away = rng.uniform(0, 2 * np.pi), rng.uniform(150, 900) * eye.factor
        centre = eye.fovea + away * np.array([np.cos(angle), np.sin(angle)])
        foci.append((centre, rng.uniform(60, 380) * eye.factor, rng.uniform(0, 2 * np.pi)))
    return foci


def _place(rng: np.random.Generator, eye: Eye, kind: Kind, foci: list, spread: float) -> np.ndarray:
    """A candidate centre (x, y): on an arc for seven in ten of those with foci, else by distance alone."""
    if foci and rng.random() < 0.7:
        centre, radius, first = foci[rng.integers(len(foci))]
        angle = first + rng.uniform(0, 4.2)
        scatter = rng.normal(0, (0.28 * radius + 30 * eye.factor) * spread, 2)
        return centre + radius * np.array([np.cos(angle), np.sin(angle)]) + scatter
    reach = np.interp(rng.random(), (0, 0.1, 0.5, 0.9, 1), kind.reach) * eye.radius
    angle = rng.uniform(0, 2 * np.pi)
    return eye.centre + reach * np.array([np.cos(angle), np.sin(angle)])


def _fit(
    rng: np.random.Generator, eye: Eye, mask: np.ndarray, kind: Kind, foci: list, area: float
) -> tuple[np.ndarray, np.ndarray, tuple[int, int]]:
    """A lesion in one piece and where it goes: mask, opacity, corner. One too large for the eye is halved."""
    while True:
        shape, alpha = _shape(rng, kind, max(area, SMALLEST), eye.factor)
        if count_regions(shape) > 1:  # a few pixels on a slant, or blobs that parted
            continue
        corner = _find_room(rng, eye, mask, shape, kind, foci)
        if corner is not None:
            return shape, alpha, corner
        area /= 2


def _find_room(
    rng: np.random.Generator, eye: Eye, mask: np.ndarray, shape: np.ndarray, kind: Kind, foci: list
) -> tuple[int, int] | None:
    """Top left corner (row, column) for the patch `shape`, clear of its own class if there is room.

    None if it is too large for every place tried.
    """
    height, width = shape.shape
    halo = cv2.dilate(shape.view(np.uint8), np.ones((3, 3), np.uint8)).astype(bool)
    radius = np.sqrt(shape.sum() / np.pi)
    corner = None
    for attempt in range(ATTEMPTS):
        centre = _place(rng, eye, kind, foci, 1 + 3 * attempt / ATTEMPTS)
        if _inside(eye, centre, radius):
            corner = (round(centre[1] - height / 2), round(centre[0] - width / 2))
            there, here = _overlap(corner, shape.shape, mask.shape)
            if not (mask[there] & halo[here]).any():
                return corner
    return corner


def _inside(eye: Eye, centre: np.ndarray, radius: float) -> bool:
    """Whether a round lesion lies in the field of view and the frame, off the optic disc."""
    height, width = eye.shape
    within = np.hypot(*(centre - eye.centre)) + radius < 0.985 * eye.radius
    framed = radius < centre[0] < width - radius and radius < centre[1] < height - radius
    return bool(within and framed and np.hypot(*(centre - eye.disc)) > 290 * eye.factor + radius)


def _overlap(
    corner: tuple[int, int], patch: tuple[int, int], frame: tuple[int, int]
) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
    """The part of the frame under a patch and the part of the patch within the frame, as slices."""
    bounds = [(max(start, 0), min(start + size, end)) for start, size, end in zip(corner, patch, frame, strict=True)]
    there = tuple(slice(low, high) for low, high in bounds)
    here = tuple(slice(low - start, high - start) for (low, high), start in zip(bounds, corner, strict=True))
    return there, here


def _stamp(
    scene: np.ndarray,
    mask: np.ndarray,
    shape: np.ndarray,
    light: np.ndarray,
    corner: tuple[int, int],
    tint: tuple,
) -> None:
    """Add a lesion's patch to the scene and its shape to the mask, in place."""
    there, here = _overlap(corner, shape.shape, mask.shape)
    mask[there] |= shape[here]
    scene[there] += light[here][..., None] * np.array(tint, np.float32)


def _shape(rng: np.random.Generator, kind: Kind, area: float, factor: float) -> tuple[np.ndarray, np.ndarray]:
    """One lesion on a patch of its own: its mask (h, w) bool of `area` pixels, its opacity (h, w), 0 to 1.

    The outline is the level set that encloses the area, so tiny lesions keep their size at any factor. In
    three of ten the annotator drew it one native pixel too wide.
    """
    radius = np.sqrt(area / np.pi)
    blobs = int(rng.integers(kind.blobs[0], kind.blobs[1] + 1))
    half = int(np.ceil(radius * (1.9 if blobs == 1 else 2.6))) + 3
    field = _blob(rng, kind, half, radius, np.zeros(2))
    for _ in range(blobs - 1):
        angle, away = rng.uniform(0, 2 * np.pi), rng.uniform(0.5, 1.0) * radius
        size = radius * rng.uniform(0.4, 0.8)
        field = np.maximum(field, _blob(rng, kind, half, size, away * np.array([np.cos(angle), np.sin(angle)])))
    level = np.partition(field.ravel(), -round(area))[-round(area)]
    edge = max(kind.edge * (factor if kind.edge >= 1 else radius), 0.8)
    loose = factor if rng.random() < 0.3 else 0.0
    ramp = np.clip((field - level - loose) / edge + 0.5, 0, 1)
    return field >= level, (ramp * ramp * (3 - 2 * ramp)).astype(np.float32)


def _blob(rng: np.random.Generator, kind: Kind, half: int, radius: float, centre: np.ndarray) -> np.ndarray:
    """(2 half + 1, same) field: pixels inside a wavy ellipse about `centre`, negative outside."""
    y, x = np.mgrid[-half : half + 1, -half : half + 1] - (centre + rng.uniform(-0.5, 0.5, 2))[::-1, None, None]
    tilt, stretch = rng.uniform(0, np.pi), np.sqrt(rng.uniform(*kind.aspect))
    along, across = x * np.cos(tilt) + y * np.sin(tilt), y * np.cos(tilt) - x * np.sin(tilt)
    reach, angle = np.hypot(along / stretch, across * stretch), np.arctan2(across, along)
    outline = np.ones_like(angle)
    for wave in range(2, 7):
        outline += kind.rough * rng.normal() / wave**0.7 * np.cos(wave * angle + rng.uniform(0, 2 * np.pi))
    return radius * np.maximum(outline, 0.35) - reach
