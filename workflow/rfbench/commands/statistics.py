"""`rfbench statistics`: from metrics.csv and the runs' evidence to differences.csv."""

import argparse
import sys
from pathlib import Path

from rfbench import provenance
from rfbench.commands.options import add_input_arguments
from rfbench.errors import print_lines
from rfbench.names import BASELINE_ROW
from rfbench.report.reading import read_metrics
from rfbench.statistics.differences import differences


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    add_input_arguments(parser)
    parser.add_argument(
        "--reference",
        default=BASELINE_ROW,
        help="pair or method, or row of the tables, that the others are compared with (%(default)s)",
    )
    parser.add_argument("--output", type=Path, required=True, help="differences.csv to write")


def run(args: argparse.Namespace) -> int:
    """Run the command."""
    table, notes = differences(read_metrics(args.metrics), args.results or args.metrics.parent, args.reference)
    # Ten digits: the last ones of a double depend on the machine's linear algebra.
    provenance.write_text(args.output, table.to_csv(index=False, lineterminator="\n", float_format="%.10g"))
    for note in notes:
        print(note, file=sys.stderr)
    print_lines([f"{args.output}: {len(table)} differences"], file=sys.stderr)
    return 0
