"""The command `rfbench`: one verb per stage of the pipeline, each the command of the rule of that name."""

import argparse
import contextlib
import importlib
import io
import os
import sys
from types import ModuleType

import rfbench
from rfbench.commands.importing import importing
from rfbench.commands.parsing import Parser
from rfbench.errors import RFBenchError, printable

# Only the chosen verb's module is imported, so that --help and the light verbs never wait for torch.
VERBS = {
    "prepare": "check a raw archive and write images, label maps and manifest",
    "show": "draw an image of a prepared data set with its lesions, or a contact sheet",
    "weights": "fetch and check the ImageNet checkpoint of the backbone",
    "train": "train one network: one data set, operator pair or method, and seed",
    "lesions": "list every lesion of a data set's evaluated images, for statistics",
    "evaluate": "evaluate one trained network",
    "score": "score a checkpoint file, ours or the M2MRF authors'",
    "predict": "lesion probabilities and an overlay for any fundus photograph",
    "keep": "count finished runs of earlier code as current, with the reason",
    "aggregate": "gather all evaluations into metrics.csv",
    "statistics": "say which differences are real: intervals and tests from metrics.csv",
    "profile": "count parameters, FLOPs and memory, and time pairs and methods in turn with the baseline",
    "costs": "render the profile as table and figure, the published speed beside ours",
    "gpu": "measure on a GPU, within minutes: pairs and methods in three precisions, a training step",
    "throughput": "measure how many training samples a second one core makes",
    "tables": "render the paper's tables from metrics.csv",
    "verdicts": "hold every published number and claim against ours, with what seeds can show",
    "trace": "print the runs behind a cell of a table, computed again from their records",
    "figures": "draw the figures from the results folder",
    "page": "write the report, one HTML file that needs no network",
    "panels": "draw the examples with their photographs, for local use",
    "ablation": "render the table and figure of a sweep of operator options (Table 1)",
    "probe": "see whether tiny activations survive an operator pair, where their size is known",
    "probe-report": "render the probe's tables and figures, of what is there",
    "operators": "list the operator pairs with exact and published parameters",
    "plan": "say how many runs, hours and bytes a configuration takes, before anything starts",
    "check": "put an operator pair or a method to its contract, clause by clause",
    "new-operator": "write a commented operator file that works, to be changed into your own",
    "new-method": "write a commented file of a whole network that works, to be changed into your own",
    "doctor": "say what is missing: environment, data, devices",
}
EPILOG = """examples:
  rfbench doctor
  rfbench prepare idrid --source "A. Segmentation.zip" --output data/IDRiD
  rfbench plan config/paper.yaml                 runs, hours and disk beforehand
  rfbench predict --checkpoint model.pth --output maps photograph.jpg
  rfbench new-operator box && rfbench check box_bilinear      one of your own
  snakemake --cores all                          the embedded benchmark
  snakemake --cores all --configfile config/idrid.yaml        the real IDRiD
"""


def build_parser(verb: str | None) -> argparse.ArgumentParser:
    """The parser with the options of one verb (those of the others are not loaded)."""
    parser = Parser(
        prog="rfbench",
        description="Benchmark of feature-reassembly operators on tiny lesions in fundus photographs.",
        epilog=EPILOG,
    )
    parser.add_argument("--version", action="version", version=f"rfbench {rfbench.__version__}")
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True)
    for name, about in VERBS.items():
        sub = verbs.add_parser(name, help=about, description=about[0].upper() + about[1:] + ".")
        if name == verb:
            _command(name).add_arguments(sub)
    return parser


def _command(verb: str) -> ModuleType:
    """The verb's module, of the same name."""
    return importlib.import_module(f"rfbench.commands.{verb.replace('-', '_')}")


def main(argv: list[str] | None = None) -> int:
    """Run one verb and return its exit status.

    Errors meant for the user are one clear message and status 1, as is a file or a standard output that cannot be
    written; Ctrl-C is one line and 130, a reader that has gone (`| head`) silence and 1.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a name that the terminal's encoding lacks is escaped, no error
            stream.reconfigure(errors="backslashreplace")
    argv = sys.argv[1:] if argv is None else argv
    if argv[:1] == ["evaluate"] and "--checkpoint" in argv:
        print("rfbench evaluate --checkpoint is `rfbench score` by now", file=sys.stderr)
        argv = ["score", *argv[1:]]
    verb = next((word for word in argv if not word.startswith("-")), None)
    name = f"rfbench {verb}" if verb in VERBS else "rfbench"
    try:
        with importing():
            parser = build_parser(verb)
        args = parser.parse_args(argv)
        status = _command(args.verb).run(args)
        if sys.stdout:
            sys.stdout.flush()  # here, where its failure can still be told
        return status
    except RFBenchError as error:
        return _ended(f"{name}: {error}", 1)
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] in ("rfbench", "operators"):
            raise
        advice = "Run `make env`, or activate the environment: . .venv/bin/activate."
        return _ended(f"{name}: expected the package {error.name}, which is not installed. {advice}", 1)
    except KeyboardInterrupt:
        return _ended(f"{name}: interrupted", 130)
    except BrokenPipeError:
        return _ended("", 1)
    except OSError as error:
        where = error.filename if error.filename is not None else "standard output, or a file"
        return _ended(f"{name}: {printable(where)}: {error.strerror or error}", 1)


def _ended(sentence: str, status: int) -> int:
    """Say why a command ended; what standard output still holds is dropped if it cannot be written."""
    with contextlib.suppress(OSError):
        if sentence:
            print(sentence, file=sys.stderr)
    try:
        if sys.stdout:
            sys.stdout.flush()
    except OSError:
        with contextlib.suppress(OSError, io.UnsupportedOperation):  # else the interpreter fails again at its end
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return status


if __name__ == "__main__":
    sys.exit(main())
