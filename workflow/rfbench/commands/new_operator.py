"""`rfbench new-operator`: a file to begin with."""

import argparse
import sys
from pathlib import Path

from rfbench import provenance
from rfbench.contract.new_operator import with_pair, write_operator
from rfbench.errors import RFBenchError, print_lines


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument("name", metavar="NAME", help="name of the operator and its file, e.g. box_pool")
    parser.add_argument("--config", type=Path, metavar="FILE", help="also add the pair to this configuration")
    parser.epilog = "The file is operators/NAME.py, its pair NAME_bilinear. What it has to do: operators/README.md."


def run(args: argparse.Namespace) -> int:
    """Run the command."""
    if args.config and not args.config.is_file():
        raise RFBenchError(f"--config {args.config}: no such file; nothing was written.")
    # A list that cannot be edited is reported before the operator's file is written.
    text, added = with_pair(args.config, f"{args.name}_bilinear") if args.config else ("", "")
    file, pair = write_operator(args.name)
    print_lines([f"{file}: written, with a working toy operator"], file=sys.stderr)
    configured = str(args.config or "config/default.yaml")
    if args.config:
        provenance.write_text(args.config, text)
        print_lines([f"{args.config}: {added}"], file=sys.stderr)
    else:
        print(f"The line for `pairs` in {configured}:", file=sys.stderr)
        print(f"  - {pair}")
    option = "" if configured == "config/default.yaml" else f" --configfile {configured}"
    print(
        f"Then: rfbench check {pair}    snakemake --cores all{option}  (executes only this pair's runs)",
        file=sys.stderr,
    )
    print(f"Where it stands with tiny lesions, on a CPU: rfbench probe --pairs {pair}", file=sys.stderr)
    return 0
