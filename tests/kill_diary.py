"""Kill a benchmark again and again and compare its end with an undisturbed one; prints a diary as Markdown.

    python -m tests.kill_diary --kills 10 --seed 0

Two fresh copies of this checkout run the same configuration. One is left alone. In the other, at random moments,
kill -9 hits Snakemake alone (its jobs live on as orphans), a job alone, or all at once; plain `snakemake` follows each
time. At the end every file of results and reports must have the same bytes, except those that hold times or speeds.
"""

import argparse
import copy
import json
import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import yaml

from tests.checkout import SMALLEST, Checkout, without_speeds

VICTIMS = ("snakemake", "job", "everything")
# What may differ, and why: times and speeds by their nature, with the figures drawn from them and the page that shows
# them among compressed data (else it is made of what is compared here, and tested to be a function of that); logs; in
# a work folder the history of its starts; what a killed preparation had not finished.
DIFFERING = re.compile(
    r"(^|/)(times|evaluation_times)\.json$|(^|/)profile(_speed)?\.\w+$|(^|/)logs/|_fps\.(png|pdf)$|/report\.html$"
    r"|/work/(finished\.json|lock|error\.json)|/store/lock$|\.part$"
)
SNAKEMAKE_SAYS = {r"gone; cleared": "stale lock cleared", r"Error in rule (\w+)": "failed: {}"}
JOBS_SAY = {
    r"waiting for process \d+": "a job waited for an orphan",
    r"(iter_\d+)\.pth: damaged": "{} damaged",
    r"starts anew": "training started anew",
}


def configuration(folder: Path) -> str:
    """config/ci.yaml enlarged: two pairs, two seeds, checkpoints every 5 of 90 updates."""
    config = {**copy.deepcopy(SMALLEST), "seeds": [0, 1]}
    config["datasets"]["SYN-IDRiD"]["iterations"] = 90
    config["recipe"] |= {"checkpoint_interval": 5, "log_interval": 7, "workers": 1}
    (folder / "config" / "diary.yaml").write_text(yaml.safe_dump(config))
    return "config/diary.yaml"


def undisturbed(checkout: Checkout, configfile: str) -> float:
    """Run to the end; the seconds it took."""
    started = time.monotonic()
    finish(checkout, configfile, checkout.folder / "undisturbed.log")
    return time.monotonic() - started


def finish(checkout: Checkout, configfile: str, log: Path) -> None:
    """Run plain `snakemake` to its end, which must be a good one."""
    if checkout.start(configfile, log).wait():
        raise SystemExit(f"snakemake failed:\n{log.read_text()}")


def kill(checkout: Checkout, snakemake: subprocess.Popen, victim: str, rng: random.Random) -> str:
    """Kill -9 a victim; what it was, or nothing where there was none."""
    jobs = checkout.jobs()
    if victim == "everything":
        checkout.kill_group(snakemake)
        return f"Snakemake and {len(jobs)} processes of jobs"
    if victim == "snakemake":
        snakemake.kill()
        snakemake.wait()
        return "Snakemake alone"
    if not jobs:
        return ""
    pid = rng.choice(sorted(jobs))
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return ""
    return f"job `{jobs[pid]}` alone"


class Diary:
    """Starts of Snakemake in one checkout, kills between them, and what each start said."""

    def __init__(self, checkout: Checkout, configfile: str) -> None:
        self.checkout, self.configfile = checkout, configfile
        self.rows: list[list] = []
        self.said: list[set[str]] = []
        self.begin = time.monotonic()

    def start(self) -> subprocess.Popen:
        """Plain `snakemake`."""
        self.said.append(set())
        self.started = time.time()
        return self.checkout.start(self.configfile, self.checkout.folder / f"{len(self.said)}.log")

    def listen(self, snakemake: subprocess.Popen, seconds: float) -> None:
        """Wait, at most until Snakemake ends, and note what it and its jobs say."""
        until, ended = time.monotonic() + seconds, False
        while time.monotonic() < until and not ended:
            ended = snakemake.poll() is not None
            self._note(self.checkout.folder / f"{len(self.said)}.log", SNAKEMAKE_SAYS)
            for log in self.checkout.folder.glob("results/ci/logs/*/*.log"):
                self._note(log, JOBS_SAY)
            time.sleep(0.0 if ended else 0.3)

    def _note(self, log: Path, sayings: dict[str, str]) -> None:
        text = log.read_text(errors="replace") if log.stat().st_mtime >= self.started else ""
        for pattern, saying in sayings.items():
            self.said[-1] |= {saying.format(*match.groups()) for match in re.finditer(pattern, text)}

    def kill(self, snakemake: subprocess.Popen, rng: random.Random) -> None:
        """Kill one victim and note what ran, what was hit and what lives on."""
        at, running = time.monotonic() - self.begin, sorted(set(self.checkout.jobs().values()))
        victim = kill(self.checkout, snakemake, rng.choice(VICTIMS), rng)
        if victim:
            time.sleep(0.5)  # the killed need a moment to be gone
            alive = sorted(set(self.checkout.jobs().values()))
            self.rows.append([f"{at:.0f} s", ", ".join(running) or "none: Snakemake plans", victim,
                              ", ".join(alive) or "none", len(self.said)])  # fmt: skip


