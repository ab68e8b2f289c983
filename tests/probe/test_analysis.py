"""The rules of judgement, against scipy and statsmodels; every control fails when it should."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from statsmodels.stats.multitest import multipletests

import operators
from rfbench.probe import analysis
from rfbench.probe.groups import Group
from rfbench.probe.protocol import registered

from .drawn import table

PROTOCOL = registered()
PAIRS = ["strideconv_bilinear", "m2mrf_a", "m2mrf_c", "maxpool_bilinear", "indexnet"]
BETTER = {"m2mrf_a": 0.5, "m2mrf_c": 0.5}


def concluded(*args, pairs=PAIRS, **options):
    return analysis.conclude(table(PROTOCOL, pairs, *args, **options), PROTOCOL, pairs, ("fusion", "serial"))


def test_an_estimate_is_scipy_s_t_test():
    values = np.random.default_rng(0).normal(0.02, 0.05, 20)
    got, test = analysis.estimate(values, 0.95), stats.ttest_1samp(values, 0)
    assert (got.low, got.high) == pytest.approx(tuple(test.confidence_interval(0.95)))
    assert got.p == pytest.approx(stats.ttest_1samp(values, 0, alternative="greater").pvalue)
    assert (got.mean, got.n) == (pytest.approx(values.mean()), 20)


def test_without_spread_an_estimate_is_certain_and_of_one_value_unknown():
    assert analysis.estimate([0.1, 0.1], 0.95).p == 0
    assert analysis.estimate([0.0, 0.0], 0.95).p == 1
    one = analysis.estimate([0.1], 0.95)
    assert one.mean == 0.1
    assert np.isnan([one.low, one.high, one.p]).all()


def test_gains_are_paired_over_seeds_and_corrected_by_holm():
    tested = table(PROTOCOL, PAIRS, {"m2mrf_a": 0.43, "indexnet": 0.42})
    found = analysis.conclude(tested, PROTOCOL, PAIRS, ("fusion",)).gains
    chosen = tested[(tested["arm"] == "fusion") & (tested["coexisting"] == "all") & (tested["copy"] == "")]

    def by_seed(pair, sizes):
        rows = chosen[(chosen["network"] == pair) & chosen["cells"].isin(sizes)]
        return rows.groupby("seed")["ap"].mean().to_numpy()

    expected = []
    for gain in found:
        tiny, large = (by_seed(gain.pair, s) - by_seed("strideconv_bilinear", s) for s in ((1, 2), (13, 50)))
        test = stats.ttest_rel(by_seed(gain.pair, (1, 2)), by_seed("strideconv_bilinear", (1, 2)))
        assert (gain.tiny.low, gain.tiny.high) == pytest.approx(tuple(test.confidence_interval(0.95)))
        ps = [stats.ttest_1samp(values, 0, alternative="greater").pvalue for values in (tiny, tiny - large)]
        expected.append(max(ps))
    corrected = multipletests(expected, method="holm")[1]
    assert [gain.p_h1 for gain in found] == pytest.approx(list(corrected))


def test_h1_is_supported_only_where_tiny_gains_and_gains_more_than_large():
    found = {g.pair: g for g in concluded(BETTER | {"indexnet": 0.5}, large={"indexnet": 0.72}).gains}
    assert found["m2mrf_a"].h1 == found["m2mrf_c"].h1 == analysis.SUPPORTED
    assert found["indexnet"].h1 == analysis.NOT_SUPPORTED  # better everywhere
    worse = {g.pair: g for g in concluded({"indexnet": 0.35}, large={"indexnet": 0.3}).gains}
    assert worse["indexnet"].excess.low > 0
    assert worse["indexnet"].h1 == analysis.FALSIFIED  # worse everywhere, less so at tiny


def test_h1_is_falsified_only_with_equal_settings_and_with_equal_parameters():
    none = {g.pair: g for g in concluded({}).gains}
    assert none["m2mrf_a"].h1 == analysis.FALSIFIED
    matched = {g.pair: g for g in concluded({"m2mrf_a--matched": 0.5}).gains}
    assert matched["m2mrf_a"].tiny.high < PROTOCOL.analysis.margin < matched["m2mrf_a"].matched.low
    assert matched["m2mrf_a"].h1 == analysis.NOT_SUPPORTED
    without = {g.pair: g for g in concluded({}, copies=()).gains}
    assert np.isnan(without["m2mrf_a"].matched.mean)
    assert without["m2mrf_a"].h1 == analysis.OPEN, "no verdict while the copy may still falsify it"


def test_a_matched_copy_of_the_reference_takes_its_place():
    tested = table(PROTOCOL, PAIRS, {"m2mrf_a--matched": 0.3})
    copies = tested["copy"] == "matched"
    tested.loc[copies & (tested["network"] == "m2mrf_a"), "widened"] = "strideconv_bilinear"
    gain = analysis.conclude(tested, PROTOCOL, PAIRS, ()).gains[0]
    assert gain.matched.mean == pytest.approx(0.1, abs=0.03)


def test_pairs_that_match_already_need_no_copy():
    tested = table(PROTOCOL, PAIRS, {}, copies=()).assign(parameters=20_000)
    gain = analysis.conclude(tested, PROTOCOL, PAIRS, ()).gains[0]
    assert gain.matched == gain.tiny


def test_h2_compares_the_gains_of_both_halves():
    found = {g.pair: g for g in concluded({}, among={"m2mrf_a": 0.1, "indexnet": -0.1}).gains}
    assert found["m2mrf_a"].h2 == analysis.SUPPORTED
    assert found["m2mrf_a"].coexisting.mean == pytest.approx(0.1, abs=0.03)
    assert found["indexnet"].h2 == analysis.FALSIFIED
    assert found["maxpool_bilinear"].h2 == analysis.NOT_SUPPORTED


def test_headline_pairs_decide_and_disagreement_is_not_support():
    assert concluded(BETTER).verdicts["H1"] == analysis.SUPPORTED
    assert concluded({"m2mrf_a": 0.5}).verdicts["H1"] == analysis.NOT_SUPPORTED
    assert concluded({}).verdicts["H1"] == analysis.FALSIFIED
    assert concluded(BETTER, pairs=PAIRS[:2]).verdicts["H1"] == analysis.OPEN  # without M2MRF-C


def test_a_pair_with_a_seed_missing_has_no_verdict_and_helps_no_other():
    tested = table(PROTOCOL, PAIRS, BETTER)
    tested = tested[(tested["network"] != "indexnet") | (tested["seed"] != 3)]
    found = {g.pair: g for g in analysis.conclude(tested, PROTOCOL, PAIRS, ()).gains}
    assert found["indexnet"].h1 == found["indexnet"].h2 == analysis.OPEN
    p = [max(found[pair].tiny.p, found[pair].excess.p) for pair in ("m2mrf_a", "m2mrf_c", "maxpool_bilinear")]
    corrected = multipletests([*p, 1.0], method="holm")[1]
    got = [found[pair].p_h1 for pair in ("m2mrf_a", "m2mrf_c", "maxpool_bilinear")]
    assert got == pytest.approx(list(corrected[:3]))


def test_a_diverged_run_counts_as_nothing_found():
    tested = table(PROTOCOL, PAIRS, {})
    lost = (tested["network"] == "m2mrf_a") & (tested["copy"] == "") & (tested["seed"] == 0)
    row = tested[lost].iloc[:1].assign(state="diverged", cells=np.nan, ap=np.nan)
    tested = pd.concat([tested[~lost], row])
    scores = analysis.Scores(tested, PROTOCOL)
    assert scores.of(Group("fusion", "m2mrf_a"), (1, 2))[0] == 0
    assert scores.complete(Group("fusion", "m2mrf_a"))


def test_sound_controls_pass():
    outcome = concluded({})
    assert [control.passed for control in outcome.controls] == [True] * 6
    assert outcome.void == outcome.undecided == []


@pytest.mark.parametrize("arm", ["fusion", "serial"])
def test_every_control_fails_when_it_should(arm):
    worst = {"fusion": "no_low_branch", "serial": "every_fourth"}[arm]
    own = table(PROTOCOL, PAIRS, {})

    def broken(network, copy, shift):
        chosen = (own["arm"] == arm) & (own["network"] == network) & (own["copy"] == copy)
        changed = own.assign(ap=own["ap"] + shift * chosen)
        return analysis.conclude(changed, PROTOCOL, PAIRS, ("fusion", "serial")).void

    assert broken(worst, "", 0.78) == [f"sensitive ({arm})"]  # as good as the shuffle
    assert broken("strideconv_bilinear", "permuted", 0.05) == [f"permuted ({arm})"]  # labels leak
    assert broken("strideconv_bilinear", "again", 0.12) == [f"again ({arm})"]  # the test seeds are special
    assert broken("strideconv_bilinear", "again", -0.12) == [f"again ({arm})"]


def test_a_control_that_is_not_done_is_open_and_no_pass():
    own = table(PROTOCOL, PAIRS, {})
    for network, copy, name in (("shuffle", "", "sensitive"), ("strideconv_bilinear", "permuted", "permuted"),
                                ("strideconv_bilinear", "again", "again")):  # fmt: skip
        gone = (own["network"] == network) & (own["copy"] == copy) & own["seed"].isin([5, 25])
        outcome = analysis.conclude(own[~gone], PROTOCOL, PAIRS, ("fusion",))
        assert outcome.undecided == [f"{name} (fusion)"]
        assert outcome.void == []


def test_the_interval_of_the_control_again_is_welch_s():
    own = table(PROTOCOL, PAIRS, {})
    scores = analysis.Scores(own, PROTOCOL)
    a, b = (scores.of(Group("fusion", "strideconv_bilinear", copy), (1, 2)) for copy in ("again", ""))
    low, high = stats.ttest_ind(a, b, equal_var=False).confidence_interval(0.99)
    (found,) = [c.found for c in analysis.judge_controls(scores, ("fusion",)) if c.name == "again"]
    assert f"{low:+.3f} to {high:+.3f}" in found


def test_spearman_with_fisher_s_interval():
    rng = np.random.default_rng(3)
    x = rng.normal(size=12)
    y = x + rng.normal(size=12)
    rho, low, high = analysis.spearman(x, y, 0.95)
    assert rho == pytest.approx(stats.spearmanr(x, y).statistic)
    half = 1.959964 * np.sqrt(1.06 / 9)
    assert (low, high) == pytest.approx((np.tanh(np.arctanh(rho) - half), np.tanh(np.arctanh(rho) + half)))


@pytest.mark.parametrize(
    ("n", "swaps", "expected"),
    [(12, [(0, 7), (1, 3), (4, 6)], (0.02, 0.88)), (18, [(0, 13), (1, 6)], (0.17, 0.84))],
)
def test_an_observed_correlation_of_six_tenths_says_as_little_as_expected(n, swaps, expected):
    order = np.arange(n)
    for i, j in swaps:
        order[[i, j]] = order[[j, i]]
    rho, low, high = analysis.spearman(np.arange(n), order, 0.95)
    assert rho == pytest.approx(0.6, abs=0.002)
    assert (low, high) == pytest.approx(expected, abs=0.006)


def test_permutations_stay_within_families():
    """Families that differ, without any order inside, are no evidence; an order inside each is."""
    rng = np.random.default_rng(1)
    families = [True] * 8 + [False] * 8
    x, y = (np.where(families, 10, 0) + rng.normal(size=16) for _ in range(2))
    assert stats.spearmanr(x, y).pvalue < 0.01
    assert analysis.permuted_within(x, y, families) > 0.05
    assert analysis.permuted_within(x, x, families) < 0.001


def test_the_permutation_test_agrees_with_scipy_s_where_there_is_one_family():
    rng = np.random.default_rng(2)
    x = rng.normal(size=10)
    y = x + 1.5 * rng.normal(size=10)
    expected = stats.permutation_test(
        (x,), lambda values: stats.spearmanr(values, y).statistic, permutation_type="pairings",
        alternative="greater", n_resamples=4000, rng=np.random.default_rng(0),
    ).pvalue  # fmt: skip
    assert analysis.permuted_within(x, y, [False] * 10) == pytest.approx(expected, abs=0.02)


def test_h3_needs_every_published_row_and_follows_their_order():
    pairs = operators.published()
    printed = {}
    for values in analysis.published_maupr().values():
        printed |= {row: value / 100 for row, value in values.items()}
    idrid = analysis.published_maupr()["IDRiD"]
    assert [len(values) for values in analysis.published_maupr().values()] == [12, 18]
    tiny = {pair: idrid.get(operators.get(pair).published_name, 60) / 20 for pair in pairs}
    outcome = concluded(tiny, pairs=pairs, arms=("fusion",), sd=1e-6, copies=())
    whole = {(each.dataset, each.without_m2mrf): each for each in outcome.external}
    assert whole["IDRiD", False].rho == pytest.approx(1)
    assert whole["IDRiD", False].verdict == analysis.SUPPORTED
    assert len(whole["IDRiD", True].pairs) == 8
    against = {pair: -value for pair, value in tiny.items()}
    outcome = concluded(against, pairs=pairs, arms=("fusion",), sd=1e-6, copies=())
    assert outcome.external[0].verdict == analysis.FALSIFIED
    assert concluded({}).verdicts["H3"] == analysis.OPEN  # five pairs of eighteen


def test_published_values_are_quoted_not_typed():
    values = analysis.published_maupr()
    assert values["IDRiD"]["M2MRF-C"] == 67.24
    assert values["DDR"]["M2MRF-A"] == 49.94
