"""The healthy parts of a generated fundus photograph: field of view, retina, disc, fovea, camera.

Lengths are given for IDRiD's frame (4288x2848, field of view 3412 across) and scaled by a factor. Measured
values: docs/datasets.md, as are DDR's frames, fields of view and colour.
"""

from dataclasses import dataclass

import cv2
import numpy as np

from rfbench.data.idrid import HEIGHT, WIDTH
from rfbench.data.synthetic.vessels import draw_vessels

COLOUR, COLOUR_SD = (
    np.array([169, 83, 24]),
    np.array([22, 14, 20]),
)  # RGB inside the field of view, between images
DDR_COLOUR = np.array([145, 90, 38])  # its published mean over the frame, on the 56 % that the field of view takes
DDR_FRAMES = {  # width, height of the real images: share among the generated ones (ours)
    (2592, 1728): 0.45,
    (1920, 1088): 0.20,
    (1956, 1934): 0.18,
    (1728, 1736): 0.02,
    (2960, 2935): 0.10,
    (5184, 3456): 0.05,
}
DISC_LIFT = np.array([75, 66, 26])  # RGB of the disc over the retina around it
VEIN = np.array([0.20, 0.46, 0.40])  # share of light that a vessel takes, by channel
ARTERY = np.array([0.07, 0.34, 0.34])
REFLEX = np.array([0.07, 0.12, 0.10])  # share given back along the middle of a wide vessel
CHOROID = np.array([0.09, 0.13, 0.02])
PIGMENT = np.array([0.8, 1.0, 0.7])  # macular darkening, by channel


