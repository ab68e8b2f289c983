"""`rfbench throughput`: training samples a second of one core."""

import argparse
import sys
from pathlib import Path

from rfbench import provenance
from rfbench.commands.importing import importing
from rfbench.commands.options import add_config_argument, load_with_dataset


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    add_config_argument(parser)
    parser.add_argument("--dataset", required=True, help="data set, as the configuration names it")
    parser.add_argument("--manifest", type=Path, required=True, help="manifest.csv of the prepared data set")
    parser.add_argument("--samples", type=int, default=24, metavar="N", help="samples to time (%(default)s)")
    parser.add_argument("--output", type=Path, help="record to write (JSON)")


def run(args: argparse.Namespace) -> int:
    """Run the command."""
    with importing():
        from rfbench.profiling.throughput import measure

    settings = load_with_dataset(args.config, args.dataset)
    rates = measure(settings.datasets[args.dataset], settings.recipe, args.manifest, args.samples)
    for source, rate in rates.items():
        print(f"{source:10} {rate:6.2f} samples/s on one core", file=sys.stderr)
    if args.output:
        record = {"dataset": args.dataset, "samples": args.samples, "samples_per_second": rates}
        provenance.write_json(args.output, record | {"provenance": provenance.collect("cpu")})
    return 0
