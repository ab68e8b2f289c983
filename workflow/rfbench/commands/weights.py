"""`rfbench weights`: fetch and check an ImageNet checkpoint."""

import argparse
import sys
from pathlib import Path

from rfbench.commands.options import add_config_argument
from rfbench.errors import RFBenchError, print_lines
from rfbench.settings import every_pretrained, load
from rfbench.training.weights import WHOLE, fetch


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    add_config_argument(parser, required=False)
    parser.add_argument("--source", help="file or URL of the checkpoint (default: the configured one)")
    parser.add_argument("--sha256", help="its digest, or at least the first eight digits (default: configured)")
    parser.add_argument("--output", type=Path, required=True, help="where to keep it")


def run(args: argparse.Namespace) -> int:
    """Run the command and say which digits were checked: eight are the file's name, and no proof."""
    source, sha256 = args.source, args.sha256
    if source is None or sha256 is None:
        every = every_pretrained(load(args.config)).values() if args.config else []
        # The pipeline asks for each by the name of its file; a person's own output is the backbone's.
        named = [one for one in every if one.name == args.output.stem]
        pretrained = next(iter([*named, *every]), None)
        if pretrained is None:
            raise RFBenchError("--source and --sha256: expected both, or --config with model.pretrained; found less.")
        source = pretrained.source if source is None else source
        sha256 = pretrained.sha256 if sha256 is None else sha256
    found = fetch(source, sha256, args.output)
    checked = "the whole digest is" if len(sha256) == WHOLE else f"the first {len(sha256)} digits are"
    proof = "" if len(sha256) == WHOLE else "; give the whole one as model.pretrained.sha256 to prove it next time"
    print_lines([f"{args.output}: SHA-256 {found}, {checked} as expected{proof}"], file=sys.stderr)
    return 0
