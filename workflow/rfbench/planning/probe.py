"""`rfbench plan` of a probe: how many runs there are, how many are done, what the others will take on this machine."""

import time

import numpy as np
import torch

from rfbench.probe import data, keeping, run, scoring, training
from rfbench.probe.groups import MATCHED, Group, judged_runs, tuning_runs
from rfbench.probe.protocol import Protocol
from rfbench.probe.settings import Probe

KINDS = ("pairs and controls, arm fusion", "copies, arm fusion", "pairs and controls, arm serial")


def plan(probe: Probe, jobs: int) -> list[dict]:
    """One row a kind of groups and one for all: groups, runs, done, seconds one by one and `jobs` groups at a time.

    A copy is taken to cost what its own network costs; a widened one costs more.
    """
    protocol = probe.protocol
    seconds = {own: run_seconds(protocol, own) for own in dict.fromkeys(group.own for group in probe.groups)}
    rows = {kind: {"kind": kind, "groups": 0, "runs": 0, "done": 0, "seconds": 0.0} for kind in KINDS}
    for group in probe.groups:
        row = rows[KINDS[2] if group.arm == "serial" else KINDS[1] if group.copy and not group.control else KINDS[0]]
        runs, done = count(probe, group)
        row["groups"] += 1
        row["runs"] += runs
        row["done"] += done
        row["seconds"] += (runs - done) * seconds[group.own]
    found = [row for row in rows.values() if row["groups"]]
    found.append({"kind": "all"} | {key: sum(row[key] for row in found) for key in found[0] if key != "kind"})
    for row in found:
        row["seconds_parallel"] = row["seconds"] / min(jobs, max(row["groups"], 1))
    return found


def count(probe: Probe, group: Group) -> tuple[int, int]:
    """Runs of a group, and how many have a record of today's experiment (whatever learning rate was chosen)."""
    protocol, accepted = probe.protocol, keeping.accepted(probe.results)
    trained = training.matching(protocol, group.pair)[0] if group.copy == MATCHED else None
    identity = run.identity_of(protocol, group, trained)
    runs = tuning_runs(group, protocol) + judged_runs(group, protocol, 0.0)
    summary = run.own_record(group.folder(probe.results) / run.SUMMARY, identity, accepted)
    if summary:  # networks that match as they are have no copies
        runs = runs[: len(tuning_runs(group, protocol)) + len(summary["states"])]
    done = [run.own_record(each.path(probe.results), identity, accepted) for each in runs]
    return len(runs), sum(record is not None for record in done)


def run_seconds(protocol: Protocol, group: Group, passes: int = 2) -> float:
    """CPU seconds of one run: images, updates and scores, the fastest of `passes` after one to warm up."""
    torch.set_num_threads(1)
    images, shape = protocol.images, protocol.training
    started = time.process_time()
    planted = data.draw(images, group.arm, "test", 0)
    drawing = (time.process_time() - started) * (images.train + images.test) / images.test
    model = training.build(protocol, group)
    steps = protocol.model_copy(update={"training": shape.model_copy(update={"steps": 1})})
    x, y = torch.from_numpy(planted.images[: shape.batch]), torch.from_numpy(planted.size[: shape.batch])
    update = _fastest(lambda: training.fit(model, x, y, 0.01, steps, shape.loss, np.random.default_rng(0)), passes)
    logits = planted.images[:, 0]
    judging = _fastest(lambda: scoring.by_size(logits, planted), 1)
    predicting = _fastest(lambda: training.predict(model, torch.from_numpy(planted.images)), 1)
    return drawing + shape.steps * update + predicting + judging


def _fastest(work, passes: int) -> float:
    work()
    seconds = []
    for _ in range(passes):
        started = time.process_time()
        work()
        seconds.append(time.process_time() - started)
    return min(seconds)
