"""What a thousand runs cost, and how each step grows: `python -m tests.benchmarks.thousand_runs`.

config/ci.yaml with more seeds, whose runs are ready-made: records, curves and evidence as they are for the 27 test
images of IDRiD, drawn (`tests.statistics.timing`). Measured in CPU seconds of the commands that the pipeline runs, and
of the dry run, with its largest memory. Each size is twice the one before, so that a command of a + b·n^e seconds,
whatever it takes to start (a), shows its exponent e in how much more the second step adds than the first.
"""

import argparse
import json
import math
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import yaml

from rfbench import runs
from rfbench.lesions import evidence, truth
from rfbench.lesions.lesion_metrics import lesion_metrics
from rfbench.names import LESIONS, METRICS
from rfbench.settings import Settings, load

from ..checkout import ROOT, SNAKEMAKE, Checkout
from ..page.drawn_results import leave
from ..recorded import cost, evaluation, profile, training
from ..statistics.timing import draw_evidence, draw_truth

IMAGES, KEPT = 27, 8  # of a run; runs that differ in what they left of them, the others being copies
STEPS = ("aggregate", "statistics", "tables", "verdicts", "figures", "page")
CONFIG = "config/thousand.yaml"


def lay_out(checkout: Checkout, seeds: int) -> Settings:
    """Write the records of every run of config/ci.yaml with so many seeds; the configuration."""
    written = yaml.safe_load((ROOT / "config" / "ci.yaml").read_text()) | {"seeds": list(range(seeds))}
    (checkout.folder / CONFIG).write_text(yaml.safe_dump(written))
    settings = load(checkout.folder / CONFIG)
    results, rng = checkout.folder / settings.results, np.random.default_rng(0)
    there = draw_truth(IMAGES, rng)
    drawn = [draw_evidence(there, rng) for _ in range(KEPT)]
    for name in settings.datasets:
        truth.write(runs.manifest_path(results, name).with_name(truth.NAME), there)
    for k, own in enumerate(drawn):
        evidence.write(results / f"evidence{k}.npz", own)
    measured = [about(own, there) for own in drawn]
    for number, run in enumerate(runs.configured(settings)):
        folder, k = checkout.folder / run.folder, number % KEPT
        leave(folder, rng, points=200, seed=run.seed)
        (folder / "train.json").write_text(json.dumps(training(run)))
        (folder / "evaluation.json").write_text(json.dumps(evaluation(run) | measured[k]))
        for name in ("times.json", "evaluation_times.json"):
            (folder / name).write_text('{"seconds": 1.0}')
        shutil.copy(results / f"evidence{k}.npz", folder / evidence.NAME)
    costs = profile({pair: cost(pair) for pair in settings.pairs})
    (results / "profile.json").write_text(json.dumps(costs))
    return settings


def about(own: evidence.Evidence, there: truth.Truth) -> dict:
    """What evaluation.json says of a run that left this evidence."""
    found = {name: dict(zip(LESIONS, map(float, values), strict=True)) for name, values in own.metrics().items()}
    errors = found.pop("ap_error")
    metrics = {name: {**found[name], "mean": float(np.mean(list(found[name].values())))} for name in METRICS}
    details = {lesion: {"ap_error": errors[lesion], "aupr11_artefact": False} for lesion in LESIONS}
    return {"metrics": metrics, "untrained": metrics, "details": details, "n_images": IMAGES,
            "lesions": lesion_metrics(own, there)}  # fmt: skip


def command(step: str, settings: Settings) -> list[str]:
    """The command line of a step, as its rule has it."""
    results, reports = settings.results, settings.reports
    metrics, words = f"{results}/metrics.csv", [sys.executable, "-m", "rfbench", step]
    given = {
        "aggregate": ["--config", CONFIG, "--output", metrics],
        "statistics": ["--metrics", metrics, "--output", f"{results}/differences.csv"],
        "page": ["--metrics", metrics, "--output", f"{reports}/report.html"],
    }
    folder = "figures" if step == "figures" else "tables"
    return [*words, *given.get(step, ["--metrics", metrics, "--output", f"{reports}/{folder}"])]


def seconds(checkout: Checkout, words: Sequence[str | Path]) -> tuple[float, float]:
    """CPU seconds of a command, and its largest memory in MB."""
    code = ("import resource, subprocess, sys; done = subprocess.run(sys.argv[1:]).returncode;"
            "used = resource.getrusage(resource.RUSAGE_CHILDREN); sys.stderr.flush();"
            "print('', used.ru_utime + used.ru_stime, used.ru_maxrss / 1024, file=sys.stderr);"
            "sys.exit(done)")  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-c", code, *words],
        cwd=checkout.folder,
        env=checkout.environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    used, memory = map(float, done.stderr.splitlines()[-1].split())
    return used, memory


def measure(folder: Path, seeds: int) -> dict[str, float]:
    """CPU seconds of every step, and of the dry run with its memory in MB."""
    checkout = Checkout(folder)
    settings = lay_out(checkout, seeds)
    found = {step: seconds(checkout, command(step, settings))[0] for step in STEPS}
    found["runs"] = len(list(runs.configured(settings)))
    empty = Checkout(folder / "empty")
    shutil.copy(checkout.folder / CONFIG, empty.folder / CONFIG)
    found["dry run"], found["memory"] = seconds(empty, [SNAKEMAKE, "-n", "--quiet", "--configfile", CONFIG])
    return found


def exponent(times: Sequence[float]) -> float:
    """e of a + b·n^e through three sizes, each twice the one before; NaN where the times do not grow."""
    small, large = np.diff(times)
    return math.log2(large / small) if small > 0 and large > 0 else math.nan


def main() -> None:
    """Print a table: a row a step, with its seconds by size and its exponent."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=56, help="of the largest of three sizes; 18 runs a seed")
    most = parser.parse_args().seeds
    sizes, found = [most // 4, most // 2, most], []
    for seeds in sizes:
        with tempfile.TemporaryDirectory() as folder:
            found.append(measure(Path(folder), seeds))
    print("| CPU seconds | " + " | ".join(f"{found[0]['runs'] * k:.0f} runs" for k in (1, 2, 4)) + " | exponent |")
    print("|---|--:|--:|--:|--:|")
    for step in (*STEPS, "all of these", "dry run"):
        times = [sum(one[name] for name in STEPS) if step == "all of these" else one[step] for one in found]
        print(f"| {step} | " + " | ".join(f"{time:.1f}" for time in times) + f" | {exponent(times):.2f} |")
    print("| dry run, MB | " + " | ".join(f"{one['memory']:.0f}" for one in found) + " | |")


if __name__ == "__main__":
    main()
