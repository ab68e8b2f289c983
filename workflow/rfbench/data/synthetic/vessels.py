"""Retinal vessels of a generated eye: two arcades, nasal and macular vessels, and their branches.

They are dark red like microaneurysms and haemorrhages but carry no label: the distractor the task needs.
Paths are drawn in a frame of their own: origin at the disc, x towards the fovea, y down, in native pixels.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from scipy.interpolate import make_interp_spline

STEP = 14.0  # length of one piece of a path
FINEST = 4.0
AVASCULAR = 240.0  # no vessel comes nearer to the fovea

# Way points of the trunks above the horizontal, mirrored below it, and the width of each at the disc.
ARCADE = np.array(
    [(0, 0), (45, -330), (200, -750), (600, -1090), (1180, -1230), (1850, -1150), (2600, -1020), (3400, -900)]
)
NASAL = np.array([(0, 0), (-60, -300), (-260, -700), (-520, -1150), (-800, -1700)])
LATERAL = np.array([(0, 0), (-230, -90), (-560, -210), (-1000, -330)])
MACULAR = np.array([(0, 0), (260, -130), (560, -230), (860, -250)])
TRUNKS = ((ARCADE, 28.0, 90), (NASAL, 19.0, 110), (LATERAL, 12.0, 70), (MACULAR, 9.0, 60))


@dataclass(frozen=True)
class Vessel:
    """A path (N, 2) with its width at each point (N,)."""

    path: np.ndarray
    width: np.ndarray
    vein: bool


def draw_vessels(
    rng: np.random.Generator,
    factor: float,
    shape: tuple[int, int],
    disc: np.ndarray,
    fovea: np.ndarray,
    side: int,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Veins, arteries and the bright reflex along wide vessels: three (H, W) float32 layers from 0 to 1."""
    target = (fovea - disc) / factor * [side, 1]
    vessels = [vessel for trunk in _trunks(rng) for vessel in _with_branches(rng, trunk, target, 3)]
    vessels.sort(key=lambda vessel: vessel.width[0])  # wide vessels lie over fine ones
    frame = tuple(round(length / factor) for length in shape)
    layers = [np.zeros(frame, np.uint8) for _ in range(3)]  # drawn at full size, then averaged down
    for vessel in vessels:
        points = disc / factor + vessel.path * [side, 1]
        _stroke(layers[0] if vessel.vein else layers[1], points, vessel.width, 1.0)
        wide = vessel.width > 13
        if wide.sum() > 1:
            _stroke(layers[2], points[wide], vessel.width[wide] * 0.28, 0.9)
    return tuple(_shrink(layer, shape, factor) for layer in layers)


def _trunks(rng: np.random.Generator) -> list[Vessel]:
    """Artery and vein of every trunk, above and below."""
    trunks = []
    for points, width, jitter in TRUNKS:
        for mirror in (1, -1):
            bend = rng.normal(1, 0.07, 2)
            for vein in (True, False):
                way = points * bend * [1, mirror] + rng.normal(0, jitter, points.shape) * _onset(len(points))
                way = way + np.array([rng.normal(0, 30), mirror * rng.uniform(-60, 20)])
                trunks.append(_vessel(rng, _spline(way * (1 if vein else 0.93)), width * (1 if vein else 0.75), vein))
    return trunks


def _onset(count: int) -> np.ndarray:
    """(N, 1) weights that leave the first way points near the disc and free the far ones."""
    return np.linspace(0, 1, count)[:, None] ** 0.7


def _spline(way: np.ndarray) -> np.ndarray:
    """A smooth path through way points, in pieces of STEP."""
    run = np.concatenate([[0], np.cumsum(np.hypot(*np.diff(way, axis=0).T))])
    return make_interp_spline(run, way, k=3)(np.arange(0, run[-1], STEP))


def _vessel(rng: np.random.Generator, path: np.ndarray, width: float, vein: bool) -> Vessel:
    """A vessel along `path`, winding a little and tapering to half its width."""
    waves = np.cumsum(rng.standard_normal(path.shape), axis=0)
    kernel = np.hanning(15) / np.hanning(15).sum()
    wind = np.stack([np.convolve(wave, kernel, "same") for wave in waves.T], axis=1) - waves[:1]
    taper = np.maximum(width * np.linspace(1, 0.42, len(path)), FINEST)
    return Vessel(path + wind * 3.0, taper, vein)


def _with_branches(rng: np.random.Generator, vessel: Vessel, fovea: np.ndarray, depth: int) -> list[Vessel]:
    """The vessel and what springs from it, down to `depth` generations or the finest width."""
    family = [vessel]
    start = 22 if depth == 3 else 6  # trunks part outside the disc
    where, hand = start + int(rng.integers(0, 10)), rng.choice([-1, 1])
    while depth > 0 and where < len(vessel.path) - 8:
        width = vessel.width[where] * rng.uniform(0.42, 0.68)
        if width >= FINEST * 0.9:
            child = _branch(rng, vessel, where, hand, max(width, FINEST), fovea)
            if len(child.path) > 6:
                family += _with_branches(rng, child, fovea, depth - 1)
        hand = -hand if rng.random() < 0.75 else hand
        where += int(rng.integers(14, 42))
    return family


def _branch(rng: np.random.Generator, parent: Vessel, where: int, hand: int, width: float, fovea: np.ndarray) -> Vessel:
    """A branch leaving `parent` at index `where` to its left or right, wandering, kept off the fovea."""
    tangent = parent.path[where + 2] - parent.path[where - 2]
    heading = np.arctan2(tangent[1], tangent[0]) + hand * np.deg2rad(rng.uniform(28, 62))
    curl = -hand * rng.uniform(0, 0.012)  # bends back to the parent's direction
    steps = int(np.clip(rng.lognormal(np.log(38 + 2.2 * width), 0.45), 8, 120))
    curl = curl * np.exp(-np.arange(steps) / 40)
    winding = np.convolve(rng.standard_normal(steps + 8), np.ones(9) / 3, "valid")  # each bend lasts a few steps
    headings = heading + np.cumsum(curl) + 0.2 * winding
    path = parent.path[where] + STEP * np.cumsum(np.stack([np.cos(headings), np.sin(headings)], axis=1), axis=0)
    path = np.vstack([parent.path[where], path])
    near = np.flatnonzero(np.hypot(*(path - fovea).T) < AVASCULAR)
    path = path[: near[0]] if len(near) else path
    return Vessel(path, np.maximum(width * np.linspace(1, 0.5, len(path)), FINEST * 0.8), parent.vein)


def _stroke(layer: np.ndarray, points: np.ndarray, width: np.ndarray, strength: float) -> None:
    """Draw a tapering line; fine vessels are fainter, for they hold less blood to look through."""
    ends = np.round(points * 16).astype(int)
    for begin, end, breadth in zip(ends[:-1], ends[1:], width[:-1], strict=True):
        shade = round(255 * strength * min(1.0, 0.42 + breadth / 34))
        cv2.line(layer, begin.tolist(), end.tolist(), shade, max(1, round(breadth)), cv2.LINE_AA, shift=4)


def _shrink(layer: np.ndarray, shape: tuple[int, int], factor: float) -> np.ndarray:
    """Average a full-size layer down to `shape`, softened as by the optics; (H, W) float32 from 0 to 1."""
    small = cv2.resize(layer, shape[::-1], interpolation=cv2.INTER_AREA).astype(np.float32) / 255
    return cv2.GaussianBlur(small, (0, 0), max(3.0 * factor, 0.35))
