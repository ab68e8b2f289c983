"""`rfbench lesions`: every lesion of a data set's evaluated images, as lesions.npz."""

import argparse
import sys
from pathlib import Path

import numpy as np

from rfbench.commands.options import add_config_argument, load_with_dataset
from rfbench.errors import print_lines
from rfbench.evaluation.ground_truth import lesions_of
from rfbench.lesions import truth


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    add_config_argument(parser)
    parser.add_argument("--dataset", required=True, help="data set, as the configuration names it")
    parser.add_argument("--manifest", type=Path, required=True, help="manifest.csv of the prepared data set")
    parser.add_argument("--output", type=Path, required=True, help=f"{truth.NAME} to write")


def run(args: argparse.Namespace) -> int:
    """Run the command."""
    settings = load_with_dataset(args.config, args.dataset)
    dataset = settings.datasets[args.dataset]
    about = {"lesions": dataset.lesions, "scale": dataset.scale, "eval_size": dataset.eval_size}
    found = lesions_of(args.manifest, settings.evaluation.split, **about)
    truth.write(args.output, found)
    counts = np.bincount(found.kind, minlength=len(found.names))
    numbers = ", ".join(f"{name} {count}" for name, count in zip(found.names, counts, strict=True))
    print_lines([f"{args.output}: lesions of {len(found.stems)} images: {numbers}"], file=sys.stderr)
    return 0
