"""`rfbench score`: score a checkpoint file on a prepared data set."""

import argparse
import sys
from pathlib import Path

from rfbench import devices, provenance
from rfbench.commands.evaluate import show
from rfbench.commands.importing import importing
from rfbench.commands.options import add_network_arguments, network_values
from rfbench.errors import print_lines
from rfbench.published.protocol import DATASET_NAMES


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument("--checkpoint", type=Path, required=True, metavar="FILE", help="weights to score")
    data = "folder of a prepared data set (`rfbench prepare`)"
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help=data)
    parser.add_argument("--pair", help="operator pair or method (default: the checkpoint's own)")
    parser.add_argument("--split", default="test", help="images to score on (%(default)s)")
    parser.add_argument("--layout", choices=DATASET_NAMES, help="published protocol (default: the data set's)")
    size = "size that predictions are scored at (default: prepared for DDR, else native)"
    parser.add_argument("--eval-size", choices=("native", "prepared"), help=size)
    saved = "write a 16-bit PNG of probabilities per image and lesion, for looking: the metrics are computed from the "
    parser.add_argument("--save-predictions", type=Path, metavar="DIR", help=saved + "unrounded ones")
    parser.add_argument("--output", type=Path, help="record to write (JSON)")
    add_network_arguments(parser)
    parser.epilog = "example:\n  rfbench score --pair m2mrf_c --checkpoint FILE --data results/data/IDRiD"


def run(args: argparse.Namespace) -> int:
    """Score, print, and write the record where `--output` names one."""
    devices.claim_for(args.device)
    with importing():
        from rfbench.evaluation.score import beside, score

    record = score(
        args.checkpoint,
        args.data,
        given=network_values(args),
        layout=args.layout,
        split=args.split,
        eval_size=args.eval_size,
        predictions=args.save_predictions,
        device=args.device,
    )
    print_lines(record["description"])
    show(record, file=sys.stdout)
    print_lines(beside(record))
    if args.output:
        provenance.write_json(args.output, record)
    return 0
