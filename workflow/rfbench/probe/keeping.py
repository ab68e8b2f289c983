"""Records of earlier code: which count as today's because a person said that the change alters no number.

As for trainings (`rfbench.kept`): what took hours is not repeated for a change of code without being asked. Decisions
stand in kept.csv of the probe's results folder.
"""

from collections.abc import Mapping
from pathlib import Path

from rfbench import kept, provenance
from rfbench.probe.groups import Group
from rfbench.probe.run import identity_of
from rfbench.probe.settings import Probe

STAGE = "probe"
HOURS = 1.0  # of finished runs that a change of code alone may repeat unasked


def accepted(results: Path) -> dict[str, set[str]]:
    """Earlier codes that count as a code: its digest -> theirs."""
    found: dict[str, set[str]] = {}
    for row in kept.read(results):
        if row["stage"] == STAGE:
            found.setdefault(row["new"], set()).add(row["old"])
    return found


def reasons(results: Path) -> list[str]:
    """Why, each once."""
    return list(dict.fromkeys(row["reason"] for row in kept.read(results) if row["stage"] == STAGE))


def repeats(probe: Probe) -> dict[tuple[str, str], float]:
    """What a change of code would repeat: (code of the records, code of today) -> CPU seconds of those runs."""
    counted, found = accepted(probe.results), {}
    for group in probe.groups:
        folder, today = group.folder(probe.results), _today(probe, group)
        if today is None:
            continue
        times = folder / "times.json"
        seconds: Mapping[str, float] = provenance.read_json(times) if times.exists() else {}
        for path in folder.glob("*seed*.json"):
            record = provenance.read_json(path)
            old = record["code"]
            if record["protocol"] == probe.protocol.digest and old not in {today, *counted.get(today, ())}:
                found[old, today] = found.get((old, today), 0.0) + seconds.get(path.stem, 0.0)
    return found


def _today(probe: Probe, group: Group) -> str | None:
    """Today's code of a group that has begun; of a matched copy it is that of the network that was widened."""
    record = next(iter(sorted(group.folder(probe.results).glob("*seed*.json"))), None)
    if record is None:
        return None
    widened = provenance.read_json(record)["widened"]
    return identity_of(probe.protocol, group, Group(group.arm, widened) if widened else None)["code"]


def keep(probe: Probe, why: str, date: str) -> list[dict[str, str]]:
    """Count all of them as current; the decisions made, as kept.csv has them."""
    commit, dirty = provenance.commit()
    about = {"reason": why, "commit": commit + (" with uncommitted changes" if dirty else ""), "date": date}
    made = [{"stage": STAGE, "old": old, "new": new} | about for old, new in repeats(probe)]
    provenance.write_csv(probe.results / "kept.csv", kept.FIELDS, [*kept.read(probe.results), *made])
    return made


def refusal(probe: Probe) -> str:
    """What a person must decide before the probe goes on; empty where less than HOURS would be repeated."""
    hours = sum(repeats(probe).values()) / 3600
    if hours <= HOURS:
        return ""
    return (
        f"{probe.results}: {hours:.2g} hours of finished runs would be repeated for a change of code alone. If it "
        'alters no number: rfbench keep --because "why it does not" --config …. To run them again, delete '
        f"{probe.results}/runs."
    )
