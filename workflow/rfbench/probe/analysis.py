"""What the records say, by the rules laid down in preregistration.yaml: controls first, then H1, H2 and H3.

Scores are AP as fractions; a gain is pair minus reference on the same seed.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats

import operators
from rfbench.probe import controls
from rfbench.probe.groups import Group
from rfbench.probe.protocol import Protocol
from rfbench.published import TABLES, published_means
from rfbench.statistics.holm import holm

SUPPORTED, NOT_SUPPORTED, FALSIFIED, OPEN = "supported", "not supported", "falsified", "not run yet"
FAMILY = "m2mrf"  # the operator whose rows H3 is also computed without
_PERMUTATIONS = 10_000


@dataclass(frozen=True)
class Estimate:
    """A mean over seeds with its two-sided interval, and the one-sided p-value of "above 0"; NaN where unknown."""

    mean: float
    low: float
    high: float
    p: float
    n: int


NOTHING = Estimate(*[float("nan")] * 4, 0)


def estimate(values: Sequence[float], level: float) -> Estimate:
    """Of independent values by the t distribution; without any spread the interval is the mean, p is 0 or 1."""
    values = np.asarray(values, float)
    n = len(values)
    if n < 2:
        return Estimate(float(values.mean()) if n else np.nan, np.nan, np.nan, np.nan, n)
    mean, error = float(values.mean()), float(stats.sem(values))
    if error == 0:
        return Estimate(mean, mean, mean, float(mean <= 0), n)
    test = stats.ttest_1samp(values, 0, alternative="greater")
    half = float(stats.t.ppf((1 + level) / 2, n - 1)) * error
    return Estimate(mean, mean - half, mean + half, float(test.pvalue), n)


class Scores:
    """Mean AP over sizes of each seed of a group, from the table of records (`records.gather`)."""

    def __init__(self, table: pd.DataFrame, protocol: Protocol) -> None:
        self.protocol = protocol
        counted = table[table["purpose"] != "tuning"]
        self._groups = dict(list(counted.groupby(["arm", "network", "copy"])))

    def of(self, group: Group, sizes: Sequence[int], *, coexisting: str = "all", contrast: str = "all",
           column: str = "ap") -> pd.Series:  # fmt: skip
        """By seed; a run that diverged has 0. A seed that is not done is not there."""
        rows = self._groups.get((group.arm, group.network, group.copy))
        if rows is None:
            return pd.Series(dtype=float)
        chosen = rows[(rows["coexisting"] == coexisting) & (rows["contrast"] == contrast) & rows["cells"].isin(sizes)]
        means = chosen.groupby("seed")[column].mean()
        diverged = rows.loc[rows["state"] == "diverged", "seed"]
        return pd.concat([means, pd.Series(0.0, index=diverged)]).sort_index()

    def complete(self, group: Group) -> bool:
        """Whether every test seed is there."""
        rows = self._groups.get((group.arm, group.network, group.copy))
        return rows is not None and set(self.protocol.seeds.test) <= set(rows["seed"])

    def first(self, group: Group, column: str):
        """The value that all runs of a group share; None if there is no run."""
        rows = self._groups.get((group.arm, group.network, group.copy))
        return None if rows is None else rows[column].iloc[0]


@dataclass(frozen=True)
class Control:
    """One control in one arm: the sentence of what was found, and whether it passed (None: not run yet)."""

    name: str
    arm: str
    found: str
    passed: bool | None


def judge_controls(scores: Scores, arms: Sequence[str]) -> list[Control]:
    """The controls of every arm; any that failed voids the probe."""
    found = []
    for arm in arms:
        found += [_sensitive(scores, arm), _permuted(scores, arm), _again(scores, arm)]
    return found


def _sensitive(scores: Scores, arm: str) -> Control:
    analysis = scores.protocol.analysis
    names = controls.NETWORKS[arm]
    groups = [Group(arm, name) for name in names]
    if not all(map(scores.complete, groups)):
        return Control("sensitive", arm, "not all of its runs are done", None)
    best, worst = (float(scores.of(group, analysis.tiny).mean()) for group in groups)
    sentence = f"{names[0]} {best:.3f}, {names[1]} {worst:.3f}: a gain in tiny AP of {best - worst:+.3f}, "
    return Control("sensitive", arm, sentence + f"above {analysis.margin:g} wanted", best - worst > analysis.margin)


def _permuted(scores: Scores, arm: str) -> Control:
    analysis = scores.protocol.analysis
    group = Group(arm, analysis.reference, controls.PERMUTED)
    if not scores.complete(group):
        return Control("permuted", arm, "not all of its runs are done", None)
    above = scores.of(group, analysis.tiny) - scores.of(group, analysis.tiny, column="prevalence")
    one_sided = estimate(above, 2 * analysis.level - 1)  # whose upper limit is that of the one-sided interval
    sentence = f"tiny AP exceeds the prevalence by {one_sided.mean:+.4f}, at most {one_sided.high:.4f}; "
    return Control("permuted", arm, sentence + f"below {analysis.margin:g} wanted", one_sided.high < analysis.margin)


def _again(scores: Scores, arm: str) -> Control:
    analysis, seeds = scores.protocol.analysis, scores.protocol.seeds
    other, own = Group(arm, analysis.reference, controls.AGAIN), Group(arm, analysis.reference)
    again = scores.of(other, analysis.tiny)
    if not scores.complete(own) or set(again.index) != set(seeds.again):
        return Control("again", arm, "not all of its runs are done", None)
    test = stats.ttest_ind(again, scores.of(own, analysis.tiny), equal_var=False)
    low, high = test.confidence_interval(analysis.again_level)
    sentence = (
        f"difference in tiny AP {again.mean() - scores.of(own, analysis.tiny).mean():+.3f}, "
        f"{100 * analysis.again_level:g} % interval {low:+.3f} to {high:+.3f}; 0 inside wanted"
    )
    return Control("again", arm, sentence, bool(low <= 0 <= high))


@dataclass(frozen=True)
class Gain:
    """A pair of arm fusion against the reference.

    Attributes:
        tiny, large: gains in tiny and large AP.
        excess: gain in tiny minus gain in large AP.
        matched: gain in tiny AP with equal parameters.
        among, alone: gains in tiny AP on images with a largest lesion, and on those without.
        coexisting: the first minus the second.
        p_h1, p_h2: after Holm.
        h1, h2: verdicts.
    """

    pair: str
    tiny: Estimate
    large: Estimate
    excess: Estimate
    matched: Estimate
    among: Estimate
    alone: Estimate
    coexisting: Estimate
    p_h1: float
    p_h2: float
    h1: str
    h2: str


def gains(scores: Scores, pairs: Sequence[str]) -> list[Gain]:
    """Every pair but the reference, in the order given; H1 and H2 by Holm over all of them, done or not."""
    analysis = scores.protocol.analysis
    pairs = [pair for pair in pairs if pair != analysis.reference]
    found = [_estimates(scores, pair) for pair in pairs]
    p_h1 = holm([max(each["tiny"].p, each["excess"].p) for each in found], len(pairs))
    p_h2 = holm([each["coexisting"].p for each in found], len(pairs))
    return [
        Gain(pair, **each, p_h1=float(p1), p_h2=float(p2), h1=_h1(each, p1, analysis), h2=_h2(each, p2, analysis))
        for pair, each, p1, p2 in zip(pairs, found, p_h1, p_h2, strict=True)
    ]


def _estimates(scores: Scores, pair: str) -> dict[str, Estimate]:
    analysis = scores.protocol.analysis
    own, reference = Group("fusion", pair), Group("fusion", analysis.reference)
    if not (scores.complete(own) and scores.complete(reference)):
        return dict.fromkeys(("tiny", "large", "excess", "matched", "among", "alone", "coexisting"), NOTHING)

    def gain(sizes: Sequence[int], coexisting: str = "all") -> pd.Series:
        return difference(scores, own, reference, sizes, coexisting)

    tiny, large = gain(analysis.tiny), gain(analysis.large)
    among, alone = gain(analysis.tiny, "yes"), gain(analysis.tiny, "no")
    values = {
        "tiny": tiny,
        "large": large,
        "excess": tiny - large,
        "matched": matched_gain(scores, pair),
        "among": among,
        "alone": alone,
        "coexisting": among - alone,
    }
    return {name: NOTHING if each is None else estimate(each, analysis.level) for name, each in values.items()}


def difference(scores: Scores, a: Group, b: Group, sizes: Sequence[int], coexisting: str = "all") -> pd.Series:
    """a minus b by seed."""
    return scores.of(a, sizes, coexisting=coexisting) - scores.of(b, sizes, coexisting=coexisting)


def matched_gain(scores: Scores, pair: str) -> pd.Series | None:
    """Gain in tiny AP by seed with equal parameters, from the copy of the network that was widened; None if not run."""
    analysis = scores.protocol.analysis
    own, reference = Group("fusion", pair), Group("fusion", analysis.reference)
    copy = Group("fusion", pair, "matched")
    counts = [scores.first(group, "parameters") for group in (own, reference)]
    if max(counts) - min(counts) <= scores.protocol.copies.matched_within * max(counts):
        return difference(scores, own, reference, analysis.tiny)
    if not scores.complete(copy):
        return None
    if scores.first(copy, "widened") == pair:
        return difference(scores, copy, reference, analysis.tiny)
    return difference(scores, own, copy, analysis.tiny)


def _h1(found: dict[str, Estimate], p: float, analysis) -> str:
    if not found["tiny"].n:
        return OPEN
    if found["tiny"].high < analysis.margin:
        if not found["matched"].n:
            return OPEN  # whether it falls with equal parameters, too
        if found["matched"].high < analysis.margin:
            return FALSIFIED
    return SUPPORTED if p < 1 - analysis.level else NOT_SUPPORTED


def _h2(found: dict[str, Estimate], p: float, analysis) -> str:
    if not found["coexisting"].n:
        return OPEN
    if found["coexisting"].high < 0:
        return FALSIFIED
    return SUPPORTED if p < 1 - analysis.level else NOT_SUPPORTED


@dataclass(frozen=True)
class External:
    """Spearman's correlation of tiny AP with the published mAUPR on one data set."""

    dataset: str
    without_m2mrf: bool
    pairs: tuple[str, ...]
    published: tuple[float, ...]
    tiny: tuple[float, ...]
    rho: float
    low: float
    high: float
    p_within: float  # one-sided, published values permuted within families
    verdict: str


