"""`rfbench panels`: the examples with their photographs, for local use."""

import argparse
import sys
from pathlib import Path

from rfbench.commands.importing import importing
from rfbench.commands.options import add_config_argument, add_input_arguments
from rfbench.errors import RFBenchError, print_lines
from rfbench.settings import load


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    add_config_argument(parser)
    add_input_arguments(parser)
    parser.add_argument("--datasets", nargs="+", metavar="NAME", help="data sets to show (default: all)")
    parser.add_argument("--output", type=Path, required=True,
                        help="HTML file to write; panels.csv and figures/panels_* go beside it")  # fmt: skip


def run(args: argparse.Namespace) -> int:
    """Run the command."""
    with importing():
        from rfbench.page import panels
        from rfbench.report import examples, panel_figures
        from rfbench.report.panels import gather
    from rfbench.report.reading import read_metrics

    metrics, settings = read_metrics(args.metrics), load(args.config, registry=False)
    known = list(dict.fromkeys(metrics["dataset"]))
    wanted = args.datasets or known
    for name in wanted:
        if name not in known or name not in settings.datasets:
            where = args.metrics if name not in known else args.config
            raise RFBenchError(f"{where} has no data set {name}; --datasets takes some of those in both.")
    results = args.results or args.metrics.parent
    found = [gather(metrics[metrics["dataset"] == name], results, settings.datasets[name]) for name in wanted]
    listed = [case.example for one in found for case in one.cases]
    digest = examples.write(args.output.with_name(examples.NAME), listed)
    size = panels.write(args.output, found, digest)
    drawn = panel_figures.draw_all(found, args.output.parent / "figures", digest)
    lines = [f"{args.output}: {len(listed)} examples, {size / 1e6:.2f} MB", *map(str, drawn)]
    print_lines([*lines, f"{examples.NAME}: SHA-256 {digest}"], file=sys.stderr)
    return 0
