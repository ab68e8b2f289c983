"""Random resize, crop and distortion against mmcv's and mmseg's own classes: equal bits from equal draws."""

import contextlib
from collections import Counter

import mmcv
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mmcv.transforms import RandomResize
from scipy import ndimage
from scipy.stats import chisquare

from rfbench.data import augment

from .reference_stream import COPIES

with contextlib.redirect_stdout(None):
    from mmseg.datasets.transforms import PhotoMetricDistortion, RandomCrop

SEEDS = st.integers(0, 2**32 - 1)


def generators(seed: int) -> np.random.RandomState:
    """The generator under test; numpy's global one, which the references draw from, begins alike."""
    np.random.seed(seed)  # noqa: NPY002
    return np.random.RandomState(seed)


def at_the_same_place(rng: np.random.RandomState) -> bool:
    """Whether both generators give the same next number: as many draws, of the same kinds, were made."""
    return rng.random_sample() == np.random.random_sample()  # noqa: NPY002


def test_copies_move_coordinates_as_rotations_and_flips():
    height, width = 3, 5
    image = np.arange(height * width, dtype=np.uint8).reshape(height, width)
    moved = [  # where (row, column) of the original goes, by hand
        lambda r, c: (r, c),
        lambda r, c: (width - 1 - c, r),  # 90 degrees counter-clockwise
        lambda r, c: (height - 1 - r, width - 1 - c),
        lambda r, c: (c, height - 1 - r),
        lambda r, c: (r, width - 1 - c),
        lambda r, c: (height - 1 - r, c),
    ]
    for copy, target in zip(augment.COPIES, moved, strict=True):
        out = copy(image)
        assert all(out[target(r, c)] == image[r, c] for r in range(height) for c in range(width))


@pytest.mark.parametrize("shape", [(5, 7), (6, 4, 3), (1, 9, 3)])
def test_copies_are_those_of_numpy(shape):
    image = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    for copy, reference in zip(augment.COPIES, COPIES, strict=True):
        assert np.array_equal(copy(image), reference(image))


@settings(max_examples=200, deadline=None)
@given(SEEDS, st.tuples(*[st.integers(64, 6000)] * 4), st.floats(0.1, 4), st.floats(0, 3))
def test_sizes_are_mmcvs(seed, sides, smallest, more):
    size, scale, ratio = sides[:2], sides[2:], (smallest, smallest + more)
    rng = generators(seed)
    drawn = augment.draw_size(rng, size, scale, ratio)
    target = RandomResize._random_sample_ratio(scale, ratio)
    assert drawn == mmcv.rescale_size(size, target)
    assert at_the_same_place(rng)


@settings(max_examples=400, deadline=None)
@given(
    SEEDS,
    st.tuples(st.integers(1, 40), st.integers(1, 40)),
    st.tuples(st.integers(1, 30), st.integers(1, 30)),
    st.lists(st.sampled_from([0, 1, 2, 3, 4, 254, 255]), min_size=1, max_size=12),
    st.sampled_from([0.2, 0.5, 0.6, 0.75, 0.9, 0.99, 1.0]),
)
def test_windows_are_mmsegs(seed, shape, crop, classes, limit):
    """Small label maps of every kind of mixture, with ties at the limit and the label that mmseg ignores."""
    label = np.random.default_rng(seed).choice(np.array(classes, np.uint8), shape)
    rng = generators(seed)
    window = augment.draw_window(rng, label, crop, limit)
    reference = RandomCrop(crop_size=crop[::-1], cat_max_ratio=limit)
    top, bottom, left, right = reference.crop_bbox({"img": label, "gt_seg_map": label})
    assert window == (slice(top, bottom), slice(left, right))
    assert at_the_same_place(rng)


def middles_of(label: np.ndarray) -> list[tuple[int, float, float]]:
    """Class and middle of the bounding box of every 8-connected region, by scipy, sorted."""
    return sorted(
        (lesion, (rows.start + rows.stop) / 2, (columns.start + columns.stop) / 2)
        for lesion in (1, 2, 3, 4)
        for rows, columns in ndimage.find_objects(ndimage.label(label == lesion, np.ones((3, 3)))[0])
    )


