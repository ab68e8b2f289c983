"""`rfbench keep`: count finished runs of earlier code as current."""

import argparse
import datetime
import subprocess
import sys
from pathlib import Path

from rfbench import kept
from rfbench.errors import RFBenchError, print_lines
from rfbench.settings import load, read


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.description = (
        "Declare that a change of code alters no result: finished trainings and evaluations of the code before it "
        "count as current. The decision stands in results/kept.csv, and tables that show such runs say so."
    )
    parser.add_argument("--because", required=True, metavar="REASON", help="why the change alters no result")
    default = Path("config/default.yaml")
    parser.add_argument("--config", type=Path, default=default, help="configuration of the runs (default: %(default)s)")
    parser.epilog = "Then run snakemake as before. To compute the runs again instead: --config retrain=true."


def run(args: argparse.Namespace) -> int:
    """Run the command."""
    if not args.because.strip():
        raise RFBenchError("--because: expected a reason, found an empty text.")
    if "probe" in read(args.config):
        return keep_probe(args)
    settings = load(args.config)
    repeats = kept.repeats(settings)
    if not repeats:
        print_lines([f"{args.config}: no finished run is of earlier code; there is nothing to keep"], file=sys.stderr)
        return 0
    decided = kept.keep(settings, args.because, datetime.date.today().isoformat())
    hours = sum(repeat.seconds for repeat in repeats) / 3600
    print_lines([f"{settings.results}/kept.csv: {len(repeats)} runs ({hours:.2f} hours) kept"], file=sys.stderr)
    _record(args.config, repeats)
    for row in decided:
        print(f"  {row['stage']}: code {row['old']} counts as {row['new']}", file=sys.stderr)
    return 0


def keep_probe(args: argparse.Namespace) -> int:
    """The same for the runs of a probe. Snakemake asks its groups, which then find every run done."""
    from rfbench.probe import keeping
    from rfbench.probe.settings import load as load_probe

    probe = load_probe(args.config)
    decided = keeping.keep(probe, args.because, datetime.date.today().isoformat())
    print(f"{probe.results}/kept.csv: {len(decided)} versions of the code count as today's", file=sys.stderr)
    return 0


def _record(config: Path, repeats: list[kept.Repeat]) -> None:
    """Let Snakemake record today's code for these runs' files, as if it had made them (`snakemake --touch`).

    Raises:
        RFBenchError: it could not.
    """
    files = [
        str(repeat.run.folder / name)
        for repeat in repeats
        for name in ("train.json", "evaluation.json")
        if (repeat.run.folder / name).exists()
    ]
    snakemake = Path(sys.executable).with_name("snakemake")
    command = [snakemake, "--touch", "--cores", "1", "--quiet", "all", "--configfile", config, "--", *files]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise RFBenchError(f"snakemake --touch could not mark the runs as current:\n{done.stderr.strip()}")
