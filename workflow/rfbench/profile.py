"""Parameters and speed of every configured pair.

Frames per second mean little across machines, so each pair is timed in turn with the baseline in one process and
reported as a ratio to it (batch 1, evaluation mode, eager).
"""

import argparse
import statistics
import sys
import time
from pathlib import Path

import torch
from rich.console import Console
from rich.progress import track

import operators
from rfbench import config as configuration
from rfbench import provenance
from rfbench.models import assemble, build_model, count_parameters
from rfbench.train import device_name, pick_device

BASELINE = "strideconv_bilinear"


def profile(config: dict, rounds: int = 9) -> dict:
    """Profile the configured pairs.

    Args:
        config: a complete configuration.
        rounds: timed passes per pair, interleaved; medians are reported.

    Returns:
        `pairs`: by name, params (of the configured network), params_w48 (of the paper's), fps, fps_ratio (median
        over rounds of baseline seconds / own seconds) and its smallest and largest; with size, device, threads.
    """
    device = pick_device(config["device"])
    threads = config["recipe"]["threads"]
    torch.set_num_threads(threads)
    width, height = next(iter(config["datasets"].values()))["scale"]
    models = {pair: _model(config, pair).to(device).eval() for pair in dict.fromkeys((BASELINE, *config["pairs"]))}
    image = torch.randn(1, 3, height, width, device=device)
    seconds: dict[str, list[float]] = {pair: [] for pair in models}
    console = Console(stderr=True)
    with torch.inference_mode():
        for turn in track(range(rounds + 1), "profiling", console=console, disable=not console.is_terminal):
            for pair, model in models.items():
                spent = _time(model, image)
                if turn:  # the first pass warms up
                    seconds[pair].append(spent)
    return {
        "pairs": {pair: _report(config, pair, models[pair], seconds) for pair in config["pairs"]},
        "baseline": BASELINE,
        "backbone": config["model"]["backbone"],
        "size": [width, height],
        "dtype": "float32",
        "threads": threads,
        "rounds": rounds,
        "provenance": provenance.collect(device_name(device)),
    }


def _model(config: dict, pair: str) -> torch.nn.Module:
    return build_model(pair, config["model"]["backbone"], operator_options=config["model"]["operator_options"])


def _time(model: torch.nn.Module, image: torch.Tensor) -> float:
    def clock() -> float:
        if image.is_cuda:
            torch.cuda.synchronize()
        return time.perf_counter()

    start = clock()
    model(image)
    return clock() - start


def _report(config: dict, pair: str, model: torch.nn.Module, seconds: dict[str, list[float]]) -> dict:
    ratios = [base / own for base, own in zip(seconds[BASELINE], seconds[pair], strict=True)]
    with torch.device("meta"):
        paper = assemble(pair)
    return {
        "params": count_parameters(model),
        "params_w48": count_parameters(paper),
        "params_w48_expected": operators.get(pair).params,
        "fps": 1 / statistics.median(seconds[pair]),
        "fps_ratio": statistics.median(ratios),
        "fps_ratio_min": min(ratios),
        "fps_ratio_max": max(ratios),
    }


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    configuration.add_argument(parser)
    parser.add_argument("--rounds", type=int, default=9, help="timed passes per pair (default: %(default)s)")
    parser.add_argument("--output", type=Path, required=True, help="profile (JSON) to write")


def run(args: argparse.Namespace) -> int:
    """Run the command."""
    report = profile(configuration.load(args.config), args.rounds)
    provenance.write_json(args.output, report)
    print(f"{'pair':28} {'params':>12} {'W48 params':>12}  fps ratio to {report['baseline']}", file=sys.stderr)
    for pair, row in report["pairs"].items():
        print(f"{pair:28} {row['params']:12} {row['params_w48']:12}  {row['fps_ratio']:.2f} "
              f"({row['fps_ratio_min']:.2f}–{row['fps_ratio_max']:.2f})", file=sys.stderr)  # fmt: skip
    return 0
