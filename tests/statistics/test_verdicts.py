"""Verdicts on published numbers: the formulas, their error rates by simulation, and the rules against gaming."""

import math
import subprocess

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from rfbench.names import BASELINE_ROW
from rfbench.published import TABLES, published_means
from rfbench.statistics import power, verdicts

from ..checkout import ROOT

DF = 34  # 18 pairs, three seeds


@pytest.mark.parametrize(
    ("difference", "error", "expected"),
    [
        (0.0, 0.1, "inside"),
        (0.9, 0.1, "cannot tell"),
        (1.1, 0.01, "cannot tell"),
        (-1.3, 0.05, "outside"),
        (1.3, 0.05, "outside"),
        (0.0, 5.0, "cannot tell"),
        (3.0, 5.0, "cannot tell"),
    ],
)
def test_inside_outside_and_cannot_tell(difference, error, expected):
    assert verdicts.verdict(difference, error, DF, 1.1) == expected


@pytest.mark.parametrize("looks", [1, 3])
def test_the_boundaries_are_those_of_the_intervals(looks):
    inner = stats.t.ppf(1 - 0.05 / looks, DF) * 0.3  # one-sided: a 90 % interval at one look
    outer = stats.t.ppf(1 - 0.025 / looks, DF) * 0.3
    judge = [verdicts.verdict(d, 0.3, DF, 1.1, looks=looks) for d in
             (1.1 - inner - 1e-6, 1.1 - inner + 1e-6, 1.1 + outer - 1e-6, 1.1 + outer + 1e-6)]  # fmt: skip
    assert judge == ["inside", "cannot tell", "cannot tell", "outside"]


def simulated(n: int, miss: float, looks: int, repetitions: int = 4000, sd: float = 0.7) -> pd.Series:
    """Shares of verdicts at a true miss: our n runs, the authors' three, and 17 further pairs for the SD."""
    rng = np.random.default_rng(n)
    df = 17 * (n - 1)
    ours, published = rng.normal(miss, sd, (repetitions, n)).mean(1), rng.normal(0, sd, (repetitions, 3)).mean(1)
    s = sd * np.sqrt(rng.chisquare(df, repetitions) / df)
    found = [
        verdicts.verdict(d, verdicts.standard_error(e, n), df, 1.1, looks=looks)
        for d, e in zip(ours - published, s, strict=True)
    ]
    return pd.Series(found).value_counts(normalize=True).reindex(verdicts.VERDICTS, fill_value=0.0)


@pytest.mark.parametrize(("n", "share"), [(3, 0.21), (10, 0.54), (20, 0.64)])
def test_how_often_truly_equal_means_are_inside_at_one_look(n, share):
    """The paper's three runs are the limit: even twenty of ours cannot make up for them."""
    assert simulated(n, 0.0, looks=1)["inside"] == pytest.approx(share, abs=0.03)


@pytest.mark.parametrize("n", [3, 10])
def test_a_true_miss_of_the_margin_is_inside_in_at_most_one_of_twenty(n):
    shares = simulated(n, 1.1, looks=1)
    assert shares["inside"] <= 0.055
    assert shares["outside"] <= 0.04, "beyond the margin on its own side: half of 5 %"


def test_three_looks_together_are_wrong_in_at_most_one_of_twenty():
    """Someone who stops at the first look that says `inside`, at a true miss of the margin."""
    rng, fooled = np.random.default_rng(0), 0
    for _ in range(3000):
        ours, published = rng.normal(1.1, 0.7, 10), rng.normal(0, 0.7, 3).mean()
        s = 0.7 * math.sqrt(rng.chisquare(34) / 34)
        fooled += any(
            verdicts.verdict(ours[:n].mean() - published, verdicts.standard_error(s, n), 34, 1.1) == "inside"
            for n in verdicts.LOOKS
        )
    assert fooled / 3000 <= 0.05


def test_noise_yields_nothing_but_cannot_tell():
    shares = simulated(3, 0.0, looks=3, sd=10.0)
    assert shares["cannot tell"] > 0.97
    assert shares["inside"] == 0


