"""`rfbench evaluate`: evaluate one run of the pipeline."""

import argparse
import sys
from pathlib import Path

from rfbench import devices, records
from rfbench.commands.importing import importing
from rfbench.commands.options import add_run_arguments, load_with_dataset
from rfbench.evaluation import ahead
from rfbench.settings import evaluation_settings

AP_BOUND = 1e-4  # average precision is at least this exact, unless a network gives nearly the same score everywhere


def show(record: dict, file=sys.stderr) -> None:
    """Print a record's metrics in percent, one line per lesion, with the error bound of the average precision."""
    if record["state"] != "done":
        print(f"no metrics: the training's state is {record['state']} ({record['reason']})", file=file)
        return
    metrics = record["metrics"]
    print("lesion  AUPR(11)      AP  (±bound)      F    IoU", file=file)
    for lesion in metrics["ap"]:
        detail = record["details"].get(lesion, {})
        bound = f"±{100 * detail['ap_error']:.4f}" if detail else ""
        flag = "  AUPR(11) is an artefact: no score above 0.1" if detail.get("aupr11_artefact") else ""
        if detail.get("ap_error", 0) > AP_BOUND:
            flag += f"  AP is less certain than {100 * AP_BOUND} points: the scores nearly coincide"
        values = {name: 100 * metrics[name][lesion] for name in ("aupr11", "ap", "f", "iou")}
        print(f"{lesion:6}  {values['aupr11']:8.2f}  {values['ap']:6.2f}  {bound:>8}  "
              f"{values['f']:6.2f} {values['iou']:6.2f}{flag}", file=file)  # fmt: skip


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    add_run_arguments(parser)
    parser.add_argument("--record", type=Path, required=True, help="record of the training (train.json)")
    parser.add_argument("--work", type=Path, required=True, help="the training's work folder")
    parser.add_argument("--weights", type=Path, help="ImageNet checkpoint (only the untrained network needs it)")
    parser.add_argument("--output", type=Path, required=True, help="record of the evaluation (JSON)")
    code = "digest of this command's code, by the pipeline: what the training has evaluated with it already is taken"
    parser.add_argument("--code", help=code)
    parser.epilog = "A checkpoint file of ours or the M2MRF authors' is scored by `rfbench score`."


def run(args: argparse.Namespace) -> int:
    """Run the command."""
    if args.code:
        # The pipeline has checked what the configuration runs, for which torch is imported.
        settings = load_with_dataset(args.config, args.dataset, registry=False)
        evaluation = evaluation_settings(settings, args.dataset)
        training = records.read_training(args.record)
        if record := ahead.take(training, evaluation, args.code, work=args.work, output=args.output):
            show(record)
            return 0
    return _evaluated(args)


def _evaluated(args: argparse.Namespace) -> int:
    """Compute the evaluation."""
    from rfbench import kept, runs  # pandas

    settings = load_with_dataset(args.config, args.dataset)
    from rfbench.training.workfolder import reported

    with reported(args.work):
        devices.claim_for(settings.device)
    with importing():
        from rfbench.evaluation.run import evaluate

    run = runs.of(settings, args.dataset, args.pair, args.seed)
    kept.remember(settings.results, "evaluate", run.settings.pair)
    with reported(args.work):
        record = evaluate(
            run,
            settings.device,
            manifest=args.manifest,
            train_record=args.record,
            work=args.work,
            output=args.output,
            weights=args.weights,
        )
    show(record)
    return 0
