"""The retraining interval: the formulas against slow ones and libraries, every edge case, coverage by simulation."""

import itertools
import math
import subprocess
import sys

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.multitest import multipletests

from rfbench.statistics import retraining, spread

FIELDS = ("difference", "sd", "df", "low", "high", "p", "p_holm")


def draw(pairs: int, seeds: int, seed: int = 0, sd: float = 0.7) -> np.ndarray:
    """Scores in percent with differences between pairs and between seeds."""
    rng = np.random.default_rng(seed)
    return 65 + rng.normal(0, 1, (pairs, 1)) + rng.normal(0, 0.5, seeds) + rng.normal(0, sd, (pairs, seeds))


def two_way_by_hand(scores: np.ndarray) -> tuple[float, int]:
    """s and df of randomized blocks with loops, as the textbook writes them."""
    pairs, seeds = len(scores), len(scores[0])
    total = sum(scores[p][s] for p in range(pairs) for s in range(seeds)) / (pairs * seeds)
    squares = 0.0
    for p, s in itertools.product(range(pairs), range(seeds)):
        of_pair = sum(scores[p]) / seeds
        of_seed = sum(scores[k][s] for k in range(pairs)) / pairs
        squares += (scores[p][s] - of_pair - of_seed + total) ** 2
    df = (pairs - 1) * (seeds - 1)
    return math.sqrt(squares / df), df


@pytest.mark.parametrize(("pairs", "seeds", "reference"), [(2, 3, 0), (18, 3, 0), (12, 4, 5), (18, 2, 17)])
def test_up_to_four_seeds_the_variance_is_that_of_randomized_blocks(pairs, seeds, reference):
    scores = draw(pairs, seeds)
    got, (s, df) = retraining(scores, reference), two_way_by_hand(scores)
    for pair in range(pairs):
        values = [getattr(got, name)[pair] for name in FIELDS]
        if pair == reference:
            assert np.isnan(values).all()
            continue
        difference = scores[pair].mean() - scores[reference].mean()
        half = stats.t.ppf(0.975, df) * s * math.sqrt(2 / seeds)
        p = 2 * stats.t.sf(abs(difference) / (s * math.sqrt(2 / seeds)), df)
        assert values[:6] == pytest.approx([difference, s, df, difference - half, difference + half, p])


def test_two_pairs_are_the_paired_t_test():
    scores = draw(2, 4)
    expected = stats.ttest_rel(scores[1], scores[0])
    interval = expected.confidence_interval(0.95)
    got = retraining(scores)
    assert (got.p[1], got.low[1], got.high[1]) == pytest.approx((expected.pvalue, interval.low, interval.high))


def test_pooled_sd_is_the_residual_of_the_two_way_analysis_of_variance():
    import pandas as pd
    import statsmodels.formula.api as formula

    scores = draw(6, 3)
    table = pd.DataFrame([(p, s, scores[p, s]) for p in range(6) for s in range(3)], columns=["pair", "seed", "y"])
    fit = formula.ols("y ~ C(pair) + C(seed)", table).fit()
    assert spread(scores) == pytest.approx((math.sqrt(fit.mse_resid), fit.df_resid))


@pytest.mark.parametrize("seeds", [5, 10])
def test_from_five_seeds_on_it_is_welch(seeds):
    scores = draw(6, seeds)
    got = retraining(scores)
    for pair in range(1, 6):
        expected = stats.ttest_ind(scores[pair], scores[0], equal_var=False)
        interval = expected.confidence_interval(0.95)
        values = (got.p[pair], got.df[pair], got.low[pair], got.high[pair])
        assert values == pytest.approx((expected.pvalue, expected.df, interval.low, interval.high))
        half = stats.t.ppf(0.975, got.df[pair]) * got.sd[pair] * math.sqrt(2 / seeds)
        assert got.high[pair] - got.difference[pair] == pytest.approx(half)


def test_unequal_seeds_pool_one_way():
    scores = draw(5, 4)
    scores[1, 3] = scores[4, 0] = scores[4, 1] = np.nan
    runs = [row[~np.isnan(row)] for row in scores]
    squares = sum(((row - row.mean()) ** 2).sum() for row in runs)
    df = sum(len(row) - 1 for row in runs)
    s = math.sqrt(squares / df)
    got = retraining(scores)
    for pair in range(1, 5):
        error = s * math.sqrt(1 / len(runs[pair]) + 1 / len(runs[0]))
        difference = runs[pair].mean() - runs[0].mean()
        half = stats.t.ppf(0.975, df) * error
        assert (got.difference[pair], got.sd[pair], got.df[pair]) == pytest.approx((difference, s, df))
        assert (got.low[pair], got.high[pair]) == pytest.approx((difference - half, difference + half))


