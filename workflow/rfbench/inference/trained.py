"""A network from a checkpoint file alone: what it must know besides the weights, and where that comes from.

Our own checkpoints carry it. The M2MRF authors' and others' do not; then options say it, or the published protocol.
"""

import argparse
import json
from pathlib import Path

import torch

from rfbench import provenance
from rfbench.config import PUBLISHED_DATASETS, PUBLISHED_NORMALISATION
from rfbench.data import LESIONS
from rfbench.errors import RFBenchError
from rfbench.models.checkpoint import load_checkpoint, read_meta
from rfbench.training.train import initial_model, pick_device

NETWORK = ("pair", "backbone", "operator_options", "lesions")  # part of the weights' meaning
PHOTOGRAPH = ("scale", "mean", "std")  # how an image enters the network


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options that describe a network and how images enter it, but for `--checkpoint` and `--pair`."""
    described = "default: the checkpoint's own"
    parser.add_argument("--backbone", help=f"network ({described}, else hrnetv2_w48)")
    parser.add_argument("--operator-options", type=_json, metavar="JSON",
                        help=f'such as {{"m2mrf": {{"patch_size": 4}}}} ({described}, else none)')  # fmt: skip
    parser.add_argument("--lesions", nargs="+", help=f"outputs in order ({described}, else {' '.join(LESIONS)})")
    parser.add_argument("--scale", nargs=2, type=int, metavar=("WIDTH", "HEIGHT"),
                        help=f"px that an image is fitted into ({described}, else the published one)")  # fmt: skip
    for name, what in (("mean", "mean"), ("std", "standard deviation")):
        parser.add_argument(f"--{name}", nargs=3, type=float, metavar=("R", "G", "B"),
                            help=f"{what} of the training's images ({described}, else the published one)")  # fmt: skip
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto", help="(%(default)s)")


def _json(text: str) -> dict:
    value = json.loads(text)  # argparse tells a ValueError as a bad value
    if not isinstance(value, dict):
        raise argparse.ArgumentTypeError(f"expected a mapping of operators to options, found {text}")
    return value


def settle(args: argparse.Namespace, layout: str | None) -> tuple[dict, dict[str, str]]:
    """Everything about the network, and where each value comes from.

    Args:
        args: of `add_arguments`, with `checkpoint` and `pair`.
        layout: idrid or ddr, whose published protocol fills what neither option nor checkpoint say; None for none.

    Returns:
        Settings as `train.initial_model` takes them, and by key: option, checkpoint, published or default.

    Raises:
        RFBenchError: an option contradicts what the checkpoint says of its network, or a value is known nowhere.
    """
    known = {"option": {key: getattr(args, key) for key in (*NETWORK, *PHOTOGRAPH)}}
    meta = read_meta(args.checkpoint)
    known["checkpoint"] = {key: meta[key] for key in (*NETWORK, *PHOTOGRAPH) if key in meta}
    if layout:
        scale = {"scale": PUBLISHED_DATASETS[layout]["scale"]}
        known[f"published for {layout}"] = scale | PUBLISHED_NORMALISATION[layout]
    known["default"] = {"backbone": "hrnetv2_w48", "operator_options": {}, "lesions": list(LESIONS)}
    for key in NETWORK:
        given, own = known["option"][key], known["checkpoint"].get(key)
        if given is not None and own is not None and given != own:
            option = f"--{key.replace('_', '-')}"
            raise RFBenchError(
                f"{args.checkpoint}: was trained with {key} {own}, found {option} {given}. Leave it out."
            )
    values, sources = {}, {}
    for key in (*NETWORK, *PHOTOGRAPH):
        origin = next((origin for origin, values_ in known.items() if values_.get(key) is not None), None)
        if origin is None:
            raise RFBenchError(
                f"{args.checkpoint}: does not say its {key}. Give --{key}{' or --layout' * (key != 'pair')}."
            )
        values[key], sources[key] = known[origin][key], origin
    model = {"backbone": values["backbone"], "operator_options": values["operator_options"], "pretrained": "none"}
    dataset = {key: values[key] for key in ("lesions", *PHOTOGRAPH)} | {"crop": values["scale"]}
    return {"pair": values["pair"], "seed": 0, "model": model, "dataset": dataset}, sources


def network(settings: dict, checkpoint: Path, device: str) -> tuple[torch.nn.Module, torch.device]:
    """The network with the checkpoint's weights, in evaluation mode, on the device of that name."""
    chosen = pick_device(device)
    model, _ = initial_model(settings, None)
    load_checkpoint(model, checkpoint)
    return model.to(chosen).eval(), chosen


def describe(settings: dict, sources: dict[str, str]) -> list[str]:
    """The settings in lines for people, each with where it comes from."""
    model, dataset = settings["model"], settings["dataset"]
    values = {
        "pair": settings["pair"],
        **{key: model[key] for key in ("backbone", "operator_options")},
        **{key: dataset[key] for key in ("lesions", *PHOTOGRAPH)},
    }
    shown = {key: " ".join(map(str, v)) if isinstance(v, list) else v or "none" for key, v in values.items()}
    return [f"{key}: {value} ({sources[key]})" for key, value in shown.items()]


def identity(checkpoint: Path) -> dict:
    """Name and digest of the checkpoint, for records."""
    return {"file": checkpoint.name, "sha256": provenance.sha256(checkpoint)}
