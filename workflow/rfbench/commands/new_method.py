"""`rfbench new-method`: a file to begin with."""

import argparse
import sys
from pathlib import Path

from rfbench import provenance
from rfbench.contract.new_method import write_method
from rfbench.contract.new_operator import with_name
from rfbench.errors import RFBenchError, print_lines


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument("name", metavar="NAME", help="name of the method and its file, e.g. my_net")
    parser.add_argument("--config", type=Path, metavar="FILE", help="also add the method to this configuration")
    parser.epilog = "The file is workflow/rfbench/methods/NAME.py. What it has to do: docs/methods.md."


def run(args: argparse.Namespace) -> int:
    """Run the command."""
    if args.config and not args.config.is_file():
        raise RFBenchError(f"--config {args.config}: no such file; nothing was written.")
    # A list that cannot be edited is reported before the method's file is written.
    text, added = with_name(args.config, "methods", args.name) if args.config else ("", "")
    file = write_method(args.name)
    print_lines([f"{file}: written, with a working toy network"], file=sys.stderr)
    if args.config:
        provenance.write_text(args.config, text)
        print_lines([f"{args.config}: {added}"], file=sys.stderr)
    else:
        print("The line for `methods` in config/methods_ci.yaml:", file=sys.stderr)
        print(f"  - {args.name}")
    configured = args.config or "config/methods_ci.yaml"
    print_lines([f"Then: rfbench check {args.name}", f"      snakemake --cores all --configfile {configured}"],
                file=sys.stderr)  # fmt: skip
    return 0
