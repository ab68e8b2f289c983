"""`rfbench plan`: what a configuration will take."""

import argparse
import json
import math
import os
from pathlib import Path

from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table

from rfbench import devices, provenance
from rfbench.commands.importing import importing
from rfbench.errors import RFBenchError
from rfbench.planning import asked
from rfbench.settings import Recipe, Settings, load, read, run_names


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument("config", type=Path, help="configuration file, such as config/paper.yaml")
    parser.add_argument("--jobs", type=int, metavar="N", help="runs at the same time (default: one a GPU, else a core)")
    parser.add_argument(
        "--detect", type=float, metavar="POINTS", help="also say how many seeds and hours a difference in mAP takes"
    )
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), help="to measure on (default: the configured one)")
    parser.add_argument("--json", action="store_true", help="print JSON")
    kept = "keep it in the results folder, so that a cluster's jobs ask for that long (docs/cluster.md)"
    parser.add_argument("--keep", action="store_true", help=kept)


def run(args: argparse.Namespace) -> int:
    """Run the command."""
    if "probe" in read(args.config):
        return run_probe(args)
    settings = load(args.config)
    settings = settings.model_copy(update={"device": args.device or settings.device})
    jobs = default_jobs(settings) if args.jobs is None else args.jobs
    if jobs < 1:
        raise RFBenchError(f"--jobs: expected at least 1, found {jobs}.")
    if args.detect is not None and not (args.detect > 0 and math.isfinite(args.detect)):
        raise RFBenchError(f"--detect: expected a difference above 0 in percentage points, found {args.detect:g}.")
    if args.detect is not None and len({competitor for _, competitor, _ in run_names(settings)}) < 2:
        raise RFBenchError(
            "--detect: expected two pairs or methods at least, found one. Add one to `pairs` or `methods`."
        )
    devices.claim_for(settings.device)
    with importing():
        from rfbench.planning.plan import plan

    report = plan(settings, jobs, args.detect)
    if args.keep:
        provenance.write_json(Path(settings.results) / asked.PLAN, report)
    print(json.dumps(report, indent=2)) if args.json else show(report, settings, Console())
    return 0


def run_probe(args: argparse.Namespace) -> int:
    """The plan of a probe (`rfbench probe`)."""
    if args.detect is not None or args.device == "cuda":
        raise RFBenchError("--detect, --device cuda: expected neither for a probe, which has its margin and uses CPUs.")
    jobs = (os.cpu_count() or 1) if args.jobs is None else args.jobs
    if jobs < 1:
        raise RFBenchError(f"--jobs: expected at least 1, found {jobs}.")
    with importing():
        from rfbench.planning import probe
        from rfbench.probe.settings import load as load_probe

    rows = probe.plan(load_probe(args.config), jobs)
    if args.json:
        print(json.dumps({"jobs": jobs, "probe": rows}, indent=2))
        return 0
    table = Table("probe", box=SIMPLE, pad_edge=False)
    for heading in ("groups", "runs", "done", "one by one", f"{jobs} at a time"):
        table.add_column(heading, justify="right", no_wrap=True)
    for row in rows:
        times = (duration(row[key]) for key in ("seconds", "seconds_parallel"))
        table.add_row(row["kind"], *(str(row[key]) for key in ("groups", "runs", "done")), *times,
                      end_section=row is rows[-2])  # fmt: skip
    Console().print(table)
    print("CPU time of what is left, one thread a run, measured on this machine; a busy one takes longer.")
    return 0


