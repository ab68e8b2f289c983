"""The command `rfbench`: one verb per stage of the pipeline, each the command of the rule of that name."""

import argparse
import contextlib
import gc
import importlib
import sys
from collections.abc import Iterator

import rfbench
from rfbench.errors import RFBenchError

# Only the chosen verb's module is imported, so that --help and the light verbs never wait for torch.
VERBS = {
    "prepare": ("data.prepare", "check a raw archive and write images, label maps and manifest"),
    "show": ("report.show", "draw an image of a prepared data set with its lesions, or a contact sheet"),
    "weights": ("training.weights", "fetch and check the ImageNet checkpoint of the backbone"),
    "train": ("training.train", "train one network: one data set, operator pair and seed"),
    "evaluate": ("evaluate", "evaluate one trained network, or score a checkpoint file"),
    "predict": ("inference.predict", "lesion probabilities and an overlay for any fundus photograph"),
    "aggregate": ("report.aggregate", "gather all evaluations into metrics.csv"),
    "profile": (
        "profiling.profile",
        "count parameters, FLOPs and memory, and time the pairs in turn with the baseline",
    ),
    "costs": ("report.costs", "render the profile as table and figure, the published speed beside ours"),
    "gpu": ("profiling.gpu", "measure on a lent GPU, within minutes: the pairs in three precisions, a training step"),
    "throughput": ("profiling.throughput", "measure how many training samples a second one core makes"),
    "tables": ("report.tables", "render the paper's tables from metrics.csv"),
    "trace": ("report.trace", "print the runs behind a cell of a table, computed again from their records"),
    "figures": ("report.figures", "draw the figures from the results folder"),
    "ablation": ("report.ablation", "render the table and figure of a sweep of operator options (Table 1)"),
    "operators": ("contract.operators_table", "list the operator pairs with exact and published parameters"),
    "plan": ("profiling.plan", "say how many runs, hours and bytes a configuration takes, before anything starts"),
    "check": ("contract.check", "put an operator pair to the contract, clause by clause"),
    "new-operator": (
        "contract.new_operator",
        "write a commented operator file that works, to be changed into your own",
    ),
    "doctor": ("doctor", "say what is missing: environment, data, devices"),
}
EPILOG = """examples:
  rfbench doctor
  rfbench prepare idrid --source "A. Segmentation.zip" --output results/data/IDRiD
  rfbench plan config/paper.yaml                          runs, hours and disk, before anything starts
  rfbench predict --checkpoint model.pth --output maps photograph.jpg
  rfbench new-operator box && rfbench check box_bilinear     an operator of your own
  snakemake --cores all                                   the embedded benchmark: data, trainings, tables
  snakemake --cores all --configfile config/idrid.yaml    the real IDRiD experiment
"""


def build_parser(verb: str | None) -> argparse.ArgumentParser:
    """The parser with the options of one verb (those of the others are not loaded)."""
    parser = argparse.ArgumentParser(
        prog="rfbench",
        description="Benchmark of feature-reassembly operators on tiny lesions in fundus photographs.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"rfbench {rfbench.__version__}")
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True)
    for name, (module, about) in VERBS.items():
        sub = verbs.add_parser(name, help=about, description=about[0].upper() + about[1:] + ".")
        if name == verb:
            importlib.import_module(f"rfbench.{module}").add_arguments(sub)
    return parser


@contextlib.contextmanager
def _importing() -> Iterator[None]:
    """Collect no garbage among what imports make, now or later: it stays, and searching it takes 30 % of a start."""
    gc.disable()
    try:
        yield
    finally:
        if not gc.get_freeze_count():  # once a process: in tests, what is garbage later must not be kept
            gc.freeze()
        gc.enable()


def main(argv: list[str] | None = None) -> int:
    """Run one verb. Errors meant for the user are one clear message and exit status 1."""
    argv = sys.argv[1:] if argv is None else argv
    verb = next((word for word in argv if not word.startswith("-")), None)
    with _importing():
        parser = build_parser(verb)
    args = parser.parse_args(argv)
    try:
        return importlib.import_module(f"rfbench.{VERBS[args.verb][0]}").run(args)
    except RFBenchError as error:
        print(f"rfbench {args.verb}: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
