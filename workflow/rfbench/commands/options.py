"""Options that several verbs share."""

import argparse
import json
import os
from collections.abc import Sequence
from pathlib import Path

from rfbench.checked import shown
from rfbench.errors import RFBenchError
from rfbench.names import LESIONS
from rfbench.settings import Settings, load


def add_run_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options that name one run."""
    add_config_argument(parser)
    parser.add_argument("--dataset", required=True, help="data set, as the configuration names it")
    parser.add_argument("--pair", required=True, help="operator pair (`rfbench operators` lists them), or method")
    parser.add_argument("--seed", type=int, required=True, help="seed of the run")
    parser.add_argument("--manifest", type=Path, required=True, help="manifest.csv of the prepared data set")


def load_with_dataset(path: Path, dataset: str, *, registry: bool = True) -> Settings:
    """The configuration of a file that must have this data set; `registry` as `settings.complete` has it.

    Raises:
        RFBenchError: the configuration is not valid, or has no such data set.
    """
    settings = load(path, registry)
    if dataset not in settings.datasets:
        known = ", ".join(settings.datasets)
        raise RFBenchError(f"--dataset {dataset}: {path} has no such data set; it has {known}.")
    return settings


def add_config_argument(parser: argparse.ArgumentParser, required: bool = True) -> None:
    """Declare `--config`, which the pipeline's jobs find in the environment."""
    default = os.environ.get("RFBENCH_CONFIG")
    sentence = "configuration file (default: $RFBENCH_CONFIG, which the pipeline sets)"
    parser.add_argument("--config", type=Path, default=default, required=required and default is None, help=sentence)


def chosen(option: str, words: Sequence[str], known: tuple[str, ...]) -> tuple[str, ...]:
    """Pairs or methods by name, `all` of the known ones, or `none`."""
    if list(words) in (["all"], ["none"]):
        return known if words[0] == "all" else ()
    unknown = [word for word in words if word not in known]
    if unknown:
        raise RFBenchError(f"--{option}: expected some of {', '.join(known)}, found {', '.join(unknown)}.")
    return tuple(dict.fromkeys(words))


def positive(text: str) -> int:
    """A whole number from 1, for argparse."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number from 1, found {text}")
    return number


def add_input_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options that name the results."""
    parser.add_argument("--metrics", type=Path, required=True, help="metrics.csv, which `rfbench aggregate` writes")
    parser.add_argument(
        "--results", type=Path, help="folder with runs/ and profile.json (default: the folder of metrics.csv)"
    )


def add_network_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options that describe a network and how images enter it, but for `--checkpoint` and `--pair`."""
    described = "default: the checkpoint's own"
    parser.add_argument("--backbone", help=f"network ({described}, else hrnetv2_w48)")
    parser.add_argument("--operator-options", type=_json, metavar="JSON",
                        help=f'such as {{"m2mrf": {{"patch_size": 4}}}} ({described}, else none)')  # fmt: skip
    parser.add_argument("--method-options", type=_json, metavar="JSON",
                        help=f'such as {{"pspnet": {{"depth": 50}}}} ({described}, else none)')  # fmt: skip
    parser.add_argument("--lesions", nargs="+", help=f"outputs in order ({described}, else {' '.join(LESIONS)})")
    parser.add_argument("--scale", nargs=2, type=int, metavar=("WIDTH", "HEIGHT"),
                        help=f"px that an image is fitted into ({described}, else the published one)")  # fmt: skip
    for name, what in (("mean", "mean"), ("std", "standard deviation")):
        parser.add_argument(f"--{name}", nargs=3, type=float, metavar=("R", "G", "B"),
                            help=f"{what} of the training's images ({described}, else the published one)")  # fmt: skip
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto", help="(%(default)s)")


def network_values(args: argparse.Namespace) -> dict:
    """The values given for `--pair` and the options of `add_network_arguments`; None where there is none."""
    names = ("pair", "backbone", "operator_options", "method_options", "lesions", "scale", "mean", "std")
    return {name: getattr(args, name) for name in names}


def _json(text: str) -> dict:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise argparse.ArgumentTypeError(f"expected JSON, found {shown(text)} ({error})") from None
    if not isinstance(value, dict):
        raise argparse.ArgumentTypeError(f"expected a mapping of names to options, found {shown(text)}")
    return value
