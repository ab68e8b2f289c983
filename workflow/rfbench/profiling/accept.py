"""`rfbench gpu --accept`: is this GPU, with this driver and these packages, fit for the experiment? No torch.

The checks run in the order of CHECKS, each in a process of its own: one that hangs, or leaves CUDA unusable, fails and
harms no other, and trainings that a check starts find the GPU free. What a check finds is kept in a file of its own,
so that an acceptance that was cut short goes on; what failed is checked again.
"""

import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from rfbench import provenance
from rfbench.errors import RFBenchError
from rfbench.files import write_whole
from rfbench.profiling.suite import Suite

PASSED, FAILED, SKIPPED, MISSING = "passed", "failed", "skipped", "missing"
CHECKS = {
    "device": "torch computes on the GPU that was claimed",
    "losses": "each precision's first losses are those of a CPU in float32, a small network",
    "memory": "an update of the suite's batch fits into memory",
    "speed": "updates a second, as published and with all that computes faster",
    "compiled": "a compiled network computes what the eager one computes",
    "loader": "the loader of samples keeps up with the network",
    "pairs": "every pair, and method asked for, is trained for ten updates",
    "resume": "a killed training goes on and ends as one that was not",
    "jobs": "two trainings at once each have a GPU of their own, or wait",
    "checkpoint": "the authors' checkpoint has the authors' score (--checkpoint, --data)",
}

OF_TRAININGS = ("resume", "jobs")  # which claim their GPU themselves, so that the check's own process must hold none


@dataclass(frozen=True)
class Finding:
    """What a check found: passed, failed, skipped or missing (no time was left), and the figure or the reason."""

    state: str
    figure: str


@dataclass(frozen=True)
class Asked:
    """What is accepted.

    Args:
        suite: pairs and methods, network and sizes.
        checkpoint: the authors' weights, and what they are of (`pair`); None skips their check.
        data: folder of the prepared data set that they are scored on.
    """

    suite: Suite
    checkpoint: str | None = None
    pair: str | None = None
    data: str | None = None

    def options(self) -> list[str]:
        """The same for another process of `rfbench gpu`."""
        words = []
        for name, value in {**asdict(self.suite), "checkpoint": self.checkpoint, "pair": self.pair,
                            "data": self.data}.items():  # fmt: skip
            if value is not None:
                words += [f"--{name}", *map(str, value if isinstance(value, (tuple, list)) else [value])]
        return words


def accept(asked: Asked, minutes: float, output: Path) -> dict:
    """Run the checks and write the report after each.

    Args:
        minutes: after which no check starts, and one that runs is stopped and has failed.
        output: the record (JSON); the report for people (.md) and the folder of the findings go beside it.

    Returns:
        The record: `checks`, by name what was asked, state and figure; what was accepted.

    Raises:
        RFBenchError: the folder holds findings of something else: other sizes, or another commit.
    """
    deadline, folder = time.monotonic() + 60 * minutes, output.with_suffix("")
    folder.mkdir(parents=True, exist_ok=True)
    _require_own(asked, folder / "asked.json")
    checks = dict.fromkeys(CHECKS, Finding(MISSING, "no time was left; the same command goes on here"))
    for name in CHECKS:
        kept = _kept(folder / f"{name}.json")
        if kept is None and time.monotonic() < deadline:
            print(f"{name}: {CHECKS[name]} …", file=sys.stderr, flush=True)
            kept = _run(asked, name, folder, deadline)
            print(f"{name}: {kept.state}: {kept.figure}", file=sys.stderr, flush=True)
        checks[name] = kept or checks[name]
        record = _record(asked, checks)
        provenance.write_json(output, record)
        write_whole(output.with_suffix(".md"), report(record).encode())
    return record


def _require_own(asked: Asked, mark: Path) -> None:
    """Refuse to go on with the findings of another acceptance."""
    commit, dirty = provenance.commit()
    own = {**asdict(asked), "commit": commit, "dirty": dirty}
    own["suite"] = {key: list(value) if isinstance(value, tuple) else value for key, value in own["suite"].items()}
    if mark.exists() and (kept := provenance.read_json(mark)) != own:
        differing = ", ".join(key for key in own if kept.get(key) != own[key])
        raise RFBenchError(
            f"{mark.parent}: holds the findings of another acceptance ({differing}). Delete the folder to begin anew, "
            "or name another --output."
        )
    provenance.write_json(mark, own)


def _kept(path: Path) -> Finding | None:
    """A finding of an earlier start; what failed, or was skipped for want of something, is looked at again."""
    if not path.exists():
        return None
    finding = Finding(**provenance.read_json(path))
    return finding if finding.state == PASSED else None


def _run(asked: Asked, name: str, folder: Path, deadline: float) -> Finding:
    """One check, in a process of its own."""
    path = folder / f"{name}.json"
    path.unlink(missing_ok=True)
    command = [sys.executable, "-m", "rfbench", "gpu", *asked.options(), "--check", name, "--output", str(path)]
    with (folder / f"{name}.log").open("wb") as log:
        try:
            status = subprocess.run(command, stderr=log, timeout=max(deadline - time.monotonic(), 1)).returncode
        except subprocess.TimeoutExpired:
            return Finding(FAILED, "it took longer than the time left")
    if path.exists():
        return Finding(**provenance.read_json(path))
    lines = (folder / f"{name}.log").read_text(errors="replace").splitlines()
    return Finding(FAILED, f"its process ended with status {status}: {next(filter(str.strip, lines[::-1]), '')}")


def _record(asked: Asked, checks: dict[str, Finding]) -> dict:
    found = {name: {"asked": CHECKS[name], **asdict(finding)} for name, finding in checks.items()}
    return {"kind": "acceptance", **asdict(asked), "checks": found, "commit": provenance.commit()[0]}


def report(record: dict) -> str:
    """The record for people, in Markdown."""
    suite = record["suite"]
    width, height = suite["crop"]
    states = [check["state"] for check in record["checks"].values()]
    counted = ", ".join(f"{states.count(state)} {state}" for state in dict.fromkeys(states))
    lines = [
        f"# Acceptance: {counted}",
        "",
        f"Network {suite['backbone']}, batches of {suite['batch']} crops of {width}x{height} px, "
        f"{len(suite['pairs'])} pairs and methods, `device: {suite['device']}`, commit {record['commit'][:12]}.",
        "",
        "| check | what is checked | state | figure |",
        "|---|---|---|---|",
    ]
    for name, check in record["checks"].items():
        figure = check["figure"].replace("|", "\\|").replace("\n", " ")
        lines.append(f"| {name} | {check['asked']} | {check['state']} | {figure} |")
    return "\n".join(lines) + "\n"
