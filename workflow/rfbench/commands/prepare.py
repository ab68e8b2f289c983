"""`rfbench prepare`: a raw archive becomes a prepared data set."""

import argparse
import json
import sys
from pathlib import Path

from rfbench import stages
from rfbench.data import folder, store
from rfbench.data.manifest import read_manifest, region_totals
from rfbench.data.prepare import prepare_ddr, prepare_folder, prepare_idrid, prepare_synthetic
from rfbench.data.summary import SUMMARY, warnings_of
from rfbench.data.synthetic import rawfiles
from rfbench.data.validation import Validation
from rfbench.errors import printable
from rfbench.files import write_changed
from rfbench.names import LESIONS
from rfbench.runs import PREPARED


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the data sets as sub-commands of `rfbench prepare`."""
    datasets = parser.add_subparsers(dest="dataset", required=True, metavar="DATASET")
    real = _add_real(
        datasets,
        "idrid",
        help="IDRiD's lesion set, from the official zip or its extracted tree",
        description="Check IDRiD's lesion set and write images, label maps, manifest.csv and summary.md. "
        "The archive is read in place: idrid.grand-challenge.org, 'A. Segmentation.zip'.",
    )
    _add_unofficial(real, "skip the numbers of files, frame size and region totals")
    real = _add_real(
        datasets,
        "ddr",
        help="DDR's lesion set, from its ten parts, the joined zip or its extracted tree",
        description="Check DDR's lesion set and write images, label maps, manifest.csv and summary.md. The ten parts "
        "(github.com/nkicsl/DDR-dataset) are read in place: give the first, or the folder of all.",
    )
    _add_unofficial(real, "skip the numbers of images")
    real = _add_real(
        datasets,
        "folder",
        help="your own images and masks, described by a table dataset.csv",
        description=folder.__doc__,
    )
    real.add_argument(
        "--lesions", nargs="+", default=LESIONS, metavar="NAME", help=f"lesions in painting order ({' '.join(LESIONS)})"
    )
    _add_synthetic(datasets)


def _add_real(datasets, name: str, **about) -> argparse.ArgumentParser:
    real = datasets.add_parser(name, **about)
    what = "the zip, or the folder extracted from it"
    real.add_argument("--source", type=Path, required=True, metavar="PATH", help=what)
    real.add_argument("--output", type=Path, required=True, metavar="DIR", help="folder of the prepared data set")
    _add_common(real)
    return real


def _add_common(data: argparse.ArgumentParser) -> None:
    data.add_argument(
        "--validation", type=int, metavar="N",
        help="hold N of the training images out as the split val, for a data set that has none",
    )  # fmt: skip
    data.add_argument(
        "--validation-seed", type=int, default=0, metavar="N", help="seed that they are drawn with (%(default)s)"
    )
    store = "also decode the training images, which trainings else do (recipe.store; default: %(default)s)"
    data.add_argument("--store", nargs="?", const="yes", default="no", choices=("yes", "no"), help=store)


def _add_unofficial(real: argparse.ArgumentParser, what: str) -> None:
    real.add_argument("--unofficial", action="store_true", help=f"a cut-down set: {what}")


def _add_synthetic(datasets) -> None:
    made = datasets.add_parser(
        "synthetic",
        help="generated images in the layout of IDRiD or DDR, for trying the suite without any download",
        description="Generate images with the lesion statistics of IDRiD or DDR, then prepare them like the real set. "
        "They test the machinery; results on them say nothing of eyes.",
    )
    made.add_argument("--output", type=Path, required=True, metavar="DIR", help="folder of the prepared data set")
    made.add_argument(
        "--layout", choices=tuple(rawfiles.ZIPS), default="idrid", help="whose layout and statistics (%(default)s)"
    )
    made.add_argument(
        "--pack", choices=("tree", "zip", "parts"), default="tree", help="form of the raw archive (%(default)s)"
    )
    made.add_argument("--train", type=int, default=16, metavar="N", help="training images (%(default)s)")
    made.add_argument("--val", type=int, default=0, metavar="N", help="validation images, DDR only (%(default)s)")
    made.add_argument("--test", type=int, default=8, metavar="N", help="test images (%(default)s)")
    made.add_argument(
        "--factor", type=float, default=0.125, metavar="F", help="length relative to the real frames (%(default)s)"
    )
    made.add_argument(
        "--contrast", type=float, default=1.0, metavar="C", help="lesions' contrast relative to IDRiD's (%(default)s)"
    )
    made.add_argument("--seed", type=int, default=0, metavar="N", help="seed of all random draws (%(default)s)")
    _add_common(made)


def run(args: argparse.Namespace) -> int:
    """Prepare the data set that the arguments name, print where its summary is and its regions; return 0."""
    held = {"validation": None if args.validation is None else Validation(args.validation, args.validation_seed)}
    if args.dataset == "idrid":
        manifest = prepare_idrid(args.source, args.output, expect_official=not args.unofficial, **held)
    elif args.dataset == "ddr":
        manifest = prepare_ddr(args.source, args.output, expect_official=not args.unofficial, **held)
    elif args.dataset == "folder":
        manifest = prepare_folder(args.source, args.output, lesions=args.lesions, **held)
    else:
        options = ("train", "val", "test", "factor", "seed", "contrast", "layout", "pack")
        manifest = prepare_synthetic(args.output, **{option: getattr(args, option) for option in options}, **held)
    # Which code prepared it, for a later decision whether a change of code must prepare it again.
    content = json.dumps({"code": stages.code_digest("prepare")}) + "\n"
    write_changed(manifest.with_name(PREPARED), content.encode())
    if args.store == "yes":
        store.fill(manifest)
    for warning in warnings_of(manifest.with_name(SUMMARY)):
        print(f"warning: {warning}", file=sys.stderr)
    totals = region_totals(read_manifest(manifest))
    print(printable(manifest.with_name(SUMMARY)))
    print("regions: " + ", ".join(f"{lesion} {count}" for lesion, count in totals.items()))
    return 0
