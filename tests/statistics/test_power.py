"""Power, break-even SDs and what stands: against statsmodels, scipy, simulation and published numbers."""

import itertools
import math

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.power import TTestPower

from rfbench.published import TABLES, published_means
from rfbench.statistics import power, retraining

HOLM = power.ALPHA / 17  # its first step at 18 pairs


@pytest.mark.parametrize(
    ("n", "plain", "corrected"), [(3, 2.35, 3.3), (5, 1.80, 2.5), (10, 1.26, 1.7), (20, 0.89, 1.2)]
)
def test_detectable_differences_at_eighteen_pairs(n, plain, corrected):
    assert power.detectable(n, 18) == pytest.approx(plain, abs=0.006)
    assert power.detectable(n, 18, alpha=HOLM) == pytest.approx(corrected, abs=0.05)


@pytest.mark.parametrize("n", [3, 6, 15])
def test_two_pairs_are_statsmodels_paired_t_test(n):
    """The paired differences have SD σ√2, and n - 1 degrees of freedom."""
    expected = TTestPower().solve_power(nobs=n, alpha=0.05, power=0.8) * math.sqrt(2)
    assert power.detectable(n, 2) == pytest.approx(expected, rel=2e-3)


def test_power_by_simulation():
    """Of real tests at the detectable difference, four in five find it."""
    rng, shift = np.random.default_rng(0), power.detectable(3, 6)
    found = 0
    for _ in range(1500):
        scores = rng.normal(0, 1, (6, 3))
        scores[1] += shift
        found += retraining(scores).p[1] < 0.05
    assert found / 1500 == pytest.approx(0.8, abs=0.03)


@pytest.mark.parametrize(
    ("sd", "plain", "corrected"), [(0.37, 3, 5), (0.5, 5, 8), (0.7, 8, 15), (1.0, 16, 30), (1.5, 36, 66)]
)
def test_seeds_for_one_point(sd, plain, corrected):
    assert power.seeds_for(1.0, sd, 18) == plain
    assert power.seeds_for(1.0, sd, 18, alpha=HOLM) == corrected


@pytest.mark.parametrize("pairs", [2, 3, 18])
def test_seeds_are_the_fewest(pairs):
    n = power.seeds_for(1.0, 0.6, pairs)
    assert power.detectable(n, pairs) * 0.6 <= 1 < power.detectable(n - 1, pairs) * 0.6


def test_what_no_seeds_can_show():
    assert math.isinf(power.detectable(1, 18))
    assert math.isinf(power.detectable(2, 10))
    assert math.isfinite(power.detectable(2, 11))
    assert math.isinf(power.detectable(5, 1))
    assert math.isinf(power.seeds_for(0.001, 1.0, 2))
    for values in ((0, 1, 2), (1, 0, 2), (1, 1, 1), (1, math.nan, 2)):
        with pytest.raises(ValueError, match="above 0"):
            power.seeds_for(*values)


@pytest.mark.parametrize(("df", "low", "high"), [(36, 0.81, 1.30), (4, 0.60, 2.87)])
def test_interval_of_the_sd(df, low, high):
    assert power.sd_interval(1.0, df) == pytest.approx((low, high), abs=0.005)
    rng = np.random.default_rng(df)
    ends = np.array([power.sd_interval(s, df) for s in np.sqrt(rng.chisquare(df, 2000) / df)])
    assert ((ends[:, 0] <= 1) & (ends[:, 1] >= 1)).mean() == pytest.approx(0.95, abs=0.02)


def test_no_runs_no_interval_of_the_sd():
    assert all(math.isnan(end) for end in power.sd_interval(math.nan, 0))


def test_noise_between_published_means_at_an_sd_of_0_7():
    assert power.retraining_noise(0.7, 36) == pytest.approx(1.16, abs=0.005)
    assert power.retraining_noise(0.7, 36, rows=12) == pytest.approx(1.99, abs=0.006)


def test_twelve_of_table_5s_66_differences_stand_at_an_sd_of_0_7():
    means = [value for (_, metric), value in published_means(TABLES["table5"]).items() if metric == "mAUPR"]
    differences = [abs(a - b) for a, b in itertools.combinations(means, 2)]
    assert len(differences) == 66
    assert sum(d >= power.retraining_noise(0.7, 36, rows=12) for d in differences) == 12


@pytest.mark.parametrize(
    ("table", "better", "worse", "rows", "planned", "any_two"),
    [
        ("table5", "M2MRF-C", "StrideConv/Bilinear", 12, 1.39, 0.84),
        ("table3", "M2MRF-A", "StrideConv/Bilinear", 9, 2.96, 1.87),
        ("table5", "M2MRF-C", "M2MRF-D", 12, 0.36, 0.22),
    ],
)
def test_break_even_sds(table, better, worse, rows, planned, any_two):
    means = published_means(TABLES[table])
    difference = means[worse, "mAUPR"] - means[better, "mAUPR"]
    assert power.break_even(difference) == pytest.approx(planned, abs=0.005)
    assert power.break_even(difference, rows) == pytest.approx(any_two, abs=0.005)


def test_at_the_break_even_sd_retraining_alone_reaches_the_difference_in_one_of_twenty():
    means = stats.norm.rvs(scale=power.break_even(2.0), size=(2, 40_000, 3), random_state=0).mean(2)
    assert (np.abs(means[0] - means[1]) > 2.0).mean() == pytest.approx(0.05, abs=0.005)
    means = stats.norm.rvs(scale=power.break_even(2.0, 12), size=(12, 20_000, 3), random_state=0).mean(2)
    assert (np.ptp(means, axis=0) > 2.0).mean() == pytest.approx(0.05, abs=0.006)


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [(0.5, 0.9, "stands"), (1.1, 2.0, "falls"), (0.9, 1.1, "open"), (math.nan, math.nan, "open"), (1.0, 1.0, "open")],
)
def test_stands_falls_open(low, high, expected):
    assert power.standing(1.0, low, high) == expected


def test_sd_from_the_best_of_three():
    """The authors' README has the best of three, their paper the mean: IDRiD, mAUPR and DDR, mIoU of the four M2MRF."""
    idrid = [67.15 - 66.48, 66.71 - 66.00, 67.55 - 67.24, 67.32 - 66.66]
    assert power.sd_of_best(idrid) == pytest.approx((0.69, 0.43, 1.36), abs=0.01)
    ddr = [31.47 - 31.16, 30.56 - 30.41, 30.39 - 30.09, 30.76 - 30.27]
    assert power.sd_of_best(ddr) == pytest.approx((0.37, 0.23, 0.72), abs=0.01)
    assert power.sd_of_best([0.846])[0] == pytest.approx(1, abs=0.01)