def external(scores: Scores, pairs: Sequence[str]) -> list[External]:
    """H3 on each data set, and the same without the rows of M2MRF (which has no say)."""
    found = []
    for dataset, printed in published_maupr().items():
        for without in (False, True):
            chosen = [
                pair for pair in pairs if operators.get(pair).published_name in printed
                and not (without and FAMILY in operators.operators_of(pair))
            ]  # fmt: skip
            found.append(_external(scores, dataset, without, chosen, printed))
    return found


def published_maupr() -> dict[str, dict[str, float]]:
    """Published mAUPR in percent by row, of Table 5 (IDRiD) and of Tables 2 and 3 (DDR)."""
    found: dict[str, dict[str, float]] = {}
    for table in TABLES.values():
        values = {row: value for (row, metric), value in published_means(table).items() if metric == "mAUPR"}
        if values:
            found.setdefault(table.dataset, {}).update(values)
    return dict(sorted(found.items(), reverse=True))


def _external(scores: Scores, dataset: str, without: bool, pairs: list[str], printed: dict[str, float]) -> External:
    analysis = scores.protocol.analysis
    done = [pair for pair in pairs if scores.complete(Group("fusion", pair))]
    tiny = [float(scores.of(Group("fusion", pair), analysis.tiny).mean()) for pair in done]
    published = [printed[operators.get(pair).published_name] for pair in done]
    rho, low, high = spearman(tiny, published, analysis.level)
    families = [FAMILY in operators.operators_of(pair) for pair in done]
    verdict = OPEN
    wanted = len(printed) if not without else len(pairs)
    if len(done) == wanted and len(pairs) == wanted:
        verdict = FALSIFIED if high < analysis.least_correlation else SUPPORTED if low > 0 else NOT_SUPPORTED
    p = permuted_within(tiny, published, families)
    return External(dataset, without, tuple(done), tuple(published), tuple(tiny), rho, low, high, p, verdict)


