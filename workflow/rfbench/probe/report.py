"""The probe's tables: reports/tables/probe.csv, .md and .tex."""

import math
from collections.abc import Callable, Sequence
from pathlib import Path

import pandas as pd

import operators
from rfbench import provenance
from rfbench.probe import controls
from rfbench.probe.analysis import NOTHING, Estimate, External, Gain, Outcome, Scores, estimate
from rfbench.probe.groups import LOSS, Group, swept
from rfbench.probe.protocol import REGISTERED, Protocol, departures
from rfbench.report import rendering
from rfbench.report.rows import order

NAME = "probe"


def write(
    folder: Path, table: pd.DataFrame, outcome: Outcome, protocol: Protocol, holes: dict[str, str],
    pairs: Sequence[str], kept: Sequence[str] = (),
) -> None:  # fmt: skip
    """Write the tables.

    Args:
        folder: where they go.
        table: records (`records.gather`).
        outcome: what follows from them (`analysis.conclude`).
        holes: groups with missing runs, and why.
        pairs: in the order of the rows.
        kept: why records of earlier code count (`keeping.reasons`).
    """
    scores = Scores(table, protocol)
    arms = list(dict.fromkeys(table["arm"]))
    rows = [row for arm in arms for row in rows_of(scores, outcome, arm, pairs)]
    tested = not departures(protocol)

    def said(verdict: str) -> str:
        """A verdict, or why it is none."""
        if not tested:
            return "not tested"
        return f"{verdict} (void)" if outcome.void else f"{verdict} (controls open)" if outcome.undecided else verdict

    provenance.write_text(folder / f"{NAME}.csv", to_csv(rows, outcome, said))
    about = {
        "state": state(outcome), "kept": kept, "outcome": outcome, "protocol": protocol, "registered": REGISTERED.name,
        "departures": departures(protocol), "holes": by_reason(holes), "rows": rows, "arms": arms,
        "sweep": sweeps(scores, pairs), "losses": losses(scores, pairs), "digest": protocol.digest,
        "reference": row_name(protocol.analysis.reference), "hollow": [row_name(pair) for pair in outcome.hollow],
        "headline": [row_name(pair) for pair in protocol.analysis.headline],
        "said": said, "points": points, "p_value": p_value, "correlation": correlation,
    }  # fmt: skip
    for kind in ("md", "tex"):
        provenance.write_text(folder / f"{NAME}.{kind}", rendering.render(f"{NAME}.{kind}.j2", **about))


def state(outcome: Outcome) -> str:
    """What the controls decide, in words, before anything else is said."""
    if outcome.void:
        return (
            f"VOID: control {', '.join(outcome.void)} failed, so the probe does not measure what it is meant to, and "
            "no verdict below holds"
        )
    if outcome.undecided:
        return f"Preliminary: control {', '.join(outcome.undecided)} is not done, so no verdict below holds yet"
    return "All controls passed"


def by_reason(holes: dict[str, str]) -> dict[str, list[str]]:
    """Reason -> the groups that it keeps from being complete."""
    found: dict[str, list[str]] = {}
    for name, reason in holes.items():
        found.setdefault(reason, []).append(name)
    return found


def row_name(network: str) -> str:
    """A pair as the papers' tables name it; a control as it is."""
    names = {controls.SHUFFLE: "control: shuffle", controls.EVERY_FOURTH: "control: every 4th cell",
             controls.NO_LOW_BRANCH: "control: no low branch"}  # fmt: skip
    return names.get(network) or operators.get(network).published_name


def ordered(pairs: Sequence[str]) -> list[str]:
    """Pairs in the order of the paper's tables, then others as configured."""
    names = {row_name(pair): pair for pair in pairs}
    return [names[row] for row in order(pd.DataFrame({"row": list(names)}))]


def rows_of(scores: Scores, outcome: Outcome, arm: str, pairs: Sequence[str]) -> list[dict]:
    """One row a pair and control of an arm: its cost, learning rate, AP of each size, gains, verdicts."""
    analysis = scores.protocol.analysis
    found = {gain.pair: gain for gain in outcome.gains} if arm == "fusion" else {}
    rows = []
    for network in (*pairs, *controls.NETWORKS[arm]):
        group = Group(arm, network)
        tiny = estimate(scores.of(group, analysis.tiny), analysis.level)
        if not tiny.n:
            continue
        rows.append({
            "arm": arm, "network": network, "row": row_name(network), "n": tiny.n,
            "parameters": scores.first(group, "parameters"), "flops": scores.first(group, "flops"),
            "lr": scores.first(group, "lr"), "tiny": tiny,
            "large": estimate(scores.of(group, analysis.large), analysis.level),
            "sizes": {cells: estimate(scores.of(group, (cells,)), analysis.level)
                      for cells in scores.protocol.images.sizes},
            "gain_tiny": _gain(scores, group, analysis.tiny), "gain_large": _gain(scores, group, analysis.large),
            "judged": found.get(network),
        })  # fmt: skip
    return rows


