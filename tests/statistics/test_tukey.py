"""All pairs with all: Tukey's range against scipy and statsmodels, and the letters against their definition."""

import itertools
import math

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.multicomp import pairwise_tukeyhsd

from rfbench.statistics import letters, resolved, spread


def spaced(pairs: int, seeds: int, step: float, seed: int = 0) -> np.ndarray:
    """Pairs whose true means lie `step` SD apart."""
    rng = np.random.default_rng(seed)
    return 60 + step * np.arange(pairs)[:, None] + rng.normal(0, 1, (pairs, seeds))


def apart_by_hand(scores: np.ndarray) -> np.ndarray:
    """|Δ| against q·s/√n, one pair at a time."""
    pairs, seeds = scores.shape
    s, df = spread(scores)
    bar = stats.studentized_range.ppf(0.95, pairs, df) * s / math.sqrt(seeds)
    return np.array([[abs(a.mean() - b.mean()) >= bar for b in scores] for a in scores])


@pytest.mark.parametrize("step", [0.0, 0.7, 2.0])
def test_up_to_four_seeds_it_is_the_pooled_range(step):
    scores = spaced(8, 3, step)
    np.testing.assert_array_equal(resolved(scores), apart_by_hand(scores))


def test_both_answers_occur():
    apart = resolved(spaced(8, 3, 0.7))
    assert 0 < apart.sum() < 56


def test_unequal_seeds_are_tukey_kramer():
    scores = spaced(6, 4, 0.9)
    scores[0, 3] = scores[2, 0] = np.nan
    values, groups = [], []
    for pair, row in enumerate(scores):
        values += list(row[~np.isnan(row)])
        groups += [pair] * int((~np.isnan(row)).sum())
    expected = pairwise_tukeyhsd(values, groups).reject
    found = [resolved(scores)[a, b] for a, b in itertools.combinations(range(6), 2)]
    np.testing.assert_array_equal(found, expected)
    assert 0 < sum(expected) < len(expected)


def test_from_five_seeds_on_it_is_games_howell():
    scores = spaced(5, 5, 0.9) * np.linspace(1, 1.01, 5)[:, None]
    scores[3] += np.linspace(-3, 3, 5)  # a noisier pair
    expected = stats.tukey_hsd(*scores, equal_var=False).pvalue <= 0.05
    np.fill_diagonal(expected, False)
    np.testing.assert_array_equal(resolved(scores), expected)
    assert 0 < expected.sum() < 20


@pytest.mark.parametrize("seeds", [1, 2])
def test_too_few_seeds_tell_nothing_apart(seeds):
    assert not resolved(spaced(6, seeds, 100)).any()


def test_two_seeds_of_many_pairs_are_enough():
    assert resolved(spaced(12, 2, 100))[0, 11]


def test_a_pair_without_runs_or_with_one_is_told_apart_from_none():
    scores = spaced(5, 3, 50)
    scores[1], scores[2, 1:] = np.nan, np.nan
    apart = resolved(scores)
    assert not apart[[1, 2]].any()
    assert not apart[:, [1, 2]].any()
    assert apart[0, 3]
    assert not resolved(np.full((3, 3), np.nan)).any()


@pytest.mark.parametrize("seeds", [3, 6])
def test_equal_runs_are_not_told_apart_and_different_constants_are(seeds):
    apart = resolved(np.repeat([[1.0], [1.0], [2.0]], seeds, axis=1))
    assert apart.tolist() == [[False, False, True], [False, False, True], [True, True, False]]


def test_familywise_error_is_five_percent():
    rng = np.random.default_rng(4)
    errors = sum(resolved(rng.normal(0, 1, (6, 3))).any() for _ in range(600))
    assert errors / 600 == pytest.approx(0.05, abs=0.025)


@pytest.mark.parametrize("seed", range(20))
def test_rows_share_a_letter_exactly_if_they_are_not_told_apart(seed):
    rng = np.random.default_rng(seed)
    apart = np.triu(rng.random((7, 7)) < 0.5, 1)
    apart |= apart.T
    order = rng.permutation(7)
    text = letters(apart, list(order))
    for one, other in itertools.combinations(range(7), 2):
        assert bool(set(text[one]) & set(text[other])) != apart[one, other]
    assert text[order[0]].startswith("a"), "the best row has the first letter"
    assert all(text)


def test_letters_of_a_chain():
    apart = ~np.array([[1, 1, 0, 0], [1, 1, 1, 0], [0, 1, 1, 1], [0, 0, 1, 1]], bool)
    assert letters(apart, [0, 1, 2, 3]) == ["a", "ab", "bc", "c"]


def test_rows_left_out_of_the_order_have_no_letter():
    assert letters(np.zeros((3, 3), bool), [2, 0]) == ["a", "", "a"]


def test_more_groups_than_the_alphabet():
    text = letters(~np.eye(30, dtype=bool), list(range(30)))
    assert (text[25], text[26], len(set(text))) == ("z", "a′", 30)