def spearman(x: Sequence[float], y: Sequence[float], level: float) -> tuple[float, float, float]:
    """Spearman's ρ with the interval of Fisher's z, SE √(1.06 / (n − 3)) (Fieller, Hartley & Pearson 1957).

    NaN for fewer than four pairs of values, or where one of the two is constant.
    """
    if len(x) < 4 or np.ptp(x) == 0 or np.ptp(y) == 0:
        return np.nan, np.nan, np.nan
    rho = float(stats.spearmanr(x, y).statistic)
    z = np.arctanh(np.clip(rho, -1, 1)) if abs(rho) < 1 else np.copysign(np.inf, rho)
    half = float(stats.norm.ppf((1 + level) / 2)) * np.sqrt(1.06 / (len(x) - 3))
    return rho, float(np.tanh(z - half)), float(np.tanh(z + half))


def permuted_within(x: Sequence[float], y: Sequence[float], families: Sequence[bool]) -> float:
    """One-sided p-value of Spearman's ρ when y is permuted within families; NaN for fewer than four pairs of values.

    10,000 permutations of a fixed generator, the one observed counted among them.
    """
    if len(x) < 4 or np.ptp(x) == 0 or np.ptp(y) == 0:
        return np.nan
    ranks_x, ranks_y = (stats.rankdata(values) for values in (x, y))
    ranks_x -= ranks_x.mean()
    rng, permuted = np.random.default_rng(0), np.tile(ranks_y, (_PERMUTATIONS, 1))
    for family in set(families):
        members = np.flatnonzero(np.asarray(families) == family)
        permuted[:, members] = rng.permuted(permuted[:, members], axis=1)
    reached = (permuted @ ranks_x >= ranks_y @ ranks_x - 1e-9).sum()
    return float((1 + reached) / (1 + _PERMUTATIONS))


