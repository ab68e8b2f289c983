"""`rfbench train`: train one network."""

import argparse
import sys
from pathlib import Path

from rfbench import devices, kept, runs
from rfbench.commands.importing import importing
from rfbench.commands.options import add_run_arguments, load_with_dataset
from rfbench.errors import print_lines


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    add_run_arguments(parser)
    parser.add_argument("--work", type=Path, required=True, help="folder of checkpoints; found ones are resumed")
    parser.add_argument("--weights", type=Path, help="ImageNet checkpoint of the backbone (see `rfbench weights`)")
    parser.add_argument("--output", type=Path, required=True, help="record of the finished run (JSON)")


def run(args: argparse.Namespace) -> int:
    """Run the command."""
    settings = load_with_dataset(args.config, args.dataset)
    from rfbench.training.workfolder import reported

    with reported(args.work):
        devices.claim_for(settings.device)
    with importing():
        from rfbench.training.train import train

    run = runs.of(settings, args.dataset, args.pair, args.seed).settings
    kept.remember(settings.results, "train", run.pair)
    record = train(
        run,
        settings.recipe,
        settings.device,
        manifest=args.manifest,
        work=args.work,
        output=args.output,
        weights=args.weights,
    )
    if record["state"] != "done":
        print_lines([f"{args.output}: {record['state']} ({record['reason']}); the tables show a hole"], file=sys.stderr)
    return 0
