"""`rfbench aggregate`: all evaluations as one table."""

import argparse
import sys
from pathlib import Path

from rfbench import provenance
from rfbench.commands.options import add_config_argument
from rfbench.errors import print_lines
from rfbench.report.aggregate import aggregate
from rfbench.settings import load


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    add_config_argument(parser)
    parser.add_argument("--output", type=Path, required=True, help="metrics.csv to write")


def run(args: argparse.Namespace) -> int:
    """Run the command."""
    table = aggregate(load(args.config))
    provenance.write_text(args.output, table.to_csv(index=False, lineterminator="\n"))
    runs = table.drop_duplicates(["dataset", "pair", "seed"])
    states = ", ".join(f"{count} {state}" for state, count in runs["state"].value_counts().items())
    print_lines([f"{args.output}: {len(runs)} runs ({states})"], file=sys.stderr)
    return 0