@dataclass(frozen=True)
class Eye:
    """Where things are, in pixels of the canvas; `side` is +1 if the disc lies left of the fovea, else -1.

    `factor` is the length of a pixel of IDRiD's frame, `colour` the mean RGB of such eyes, `teeth` whether the
    camera marks the rim.
    """

    factor: float
    shape: tuple[int, int]
    centre: np.ndarray
    radius: float
    disc: np.ndarray
    fovea: np.ndarray
    side: int
    colour: np.ndarray
    teeth: bool

    def distance(self, point: np.ndarray) -> np.ndarray:
        """(H, W) float32 distance of every pixel from `point` (x, y)."""
        x, y = self.offsets(point)
        return np.hypot(x, y)

    def offsets(self, point: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Row (1, W) and column (H, 1) float32 of the pixels' offsets from `point` (x, y)."""
        height, width = self.shape
        x = np.arange(width, dtype=np.float32)[None, :] - np.float32(point[0])
        y = np.arange(height, dtype=np.float32)[:, None] - np.float32(point[1])
        return x, y


def draw_eye(rng: np.random.Generator, factor: float) -> Eye:
    """Place the landmarks of one eye as IDRiD has them."""
    side = 1 if rng.random() < 0.53 else -1
    centre = np.array([1982, 1424]) + rng.normal(0, 6, 2)
    diameter = 3800 if rng.random() < 0.05 else 3412
    disc = np.array([1225 if side > 0 else 3020, 1376]) + rng.normal(0, [90, 85])
    fovea = disc + np.array([side * rng.normal(1290, 60), 150 + rng.normal(0, 70)])
    shape = (round(HEIGHT * factor), round(WIDTH * factor))
    places = centre * factor, diameter / 2 * factor, disc * factor, fovea * factor
    return Eye(factor, shape, *places, side, COLOUR, teeth=True)


def draw_ddr_eye(rng: np.random.Generator, factor: float) -> Eye:
    """Place the landmarks of one eye in one of DDR's frames, the field of view 0.98 of its height."""
    width, height = list(DDR_FRAMES)[rng.choice(len(DDR_FRAMES), p=list(DDR_FRAMES.values()))]
    shape = (round(height * factor), round(width * factor))
    unit = 0.98 * height * factor / 3412
    side = 1 if rng.random() < 0.5 else -1
    centre = np.array([width, height]) / 2 * factor + rng.normal(0, 6, 2) * unit
    disc = centre + np.array([-side * rng.normal(850, 120), rng.normal(-50, 85)]) * unit
    fovea = disc + np.array([side * rng.normal(1290, 60), 150 + rng.normal(0, 70)]) * unit
    return Eye(unit, shape, centre, 1706 * unit, disc, fovea, side, DDR_COLOUR, teeth=False)


def smooth_noise(rng: np.random.Generator, shape: tuple[int, int], cell: float) -> np.ndarray:
    """(H, W) float32 noise of mean 0 and sd about 1 that varies over `cell` pixels."""
    height, width = (int(np.ceil(length / cell)) + 3 for length in shape)
    grid = rng.standard_normal((height, width)).astype(np.float32)
    whole = cv2.resize(grid, (round(width * cell), round(height * cell)), interpolation=cv2.INTER_CUBIC)
    top, left = (int(cell * start) for start in rng.random(2))
    return whole[top : top + shape[0], left : left + shape[1]] * 1.4  # interpolation takes a third of the sd


def paint_retina(rng: np.random.Generator, eye: Eye) -> np.ndarray:
    """Lesion-free retina (H, W, 3) float32 RGB, filling the frame beyond the field of view."""
    colour = _colour(rng, eye.colour)
    scene = _light(rng, eye)[..., None] * colour.astype(np.float32)
    scene *= 1 + _choroid(rng, eye)[..., None] * CHOROID.astype(np.float32)
    scene *= 1 - _macula(rng, eye)[..., None] * PIGMENT.astype(np.float32)
    _add_disc(rng, eye, scene)
    _add_drusen(rng, eye, scene)
    veins, arteries, reflex = draw_vessels(rng, eye.factor, eye.shape, eye.disc, eye.fovea, eye.side)
    for layer, share in ((veins, -VEIN), (arteries, -ARTERY), (reflex, REFLEX)):
        scene *= 1 + layer[..., None] * (share * rng.normal(1, 0.1)).astype(np.float32)
    return scene


def _colour(rng: np.random.Generator, mean: np.ndarray) -> np.ndarray:
    """Mean RGB of one retina: brightness is shared by the channels, tint is not."""
    spread = 0.75 * rng.standard_normal() + 0.66 * rng.standard_normal(3)
    return np.clip(mean + COLOUR_SD * np.clip(spread, -1.8, 1.8), [110, 50, 6], [215, 125, 80])


def _light(rng: np.random.Generator, eye: Eye) -> np.ndarray:
    """(H, W) illumination about 1: falls off to the rim, leans to one side, drifts, and is mottled."""
    x, y = eye.offsets(eye.centre)
    reach = np.hypot(x, y) / eye.radius
    lean = rng.normal([0.09 * -eye.side, 0], [0.06, 0.06]).astype(np.float32)
    light = 1.1 - rng.uniform(0.22, 0.34) * reach**2.5 + (lean[0] * x + lean[1] * y) / eye.radius
    light += 0.07 * smooth_noise(rng, eye.shape, eye.radius / 1.6)
    light += 0.015 * smooth_noise(rng, eye.shape, eye.radius / 7)
    for cell, amplitude in ((110, 0.007), (36, 0.009), (13, 0.008)):
        light += amplitude * smooth_noise(rng, eye.shape, max(cell * eye.factor, 1.5))
    return np.maximum(light, 0.25) * (1 + _nerve_fibres(rng, eye))


def _polar(rng: np.random.Generator, eye: Eye, point: np.ndarray, rays: int, rings: int) -> np.ndarray:
    """(H, W) noise drawn out along rays from `point`: `rays` features around it, `rings` along the radius."""
    texture = smooth_noise(rng, (64 * rings, 8 * rays), 8.0)  # a feature is 8 wide and, once sampled, stretched in y
    x, y = eye.offsets(point)
    angle = (np.arctan2(y, x) / (2 * np.pi) + 0.5) * (texture.shape[1] - 1)
    depth = np.minimum(np.hypot(x, y) / (2 * eye.radius), 1) * 8 * rings
    return cv2.remap(texture, angle.astype(np.float32), depth.astype(np.float32), cv2.INTER_LINEAR)


def _nerve_fibres(rng: np.random.Generator, eye: Eye) -> np.ndarray:
    """(H, W) faint pale striation fanning out from the disc, gone two disc diameters away."""
    reach = eye.distance(eye.disc) / (900 * eye.factor)
    return 0.022 * _polar(rng, eye, eye.disc, 120, 3) * np.exp(-(reach**2)) + 0.06 * np.exp(-((1.6 * reach) ** 2))


def _choroid(rng: np.random.Generator, eye: Eye) -> np.ndarray:
    """(H, W) orange ribbons of the deep vessels, seen best towards the rim and in some eyes only."""
    warp = smooth_noise(rng, eye.shape, 260 * eye.factor)
    ribbon = np.exp(-((1.6 * _polar(rng, eye, eye.fovea, 46, 9) + 0.35 * warp) ** 2)) - 0.45
    rim = np.clip(eye.distance(eye.fovea) / (1300 * eye.factor) - 0.35, 0, 1)
    patch = np.clip(0.5 + 0.5 * smooth_noise(rng, eye.shape, eye.radius / 2), 0, 1)
    return cv2.GaussianBlur(ribbon * rim * patch * rng.uniform(0.2, 1.6), (0, 0), max(7 * eye.factor, 0.6))


def _macula(rng: np.random.Generator, eye: Eye) -> np.ndarray:
    """(H, W) darkening around the fovea: a wide shallow one and a narrow deep one."""
    reach = eye.distance(eye.fovea) / eye.radius
    wide, narrow = rng.uniform(0.08, 0.15), rng.uniform(0.12, 0.22)
    return wide * np.exp(-((reach / 0.30) ** 2)) + narrow * np.exp(-((reach / 0.105) ** 2))


def _add_disc(rng: np.random.Generator, eye: Eye, scene: np.ndarray) -> None:
    """Lay the optic disc with its cup and a faint glow over `scene`, in place."""
    x, y = eye.offsets(eye.disc)
    unit = 263 * eye.factor * rng.normal(1, 0.07)
    tilt = np.float32(rng.normal(0, 0.2))
    across, along = x * np.cos(tilt) + y * np.sin(tilt), y * np.cos(tilt) - x * np.sin(tilt)
    reach = np.hypot(across / 0.95, along / 1.05) / unit + 0.025 * smooth_noise(rng, eye.shape, unit / 2)
    disc = 1 / (1 + np.exp(np.clip((reach - 1) * rng.uniform(22, 40), -30, 30)))
    cup = np.exp(-((np.hypot(across - 0.14 * eye.side * unit, along) / (0.42 * unit)) ** 2))
    nasal = np.clip(-across * eye.side / unit, 0, 1)  # the rim is ruddier there
    glow = 0.14 * np.exp(-((reach / 1.7) ** 2)) * (1 - disc)
    strength = disc * (0.86 + 0.42 * cup - 0.35 * nasal) + glow
    lift = DISC_LIFT * rng.normal(1.12, 0.12)
    scene += strength[..., None] * lift.astype(np.float32)


def _add_drusen(rng: np.random.Generator, eye: Eye, scene: np.ndarray) -> None:
    """Up to three pale spots that no mask labels: what a model must learn to leave alone."""
    for _ in range(rng.integers(0, 4)):
        angle, reach = rng.uniform(0, 2 * np.pi), rng.uniform(0.15, 0.7) * eye.radius
        spot = eye.centre + reach * np.array([np.cos(angle), np.sin(angle)])
        size = max(rng.uniform(18, 60) * eye.factor, 0.8)
        pale = np.exp(-((eye.distance(spot) / size) ** 2)) * rng.uniform(5, 12)
        scene += pale[..., None] * np.array([0.8, 1, 0.3], np.float32)


def field_of_view(eye: Eye) -> np.ndarray:
    """(H, W) float32 coverage of the field of view: the circle and, if it has them, the two teeth at its rim."""
    cover = np.clip(eye.radius - eye.distance(eye.centre) + 0.5, 0, 1)
    if not eye.teeth:
        return cover
    teeth = np.zeros(eye.shape, np.uint8)
    for degrees in (-31.0, -26.8):
        rim = [np.deg2rad(degrees + turn) for turn in (-4.0, -1.2, 1.8, 2.4)]
        reach = np.array([0.97, 1.035, 1.045, 0.97]) * eye.radius
        corners = eye.centre + reach[:, None] * np.stack([np.cos(rim), np.sin(rim)], axis=1)
        cv2.fillPoly(teeth, [np.round(corners * 16).astype(np.int32)], 255, cv2.LINE_AA, shift=4)
    return np.maximum(cover, teeth.astype(np.float32) / 255)


def photograph(rng: np.random.Generator, eye: Eye, scene: np.ndarray) -> np.ndarray:
    """What the camera keeps of `scene`: (H, W, 3) uint8 RGB, near black outside the field of view."""
    cover = field_of_view(eye)[..., None]
    noise = rng.standard_normal(scene.shape, np.float32) * max(3 * eye.factor**0.5, 1.0)  # averaged by shrinking
    dark = np.float32(rng.uniform(0, 3)) + 0.3 * noise
    pixels = scene + noise
    knee = np.where(pixels > 205, 205 + 50 * np.tanh((pixels - 205) / 50), pixels)  # highlights roll off
    return np.clip(np.rint(cover * knee + (1 - cover) * dark), 0, 255).astype(np.uint8)