def test_standard_error_holds_the_authors_three_runs():
    rng = np.random.default_rng(5)
    difference = rng.normal(0, 0.7, (20_000, 10)).mean(1) - rng.normal(0, 0.7, (20_000, 3)).mean(1)
    assert verdicts.standard_error(0.7, 10) == pytest.approx(difference.std(), rel=0.02)
    assert verdicts.standard_error(0.7, 10_000) > 0.7 / math.sqrt(3), "no number of seeds makes up for them"


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0.2, 2.0, "confirmed"),
        (0.2, 1.0, "confirmed"),
        (-0.2, 2.0, "open"),
        (0.2, 0.9, "contradicted"),
        (-2.0, -1.0, "contradicted"),
        (-1.0, 0.5, "contradicted"),
        (math.nan, math.nan, "open"),
    ],
)
def test_claims_of_a_gain_of_two_points(low, high, expected):
    assert verdicts.claim(low, high, 2.0) == expected


# Rules against gaming


def states(text: str) -> dict[int, str]:
    """d done, x diverged, m missing, e error."""
    words = {"d": "done", "x": "diverged", "m": "missing", "e": "error", "t": "timeout"}
    return {seed: words[letter] for seed, letter in enumerate(text)}


@pytest.mark.parametrize(
    ("text", "seeds"),
    [("ddd", 3), ("dddd", 3), ("ddddd", 5), ("d" * 9, 5), ("d" * 10, 10), ("d" * 20, 10), ("dddmm", 3), ("dddde", 3)],
)
def test_looks_are_at_3_5_and_10_seeds_from_the_first_on(text, seeds):
    assert verdicts.look(states(text)) == (seeds, "")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("d", "1 of 1 seeds done, the first look takes 3 from seed 0 on"),
        ("dd", "2 of 2 seeds done"),
        ("dmd", "2 of 3 seeds done"),
        ("mddd", "3 of 4 seeds done"),
        ("ddt", "2 of 3 seeds done"),
        ("ddx", "seed 2 diverged"),
        ("dddx", "seed 3 diverged"),
        ("xddxd", "seed 0, 3 diverged"),
    ],
)
def test_no_look_without_every_seed(text, reason):
    seeds, found = verdicts.look(states(text))
    assert seeds == 0
    assert found.startswith(reason)


@pytest.mark.parametrize("seeds", [(1, 2, 3), (0, 1, 3), (7, 8, 9), (0, 2, 4, 6, 8)])
def test_chosen_seeds_are_no_look(seeds):
    count, reason = verdicts.look(dict.fromkeys(seeds, "done"))
    assert count == 0
    assert f"configured seeds are {', '.join(map(str, seeds))}, not 0 to {len(seeds) - 1}" in reason


def test_margins_are_half_of_the_papers_headline_gains():
    given = verdicts.margins()
    for dataset, table, best in (("IDRiD", "table5", "M2MRF-C"), ("DDR", "table3", "M2MRF-A")):
        means = published_means(TABLES[table])
        for metric in ("mAUPR", "mF", "mIoU"):
            half = (means[best, metric] - means[BASELINE_ROW, metric]) / 2
            assert given[metric][dataset] == pytest.approx(half, abs=0.051), (dataset, metric)
        assert {given[metric][dataset] for metric in ("AUPR", "F", "IoU")} == {2.0}


def test_margins_are_committed():
    """A margin that is not in the project's history may have been chosen after the runs."""
    command = ["git", "-C", ROOT, "ls-files", "--error-unmatch", verdicts.MARGINS]
    if subprocess.run(["git", "-C", ROOT, "rev-parse"], capture_output=True).returncode:
        pytest.skip("no git checkout")
    assert subprocess.run(command, capture_output=True).returncode == 0


def test_one_rate_of_errors_everywhere():
    assert pytest.approx(power.ALPHA) == len(verdicts.LOOKS) * (1 - verdicts.LEVEL)