def test_one_way_is_dunnetts_pooled_variance():
    """scipy's Dunnett test has the same statistic; only its reference distribution is the joint one."""
    scores = draw(5, 4)
    scores[1, 3] = np.nan
    runs = [row[~np.isnan(row)] for row in scores]
    expected = stats.dunnett(*runs[1:], control=runs[0])
    got = retraining(scores)
    error = got.sd[1:] * np.sqrt([1 / len(row) + 1 / len(runs[0]) for row in runs[1:]])
    np.testing.assert_allclose(got.difference[1:] / error, expected.statistic)
    np.testing.assert_allclose(got.p[1:], 2 * stats.t.sf(np.abs(expected.statistic), got.df[1:]))


def test_holm_and_dunnett_agree_on_what_stands():
    """Dunnett's joint distribution is the sharper single-step test; Holm may gain by stepping down, never by much."""
    scores = draw(8, 4, sd=0.4)
    centred = scores - scores.mean(0)  # blocks out: then one-way and two-way residuals are the same
    got = retraining(centred)
    dunnett = stats.dunnett(*centred[1:], control=centred[0], rng=np.random.default_rng(0))
    lowest = np.nanargmin(got.p)
    assert got.p_holm[lowest] == pytest.approx(7 * got.p[lowest])
    # The residuals are the same, the degrees of freedom are 21 here and 24 there.
    assert dunnett.pvalue.min() <= got.p_holm[lowest] * 1.01
    assert got.p_holm[lowest] < 3 * dunnett.pvalue.min() + 0.01


def test_holm_is_statsmodels():
    got = retraining(draw(18, 3))
    expected = multipletests(got.p[1:], method="holm")[1]
    np.testing.assert_allclose(got.p_holm[1:], expected)


def test_a_comparison_that_cannot_be_made_counts_as_the_least_significant():
    scores = draw(6, 3, sd=0.2)
    scores[5] = np.nan
    got = retraining(scores)
    expected = multipletests([*got.p[1:5], 1.0], method="holm")[1]
    np.testing.assert_allclose(got.p_holm[1:5], expected[:4])
    assert np.isnan(got.p_holm[5])


def test_wider_and_narrower_levels():
    scores = draw(4, 3)
    outer, inner = retraining(scores, level=0.98), retraining(scores, level=0.9)
    s, df = two_way_by_hand(scores)
    assert inner.high[1] - inner.difference[1] == pytest.approx(stats.t.ppf(0.95, df) * s * math.sqrt(2 / 3))
    assert outer.low[1] < inner.low[1]


# Edge cases


def test_one_seed_has_differences_and_nothing_else():
    got = retraining(np.array([[60.0], [61.5], [59.0]]))
    np.testing.assert_allclose(got.difference, [np.nan, 1.5, -1.0])
    for name in FIELDS[1:]:
        assert np.isnan(getattr(got, name)).all(), name


@pytest.mark.parametrize(("pairs", "known"), [(10, False), (11, True)])
def test_two_seeds_need_ten_degrees_of_freedom(pairs, known):
    got = retraining(draw(pairs, 2))
    assert np.isfinite(got.difference[1:]).all()
    assert (got.df[1:] == pairs - 1).all()
    for name in ("low", "high", "p", "p_holm"):
        assert (np.isfinite(getattr(got, name)[1:]) == known).all(), name


def test_a_single_run_beside_complete_rows_has_no_interval_of_its_own():
    scores = draw(4, 3)
    scores[2, 1:] = np.nan
    got = retraining(scores)
    assert np.isnan([got.low[2], got.high[2], got.p[2]]).all()
    assert got.difference[2] == pytest.approx(scores[2, 0] - scores[0].mean())
    assert np.isfinite([*got.low[[1, 3]], *got.high[[1, 3]]]).all()


def test_a_pair_that_has_not_run_leaves_the_others_as_they_are():
    scores = draw(5, 3)
    alone, beside = retraining(scores), retraining(np.vstack([scores, np.full(3, np.nan)]))
    for name in FIELDS[:6]:
        np.testing.assert_array_equal(getattr(beside, name)[:5], getattr(alone, name), err_msg=name)
    assert np.isnan(beside.difference[5])


def test_a_seed_that_no_pair_has_leaves_the_blocks_complete():
    scores = draw(12, 3)
    padded = np.insert(scores, 1, np.nan, axis=1)
    for name in FIELDS:
        np.testing.assert_allclose(getattr(retraining(padded), name), getattr(retraining(scores), name))


def test_without_the_reference_there_is_no_difference():
    scores = draw(5, 3)
    scores[0] = np.nan
    got = retraining(scores)
    for name in ("difference", "low", "high", "p", "p_holm"):
        assert np.isnan(getattr(got, name)).all(), name
    np.testing.assert_allclose(got.sd[1:], two_way_by_hand(scores[1:])[0])


