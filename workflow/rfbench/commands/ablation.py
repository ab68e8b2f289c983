"""`rfbench ablation`: Table 1 and its figure."""

import argparse
import sys
from pathlib import Path

from rfbench import provenance
from rfbench.errors import RFBenchError, print_lines
from rfbench.report import plotting, rendering
from rfbench.report.ablation import METRICS, draw, notes, rows_of, to_csv
from rfbench.report.plotting import plt
from rfbench.report.reading import read_metrics


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument(
        "--metrics", type=Path, required=True, help="results/metrics.csv of a configuration with a sweep"
    )
    parser.add_argument("--output", type=Path, required=True, help="reports folder: tables/table1.*, figures/table1.*")


def run(args: argparse.Namespace) -> int:
    """Run the command."""
    metrics = read_metrics(args.metrics)
    rows, about = rows_of(metrics), notes(metrics)
    if not rows:
        raise RFBenchError(f"{args.metrics}: expected runs of a sweep, found none. Configure `sweep`; see the schema.")
    provenance.write_text(args.output / "tables" / "table1.csv", to_csv(rows))
    headings = [{"name": name, "printed": bool(printed)} for _, name, printed, _ in METRICS]
    for kind in ("md", "tex"):
        text = rendering.render(f"ablation.{kind}.j2", rows=rows, about=about, headings=headings)
        provenance.write_text(args.output / "tables" / f"table1.{kind}", text)
    (args.output / "figures").mkdir(parents=True, exist_ok=True)
    with plt.rc_context(plotting.STYLE):
        plotting.save(draw(rows, about), args.output / "figures", "table1")
    print_lines([f"{args.output}/tables/table1.csv, .md, .tex, figures/table1.*: {len(rows)} rows"], file=sys.stderr)
    return 0
