"""`rfbench new-operator`: a file to begin with."""

import argparse
import sys

from rfbench.commands.beginning import add_config, begin
from rfbench.contract.new_operator import write_operator
from rfbench.errors import print_lines

USUAL = "config/default.yaml"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument("name", metavar="NAME", help="name of the operator and its file, e.g. box_pool")
    add_config(parser, "pair")
    parser.epilog = "The file is operators/NAME.py, its pair NAME_bilinear. What it has to do: operators/README.md."


def run(args: argparse.Namespace) -> int:
    """Run the command."""
    pair = f"{args.name}_bilinear"
    begin(args.config, "pairs", pair, lambda: write_operator(args.name)[0], "a working toy operator", USUAL)
    configured = str(args.config or USUAL)
    option = "" if configured == USUAL else f" --configfile {configured}"
    print_lines([
        f"Then: rfbench check {pair}    snakemake --cores all{option}  (executes only this pair's runs)",
        f"Where it stands with tiny lesions, on a CPU: rfbench probe --pairs {pair}",
    ], file=sys.stderr)  # fmt: skip
    return 0
