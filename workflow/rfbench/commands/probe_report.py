"""`rfbench probe-report`: tables and figures of the probe, of what is there."""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from rfbench.commands.importing import importing
from rfbench.errors import print_lines

if TYPE_CHECKING:
    from rfbench.probe.settings import Probe


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument("--config", type=Path, required=True, help="configuration with a section `probe`")
    parser.add_argument("--table", type=Path, help="records as probe.csv (default: gathered from the results folder)")
    parser.add_argument("--output", type=Path, help="folder of tables/ and figures/ (default: the configured reports)")
    parser.add_argument("--picture", type=Path, help="write only the figure of AP against size, as this SVG file")


def run(args: argparse.Namespace) -> int:
    """Run the command."""
    with importing():
        from rfbench.probe import analysis, figures, keeping, records, report
        from rfbench.probe.settings import load

    probe = load(args.config)
    reports = args.output or probe.reports
    if args.table:
        table, kept = records.read(args.table, probe.protocol), []
        holes = records.absent(table, probe.groups, args.table.name)
    else:
        kept, accepted = keeping.reasons(probe.results), keeping.accepted(probe.results)
        table, holes = records.gather(probe.protocol, probe.groups, probe.results, accepted)
        records.write(table, table_path(probe))
        table = records.read(table_path(probe), probe.protocol)  # with the digits that are kept
    outcome = analysis.conclude(table, probe.protocol, probe.pairs, probe.chosen.arms)
    pairs = report.ordered(probe.pairs)
    if args.picture:
        figures.picture(args.picture, table, outcome, probe.protocol, pairs)
        print_lines([f"{args.picture}: {report.state(outcome)}"], file=sys.stderr)
        return 0
    report.write(reports / "tables", table, outcome, probe.protocol, holes, pairs, kept)
    figures.draw_all(reports / "figures", table, outcome, probe.protocol, pairs)
    for reason, names in report.by_reason(holes).items():
        print(f"{reason}: {', '.join(names)}", file=sys.stderr)
    said = ", ".join(f"{name} {verdict}" for name, verdict in outcome.verdicts.items())
    print(f"{reports}/tables/probe.csv, .md, .tex; {reports}/figures/probe_*: {report.state(outcome)}; {said}",
          file=sys.stderr)  # fmt: skip
    return 0


def table_path(probe: "Probe") -> Path:
    """Of the table of all records, beside their folder."""
    return probe.results.with_name(f"{probe.results.name}.csv")
