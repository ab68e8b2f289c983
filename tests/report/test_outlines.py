"""Outlines and their kinds: against `match`, labelled frames, and the area that a polygon encloses."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from rfbench.evaluation.lesions import match
from rfbench.lesions import masks
from rfbench.names import LESIONS
from rfbench.report.outlines import MISSED, TRUE, WRONG, Viewer, outline, paint

from ..evaluation.maps import label_map


def enclosed(polygon: np.ndarray) -> float:
    """Area of a polygon (n, 2), by the shoelace formula."""
    x, y = polygon.T
    return abs(float(x @ np.roll(y, -1) - y @ np.roll(x, -1))) / 2


@pytest.mark.parametrize("shape", [(1, 1), (1, 7), (5, 3)])
def test_an_outline_runs_along_the_pixels_edges(shape):
    mask = np.zeros((12, 14), bool)
    mask[3 : 3 + shape[0], 4 : 4 + shape[1]] = True
    (polygon,) = outline(mask)
    assert polygon.min(axis=0).tolist() == [4, 3]
    assert polygon.max(axis=0).tolist() == [4 + shape[1], 3 + shape[0]]
    assert enclosed(polygon) == shape[0] * shape[1] - 0.5, "four corners are cut, an eighth of a pixel each"


def test_holes_have_outlines_and_borders_close_them():
    mask = np.ones((9, 9), bool)
    mask[3:6, 3:6] = False
    outer, inner = sorted(outline(mask), key=enclosed, reverse=True)
    assert outer.max() == 9
    assert outer.min() == 0
    assert enclosed(inner) == 9 - 0.5
    assert outline(np.zeros((4, 4), bool)) == []


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(0, 30), st.integers(0, 20), st.integers(8, 40))
def test_regions_are_told_apart_as_lesions_are_matched(seed, left, top, side):
    rng = np.random.default_rng(seed)
    label = label_map(rng, (60, 72), density=0.4)
    found = [ndimage.binary_dilation(label == c + 1) ^ (rng.random(label.shape) < 0.02) for c in range(4)]
    kept = masks.Masks.of(LESIONS, ["a"], [(72, 60)], [masks.runs_of(mask) for mask in found])
    tile = Viewer(label, LESIONS).tile(kept, "a", (left, top, side))
    part = np.s_[top : top + side, left : left + side]
    for c, lesion in enumerate(LESIONS):
        hit, _ = match(label == c + 1, found[c])
        lesions, _ = ndimage.label(label == c + 1)
        regions, number = ndimage.label(found[c])
        true = [((regions == k) & (label == c + 1)).sum() / (regions == k).sum() >= 0.2 for k in range(1, number + 1)]
        masked = {
            TRUE: np.isin(regions, 1 + np.flatnonzero(true)),
            WRONG: np.isin(regions, 1 + np.flatnonzero(~np.array(true, bool))),
            MISSED: np.isin(lesions, 1 + np.flatnonzero(~hit)),
        }
        for kind, mask in masked.items():
            expected = outline(mask[part])
            drawn = tile.lines[lesion, kind]
            assert [line.tolist() for line in drawn] == [line.tolist() for line in expected]
        there = np.unique(lesions[part][lesions[part] > 0]) - 1
        wrong = np.unique(regions[part][masked[WRONG][part]])
        assert vars(tile.counts[lesion]) == {"lesions": len(there), "found": hit[there].sum(), "wrong": len(wrong)}


def test_noise_is_named(monkeypatch):
    label = np.zeros((6, 6), np.uint8)
    kept = masks.Masks.of(["EX", "MA"], ["a"], [(6, 6)], [None, masks.runs_of(np.eye(6, dtype=bool))])
    tile = Viewer(label, ("EX", "MA")).tile(kept, "a", (0, 0, 6))
    assert tile.noise == ("EX",)
    assert tile.counts.keys() == {"MA"}
    assert tile.counts["MA"].wrong == 6


def test_paint_cuts_runs_to_the_crop():
    mask = np.random.default_rng(1).random((30, 40)) < 0.5
    runs = masks.runs_of(mask)
    for crop in ((0, 0, 30), (11, 7, 9), (31, 21, 9)):
        left, top, side = crop
        assert (paint(runs.start, runs.end, 40, crop) == mask[top : top + side, left : left + side]).all()
