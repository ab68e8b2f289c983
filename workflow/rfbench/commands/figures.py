"""`rfbench figures`: every figure."""

import argparse
import sys
from pathlib import Path

from rfbench import provenance
from rfbench.commands.options import add_input_arguments
from rfbench.errors import print_lines
from rfbench.report.figures import LIST, draw_all
from rfbench.report.reading import read_differences, read_metrics


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    add_input_arguments(parser)
    parser.add_argument("--output", type=Path, required=True, help=f"folder of the figures; {LIST} in it lists them")


def _listed(path: Path) -> set[str]:
    """The figures that a list names. Anyone may have edited it, and what it names is removed: so no other file."""
    if not path.is_file():
        return set()
    words = path.read_text(encoding="utf-8", errors="replace").split()
    return {word for word in words if Path(word).name == word and Path(word).suffix in (".png", ".pdf")}


def run(args: argparse.Namespace) -> int:
    """Run the command. Figures of an earlier call that are no longer drawn are removed."""
    metrics, results = read_metrics(args.metrics), args.results or args.metrics.parent
    list_file = args.output / LIST
    earlier = _listed(list_file)
    differences = read_differences(args.metrics.parent)
    names = [path.name for path in draw_all(metrics, results, args.output, differences)]
    for name in earlier - set(names):
        (args.output / name).unlink(missing_ok=True)
    provenance.write_text(list_file, "".join(f"{name}\n" for name in names))
    print_lines([f"{args.output}: {len(names)} files"], file=sys.stderr)
    return 0
