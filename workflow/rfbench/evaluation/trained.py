"""A network from a checkpoint file alone: what it must know besides the weights, and where that comes from.

Our own checkpoints say it. For other files, the M2MRF authors' among them, the user says it, or the published protocol.
"""

import warnings
from pathlib import Path

import torch

from rfbench import competitors, provenance
from rfbench.checked import checked, shown
from rfbench.devices import pick_device
from rfbench.errors import RFBenchError
from rfbench.models.checkpoint import load_checkpoint, read_meta
from rfbench.models.description import Description
from rfbench.models.initial import network_for
from rfbench.models.segmentor import assemble
from rfbench.names import LESIONS
from rfbench.precision import set_precision
from rfbench.published.protocol import PUBLISHED_DATASETS, PUBLISHED_NORMALISATION

NETWORK = ("pair", "backbone", "operator_options", "method_options", "lesions")  # part of the weights' meaning
PHOTOGRAPH = ("scale", "mean", "std")  # how an image enters the network


def settle(checkpoint: Path, given: dict, layout: str | None) -> tuple[dict, dict[str, str]]:
    """Everything about the network, and where each value comes from.

    Args:
        checkpoint: a weights file.
        given: what the user says, by the names of NETWORK and PHOTOGRAPH; None where the user says nothing.
        layout: idrid or ddr, whose published protocol fills what neither the user nor the checkpoint says; None for
            none.

    Returns:
        Everything that `network` takes, as records hold it, and by key: option, checkpoint, published or default.

    Raises:
        RFBenchError: an option contradicts what the checkpoint says of its network, or a value is known nowhere.
    """
    option = lambda key: f"--{key.replace('_', '-')}"  # noqa: E731
    said = checked(Description, given, option, "`rfbench predict --help` describes it.").said()
    known = {"option": said, "checkpoint": read_meta(checkpoint)}
    if layout:
        scale = {"scale": PUBLISHED_DATASETS[layout]["scale"]}
        known[f"published for {layout}"] = scale | PUBLISHED_NORMALISATION[layout]
    known["default"] = {"backbone": "hrnetv2_w48", "operator_options": {}, "method_options": {},
                        "lesions": list(LESIONS)}  # fmt: skip
    for key in NETWORK:
        own = known["checkpoint"].get(key)
        if key in said and own is not None and said[key] != own:
            found = f"{option(key)} {said[key]}"
            raise RFBenchError(f"{checkpoint}: was trained with {key} {own}, found {found}. Leave it out.")
    values, sources = {}, {}
    for key in (*NETWORK, *PHOTOGRAPH):
        origin = next((origin for origin, values_ in known.items() if values_.get(key) is not None), None)
        if origin is None:
            options = "--pair" if key == "pair" else f"--{key} or --layout"
            raise RFBenchError(f"{checkpoint}: does not say its {key}. Give {options}.")
        values[key], sources[key] = known[origin][key], origin
    model = {"backbone": values["backbone"], "operator_options": values["operator_options"], "pretrained": "none"}
    if values["method_options"]:
        model["method_options"] = values["method_options"]
    else:
        del sources["method_options"]
    dataset = {key: values[key] for key in ("lesions", *PHOTOGRAPH)} | {"crop": values["scale"]}
    return {"pair": values["pair"], "seed": 0, "model": model, "dataset": dataset}, sources


def network(settings: dict, checkpoint: Path, device: str) -> tuple[torch.nn.Module, torch.device]:
    """The network with the checkpoint's weights, in evaluation mode, on the device of that name, in float32.

    Raises:
        RFBenchError: its settings make no network, or none of the checkpoint's.
    """
    chosen = pick_device(device)
    set_precision(tf32=False, cudnn_benchmark=False)
    _check_fits(settings, checkpoint)
    about, photographs = settings["model"], settings["dataset"]
    model = network_for(
        settings["pair"],
        about["backbone"],
        about["operator_options"],
        photographs["lesions"],
        method_options=about.get("method_options"),
        mean=photographs["mean"],
        std=photographs["std"],
    )
    load_checkpoint(model, checkpoint)
    return model.to(chosen).eval(), chosen


def _check_fits(settings: dict, checkpoint: Path) -> None:
    """Hold the checkpoint against the network without memory: an option may ask for more than any machine has."""
    competitor, model = settings["pair"], settings["model"]
    options = {key: model.get(key, {}) for key in ("operator_options", "method_options")}
    given = options["method_options" if competitors.is_method(competitor) else "operator_options"]
    try:
        with torch.device("meta"):
            empty = assemble(competitor, model["backbone"], len(settings["dataset"]["lesions"]), **options)
    except (ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError) as error:
        raise RFBenchError(
            f"{checkpoint}: expected options of {competitor}, found {shown(given)}, with which it cannot be built "
            f"({type(error).__name__}: {shown(str(error))})."
        ) from error
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that nothing is copied
        load_checkpoint(empty, checkpoint)


def describe(settings: dict, sources: dict[str, str]) -> list[str]:
    """The settings in lines for people, each with where it comes from."""
    model, dataset = settings["model"], settings["dataset"]
    values = {
        "pair": settings["pair"],
        **{key: model[key] for key in ("backbone", "operator_options", "method_options") if key in model},
        **{key: dataset[key] for key in ("lesions", *PHOTOGRAPH)},
    }
    shown = {key: " ".join(map(str, v)) if isinstance(v, list) else v or "none" for key, v in values.items()}
    return [f"{key}: {value} ({sources[key]})" for key, value in shown.items()]


def identity(checkpoint: Path) -> dict:
    """Name and digest of the checkpoint, for records."""
    return {"file": checkpoint.name, "sha256": provenance.sha256(checkpoint)}
