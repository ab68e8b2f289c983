"""`rfbench probe`: run the controlled experiment for operator pairs, and say where they stand."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from rich.box import SIMPLE
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from rfbench.commands.importing import importing
from rfbench.errors import RFBenchError

if TYPE_CHECKING:
    from rfbench.probe.settings import Probe


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument("--config", type=Path, help="configuration with a section `probe` (default: as registered)")
    parser.add_argument("--pairs", nargs="+", metavar="PAIR", help="operator pairs to run instead of the configured")
    parser.add_argument("--arms", nargs="+", choices=("fusion", "serial"), help="(default: fusion, or the configured)")
    parser.add_argument("--copies", nargs="*", choices=("matched", "sweep", "loss"),
                        help="further runs: equal parameters, options varied, the second loss "
                             "(default: none, or the configured)")  # fmt: skip
    parser.add_argument("--group", nargs="+", metavar="GROUP",
                        help="run these groups only, such as fusion/m2mrf_c--matched, and compare nothing")  # fmt: skip


def run(args: argparse.Namespace) -> int:
    """Run the command."""
    with importing():
        from rfbench.probe import keeping
        from rfbench.probe.groups import judged_runs, named, tuning_runs
        from rfbench.probe.run import run_group

    probe = chosen(args)
    groups = [named(name, probe.groups) for name in args.group] if args.group else probe.groups
    accepted = keeping.accepted(probe.results)
    protocol, console = probe.protocol, Console(stderr=True)
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    total = sum(len(tuning_runs(group, protocol)) + len(judged_runs(group, protocol, 0)) for group in groups)
    failed = []
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        task = progress.add_task("probe", total=total)
        for group in groups:
            progress.update(task, description=group.name)
            try:
                for _ in run_group(protocol, group, probe.results, accepted):
                    progress.advance(task)
            except RFBenchError as error:  # the other groups do not wait for it
                failed.append(str(error))
    if not args.group:
        show(probe)
    if failed:
        raise RFBenchError(*failed)
    return 0


def show(probe: "Probe") -> None:
    """Print where the pairs of arm fusion stand."""
    from rfbench.probe import analysis, keeping, records, report
    from rfbench.probe.protocol import departures

    protocol, reference = probe.protocol, probe.protocol.analysis.reference
    table, _ = records.gather(protocol, probe.groups, probe.results, keeping.accepted(probe.results))
    outcome = analysis.conclude(table, protocol, probe.pairs, probe.chosen.arms)
    for control in outcome.controls:
        word = {True: "passed", False: "FAILED", None: "open"}[control.passed]
        print(f"control {control.name}, arm {control.arm}: {word}. {control.found}")
    shown = Table("pair", box=SIMPLE, pad_edge=False)
    shown.columns[0].no_wrap = True
    for heading in ("tiny AP", "gain, tiny", "gain, large", "p"):
        shown.add_column(heading, justify="right", no_wrap=True)
    for row in report.rows_of(analysis.Scores(table, protocol), outcome, "fusion", report.ordered(probe.pairs)):
        found = (report.points(row[name], True) for name in ("gain_tiny", "gain_large"))
        p = report.p_value(row["judged"].p_h1) if row["judged"] else "–"
        shown.add_row(row["row"], f"{100 * row['tiny'].mean:.1f}", *found, p)
    Console(width=max(Console().width, 92)).print(shown)
    tiny, large = (" and ".join(map(str, sizes)) for sizes in (protocol.analysis.tiny, protocol.analysis.large))
    print(f"{report.state(outcome)}. Percent; tiny: lesions of {tiny} cells, large: of {large}.")
    seeds, level = len(protocol.seeds.test), 100 * protocol.analysis.level
    print(f"Gains over {report.row_name(reference)} on the same {seeds} seeds, {level:g} % intervals; p of H1 by Holm.")
    for departure in departures(protocol):
        print(f"Not the registered experiment: {departure}")


def chosen(args: argparse.Namespace) -> "Probe":
    """The configured probe, with what the command line says instead."""
    from rfbench.probe.settings import Chosen, Probe, load

    probe = load(args.config) if args.config else Probe(Chosen(arms=("fusion",), copies=()), "rfbench probe")
    said = {key: tuple(getattr(args, key)) for key in ("pairs", "arms", "copies") if getattr(args, key) is not None}
    return Probe(Chosen.model_validate(probe.chosen.model_dump() | said), str(args.config or "rfbench probe"))
