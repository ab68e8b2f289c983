"""`rfbench page`: the report, one HTML file."""

import argparse
import sys
from pathlib import Path

from rfbench.errors import RFBenchError, print_lines
from rfbench.page import render
from rfbench.page.model import build
from rfbench.report.reading import read_metrics


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.epilog = "Example: rfbench page --results results --output reports/report.html"
    parser.add_argument(
        "--results", type=Path, help="folder with runs/, profile.json, differences.csv (default: that of --metrics)"
    )
    parser.add_argument(
        "--metrics", type=Path, help="metrics.csv, or a part of it (default: the one in the results folder)"
    )
    parser.add_argument("--tables", type=Path, help="folder of the tables (default: tables beside the page)")
    parser.add_argument("--probe", type=Path, help="the probe's table as CSV (default: probe.csv among the tables)")
    parser.add_argument("--output", type=Path, required=True, help="HTML file to write")


def run(args: argparse.Namespace) -> int:
    """Run the command."""
    if args.results is None and args.metrics is None:
        raise RFBenchError(
            "expected --results or --metrics, found neither. `--results results` is what snakemake fills."
        )
    results = args.results or args.metrics.parent
    metrics = read_metrics(args.metrics or results / "metrics.csv")
    beside = args.metrics.parent if args.metrics else results
    folder = args.tables or args.output.parent / "tables"
    page = build(metrics, results, folder, differences=beside, probe=args.probe)
    print_lines([f"{args.output}: {render.write(args.output, page) / 1e6:.2f} MB"], file=sys.stderr)
    return 0
