"""`rfbench predict`: lesion probabilities and an overlay for any fundus photograph.

For each photograph `<stem>_<lesion>.png`, the probabilities at its own size as 16-bit grey (65535 is 1), and
`<stem>_overlay.png`, the regions above the threshold outlined in the papers' colours (HE green, MA blue, EX red, SE
yellow; lesions may overlap, then one outline runs around the other). `predictions.json` says which network made them;
a folder holds the maps of one network, and more photographs may follow. A photograph's EXIF orientation is applied
first. For research; no medical device.
"""

import argparse
import sys
from collections import Counter
from pathlib import Path

from rich.console import Console
from rich.progress import track

from rfbench import devices
from rfbench.commands.importing import importing
from rfbench.commands.options import add_network_arguments, network_values
from rfbench.errors import RFBenchError, print_lines, printable
from rfbench.names import PHOTOGRAPHS


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.description = __doc__
    parser.add_argument("images", nargs="+", type=Path, metavar="IMAGE", help=f"photographs ({', '.join(PHOTOGRAPHS)})")
    parser.add_argument("--checkpoint", type=Path, required=True, metavar="FILE",
                        help="weights: a run's work/model.pth, or the M2MRF authors'")  # fmt: skip
    parser.add_argument("--pair", help="operator pair or method (default: the checkpoint's own)")
    parser.add_argument("--output", type=Path, required=True, metavar="DIR", help="folder of the maps and overlays")
    parser.add_argument("--threshold", type=float, default=0.5, help="probability outlined from (%(default)s)")
    parser.add_argument("--layout", choices=("idrid", "ddr"), default="idrid",
                        help="published protocol, for what no option and no checkpoint says (%(default)s)")  # fmt: skip
    add_network_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Predict every photograph; 1 if one could not be read, after the others are done."""
    twice = [stem for stem, count in Counter(path.stem for path in args.images).items() if count > 1]
    if twice:
        raise RFBenchError(f"IMAGE: two photographs are named {twice[0]}, and so would their maps be. Rename one.")
    if not 0 < args.threshold < 1:
        raise RFBenchError(f"--threshold: expected a probability between 0 and 1, found {args.threshold:g}.")
    devices.claim_for(args.device)
    with importing():
        from rfbench.evaluation import trained
        from rfbench.evaluation.predict import predict_file
        from rfbench.evaluation.predictions import FULL_SCALE, Predictions

    settings, sources = trained.settle(args.checkpoint, network_values(args), args.layout)
    record = {"kind": "prediction", "settings": settings, "sources": sources, "threshold": args.threshold,
              "full_scale": FULL_SCALE, "checkpoint": trained.identity(args.checkpoint)}  # fmt: skip
    predictions = Predictions(args.output, record, "--output")
    predictions.refuse_foreign(path.stem for path in args.images)
    model, device = trained.network(settings, args.checkpoint, args.device)
    predictions.record["provenance"] = devices.provenance_on(device)
    print_lines(trained.describe(settings, sources), file=sys.stderr)
    failed, console = [], Console(stderr=True)
    for path in track(args.images, "predicting", console=console, disable=not console.is_terminal):
        try:
            predict_file(path, model, settings["dataset"], device, predictions, args.threshold)
        except RFBenchError as error:
            failed.append(path)
            named = error if str(error).startswith(printable(path)) else RFBenchError(f"{path}: {error}")
            print(f"rfbench predict: {named}", file=sys.stderr)
    done = len(args.images) - len(failed)
    print_lines([f"{args.output}: {done} of {len(args.images)} photographs predicted"], file=sys.stderr)
    return int(bool(failed))
