"""`rfbench verdicts`: every published number and claim beside ours, and what seeds can show."""

import argparse
import sys
from pathlib import Path

from rfbench.commands.options import add_input_arguments
from rfbench.errors import print_lines
from rfbench.report import power, verdicts
from rfbench.report.reading import read_metrics, read_profile


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    add_input_arguments(parser)
    parser.add_argument("--output", type=Path, required=True, help="folder of verdicts.*, claims.csv and power.*")


def run(args: argparse.Namespace) -> int:
    """Run the command."""
    metrics, results = read_metrics(args.metrics), args.results or args.metrics.parent
    said = verdicts.write(args.output, metrics, read_profile(results))
    power.write(args.output, metrics)
    print_lines([f"{args.output}/verdicts.csv, .md, .tex, claims.csv: {said}; power.csv, .md, .tex"], file=sys.stderr)
    return 0
