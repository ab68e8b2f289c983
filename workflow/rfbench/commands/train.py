"""`rfbench train`: train one network."""

import argparse
import sys
from contextlib import nullcontext
from pathlib import Path

from rfbench import devices, kept, runs
from rfbench.commands.importing import importing
from rfbench.commands.options import add_run_arguments, load_with_dataset
from rfbench.errors import RFBenchError, print_lines
from rfbench.evaluation import ahead
from rfbench.settings import Settings, recipe_of


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    add_run_arguments(parser)
    parser.add_argument("--work", type=Path, required=True, help="folder of checkpoints; found ones are resumed")
    parser.add_argument("--weights", type=Path, help="ImageNet checkpoint of the backbone (see `rfbench weights`)")
    parser.add_argument("--output", type=Path, required=True, help="record of the finished run (JSON)")


def run(args: argparse.Namespace) -> int:
    """Run the command."""
    settings = load_with_dataset(args.config, args.dataset)
    from rfbench.training import ranks
    from rfbench.training.workfolder import reported

    count = settings.recipe.gpus
    with reported(args.work) if ranks.leads() else nullcontext():
        devices.claim_for(settings.device, count)
        if count > 1 and not ranks.is_one_of_several():
            if not devices.offered(settings.device):
                raise RFBenchError(f"recipe.gpus: expected {count} GPUs that this process may use, found none.")
            devices.hand_on()
            ranks.start(count, _arguments(args))
    with importing():
        from rfbench.training.train import train

    run = runs.of(settings, args.dataset, args.pair, args.seed)
    kept.remember(settings.results, "train", run.settings.pair)
    files = {"manifest": args.manifest, "work": args.work, "weights": args.weights}
    record = train(run.settings, recipe_of(settings, args.pair), settings.device, output=args.output, **files)
    if record["state"] == "followed":  # by a process that trained together with the one that has the record
        return 0
    if record["state"] == "done":
        _evaluate_ahead(run, settings, train_record=args.output, **files)
    else:
        print_lines([f"{args.output}: {record['state']} ({record['reason']}); the tables show a hole"], file=sys.stderr)
    return 0


def _arguments(args: argparse.Namespace) -> list[str]:
    """The command line of this training, for the processes that compute it together."""
    names = ("config", "dataset", "pair", "seed", "manifest", "work", "weights", "output")
    given = {name: getattr(args, name) for name in names}
    return [
        "train",
        *(word for name, value in given.items() if value is not None for word in (f"--{name}", str(value))),
    ]


def _evaluate_ahead(run: runs.Run, settings: Settings, *, work: Path, **files: Path | None) -> None:
    """Leave the evaluation's job its result (`evaluation.ahead`); where this fails, the job computes, and fails."""
    from rfbench.evaluation.run import evaluate

    kept.remember(settings.results, "evaluate", run.settings.pair)
    try:
        evaluate(run, settings.device, work=work, output=work / ahead.FOLDER / ahead.RECORD, **files)
    except Exception as error:
        print_lines([f"{work}: not evaluated yet ({type(error).__name__}: {error})"], file=sys.stderr)