def disturbed(checkout: Checkout, configfile: str, kills: int, spread: float, rng: random.Random) -> Diary:
    """Start, kill and start again until there were so many kills, then run to a good end."""
    diary = Diary(checkout, configfile)
    snakemake = diary.start()
    while len(diary.rows) < kills:
        diary.listen(snakemake, rng.uniform(0, spread))
        if snakemake.poll() == 0:
            raise SystemExit(f"the benchmark ended after {len(diary.rows)} kills; give a smaller --spread")
        if snakemake.poll() is None:
            diary.kill(snakemake, rng)
        if snakemake.poll() is not None:  # a job's death leaves Snakemake alive: it goes on with the other jobs
            snakemake = diary.start()
    diary.listen(snakemake, float("inf"))
    while snakemake.returncode:
        if len(diary.said) > len(diary.rows) + 1:  # nobody disturbed the start before this one
            raise SystemExit(
                f"snakemake fails undisturbed:\n{(checkout.folder / f'{len(diary.said)}.log').read_text()}"
            )
        snakemake = diary.start()
        diary.listen(snakemake, float("inf"))
    return diary


def resumed(checkout: Checkout) -> str:
    """How many trainings went on from a checkpoint, and how many there are."""
    times = [json.loads(file.read_text()) for file in checkout.folder.glob("results/ci/runs/*/*/*/times.json")]
    return f"{sum(time['resumed'] for time in times)} of {len(times)}"


def differences(a: Path, b: Path) -> tuple[list[str], int]:
    """Files below results and reports that differ or are on one side only, and how many were compared."""
    names = set()
    for folder in (a, b):
        files = [file for top in ("results", "reports") for file in (folder / top).rglob("*") if file.is_file()]
        names |= {str(file.relative_to(folder)) for file in files}
    names = {name for name in names if not DIFFERING.search(name)}
    both = {name for name in names if (a / name).exists() and (b / name).exists()}
    equal = {name for name in both if without_speeds(a / name) == without_speeds(b / name)}
    return sorted(names - equal), len(names)


def main() -> int:
    """Write the diary; status 1 if anything differs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=10, help="how many kills (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="seed of moments and victims (default: %(default)s)")
    sentence = "largest pause before a kill in seconds (default: 1.5 times the undisturbed run / kills)"
    parser.add_argument("--spread", type=float, help=sentence)
    sentence = "where to make the two copies and leave them (default: a temporary folder)"
    parser.add_argument("--folder", type=Path, help=sentence)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="rfbench-kills-") as temporary:
        calm, rough = (Checkout((args.folder or Path(temporary)) / name) for name in ("calm", "rough"))
        configfile = configuration(calm.folder)
        configuration(rough.folder)
        seconds = undisturbed(calm, configfile)
        spread = args.spread or 1.5 * seconds / args.kills
        diary = disturbed(rough, configfile, args.kills, spread, random.Random(args.seed))
        differing, compared = differences(calm.folder, rough.folder)
        print(f"# Kill diary: {args.kills} kills, seed {args.seed}\n")
        print(f"Undisturbed {seconds:.0f} s; {len(diary.said)} starts; {resumed(rough)} trainings went on from a "
              "checkpoint in their last start.\n")  # fmt: skip
    print("| kill | at | jobs running | kill -9 of | alive after it | what the next start said |")
    print("|--:|--:|---|---|---|---|")
    for number, (*cells, start) in enumerate(diary.rows, 1):
        following = diary.said[min(start, len(diary.said) - 1)]
        print(f"| {number} | {' | '.join(cells)} | {'; '.join(sorted(following)) or 'nothing'} |")
    verdict = "all equal" if not differing else "**differing:** " + ", ".join(differing)
    print(f"\nCompared byte by byte: {compared} files of results and reports; {verdict}.")
    return int(bool(differing))


if __name__ == "__main__":
    sys.exit(main())
