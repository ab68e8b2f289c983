"""Lesions hit and regions that are none, against flood fill and set arithmetic in plain Python."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from scipy import ndimage

from rfbench.evaluation.lesions import match


def regions(map_: np.ndarray) -> list[set[tuple[int, int]]]:
    """4-connected regions by flood fill, in the order of their first pixels in reading order."""
    left = {(int(y), int(x)) for y, x in np.argwhere(map_)}
    found = []
    for seed in sorted(left):
        if seed not in left:
            continue
        region, edge = set(), [seed]
        left.discard(seed)
        while edge:
            y, x = edge.pop()
            region.add((y, x))
            for other in ((y - 1, x), (y + 1, x), (y, x - 1), (y, x + 1)):
                if other in left:
                    left.discard(other)
                    edge.append(other)
        found.append(region)
    return found


def slow_match(truth: np.ndarray, predicted: np.ndarray, overlap: Fraction) -> tuple[list[bool], int]:
    """The rule's two sentences over sets of pixels, in exact fractions."""
    of_class = {(int(y), int(x)) for y, x in np.argwhere(truth)}
    said = regions(predicted)
    true = [r for r in said if r & of_class and Fraction(len(r & of_class), len(r)) >= overlap]
    covered = set().union(*true)
    lesions = regions(truth)
    hit = [bool(a & covered) and Fraction(len(a & covered), len(a)) >= overlap for a in lesions]
    return hit, len(said) - len(true)


def maps(side: int = 9):
    """Two maps of the same shape, which share some pixels."""
    shapes = st.tuples(st.integers(1, side), st.integers(1, side))
    return shapes.flatmap(lambda shape: st.tuples(arrays.arrays(bool, shape), arrays.arrays(bool, shape)))


@settings(max_examples=300, deadline=None)
@given(maps(), st.sampled_from(["0", "0.1", "0.2", "0.25", "0.5", "1"]), st.sampled_from(["as drawn", "and", "or"]))
def test_match_is_the_rule_over_sets(pair, overlap, relation):
    truth, predicted = pair
    predicted = {"as drawn": predicted, "and": truth & predicted, "or": truth | predicted}[relation]
    hit, false = match(truth, predicted, float(overlap))
    expected, wrong = slow_match(truth, predicted, Fraction(overlap))
    assert hit.dtype == bool
    assert hit.tolist() == expected
    assert type(false) is int
    assert false == wrong


def test_lesions_are_in_scipys_order():
    rng = np.random.default_rng(0)
    truth = ndimage.binary_opening(rng.random((60, 80)) < 0.6)
    labelled, count = ndimage.label(truth)
    for k in range(1, count + 1):
        hit, false = match(truth, labelled == k)
        assert hit.tolist() == [other == k for other in range(1, count + 1)]
        assert false == 0


def test_a_share_is_reached_exactly():
    """7 of 100 pixels are a share of 0.07, though 0.07 * 100 is above 7 in floating point."""
    assert 0.07 * 100 > 7
    truth = np.ones((1, 100), bool)
    for pixels, reached in ((7, True), (6, False)):
        predicted = np.arange(100)[None] < pixels
        assert match(truth, predicted, 0.07).hit.tolist() == [reached]
        assert match(predicted, truth, 0.07).false == (not reached)


def test_one_region_may_hit_several_lesions_and_fragments_are_not_false():
    truth = np.zeros((5, 20), bool)
    truth[1:4, 1:6] = truth[1:4, 8:13] = True
    merged = np.zeros_like(truth)
    merged[1:4, 1:13] = True
    hit, false = match(truth, merged)
    assert hit.tolist() == [True, True]
    assert false == 0
    fragments = truth & (np.arange(20) % 2 == 0)
    assert ndimage.label(fragments)[1] == 5
    hit, false = match(truth, fragments)
    assert hit.tolist() == [True, True]
    assert false == 0


def test_a_region_of_the_whole_frame_hits_nothing():
    """Any common pixel would give it a recall of 1 without a false region."""
    truth = np.zeros((20, 20), bool)
    truth[3:5, 3:5] = truth[10:13, 10:13] = True
    hit, false = match(truth, np.ones_like(truth))
    assert hit.tolist() == [False, False]
    assert false == 1
    assert match(truth, np.ones_like(truth), overlap=0).hit.all()


def test_pixels_of_a_false_region_cover_nothing():
    truth = np.zeros((10, 40), bool)
    truth[4:6, 0:4] = True  # 8 pixels, half of them inside a region that is mostly elsewhere
    predicted = np.zeros_like(truth)
    predicted[4:6, 2:40] = True
    hit, false = match(truth, predicted)
    assert hit.tolist() == [False]
    assert false == 1


@pytest.mark.parametrize("shape", [(4, 6), (1, 1)])
def test_empty_maps(shape):
    nothing, everything = np.zeros(shape, bool), np.ones(shape, bool)
    for truth, predicted, hit, false in (
        (nothing, nothing, [], 0),
        (nothing, everything, [], 1),
        (everything, nothing, [False], 0),
        (everything, everything, [True], 0),
    ):
        found = match(truth, predicted)
        assert found.hit.tolist() == hit
        assert found.false == false


MAP = np.zeros((3, 5), bool)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((MAP.astype(np.uint8), MAP), r"truth must be a boolean array \(H, W\); got uint8 \(3, 5\)"),
        ((MAP, MAP.astype(np.float32)), r"predicted must be a boolean array \(H, W\); got float32 \(3, 5\)"),
        ((MAP[0], MAP[0]), r"truth must be a boolean array \(H, W\); got bool \(5,\)"),
        ((MAP.tolist(), MAP), r"truth must be a boolean array \(H, W\); got list"),
        ((MAP, MAP.T), r"predicted must have the shape of truth, \(3, 5\); got \(5, 3\)"),
        ((MAP, MAP, 1.5), r"overlap must be a share from 0 to 1; got 1\.5"),
        ((MAP, MAP, -0.1), r"overlap must be a share from 0 to 1; got -0\.1"),
        ((MAP, MAP, float("nan")), r"overlap must be a share from 0 to 1; got nan"),
        ((MAP, MAP, "0.2"), r"overlap must be a share from 0 to 1; got '0\.2'"),
    ],
)
def test_bad_input_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        match(*arguments)
