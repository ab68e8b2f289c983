"""`rfbench tables`: the paper's tables, and that of the lesions found."""

import argparse
import os
import sys
from pathlib import Path

from rfbench import provenance
from rfbench.commands.options import add_input_arguments
from rfbench.errors import print_lines
from rfbench.published import TABLES, names_for
from rfbench.report import lesions, methods, rendering
from rfbench.report.reading import read_differences, read_metrics, read_profile
from rfbench.report.tables import INDEX, notes, rows_of, select


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    add_input_arguments(parser)
    parser.add_argument("--output", type=Path, required=True, help="folder of the tables (.csv, .md, .tex)")


def run(args: argparse.Namespace) -> int:
    """Run the command."""
    metrics, results = read_metrics(args.metrics), args.results or args.metrics.parent
    print_lines([f"{args.output}/lesions.csv, .md, .tex: {lesions.write(args.output, metrics)} rows"], file=sys.stderr)
    metrics = metrics[metrics["split"] != "val"]  # the paper's tables but the ablation are about test images
    profile, differences = read_profile(results), read_differences(args.metrics.parent)
    for name in names_for(set(metrics["layout"]), since=(metrics["since"] != "").any()):
        table = TABLES[name]
        if select(metrics, table).empty:
            print_lines([f"{args.output}/{name}: none of its rows is configured"], file=sys.stderr)
        rows, about = rows_of(metrics, table, profile, differences), notes(metrics, table, profile)
        rendering.write(args.output, name, rows, about)
        print_lines([f"{args.output}/{name}.csv, .md, .tex: {len(rows)} rows"], file=sys.stderr)
    for name in methods.names_for(metrics):
        count = methods.write(args.output, name, metrics, profile, differences)
        print_lines([f"{args.output}/{name}.csv, .md, .tex: {count} rows"], file=sys.stderr)
    index = {"metrics": os.path.relpath(args.metrics, args.output), "metrics_sha256": provenance.sha256(args.metrics),
             "results": os.path.relpath(results, args.output)}  # fmt: skip
    provenance.write_json(args.output / INDEX, index)
    return 0
