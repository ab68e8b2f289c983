"""Weights from files: whole models (ours or the M2MRF authors') and ImageNet backbones; never code."""

import pickle
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from rfbench.errors import RFBenchError

CLASSIFIER = ("incre_modules.", "downsamp_modules.", "final_layer.", "classifier.")  # of an ImageNet HRNet


class CheckpointError(RFBenchError):
    """A weights file that is missing, unreadable or of another model."""


def load_checkpoint(model: nn.Module, path: str | Path) -> None:
    """Load a whole model, strictly: our format or the M2MRF authors' (``{"state_dict": …}``).

    The operators translate their authors' tensor names themselves (see `operators.m2mrf`).
    """
    content = _read(path)
    if not isinstance(content.get("state_dict"), Mapping):
        raise CheckpointError(f"{path}: expected a checkpoint with an entry 'state_dict', not {_some(content)}.")
    _load(model, _tensors(content["state_dict"], path), path)


def read_meta(path: str | Path) -> Mapping:
    """What a checkpoint says of its network beside the weights; empty where it says nothing."""
    meta = _read(path).get("meta")
    return meta if isinstance(meta, Mapping) else {}


def load_backbone_weights(model: nn.Module, path: str | Path) -> dict:
    """Start the model's backbone from an ImageNet HRNet; what the file lacks keeps its initialisation.

    Outside the replaced paths names and shapes must agree. At a replaced path those tensors are taken that fit by name
    and shape (its conv1x1, BN), as mmseg's own loading of pretrained weights does; an operator's own names differ.

    Returns:
        Counts of tensors for the provenance: ``loaded``; ``ignored_classifier`` and ``ignored_replaced`` (in
        the file, not used); ``initialised`` (in the backbone, not in the file).
    """
    backbone = model.backbone
    content = _read(path)
    given = _tensors(content.get("state_dict", content), path)
    own, sites = backbone.state_dict(), backbone.replaced_sites()
    classifier = {key for key in given if key.startswith(CLASSIFIER)}
    fitting = {key for key in given if key in own and own[key].shape == given[key].shape}
    replaced = {key for key in given if key.startswith(sites)} - fitting
    unfit = sorted(given.keys() - classifier - fitting - replaced)
    needed = {key for key in own if not key.startswith(sites) and not key.endswith(".num_batches_tracked")}
    missing = sorted(needed - given.keys())
    if unfit or missing:
        raise CheckpointError(
            f"{path} does not fit the backbone: {_listed('missing', missing)}; "
            f"{_listed('unknown or of another shape', unfit)}. "
            "Give an ImageNet HRNet of the same width (for HRNetV2-W48: hrnetv2_w48-d2186c55.pth)."
        )
    backbone.load_state_dict({key: given[key] for key in fitting}, strict=False)
    return {
        "loaded": len(fitting),
        "ignored_classifier": len(classifier),
        "ignored_replaced": len(replaced),
        "initialised": len(own.keys() - fitting),
    }


def _read(path: str | Path) -> Mapping:
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise CheckpointError(f"{path}: no such file.") from None
    except (pickle.UnpicklingError, EOFError, RuntimeError, OSError) as error:
        reason = str(error).partition("\n")[0]
        raise CheckpointError(
            f"{path} cannot be read as weights ({reason}). Files with other objects than tensors and plain "
            "values are refused, since unpickling them could run foreign code; save the 'state_dict' alone."
        ) from error
    if not isinstance(content, Mapping):
        raise CheckpointError(f"{path}: expected a dictionary of tensors, found {type(content).__name__}.")
    return content


def _tensors(state: Mapping, path: str | Path) -> dict[str, Tensor]:
    """The tensors by name, without DataParallel's prefix; a plain dict, so that BN counters may be absent."""
    wrong = [key for key, value in state.items() if not isinstance(value, Tensor)]
    if wrong:
        raise CheckpointError(f"{path}: expected tensors only, {_listed('others', wrong)}.")
    return {key.removeprefix("module."): value for key, value in state.items()}


def _load(model: nn.Module, state: dict[str, Tensor], path: str | Path) -> None:
    try:
        missing, unexpected = model.load_state_dict(state, strict=False)
    except RuntimeError as error:  # shapes
        lines = [line.strip() for line in str(error).splitlines()[1:]]
        raise CheckpointError(_misfit(path, _listed("of another shape", lines))) from error
    if missing or unexpected:
        found = f"{_listed('missing', missing)}; {_listed('unexpected', unexpected)}"
        raise CheckpointError(_misfit(path, found))


def _misfit(path: str | Path, what: str) -> str:
    return (
        f"{path} does not fit this model: {what}. "
        "Build the model with the pair, backbone, lesions and operator options that it was trained with."
    )


def _listed(what: str, keys: list[str], most: int = 3) -> str:
    if not keys:
        return f"none {what}"
    return f"{len(keys)} {what} ({', '.join(keys[:most])}{', …' if len(keys) > most else ''})"


def _some(content: Mapping) -> str:
    return _listed("entries", [str(key) for key in content])