def default_jobs(settings: Settings) -> int:
    """Runs that this machine does at a time: one a GPU, or as many as its cores allow."""
    recipe, gpus = settings.recipe, len(devices.offered(settings.device))
    return max(gpus or (os.cpu_count() or 1) // (recipe.threads + recipe.workers), 1)


def show(report: dict, settings: Settings, console: Console) -> None:
    """Print the plan and how it was made."""
    from rfbench.training.workfolder import KEPT

    jobs, runs, measured = report["jobs"], report["runs"], report["measured"]
    table = Table("stage", box=SIMPLE, pad_edge=False)
    for heading in ("jobs", "to do", "one by one", f"{jobs} at a time", "disk, GB"):
        table.add_column(heading, justify="right", no_wrap=True)
    everything = {"stage": "all"} | {
        key: sum(row[key] for row in report["stages"]) for key in report["stages"][0] if key != "stage"
    }
    rows = [row for row in report["stages"] if row["jobs"]]
    for row in (*rows, everything):
        times = [duration(row[key]) for key in ("seconds", "seconds_parallel")]
        last = row is rows[-1]
        table.add_row(
            row["stage"], str(row["jobs"]), str(row["to_do"]), *times, f"{row['bytes'] / 1e9:,.2f}", end_section=last
        )
    console.print(table)
    threads = "1 thread" if measured["threads"] == 1 else f"{measured['threads']} threads"
    notes = [
        f"{sum(runs.values())} runs: {runs['done']} done, {runs['trained']} trained but not evaluated, "
        f"{runs['missing']} missing, by their settings; `snakemake -n` also looks at code and data.",
        f"Networks: updates by a batch of {settings.recipe.batch_size}, as trainings compute them"
        f"{', but uncompiled' * settings.recipe.compile}, measured on {measured['device']}, {threads}, "
        + (
            f"on crops with 1/{2 ** measured['halvings']} of the sides and extrapolated."
            if measured["halvings"]
            else "on crops as configured."
        ),
        *(_bound(row, settings.recipe) for row in report["bounds"]),
        *(f"{name}: {network['memory']}" for name, network in measured["networks"].items() if network["memory"]),
        *(f"{name}: measured on {images['measured_on']}." for name, images in measured["images"].items()),
        f"Disk: images, training images decoded (recipe.store), weights of every run, {KEPT + 1} checkpoints of each "
        "running training.",
        "Profile: counting, and timing alone on the machine; the fused form is taken to be as fast as the plain one.",
        "An estimate: jobs that share cores, memory or a GPU slow one another down. Of the stages from aggregate on, "
        "and of weights, only the start of the job is counted.",
    ]
    for note in notes:
        console.print(note, soft_wrap=True)
    if "detect" in report:
        show_detection(report, console)


def _bound(row: dict, recipe: Recipe) -> str:
    """What bounds the trainings on a data set, in a sentence."""
    fastest, slowest = row["update"]
    seconds = f"an update takes {fastest:.3g} to {slowest:.3g} s, loading its samples {row['loading']:.3g} s"
    if not recipe.workers:
        return f"{row['dataset']}: {seconds}, one after the other (recipe.workers: 0)."
    if not row["loader"]:
        return f"{row['dataset']}: {seconds}; the network bounds every training."
    told = "every training" if not row["network"] else f"those of the {row['loader']} fastest networks"
    return f"{row['dataset']}: {seconds}; the loader bounds {told}: recipe.workers: {row['workers']} would feed it."


def show_detection(report: dict, console: Console) -> None:
    """Print what a difference takes."""
    table = Table("data set", box=SIMPLE, pad_edge=False)
    for heading in ("SD, points", "seeds (Holm)", "runs (Holm)", "hours (Holm)"):
        table.add_column(heading, justify="right", no_wrap=True)
    for row in report["detect"]:
        cells = [f"{_number(row[key])} ({_number(row[f'{key}_holm'])})" for key in ("seeds", "runs", "hours")]
        table.add_row(row["dataset"], f"{row['sd']:.2f} {row['source']}", *cells)
    console.print(f"\nTo show a difference of {report['points']:g} points in mAP to the baseline with power 0.8:")
    console.print(table)
    console.print(
        f"Hours of training and evaluating every network, one run after another on {report['measured']['device']}. "
        "SD of one run over seeds, assumed until two runs of a network are done. Holm: at the first step of the "
        "correction.",
        soft_wrap=True,
    )


def _number(value: float | None) -> str:
    if value is None:
        return "–"
    return f"{value:,.1f}" if isinstance(value, float) else f"{value:,}"


def duration(seconds: float) -> str:
    """A time for people: seconds, minutes or hours."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:,.1f} h"
