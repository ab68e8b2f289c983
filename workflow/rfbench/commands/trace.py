"""`rfbench trace`: the runs behind a cell of a table."""

import argparse
from pathlib import Path

from rfbench.errors import print_lines
from rfbench.report.trace import COSTS, MEANS, trace


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.epilog = "Exit status: 0 if the cell agrees with the records, 1 if it does not. " + (
        "Example: rfbench trace reports/tables/table5.csv --pair m2mrf_c --metric mAUPR"
    )
    by_lesion = (
        f"{', '.join([*MEANS, *COSTS])}; in tables of methods AUPR, F or IoU of a lesion, too, such as 'AUPR EX'"
    )
    parser.add_argument("table", type=Path, help="a table's CSV file, such as reports/tables/table5.csv")
    parser.add_argument("--pair", required=True, help="operator pair or method, as the table's column `pair` has it")
    parser.add_argument("--metric", required=True, help=by_lesion)
    parser.add_argument("--dataset", help="data set, where the table holds several")


def run(args: argparse.Namespace) -> int:
    """Run the command."""
    found = trace(args.table, args.pair, args.metric, args.dataset)
    print_lines(found.lines)
    print_lines([f"DISAGREES: {problem}" for problem in found.problems] or ["The cell agrees with the records."])
    return int(bool(found.problems))
