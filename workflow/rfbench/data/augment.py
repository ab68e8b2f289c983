"""The authors' augmentation of a photograph and its label map: six copies, random resize, crop, distorted colours.

Every function draws and computes what mmcv's RandomResize and mmseg's RandomCrop and PhotoMetricDistortion draw and
compute, bit for bit (tests/data/reference_stream.py runs these classes), with less work: pixels are counted only in
windows that the background does not fill, and what is a function of one byte is looked up in a table.
"""

from functools import partial

import cv2
import mmcv
import numpy as np

# The authors' augment.py: original, rotations by 90, 180 and 270 degrees counter-clockwise, two flips.
COPIES = (
    lambda image: image,
    partial(cv2.rotate, rotateCode=cv2.ROTATE_90_COUNTERCLOCKWISE),
    partial(cv2.rotate, rotateCode=cv2.ROTATE_180),
    partial(cv2.rotate, rotateCode=cv2.ROTATE_90_CLOCKWISE),
    partial(cv2.flip, flipCode=1),
    partial(cv2.flip, flipCode=0),
)
# Where each takes a point of an image, row and column as fractions of height and width.
MIDDLES = (
    lambda y, x: (y, x),
    lambda y, x: (1 - x, y),
    lambda y, x: (1 - y, 1 - x),
    lambda y, x: (x, 1 - y),
    lambda y, x: (y, 1 - x),
    lambda y, x: (1 - y, x),
)
TRIES = 10  # windows that are looked at; the one drawn after the last is taken unseen, as mmseg does
IGNORED = 255  # mmseg's label of pixels that count for no class
BRIGHTNESS, CONTRAST, SATURATION, HUE = 32, (0.5, 1.5), (0.5, 1.5), 18  # mmseg's defaults, which the authors use
_BYTES = np.arange(256, dtype=np.uint8)

Window = tuple[slice, slice]
Lesions = list[np.ndarray]


def draw_size(
    rng: np.random.RandomState, size: tuple[int, int], scale: tuple[int, int], ratio: tuple[float, float]
) -> tuple[int, int]:
    """(width, height) of an image of `size`, fitted into a random multiple of `scale`, aspect kept.

    Args:
        rng: source of the multiple, uniform in `ratio`.
        size: (width, height) of the image.
        scale: (width, height) to fit it into; the long side goes with the image's long side.
        ratio: smallest and largest multiple.
    """
    smallest, largest = ratio
    factor = rng.random_sample() * (largest - smallest) + smallest
    return mmcv.rescale_size(size, (int(scale[0] * factor), int(scale[1] * factor)))


def draw_window(rng: np.random.RandomState, label: np.ndarray, crop: tuple[int, int], cat_max_ratio: float) -> Window:
    """Rows and columns of a random crop in which no class, the background included, has `cat_max_ratio` or more.

    Args:
        rng: source of the windows' places; eleven at most are drawn, and the last is taken as it is.
        label: (H, W) uint8 label map.
        crop: (width, height); a smaller image is taken whole.
        cat_max_ratio: largest share of the window; 1 takes the first window.
    """
    width, height = crop

    def draw() -> Window:
        top = rng.randint(0, max(label.shape[0] - height, 0) + 1)
        left = rng.randint(0, max(label.shape[1] - width, 0) + 1)
        return slice(top, top + height), slice(left, left + width)

    window = draw()
    if cat_max_ratio < 1:
        for _ in range(TRIES):
            if _is_mixed(label[window], cat_max_ratio):
                break
            window = draw()
    return window


def find_lesions(label: np.ndarray) -> Lesions:
    """Where the lesions (8-connected regions) of an (H, W) uint8 label map are, by class.

    Returns:
        For each class that occurs, (n, 2): row and column of the middle of each lesion's bounding box, as fractions of
        height and width.
    """
    counts = np.bincount(label.ravel(), minlength=IGNORED + 1)
    found = []
    for lesion in np.flatnonzero(counts[1:IGNORED]) + 1:
        _, _, boxes, _ = cv2.connectedComponentsWithStats((label == lesion).view(np.uint8))
        left, top, width, height, _ = boxes[1:].T  # the first region is everything else
        found.append(np.stack([(top + height / 2) / label.shape[0], (left + width / 2) / label.shape[1]], axis=1))
    return found


