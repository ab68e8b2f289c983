"""`rfbench new-method`: a file to begin with."""

import argparse
import sys

from rfbench.commands.beginning import add_config, begin
from rfbench.contract.new_method import write_method
from rfbench.errors import print_lines

USUAL = "config/methods_ci.yaml"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument("name", metavar="NAME", help="name of the method and its file, e.g. my_net")
    add_config(parser, "method")
    parser.epilog = "The file is workflow/rfbench/methods/NAME.py. What it has to do: docs/methods.md."


def run(args: argparse.Namespace) -> int:
    """Run the command."""
    begin(args.config, "methods", args.name, lambda: write_method(args.name), "a working toy network", USUAL)
    configured = args.config or USUAL
    print_lines([f"Then: rfbench check {args.name}", f"      snakemake --cores all --configfile {configured}"],
                file=sys.stderr)  # fmt: skip
    return 0
