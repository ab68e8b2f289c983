"""`rfbench gpu`: measure on a GPU within minutes."""

import argparse
import sys
from dataclasses import asdict
from pathlib import Path

import operators
from rfbench import devices, provenance
from rfbench.commands.importing import importing
from rfbench.commands.options import chosen, positive
from rfbench.competitors import methods
from rfbench.profiling.accept import CHECKS, FAILED, MISSING, OF_TRAININGS, Asked, accept
from rfbench.profiling.suite import BLOCKS, TRAINED, Suite

EPILOG = """blocks, in this order:

- bfloat16, float32, tf32: every pair and method of --pairs, eager; M2MRF's fused form, too;
- compiled_bfloat16, compiled_float32: baseline, M2MRF-A and M2MRF-C;
- training_baseline, training_m2mrf_c: a step on the same batches: mmseg's stock settings against channels last,
  bfloat16, fused optimiser and torch.compile; are the losses within noise?

Training takes several minutes: give it a command of its own (--only training_baseline training_m2mrf_c). A block that
has begun is only stopped in training: --minutes leaves the last one room before a limit of ten minutes. `rfbench
costs` makes tables and figures of the record.

--accept checks, before an experiment of weeks, that a GPU with its driver and packages is fit for it, in half an hour:
is it the claimed one, does each precision compute what a CPU computes, do memory, speed and loader suffice, does all of
--pairs train, does a killed training go on, do two trainings keep apart, does the authors' checkpoint have its score.
The report (--output, and .md beside it) says passed, failed, skipped or missing with the figure of each check; the same
command goes on where it was cut off, and checks again what failed:

  rfbench gpu --accept --minutes 30 --output acceptance.json

envs/wheels.sh packs what a machine without network needs. A rehearsal without a GPU:

  rfbench gpu --device cpu --backbone hrnetv2_embedded --size 128 128 \\
      --crop 96 64 --rounds 2 --iterations 4 --output rehearsal.json \\
      --only bfloat16 float32 training_baseline
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.epilog = EPILOG
    parser.add_argument("--output", type=Path, required=True, help="record (JSON), written after every block")
    parser.add_argument("--minutes", type=float, default=8, help="no block starts later (default: %(default)s)")
    only = "blocks to run, as below (default: all)"
    parser.add_argument("--only", nargs="+", choices=BLOCKS, default=BLOCKS, metavar="BLOCK", help=only)
    named = "pairs and methods to profile, `all` for both (default: every pair)"
    parser.add_argument("--pairs", nargs="+", metavar="PAIR", help=named)
    parser.add_argument("--backbone", default=Suite.backbone, help="network (default: %(default)s)")
    sides = {"type": positive, "nargs": 2, "metavar": ("WIDTH", "HEIGHT")}
    parser.add_argument("--size", default=Suite.size, help="of the profiled images (default: %(default)s)", **sides)
    parser.add_argument("--rounds", type=positive, default=Suite.rounds, help="timings (default: %(default)s)")
    parser.add_argument("--crop", default=Suite.crop, help="of the training step (default: %(default)s)", **sides)
    parser.add_argument(
        "--batch", type=positive, default=Suite.batch, help="of the training step (default: %(default)s)"
    )
    parser.add_argument("--iterations", type=positive, default=Suite.iterations, help="steps (default: %(default)s)")
    parser.add_argument("--accept", action="store_true", help="check instead, and report (below)")
    parser.add_argument("--check", choices=CHECKS, metavar="NAME", help="only this check: " + ", ".join(CHECKS))
    for name, what in (
        ("checkpoint", "FILE: the authors' weights"),
        ("data", "DIR: prepared data set to score them on"),
    ):
        parser.add_argument(f"--{name}", metavar=what.partition(":")[0], help=f"of --accept: {what.partition(': ')[2]}")
    parser.add_argument("--pair", help="of --accept: the checkpoint's operator pair or method")
    parser.add_argument("--device", choices=("cuda", "cpu"), default=Suite.device, help="(default: %(default)s)")


def run(args: argparse.Namespace) -> int:
    """Run the command; 1 when a block or check failed or is missing."""
    pairs = tuple(operators.available())
    competitors = chosen("pairs", args.pairs or pairs, (*pairs, *methods.available()))
    given = {key: value for key, value in vars(args).items() if key in Suite.__dataclass_fields__}
    suite = Suite(**given | {"pairs": competitors, "size": tuple(args.size), "crop": tuple(args.crop)})
    if args.accept or args.check:
        return _accept(Asked(suite, args.checkpoint, args.pair, args.data), args)
    only = tuple(name for name in BLOCKS if name in args.only)
    devices.claim_for(args.device)
    with importing():
        from rfbench.profiling.gpu import measure, told

    record = measure(suite, only, args.minutes, args.output)
    for name, block in record["blocks"].items():
        if name in TRAINED:
            print(f"{name}: {told(block)}", file=sys.stderr)
    for name, reason in record["failed"].items():
        print(f"{name}: failed ({reason})", file=sys.stderr)
    if record["missing"]:
        print(f"missing, no time was left: {', '.join(record['missing'])}", file=sys.stderr)
    return int(bool(record["failed"] or record["missing"]))


def _accept(asked: Asked, args: argparse.Namespace) -> int:
    """All checks in order, or the one that is named."""
    if not args.check:
        record = accept(asked, args.minutes, args.output)
        return int(any(check["state"] in (FAILED, MISSING) for check in record["checks"].values()))
    if args.check not in OF_TRAININGS:
        devices.claim_for(args.device)
    with importing():
        from rfbench.profiling.acceptance import run as check

    finding = check(asked, args.check, args.output.parent)
    provenance.write_json(args.output, asdict(finding))
    print(f"{args.check}: {finding.state}: {finding.figure}", file=sys.stderr)
    return int(finding.state == FAILED)
