"""`rfbench costs`: the profile as table and figure."""

import argparse
import sys
from pathlib import Path

from rfbench.errors import print_lines
from rfbench.report.costs import draw_losses, render
from rfbench.report.plotting import STYLE, plt, save
from rfbench.report.reading import read_costs


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    record = "record of `rfbench profile`, or of `rfbench gpu` (JSON)"
    parser.add_argument("--profile", type=Path, required=True, help=record)
    suffix = "_<block> goes before the ending for a record of `rfbench gpu`"
    parser.add_argument("--tables", type=Path, required=True, help=f"folder of profile.csv and profile.md; {suffix}")
    figures = f"folder of profile_speed.png and .pdf; {suffix}, and training_losses"
    parser.add_argument("--figures", type=Path, required=True, help=figures)


def run(args: argparse.Namespace) -> int:
    """Run the command."""
    profiles, trainings, record = read_costs(args.profile)
    args.figures.mkdir(parents=True, exist_ok=True)
    with plt.rc_context(STYLE):
        for name, profile in profiles.items():
            render(profile, f"_{name}" if name else "", args.tables, args.figures)
        if trainings:
            save(draw_losses(trainings, record), args.figures, "training_losses")
            print_lines([f"{args.figures}/training_losses.png, .pdf"], file=sys.stderr)
    return 0
