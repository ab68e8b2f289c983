"""`rfbench weights`: fetch and check an ImageNet checkpoint."""

import argparse
import sys
from pathlib import Path

from rfbench.commands.options import add_config_argument
from rfbench.errors import RFBenchError
from rfbench.settings import load
from rfbench.training.weights import fetch


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    add_config_argument(parser, required=False)
    parser.add_argument("--source", help="file or URL of the checkpoint (default: the configured one)")
    parser.add_argument("--sha256", help="its digest, or at least the first eight digits (default: configured)")
    parser.add_argument("--output", type=Path, required=True, help="where to keep it")


def run(args: argparse.Namespace) -> int:
    """Run the command."""
    source, sha256 = args.source, args.sha256
    if source is None or sha256 is None:
        pretrained = load(args.config).model.pretrained if args.config else None
        if pretrained is None:
            raise RFBenchError("--source and --sha256: expected both, or --config with model.pretrained; found less.")
        source, sha256 = source or pretrained.source, sha256 or pretrained.sha256
    fetch(source, sha256, args.output)
    print(f"{args.output}: SHA-256 begins with {sha256}, as expected", file=sys.stderr)
    return 0