def draw_window_on_lesion(
    rng: np.random.RandomState, lesions: Lesions, copy: int, shape: tuple[int, int], crop: tuple[int, int]
) -> Window:
    """Rows and columns of a random crop that holds the middle of a random lesion of a random class.

    Uniform over the classes of the image, then over the lesions of the class, then over the windows within the image
    that hold the lesion's middle. nnU-Net (Isensee et al., 2021) likewise places a share of its patches on the
    foreground, on a random pixel of a random class, so mostly on large lesions.

    Args:
        rng: source of the class, the lesion and the window's place.
        lesions: of the image; one at least.
        copy: which of COPIES is cropped.
        shape: (height, width) of the copy, resized.
        crop: (width, height); a smaller copy is taken whole.
    """
    of_class = lesions[rng.randint(len(lesions))]
    middle = MIDDLES[copy](*of_class[rng.randint(len(of_class))])
    window = []
    for fraction, side, whole in zip(middle, crop[::-1], shape, strict=True):
        at = min(int(fraction * whole), whole - 1)
        start = rng.randint(max(at - side + 1, 0), min(at, max(whole - side, 0)) + 1)
        window.append(slice(start, start + side))
    return tuple(window)


def _is_mixed(label: np.ndarray, cat_max_ratio: float) -> bool:
    """Whether a window has two classes or more and none of them `cat_max_ratio` of the pixels that are not ignored."""
    background = label.size - cv2.countNonZero(label)
    if background / label.size >= cat_max_ratio:  # nearly every window of a fundus photograph
        return False
    counts = np.bincount(label.ravel(), minlength=IGNORED + 1)[:IGNORED]
    return np.count_nonzero(counts) > 1 and counts.max() / counts.sum() < cat_max_ratio


def distort(rng: np.random.RandomState, image: np.ndarray) -> np.ndarray:
    """Randomly change brightness, contrast (before or after the colours), saturation and hue, each in half the cases.

    Args:
        rng: source of the changes.
        image: (H, W, 3) uint8 in BGR order; left as it is.

    Returns:
        (H, W, 3) uint8; `image` itself where nothing changes.
    """
    before, after = _BYTES, _BYTES
    if rng.randint(2):
        before = _scaled(before, beta=rng.uniform(-BRIGHTNESS, BRIGHTNESS))
    contrast_first = rng.randint(2) == 1
    if contrast_first and rng.randint(2):
        before = _scaled(before, alpha=rng.uniform(*CONTRAST))
    colours = []  # (channel of HSV, its table)
    if rng.randint(2):
        colours.append((1, _scaled(_BYTES, alpha=rng.uniform(*SATURATION))))
    if rng.randint(2):
        colours.append((0, ((_BYTES.astype(int) + rng.randint(-HUE, HUE)) % 180).astype(np.uint8)))
    if not contrast_first and rng.randint(2):
        after = _scaled(after, alpha=rng.uniform(*CONTRAST))
    if not colours:
        return _looked_up(image, after[before])
    image = _looked_up(image, before)
    for channel, table in colours:  # each there and back, since 8-bit HSV loses something each time
        hsv = cv2.cvtColor(image, cv2.COLOR_BGR2HSV)
        cv2.insertChannel(cv2.LUT(cv2.extractChannel(hsv, channel), table), hsv, channel)
        image = cv2.cvtColor(hsv, cv2.COLOR_HSV2BGR)
    return _looked_up(image, after)


def _scaled(table: np.ndarray, alpha: float = 1, beta: float = 0) -> np.ndarray:
    """What mmseg's `convert` makes of each byte, in float32 and cut to a byte."""
    return np.clip(table.astype(np.float32) * alpha + beta, 0, 255).astype(np.uint8)


def _looked_up(image: np.ndarray, table: np.ndarray) -> np.ndarray:
    return image if np.array_equal(table, _BYTES) else cv2.LUT(image, table)