def _gain(scores: Scores, group: Group, sizes: Sequence[int]) -> Estimate:
    analysis = scores.protocol.analysis
    reference = Group(group.arm, analysis.reference)
    if group == reference:
        return NOTHING
    return estimate((scores.of(group, sizes) - scores.of(reference, sizes)).dropna(), analysis.level)


def sweeps(scores: Scores, pairs: Sequence[str]) -> list[dict]:
    """The copies with an option varied, with the pair's own run among them, by the option's value."""
    rows = []
    for pair in pairs:
        for name, changed in swept(scores.protocol, pair).items():
            ((operator, options),) = changed.items()
            ((option, value),) = options.items()
            own = scores.protocol.network.operator_options.get(operator, {}).get(option)
            for copy, level in ((name, value), ("", own if own is not None else operators.defaults(operator)[option])):
                rows.append(_swept(scores, Group("fusion", pair, copy), option, level))
    unique = {(row["network"], row["option"], row["value"]): row for row in rows if row["tiny"].n}
    return [unique[key] for key in sorted(unique)]


def _swept(scores: Scores, group: Group, option: str, value: object) -> dict:
    analysis = scores.protocol.analysis
    return {
        "network": group.network, "row": row_name(group.network), "option": option, "value": value,
        "parameters": scores.first(group, "parameters"), "flops": scores.first(group, "flops"),
        "tiny": estimate(scores.of(group, analysis.tiny), analysis.level),
        "large": estimate(scores.of(group, analysis.large), analysis.level),
    }  # fmt: skip


def losses(scores: Scores, pairs: Sequence[str]) -> list[dict]:
    """The copies with the second loss: tiny and large AP, and the gain in tiny AP over the reference's copy."""
    analysis = scores.protocol.analysis
    reference = scores.of(Group("fusion", analysis.reference, LOSS), analysis.tiny)
    rows = []
    for pair in pairs:
        group = Group("fusion", pair, LOSS)
        tiny = scores.of(group, analysis.tiny)
        if len(tiny):
            gain = (tiny - reference).dropna() if pair != analysis.reference else []
            rows.append({
                "row": row_name(pair), "tiny": estimate(tiny, analysis.level), "gain": estimate(gain, analysis.level),
                "large": estimate(scores.of(group, analysis.large), analysis.level),
            })  # fmt: skip
    return rows


def to_csv(rows: list[dict], outcome: Outcome, said: Callable[[str], str]) -> str:
    """The rows as plain numbers; `void` names the controls that failed, `open` those that are not done."""
    flat = []
    for row in rows:
        line = {key: row[key] for key in ("arm", "network", "row", "n", "parameters", "flops", "lr")}
        estimates = {name: row[name] for name in ("tiny", "large", "gain_tiny", "gain_large")}
        estimates |= {f"cells{cells}": each for cells, each in row["sizes"].items()}
        judged: Gain | None = row["judged"]
        if judged:
            estimates |= {"excess": judged.excess, "gain_matched": judged.matched, "gain_among": judged.among,
                          "gain_alone": judged.alone, "coexisting": judged.coexisting}  # fmt: skip
            line |= {"p_h1": judged.p_h1, "H1": said(judged.h1), "p_h2": judged.p_h2, "H2": said(judged.h2)}
        for name, each in estimates.items():
            line |= {name: each.mean, f"{name}_low": each.low, f"{name}_high": each.high}
        flat.append(line | {"void": "; ".join(outcome.void), "open": "; ".join(outcome.undecided)})
    return pd.DataFrame(flat).to_csv(index=False, lineterminator="\n", float_format="%.5f")


def points(each: Estimate, signed: bool = False) -> str:
    """An estimate with its interval, in points of AP."""
    if math.isnan(each.mean):
        return "–"
    form = "{:+.1f}" if signed else "{:.1f}"
    mean = form.format(100 * each.mean)
    if math.isnan(each.low):
        return mean
    return f"{mean} ({form.format(100 * each.low)} to {form.format(100 * each.high)})"


def correlation(each: External) -> str:
    """ρ with its interval."""
    return "–" if math.isnan(each.rho) else f"{each.rho:+.2f} ({each.low:+.2f} to {each.high:+.2f})"


def p_value(p: float) -> str:
    """A p-value of three digits."""
    return "–" if math.isnan(p) else "<0.001" if p < 0.001 else f"{p:.3f}"