def test_same_number_of_different_seeds_is_no_block():
    scores = draw(3, 3)
    scores[0, 0] = scores[1, 1] = scores[2, 2] = np.nan
    assert spread(scores)[1] == 3


def test_welch_where_both_have_five_runs_and_one_way_elsewhere():
    scores = draw(3, 6)
    scores[1, 0] = scores[2, :2] = np.nan
    got = retraining(scores)
    welch = stats.ttest_ind(scores[1], scores[0], equal_var=False, nan_policy="omit")
    assert (got.p[1], got.df[1]) == pytest.approx((welch.pvalue, welch.df))
    assert got.df[2] == 5 + 4 + 3


@pytest.mark.parametrize("seeds", [3, 6])
def test_runs_that_are_all_the_same_have_an_interval_of_one_point(seeds):
    scores = np.repeat([[1.0], [1.0], [2.0]], seeds, axis=1)
    got = retraining(scores)
    assert (got.low[1], got.high[1], got.p[1]) == (0, 0, 1)
    assert (got.low[2], got.high[2], got.p[2]) == (1, 1, 0)


def test_a_single_pair_compares_with_nobody():
    got = retraining(draw(1, 3))
    for name in FIELDS:
        assert np.isnan(getattr(got, name)).all()
    scores = draw(1, 3)
    assert spread(scores) == pytest.approx((scores.std(ddof=1), 2)), "its own spread is known, though"


def test_scores_are_left_alone_and_integers_are_numbers():
    scores = np.array([[1, 2, 3], [2, 4, 3], [5, 5, 6]])
    np.testing.assert_allclose(retraining(scores).low, retraining(scores.astype(float)).low)
    with_hole = draw(3, 3)
    with_hole[1, 1] = np.nan
    before = with_hole.copy()
    retraining(with_hole)
    np.testing.assert_array_equal(with_hole, before)


@pytest.mark.parametrize(
    ("scores", "options", "message"),
    [
        ([1.0, 2.0], {}, "table"),
        ([[]], {}, "table"),
        ([[1.0, math.inf], [1.0, 2.0]], {}, "infinite"),
        ([[1.0, 2.0], [1.0, 2.0]], {"reference": 2}, "0 to 1; got 2"),
        ([[1.0, 2.0], [1.0, 2.0]], {"reference": -1}, "0 to 1; got -1"),
        ([[1.0, 2.0], [1.0, 2.0]], {"level": 95}, "between 0 and 1"),
    ],
)
def test_what_is_no_table_of_scores_is_refused(scores, options, message):
    with pytest.raises(ValueError, match=message):
        retraining(scores, **options)


def test_statistics_import_no_torch():
    code = "import sys, rfbench.statistics; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


# Coverage: of 95 % intervals of differences that are truly 0, how many hold it


def coverage(
    pairs: int, seeds: int, repetitions: int, noisiest: float = 1.0, blocks: float = 1.0
) -> tuple[float, float]:
    """Share of intervals that hold 0: of all pairs, and of the last one, whose SD is `noisiest` times the others'.

    `blocks` is the SD of what a seed does to all pairs alike.
    """
    rng = np.random.default_rng(pairs * seeds)
    sd = np.ones((pairs, 1))
    sd[-1] = noisiest
    held = np.zeros(pairs - 1)
    for _ in range(repetitions):
        got = retraining(rng.normal(0, sd, (pairs, seeds)) + rng.normal(0, blocks, seeds))
        held += (got.low[1:] <= 0) & (got.high[1:] >= 0)
    return held.mean() / repetitions, held[-1] / repetitions


@pytest.mark.parametrize(("pairs", "seeds", "blocks"), [(18, 3, 1.0), (12, 2, 1.0), (12, 5, 0.0)])
def test_coverage_is_95_percent(pairs, seeds, blocks):
    everywhere, _ = coverage(pairs, seeds, 500, blocks=blocks)
    assert everywhere == pytest.approx(0.95, abs=0.02)


def test_welch_keeps_what_a_seed_does_to_all_pairs_and_so_covers_more():
    everywhere, _ = coverage(12, 5, 300, blocks=1.0)
    assert everywhere > 0.97


@pytest.mark.slow
def test_pooling_undercovers_the_noisiest_pair_as_the_documentation_says():
    """1.4 times the SD of the others: 87 to 91 %."""
    _, noisiest = coverage(18, 3, 6000, noisiest=1.4)
    assert 0.85 < noisiest < 0.92


@pytest.mark.parametrize(("seeds", "half"), [(3, 1.65), (5, 1.26), (10, 0.88)])
def test_half_width_of_the_pooled_interval_in_units_of_the_sd(seeds, half):
    """At 18 pairs; documented with Welch's for comparison (2.5, 1.4, 0.93)."""
    assert stats.t.ppf(0.975, 17 * (seeds - 1)) * math.sqrt(2 / seeds) == pytest.approx(half, abs=0.02)