def some_lesions(seed: int, shape: tuple[int, int], share: float) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return ((rng.random(shape) < share) * rng.integers(1, 5, shape)).astype(np.uint8)


SHAPES = st.tuples(st.integers(1, 40), st.integers(1, 40))


@settings(max_examples=100, deadline=None)
@given(SEEDS, SHAPES, st.sampled_from([0.0, 0.02, 0.3]))
def test_lesions_are_found_where_scipy_finds_them_in_every_copy(seed, shape, share):
    label = some_lesions(seed, shape, share)
    found = augment.find_lesions(label)
    for copy, moved in zip(augment.COPIES, augment.MIDDLES, strict=True):
        turned = np.ascontiguousarray(copy(label))
        height, width = turned.shape
        points = [
            (lesion, *(np.array(moved(y, x)) * (height, width)))
            for lesion, of_class in zip(np.unique(label[label > 0]), found, strict=True)
            for y, x in of_class
        ]
        np.testing.assert_allclose(sorted(points), middles_of(turned), rtol=0, atol=1e-9)


@settings(max_examples=300, deadline=None)
@given(SEEDS, SHAPES, st.tuples(st.integers(1, 50), st.integers(1, 50)), st.sampled_from([0.02, 0.9]))
def test_windows_on_a_lesion_hold_the_middle_of_one_and_stay_inside(seed, shape, crop, share):
    label = some_lesions(seed, shape, share)
    if not label.any():
        assert augment.find_lesions(label) == []
        return
    rng = np.random.RandomState(seed)
    rows, columns = window = augment.draw_window_on_lesion(rng, augment.find_lesions(label), 0, shape, crop)
    assert (rows.stop - rows.start, columns.stop - columns.start) == crop[::-1]
    assert rows.start >= 0 <= columns.start
    for part, whole in zip(window, shape, strict=True):
        assert part.stop <= whole or part.start == 0, "only an image smaller than the crop ends before it"
    # A pixel's left and upper edge is its own; a fraction may round to the one before.
    assert any(rows.start - 1e-9 <= y <= rows.stop and columns.start - 1e-9 <= x <= columns.stop
               for _, y, x in middles_of(label))  # fmt: skip


def test_windows_on_a_lesion_are_uniform_over_classes_lesions_and_places():
    """Three exudates, one of them large, and one microaneurysm of a pixel, further apart than a window is wide."""
    label = np.zeros((60, 60), np.uint8)
    label[5, 5] = label[5:8, 45:48] = label[45, 5] = 1
    label[45, 45] = 4
    expected = {(5, 5): 1 / 6, (6, 46): 1 / 6, (45, 5): 1 / 6, (45, 45): 1 / 2}
    rng, draws, size = np.random.RandomState(0), 6000, 7
    lesions, places, found = Counter(), Counter(), augment.find_lesions(label)
    for _ in range(draws):
        rows, columns = augment.draw_window_on_lesion(rng, found, 0, label.shape, (size, size))
        (middle,) = (m for m in expected if rows.start <= m[0] < rows.stop and columns.start <= m[1] < columns.stop)
        lesions[middle] += 1
        if middle == (45, 45):
            places[45 - rows.start, 45 - columns.start] += 1
    counts = [lesions[middle] for middle in expected]
    assert chisquare(counts, [draws * share for share in expected.values()]).pvalue > 0.001
    assert len(places) == size**2
    assert chisquare(list(places.values())).pvalue > 0.001


@settings(max_examples=100, deadline=None)
@given(SEEDS)
def test_distortions_are_mmsegs(seed):
    image = np.random.default_rng(seed).integers(0, 256, (37, 53, 3), dtype=np.uint8)
    before = image.copy()
    rng = generators(seed)
    for _ in range(8):  # one seed, several of the 32 ways to distort
        expected = PhotoMetricDistortion().transform({"img": image[3:-2, 5:]})["img"]  # a window, as after the crop
        assert np.array_equal(augment.distort(rng, image[3:-2, 5:]), expected)
    assert np.array_equal(image, before)
    assert at_the_same_place(rng)
