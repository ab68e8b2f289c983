"""What the probe consists of: groups of runs that share a network and an arm, and one run of a group.

A *pair's own* group tries the learning rates on the tuning seeds, then runs the test seeds. Every other group is a
*copy*: the test seeds of a pair's network with something changed, at the learning rate that the pair's own group chose.

    fusion/m2mrf_c                     a pair's own      fusion/shuffle                         a control's own
    fusion/m2mrf_c--matched            a copy            fusion/strideconv_bilinear--permuted   a control that is a copy
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import operators
from rfbench.errors import RFBenchError
from rfbench.probe import controls
from rfbench.probe.data import ARMS
from rfbench.probe.protocol import Protocol

MATCHED, LOSS = "matched", "loss"
COPIES = (MATCHED, "sweep", LOSS)
"""Kinds of copies beside the controls, all of arm fusion."""


@dataclass(frozen=True)
class Group:
    """Runs that differ in seed and learning rate alone.

    Args:
        arm: fusion or serial.
        network: a pair, or a control in its place.
        copy: what is changed, "" for the network's own group.
    """

    arm: str
    network: str
    copy: str = ""

    @property
    def name(self) -> str:
        """As in file names and on the command line."""
        return f"{self.arm}/{self.network}" + (f"--{self.copy}" if self.copy else "")

    @property
    def own(self) -> "Group":
        """The group whose learning rate this one takes."""
        return Group(self.arm, self.network)

    @property
    def control(self) -> str:
        """Which control it belongs to, "" if it is none."""
        if self.network in controls.NETWORKS[self.arm]:
            return self.network
        return self.copy if self.copy in (controls.PERMUTED, controls.AGAIN) else ""

    @property
    def pair(self) -> str:
        """The pair whose operators it uses, "" for a control in place of a pair."""
        return "" if self.network in controls.NETWORKS[self.arm] else self.network

    def folder(self, results: str | Path) -> Path:
        """Of its records."""
        return Path(results) / "runs" / self.name


@dataclass(frozen=True)
class ProbeRun:
    """One run of a group."""

    group: Group
    lr: float
    seed: int
    purpose: str  # tuning, test or again

    def path(self, results: str | Path) -> Path:
        """Of its record."""
        stem = f"seed{self.seed}" if self.purpose != "tuning" else f"lr{self.lr:g}-seed{self.seed}"
        return self.group.folder(results) / f"{stem}.json"


def tuning_runs(group: Group, protocol: Protocol) -> list[ProbeRun]:
    """The runs that choose a network's learning rate."""
    if group.copy:
        return []
    grid = product(protocol.training.learning_rates, protocol.seeds.tuning)
    return [ProbeRun(group, lr, seed, "tuning") for lr, seed in grid]


def judged_runs(group: Group, protocol: Protocol, lr: float) -> list[ProbeRun]:
    """The runs that count, at the chosen learning rate."""
    purpose = controls.AGAIN if group.copy == controls.AGAIN else "test"
    return [ProbeRun(group, lr, seed, purpose) for seed in getattr(protocol.seeds, purpose)]


def groups(protocol: Protocol, pairs: Sequence[str], arms: Sequence[str], copies: Sequence[str]) -> list[Group]:
    """All groups of a probe, those first that others or the verdicts wait for.

    Args:
        protocol: the experiment.
        pairs: operator pairs; the reference is added.
        arms: of ARMS.
        copies: of COPIES.
    """
    reference = protocol.analysis.reference
    pairs = list(dict.fromkeys([reference, *pairs]))
    found = []
    for arm in (arm for arm in ARMS if arm in arms):
        found += [Group(arm, name) for name in (reference, *controls.NETWORKS[arm])]
        found += [Group(arm, reference, copy) for copy in (controls.PERMUTED, controls.AGAIN)]
        found += [Group(arm, pair) for pair in pairs[1:]]
        if arm == "fusion":
            found += [group for copy in COPIES if copy in copies for group in _copies(copy, protocol, pairs)]
    return found


def _copies(kind: str, protocol: Protocol, pairs: list[str]) -> Iterator[Group]:
    if kind == "sweep":
        yield from (Group("fusion", pair, name) for pair in pairs for name in swept(protocol, pair))
        return
    yield from (Group("fusion", pair, kind) for pair in (pairs[1:] if kind == MATCHED else pairs))


def swept(protocol: Protocol, pair: str) -> dict[str, dict]:
    """Copies of a pair with one option changed: name -> operator options."""
    return {
        f"{option}_{value}": {operator: {option: value}}
        for operator, options in protocol.copies.sweep.get(pair, {}).items()
        for option, values in options.items()
        for value in values
    }


def named(name: str, among: Sequence[Group]) -> Group:
    """The group of that name; RFBenchError if it is not among them."""
    found = {group.name: group for group in among}
    if name not in found:
        raise RFBenchError(f"--group {name}: expected one of the probe's groups: {', '.join(found)}.")
    return found[name]


def check_pairs(pairs: Sequence[str]) -> None:
    """Refuse what is no registered pair (RFBenchError names what was probably meant)."""
    for pair in pairs:
        operators.get(pair)
