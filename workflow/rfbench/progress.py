"""What a person wants to know while the benchmark runs: runs done, running and failed, the present loss, time left.

Fed by `snakemake_logger_plugin_rfbench` with what Snakemake tells of its jobs; knows no Snakemake itself.
"""

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

TAIL = 8  # lines of a failed job's log
ENOUGH = 2  # finished runs from which on the rest can be estimated


@dataclass(frozen=True)
class Job:
    """A job of the pipeline.

    Args:
        rule: its rule.
        wildcards: dataset, pair and seed of a run's jobs.
        output, log: its files.
    """

    rule: str
    wildcards: Mapping[str, str]
    output: Sequence[str] = ()
    log: Sequence[str] = ()

    @property
    def name(self) -> str:
        """`SYN-IDRiD m2mrf_c seed 1` of a run's jobs, the rule of others."""
        run = self.wildcards
        if {"dataset", "pair", "seed"} <= set(run):
            return f"{run['dataset']} {run['pair']} seed {run['seed']}"
        return " ".join([self.rule, *run.values()])

    @property
    def loss(self) -> str:
        """`loss 0.931 at update 45` of a training that has logged one; else empty."""
        if self.rule != "train" or not self.output:
            return ""
        for curve in (
            Path(self.output[0]).with_name("work") / "curve.csv",
            Path(self.output[0]).with_name("curve.csv"),
        ):
            if curve.is_file():
                with curve.open(newline="", encoding="utf-8") as file:
                    rows = [row for row in csv.DictReader(file) if row.get("loss")]
                return f"loss {float(rows[-1]['loss']):.3f} at update {rows[-1]['iteration']}" if rows else ""
        return ""


class Progress:
    """The state of a run of the pipeline. Times are in seconds of any clock that does not go back."""

    def __init__(self) -> None:
        self.planned: dict[str, int] = {}
        self.running: dict[int, Job] = {}
        self.done = self.failed = self.runs = 0  # jobs, jobs, runs whose last job is done
        self._begun: float | None = None  # when the first job of a run started
        self._half = 0  # finished jobs of runs

    @property
    def last(self) -> str:
        """The rule that a run ends with."""
        return "evaluate" if self.planned.get("evaluate") else "train"

    @property
    def to_do(self) -> int:
        """Runs that this call of the pipeline does."""
        return self.planned.get(self.last, 0)

    def plan(self, jobs: Mapping[str, int]) -> str:
        """Take the number of jobs by rule; a sentence about them."""
        self.planned = {rule: count for rule, count in jobs.items() if rule != "total"}
        return f"{self.to_do} runs to do, {sum(self.planned.values())} jobs in all"

    def start(self, number: int, job: Job, now: float) -> None:
        """A job has started."""
        self.running[number] = job
        if self._begun is None and job.rule in ("train", "evaluate"):
            self._begun = now

    def finish(self, number: int, now: float) -> str:
        """A job is done; a line about the run that it completes, else empty: the other jobs speak for themselves."""
        job = self.running.pop(number, None)
        self.done += 1
        if job is None or job.rule not in ("train", "evaluate"):
            return ""
        self._half += 1
        if job.rule != self.last:
            return ""
        self.runs += 1
        left = self.left(now)
        return f"{self.runs}/{self.to_do} runs: {job.name}" + (f"; {left}" if left else "")

    def fail(self, number: int, job: Job) -> str:
        """A job has failed; what to say of it: the end of its log, and where that is.

        Args:
            number: of the job.
            job: what is told of it at its end; what was told at its start has more.
        """
        job = self.running.pop(number, job)
        self.failed += 1
        kind = f"{job.rule} {job.name}" if job.rule not in job.name else job.name
        lines = [f"FAILED {kind}"]
        for log in map(Path, job.log):
            if log.is_file():
                end = log.read_text(encoding="utf-8", errors="replace").splitlines()[-TAIL:]
                lines[0] += f"; {log} ends:"
                lines += [f"    | {line}" for line in end]
        return "\n".join(lines)

    def left(self, now: float) -> str:
        """How long the runs will still take, from how long those so far took; empty while too few are done."""
        jobs = self.planned.get("train", 0) + self.planned.get("evaluate", 0)
        if self._begun is None or self.runs < ENOUGH or self._half >= jobs:
            return ""
        minutes = (now - self._begun) / self._half * (jobs - self._half) / 60
        if minutes < 1:
            return "under a minute left"
        return f"about {minutes:.0f} min left" if minutes < 90 else f"about {minutes / 60:.1f} h left"

    def status(self, now: float) -> str:
        """The whole state in one line."""
        parts = [f"{self.runs}/{self.to_do} runs"] if self.to_do else [f"{self.done}/{sum(self.planned.values())} jobs"]
        parts += [f"{self.failed} failed"] if self.failed else []
        parts += [left] if (left := self.left(now)) else []
        for job in self.running.values():
            parts.append(" ".join(filter(None, (job.name, job.loss and f"({job.loss})"))))
        return " · ".join(parts)
