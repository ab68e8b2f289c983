"""`rfbench profile`: what the operator pairs, and methods, cost."""

import argparse
import sys
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING

import operators
from rfbench import devices, provenance
from rfbench.commands.importing import importing
from rfbench.commands.options import add_config_argument, chosen, positive
from rfbench.competitors import methods
from rfbench.names import PRECISIONS
from rfbench.settings import load

if TYPE_CHECKING:
    from rfbench.profiling.profile import Conditions

EPILOG = """Without a configuration the paper's network, HRNetV2-W48, is profiled; options override the configuration.
A ratio is the median over rounds of baseline seconds / own seconds of the same round; the record holds every
round's seconds. A multiply-add is two FLOPs. `rfbench costs` makes a table and a figure of the record.

examples:
  rfbench profile --size 512 512 --threads 2 --output profile.json
  rfbench profile --pairs m2mrf_a m2mrf_c --size 1024 1024 --dtype bfloat16 \\
      --channels-last --output profile.json
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.epilog = EPILOG
    add_config_argument(parser, required=False)
    parser.add_argument(
        "--pairs", nargs="+", metavar="PAIR", help="pairs and methods to profile, or `all` (default: configured)"
    )
    parser.add_argument("--backbone", help="network (default: the configured one, else hrnetv2_w48)")
    size = "of the images in px (default: profile.size, else 512 512)"
    parser.add_argument("--size", type=positive, nargs=2, metavar=("WIDTH", "HEIGHT"), help=size)
    parser.add_argument("--batch", type=positive, help="images a pass (default: 1)")
    parser.add_argument(
        "--rounds", type=positive, help="timings of each network, interleaved (default: configured, else 9)"
    )
    parser.add_argument("--threads", type=positive, help="CPU threads (default: recipe.threads, else 1)")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), help="(default: the configured one, else auto)")
    dtype = "float32, tf32 (GPU: float32 with TF32 products) or bfloat16 (weights and images; default: float32)"
    parser.add_argument("--dtype", choices=PRECISIONS, help=dtype)
    last = "channels last in memory"
    parser.add_argument("--channels-last", action="store_true", default=None, help=last)
    fused = "pairs whose fused form is timed, too, `all` or `none` (default: configured, else all)"
    parser.add_argument("--fused", nargs="+", metavar="PAIR", help=fused)
    compiled = "pairs and methods timed under torch.compile, too, `all` or `none` (default: none)"
    parser.add_argument("--compile", nargs="+", metavar="PAIR", dest="compiled", help=compiled)
    parser.add_argument("--output", type=Path, required=True, help="profile (JSON) to write")


def conditions_of(config: Path | None, options: dict) -> "Conditions":
    """Those of the configuration, or of the paper's network without one; the options given go before both."""
    from rfbench.profiling.profile import Conditions, configured

    every = (*operators.available(), *methods.available())
    paired = tuple(operators.available())
    conditions = configured(load(config)) if config else Conditions(paired, fused=paired)
    given = {key: value for key, value in options.items() if key in asdict(conditions) and value is not None}
    competitors = chosen("pairs", given.get("pairs", conditions.pairs), every)
    given["pairs"], given["size"] = competitors, tuple(given.get("size", conditions.size))
    known = tuple(name for name in competitors if name in paired)  # a method's form for inference is itself
    given["fused"] = chosen("fused", given.get("fused", ["all" if conditions.fused else "none"]), known)
    given["compiled"] = chosen("compile", given.get("compiled", ["none"]), competitors)
    return replace(conditions, **given)


def run(args: argparse.Namespace) -> int:
    """Run the command."""
    devices.claim_for(args.device or (load(args.config).device if args.config else "auto"))
    with importing():
        from rfbench.profiling.profile import profile

    report = profile(conditions_of(args.config, vars(args)))
    provenance.write_json(args.output, report)
    print(
        f"{'pair or method':28} {'params':>12} {'GFLOPs':>9} {'MB':>8}  fps ratio to {report['baseline']}",
        file=sys.stderr,
    )
    for name, row in report["pairs"].items():
        print(f"{name:28} {row['params']:12} {row['flops'] / 1e9:9.2f} {row['memory'] / 1e6:8.1f}  "
              f"{row['fps_ratio']:.2f} ({row['fps_ratio_min']:.2f}–{row['fps_ratio_max']:.2f})",
              file=sys.stderr)  # fmt: skip
    return 0
