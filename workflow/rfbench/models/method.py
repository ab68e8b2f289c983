"""A method's network as trainings, evaluations and profiles take every network; its weights from ImageNet files."""

import math
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from rfbench.competitors import methods
from rfbench.errors import RFBenchError
from rfbench.models.checkpoint import CheckpointError, check_values, listed, read_tensors
from rfbench.models.normalise import Normalise

if TYPE_CHECKING:
    from rfbench.competitors.method import Method, Weights

PUBLISHED = "hrnetv2_w48"  # the backbone beside which a method has its published size; beside the others it is embedded


def size_of(backbone: str) -> str:
    """The size, published or embedded, of the methods in a configuration with this backbone."""
    return "published" if backbone == PUBLISHED else "embedded"


class MethodSegmentor(nn.Module):
    """A method's network with one logit map per lesion, under the same calls as `LesionSegmentor`.

    Args:
        method: declares the network.
        network: what `method.build` made.
        normalise: makes the batch of photographs; `forward` takes it, and does not call it.
    """

    def __init__(self, method: "Method", network: nn.Module, normalise: Normalise | None = None):
        super().__init__()
        self.method = method
        self.normalise = normalise
        self.network = network

    @property
    def own_loss(self) -> bool:
        """Whether the method trains by a loss of its own, which `forward` gives for labels."""
        return self.method.loss is not None

    def forward(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        """Normalised images (N, 3, H, W) -> logits (N, L, H, W) in float32; with labels (N, H, W) -> its own loss."""
        if min(images.shape[2:]) < self.method.minimum:
            height, width = images.shape[2:]
            raise RFBenchError(
                f"{self.method.label} takes images of at least {self.method.minimum} px high and wide; these are "
                f"{height} px high and {width} px wide. Pad or enlarge them."
            )
        if labels is not None:
            return self.method.loss(self.network, images, labels).float()
        return self.network(images).float()


def build_method(
    name: str, backbone: str, num_lesions: int, options: dict | None = None, normalise: Normalise | None = None
) -> MethodSegmentor:
    """The method's network, initialised from torch's global random state; nothing is downloaded.

    Under ``torch.device("meta")`` it holds no memory, and draws nothing.

    Raises:
        RFBenchError: no such method or option, or an option's value that makes no network.
    """
    method, options = methods.method(name), options or {}
    if unknown := sorted(options.keys() - method.options.keys()):
        known = ", ".join(method.options) or "none"
        raise RFBenchError(f"Unknown option of method '{name}': {unknown[0]}. Available: {known}.")
    try:
        network = _built(method, num_lesions, size_of(backbone), {**method.options, **options})
    except ValueError as error:  # a value that fits no layer
        raise RFBenchError(f"Cannot build '{name}' with {options}: {error}") from error
    return MethodSegmentor(method, network, normalise)


def _built(method: "Method", num_lesions: int, size: str, options: dict) -> nn.Module:
    if torch.get_default_device().type != "meta":
        return method.build(num_lesions, size=size, **options)
    try:
        return method.build(num_lesions, size=size, **options)
    except (RuntimeError, NotImplementedError):  # it reads numbers out of tensors, of which `meta` has none
        with torch.random.fork_rng(devices=[]), torch.device("cpu"):
            return method.build(num_lesions, size=size, **options).to("meta")


def set_probability(model: MethodSegmentor, num_lesions: int, probability: float) -> None:
    """Let the untrained network give every lesion this probability everywhere, by biases of its last convolutions.

    Those are what the network's own method `set_prior(bias)` reaches, where it has one; else the layers called
    `conv_seg`, as mmseg calls them; else its only convolution with as many outputs as there are lesions.

    Raises:
        RFBenchError: none of these is there.
    """
    bias, network = math.log(probability / (1 - probability)), model.network
    if hasattr(network, "set_prior"):
        network.set_prior(bias)
        return
    layers = [(name, module) for name, module in network.named_modules() if getattr(module, "bias", None) is not None]
    found = [module for name, module in layers if name.rpartition(".")[2] == "conv_seg"]
    if not found:
        kinds = (nn.Conv2d, nn.ConvTranspose2d)
        found = [module for _, module in layers if isinstance(module, kinds) and module.out_channels == num_lesions]
        found = found if len(found) == 1 else []
    if not found:
        raise RFBenchError(
            f"recipe.initial_probability: {model.method.label} has no single last convolution whose bias could hold "
            "it. Set initial_probability: null in method_recipes for it, or give its network a method set_prior(bias)."
        )
    for module in found:
        nn.init.constant_(module.bias, bias)


def load_method_weights(model: MethodSegmentor, name: str, path: str | Path) -> dict:
    """Start a method's network from an ImageNet file; what the file lacks keeps its initialisation.

    Every tensor of the file must have its place in the network, but for those that the method ignores, and every
    tensor of the network must be in the file, but for those that it leaves untouched and counters of batch norms.

    Args:
        name: which of the method's files it is (`Method.weights`): ImageNet's, or a checkpoint of another method.

    Returns:
        Counts of tensors for the provenance: loaded, ignored (in the file, not used), initialised (not in the file).
    """
    weights, network = model.method.weights[name], model.network
    given = {key.removeprefix("network."): tensor for key, tensor in read_tensors(path).items()}  # of ours, too
    try:
        renamed = weights.named(given)
    except RFBenchError as error:
        raise CheckpointError(f"{path}: {error} {_advice(weights)}") from error
    own = network.state_dict()
    unfit = sorted(key for key, tensor in renamed.items() if key not in own or own[key].shape != tensor.shape)
    needed = {key for key in own if not key.endswith(".num_batches_tracked") and not weights.leaves(key)}
    missing = sorted(needed - renamed.keys())
    if unfit or missing:
        raise CheckpointError(
            f"{path} does not fit {model.method.label}: {listed('missing', missing)}; "
            f"{listed('unknown or of another shape', unfit)}. {_advice(weights)}"
        )
    network.load_state_dict(renamed, strict=False)
    check_values(network, path)
    return {
        "loaded": len(renamed),
        "ignored": sum(map(weights.ignores, given)),
        "initialised": len(own.keys() - renamed.keys()),
    }


def _advice(weights: "Weights") -> str:
    return f"Expected {weights.file} ({weights.where})."
