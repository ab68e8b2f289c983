"""Weights from files: whole models (ours or the M2MRF authors') and ImageNet backbones; never code."""

import pickle
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from rfbench.checked import checked, shown
from rfbench.errors import RFBenchError
from rfbench.files import kind
from rfbench.models.description import Description

LONGEST_NAME = 200  # of a tensor, in a message
CLASSIFIER = ("incre_modules.", "downsamp_modules.", "final_layer.", "classifier.")  # of an ImageNet HRNet

_UNREADABLE = (
    OSError, EOFError, RuntimeError, ValueError, TypeError, LookupError, AttributeError, AssertionError, MemoryError,
    RecursionError, zipfile.BadZipFile,
)  # fmt: skip
"""What `torch.load` raises on bytes that are no weights: its unpickler and zip reader check little themselves."""


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


def read_meta(path: str | Path) -> dict:
    """What a checkpoint says of its network beside the weights, as `Description` has it; only what it does say."""
    meta = _read(path).get("meta")
    if not isinstance(meta, Mapping):
        return {}
    advice = "Save its 'state_dict' alone, and give what it then does not say as options."
    return checked(Description, meta, lambda key: f"{path}: meta.{key}", advice, CheckpointError).said()


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
            f"{path} does not fit the backbone: {listed('missing', missing)}; "
            f"{listed('unknown or of another shape', unfit)}. "
            "Give an ImageNet HRNet of the same width (for HRNetV2-W48: hrnetv2_w48-d2186c55.pth)."
        )
    backbone.load_state_dict({key: given[key] for key in fitting}, strict=False)
    check_values(backbone, path)
    return {
        "loaded": len(fitting),
        "ignored_classifier": len(classifier),
        "ignored_replaced": len(replaced),
        "initialised": len(own.keys() - fitting),
    }


def read_tensors(path: str | Path) -> dict[str, Tensor]:
    """The tensors of a weights file by name; they may lie in an entry `state_dict` (mmseg) or `model` (Swin).

    Raises:
        CheckpointError: it is missing, unreadable, or holds something else.
    """
    content = _read(path)
    entries = (content.get(key) for key in ("state_dict", "model"))
    return _tensors(next((entry for entry in entries if isinstance(entry, Mapping)), content), path)


def _read(path: str | Path) -> Mapping:
    if (found := kind(path)) != "a file":  # a named pipe would be waited for without end
        raise CheckpointError(f"{path}: expected a file of weights, found {found}.")
    try:
        _refuse_packed(path)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # remarks on the pickle's protocol; what matters is an error
            content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:  # its own words advise to switch the protection off
        raise CheckpointError(
            f"{path} cannot be read as weights: it is damaged, or holds other objects than tensors and plain values, "
            "which are refused, since unpickling them could run foreign code. Save the 'state_dict' alone."
        ) from error
    except _UNREADABLE as error:
        reason = str(error).strip().partition("\n")[0] or type(error).__name__
        raise CheckpointError(
            f"{path} cannot be read as weights ({reason}). It is damaged or something else; copy it again."
        ) from error
    if not isinstance(content, Mapping):
        raise CheckpointError(f"{path}: expected a dictionary of tensors, found {type(content).__name__}.")
    return content


def _refuse_packed(path: str | Path) -> None:
    """A zip that unpacks to more than it is: PyTorch packs nothing, and would unpack whatever is claimed."""
    if not zipfile.is_zipfile(path):
        return
    with zipfile.ZipFile(path) as archive:
        packed = [info.filename for info in archive.infolist() if info.compress_type != zipfile.ZIP_STORED]
    if packed:
        raise zipfile.BadZipFile(f"{len(packed)} of its members are compressed, which PyTorch's never are")


def _tensors(state: Mapping, path: str | Path) -> dict[str, Tensor]:
    """The tensors by name, without DataParallel's prefix; a plain dict, so that BN counters may be absent."""
    wrong = [key for key, value in state.items() if not isinstance(key, str) or not _is_plain(value)]
    if wrong:
        raise CheckpointError(f"{path}: expected plain tensors only, {listed('others', wrong)}.")
    tensors = {key.removeprefix("module."): value for key, value in state.items()}
    if len(tensors) < len(state):
        twice = [key for key in state if f"module.{key}" in state]
        raise CheckpointError(f"{path}: expected every tensor once, {listed('with and without `module.`', twice)}.")
    return tensors


def _is_plain(value: object) -> bool:
    """Whether a value is a dense tensor of real numbers."""
    dense = isinstance(value, Tensor) and value.layout is torch.strided
    return dense and not value.is_quantized and not value.is_complex()


def check_values(module: nn.Module, path: str | Path) -> None:
    """Refuse weights that make every map black and look healthy: no finite numbers, or a negative variance."""
    wrong = [
        name
        for name, tensor in module.state_dict().items()
        if tensor.is_floating_point()
        and not tensor.is_meta
        and (not tensor.isfinite().all() or (name.endswith("running_var") and (tensor < 0).any()))
    ]
    if wrong:
        others = listed("tensor(s) with others", wrong)
        raise CheckpointError(
            f"{path}: expected finite weights and no negative variance, found {others}. "
            "Its training diverged, or the file is damaged."
        )


def _load(model: nn.Module, state: dict[str, Tensor], path: str | Path) -> None:
    try:
        missing, unexpected = model.load_state_dict(state, strict=False)
    except RuntimeError as error:  # shapes
        lines = [line.strip() for line in str(error).splitlines()[1:]]
        raise CheckpointError(_misfit(path, listed("of another shape", lines))) from error
    if missing or unexpected:
        found = f"{listed('missing', missing)}; {listed('unexpected', unexpected)}"
        raise CheckpointError(_misfit(path, found))
    check_values(model, path)


def _misfit(path: str | Path, what: str) -> str:
    return (
        f"{path} does not fit this model: {what}. "
        "Build the model with the pair, backbone, lesions and operator options that it was trained with."
    )


def listed(what: str, keys: list, most: int = 3) -> str:
    if not keys:
        return f"none {what}"
    names = [key if isinstance(key, str) and len(key) <= LONGEST_NAME else shown(key) for key in keys[:most]]
    return f"{len(keys)} {what} ({', '.join(names)}{', …' if len(keys) > most else ''})"


def _some(content: Mapping) -> str:
    return listed("entries", list(content))
