"""`rfbench show`: pictures of a prepared data set."""

import argparse
import sys
from pathlib import Path

import pandas as pd

from rfbench.data.manifest import NAME, lesions_of, read_manifest
from rfbench.data.show import _png, contact_sheet, refuse_inside, show_image, summary_line
from rfbench.errors import print_lines
from rfbench.files import write_changed


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument("folder", type=Path, metavar="DATASET", help="folder of a prepared data set")
    parser.add_argument("stem", nargs="?", help="image to show (default: a contact sheet)")
    parser.add_argument("--output", type=Path, required=True, metavar="DIR", help="folder of the pictures")
    parser.add_argument("--beside", type=Path, nargs="+", default=[], metavar="DATASET",
                        help="further data sets on the contact sheet, one row each")  # fmt: skip
    parser.add_argument("--split", default="train", help="split of the contact sheet (%(default)s)")
    parser.add_argument("--images", type=int, default=4, metavar="N", help="images per data set (%(default)s)")


def run(args: argparse.Namespace) -> int:
    """Run the command."""
    if args.stem:
        picture, table = show_image(args.folder, args.stem, args.output)
        regions = pd.read_csv(table, keep_default_na=False)
        for lesion in lesions_of(read_manifest(args.folder / NAME)):
            print(summary_line(regions, lesion))
        print_lines([picture, table], file=sys.stderr)
        return 0
    for folder in (args.folder, *args.beside):
        refuse_inside(args.output, folder)
    path = args.output / "contact_sheet.png"
    write_changed(path, _png(contact_sheet([args.folder, *args.beside], args.split, max(args.images, 1))))
    print_lines([path], file=sys.stderr)
    return 0
