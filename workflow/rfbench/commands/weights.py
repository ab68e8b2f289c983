"""`rfbench weights`: fetch and check an ImageNet checkpoint."""

import argparse
import sys
from pathlib import Path

from rfbench.training.weights import fetch


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument("--source", required=True, help="file or URL of the checkpoint")
    parser.add_argument("--sha256", required=True, help="its digest, or at least the first eight digits")
    parser.add_argument("--output", type=Path, required=True, help="where to keep it")


def run(args: argparse.Namespace) -> int:
    """Run the command."""
    fetch(args.source, args.sha256, args.output)
    print(f"{args.output}: SHA-256 begins with {args.sha256}, as expected", file=sys.stderr)
    return 0
