"""Probability of superiority, practical equality and equality of variances."""

import math

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.weightstats import ttost_paired

from rfbench.statistics import comparison, retraining


def test_probability_is_how_often_one_run_beats_another():
    rng = np.random.default_rng(0)
    a, b = rng.normal(1.0, 0.7, 200_000), rng.normal(0, 0.7, 200_000)
    assert comparison.probability(1.0, 0.7) == pytest.approx((a > b).mean(), abs=0.005)


def test_probability_of_ends_and_of_none():
    got = comparison.probability(np.array([-1.0, 0.0, 1.0, np.nan]), 1.0)
    assert got[:3] == pytest.approx([1 - 0.7602499, 0.5, 0.7602499])
    assert math.isnan(got[3])
    assert comparison.probability(np.array([-2.0, 0.0, 2.0]), 0.0).tolist() == [0, 0.5, 1]
    assert np.isnan(comparison.probability(np.array([1.0]), np.nan)).all()


def test_practical_equality_is_two_one_sided_tests():
    rng = np.random.default_rng(1)
    outcomes = set()
    for _ in range(40):
        scores = rng.normal([[0], [0.3]], 0.4, (2, 4))
        p = ttost_paired(scores[1], scores[0], -1, 1)[0]
        assert bool(comparison.practically_equal(scores)[1]) == (p < 0.05)
        outcomes.add(p < 0.05)
    assert outcomes == {True, False}


def test_a_wide_interval_around_zero_is_no_equality():
    scores = np.array([[60.0, 64, 68], [64.0, 60, 68], [60.01, 64.01, 67.98]])
    got = retraining(scores)
    assert got.low[1] < 0 < got.high[1]
    assert not comparison.practically_equal(scores)[1]
    assert not comparison.practically_equal(scores[:, :1]).any(), "one seed shows no equality"


def test_brown_forsythe_is_levene_with_medians_by_hand():
    rng = np.random.default_rng(2)
    scores = rng.normal(0, [[1], [2], [5]], (3, 5))
    deviations = [np.abs(row - np.median(row)) for row in scores]
    assert comparison.brown_forsythe(scores) == pytest.approx(stats.f_oneway(*deviations).pvalue)


def test_brown_forsythe_leaves_out_rows_of_fewer_than_three_runs():
    scores = np.random.default_rng(3).normal(0, 1, (4, 4))
    with_hole = scores.copy()
    with_hole[1, 2:] = np.nan
    assert comparison.brown_forsythe(with_hole) == pytest.approx(comparison.brown_forsythe(scores[[0, 2, 3]]))
    assert math.isnan(comparison.brown_forsythe(scores[:, :2]))
    assert math.isnan(comparison.brown_forsythe(np.ones((3, 3))))