def overall(verdicts: Sequence[str]) -> str:
    """The verdict of several: that which all share, else "not supported"; "not run yet" if any is."""
    if not verdicts or OPEN in verdicts:
        return OPEN
    return verdicts[0] if len(set(verdicts)) == 1 else NOT_SUPPORTED


@dataclass(frozen=True)
class Outcome:
    """Everything that the probe concludes.

    Attributes:
        verdicts: H1, H2, H3 as registered; they hold only if no control failed and none is open.
        void: names of the controls that failed, with their arm.
    """

    controls: list[Control]
    gains: list[Gain]
    external: list[External]
    verdicts: dict[str, str]

    @property
    def void(self) -> list[str]:
        return [f"{control.name} ({control.arm})" for control in self.controls if control.passed is False]

    @property
    def hollow(self) -> list[str]:
        """Pairs whose support of H2 is a smaller loss, no gain: H2 as registered asks for a difference alone."""
        return [gain.pair for gain in self.gains if gain.h2 == SUPPORTED and not gain.among.high > 0]

    @property
    def undecided(self) -> list[str]:
        """Controls that are not done."""
        return [f"{control.name} ({control.arm})" for control in self.controls if control.passed is None]


def conclude(table: pd.DataFrame, protocol: Protocol, pairs: Sequence[str], arms: Sequence[str]) -> Outcome:
    """The outcome of a table of records."""
    scores = Scores(table, protocol)
    found, compared = gains(scores, pairs), external(scores, pairs)
    headline = {gain.pair: gain for gain in found if gain.pair in protocol.analysis.headline}
    missing = [pair for pair in protocol.analysis.headline if pair not in headline]
    verdicts = {
        "H1": overall([gain.h1 for gain in headline.values()] + [OPEN] * len(missing)),
        "H2": overall([gain.h2 for gain in headline.values()] + [OPEN] * len(missing)),
        "H3": overall([each.verdict for each in compared if not each.without_m2mrf]),
    }
    return Outcome(judge_controls(scores, arms), found, compared, verdicts)
