"""Run a group of the probe: choose its learning rate, run the seeds that count, leave one record a run.

Whatever is finished stays: a killed group goes on with the first run that has no record of its own. A record is a run's
own if protocol, code and network are today's.
"""

import time
from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from rfbench import flocks, provenance, stages
from rfbench.errors import RFBenchError
from rfbench.probe import controls
from rfbench.probe.groups import MATCHED, Group, ProbeRun, judged_runs, tuning_runs
from rfbench.probe.protocol import Protocol, departures
from rfbench.probe.training import matching, train

SUMMARY = "group.json"
ERROR = "error.json"


def run_group(
    protocol: Protocol, group: Group, results: Path, accepted: Mapping[str, Collection[str]] | None = None
) -> Iterator[ProbeRun]:
    """Do what is left of a group, and write its summary; yields each run once it is done, those found done too.

    Args:
        protocol, group, results: what to run, and where the records lie.
        accepted: earlier codes that count as a code, by its digest (`keeping.accepted`).

    Raises:
        RFBenchError: a network cannot be built or trained (the folder's error.json says why), or a copy's own group
            has not chosen a learning rate yet.
    """
    folder = group.folder(results)
    folder.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)  # low bits depend on it
    with flocks.held(folder / "lock", "is running this group"):
        try:
            yield from _run(protocol, group, results, accepted or {})
        except Exception as error:  # an operator's own code may raise anything
            reason = str(error) if isinstance(error, RFBenchError) else f"{type(error).__name__}: {error}"
            provenance.write_json(folder / ERROR, {"state": "error", "reason": reason, "protocol": protocol.digest})
            raise RFBenchError(f"{group.name}: {reason}") from error
        (folder / ERROR).unlink(missing_ok=True)


def _run(
    protocol: Protocol, group: Group, results: Path, accepted: Mapping[str, Collection[str]]
) -> Iterator[ProbeRun]:
    trained, width = matching(protocol, group.pair) if group.copy == MATCHED else (group, None)
    identity = identity_of(protocol, group, trained) | {"widened": trained.network if width else None, "width": width}
    about = {"provenance": provenance.collect("cpu, 1 thread")}
    times = _Seconds(group.folder(results) / "times.json")

    def finish(run: ProbeRun) -> dict:
        path = run.path(results)
        if record := own_record(path, identity, accepted):
            return record
        started = time.process_time()
        record = identity | {"lr": run.lr, "seed": run.seed, "purpose": run.purpose} | about
        record |= train(protocol, replace(run, group=trained), width)
        provenance.write_json(path, record)
        times.add(path.stem, time.process_time() - started)
        return record

    scores: dict[float, list[float]] = {}
    for run in tuning_runs(group, protocol):
        scores.setdefault(run.lr, []).append(mean_ap(finish(run)))
        yield run
    lr = chosen_rate(scores) if scores else rate_of(protocol, trained.own, results, accepted)
    states = {}
    if width != protocol.network.width:  # else the pair and the reference match as they are
        for run in judged_runs(group, protocol, lr):
            states[str(run.seed)] = finish(run)["state"]
            yield run
    tuning = {f"{rate:g}": float(np.mean(values)) for rate, values in scores.items()}
    summary = identity | {"lr": lr, "tuning": tuning, "states": states, "departures": departures(protocol)}
    provenance.write_json(group.folder(results) / SUMMARY, summary)


def identity_of(protocol: Protocol, group: Group, trained: Group | None = None) -> dict:
    """What a record must have in common with today's experiment to count.

    Args:
        trained: the group whose network is trained, where it is another's (copy "matched").
    """
    pair = (trained or group).pair or (protocol.analysis.reference if group.network == controls.EVERY_FOURTH else None)
    return {
        "arm": group.arm, "network": group.network, "copy": group.copy,
        "protocol": protocol.digest, "code": stages.code_digest("probe", pair),
    }  # fmt: skip


def own_record(path: Path, identity: dict, accepted: Mapping[str, Collection[str]] | None = None) -> dict | None:
    """The record at a path, if it is of today's experiment, and of today's code or one that counts as it."""
    if not path.exists():
        return None
    record, codes = provenance.read_json(path), {identity["code"], *(accepted or {}).get(identity["code"], ())}
    same = all(record.get(key) == value for key, value in identity.items() if key != "code")
    return record if same and record.get("code") in codes else None


def mean_ap(record: dict) -> float:
    """Mean AP over all sizes; 0 for a run that diverged."""
    found = [row["ap"] for row in record["scores"] if row["contrast"] == row["coexisting"] == "all"]
    return float(np.mean(found)) if found else 0.0


def chosen_rate(scores: dict[float, list[float]]) -> float:
    """The learning rate with the best mean over the tuning seeds, the lower one in a tie."""
    return max(sorted(scores), key=lambda rate: np.mean(scores[rate]))


def rate_of(
    protocol: Protocol, own: Group, results: Path, accepted: Mapping[str, Collection[str]] | None = None
) -> float:
    """The learning rate that a network's own group chose."""
    path = own.folder(results) / SUMMARY
    if (summary := own_record(path, identity_of(protocol, own), accepted)) is None:
        raise RFBenchError(
            f"{path}: expected the learning rate that {own.name} chose in this experiment, found none. "
            f"Run it first: rfbench probe --group {own.name}, or snakemake probe."
        )
    return summary["lr"]


class _Seconds:
    """CPU seconds of each run of a group, in a file of their own: scores are the same wherever they are computed."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.seconds = provenance.read_json(path) if path.exists() else {}

    def add(self, stem: str, seconds: float) -> None:
        self.seconds[stem] = round(seconds, 3)
        provenance.write_json(self.path, self.seconds)
