"""The network for inference: fewer layers, the same function of the image."""

import copy

from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from rfbench.models.method import MethodSegmentor


def fuse(model: nn.Module) -> nn.Module:
    """A copy of the model for inference, in evaluation mode; equal to it up to rounding.

    Batch norms are folded into the convolution before them, and every operator that has a shorter form (`fused`) takes
    it. The tensors have other names and shapes than the model's: save the model, and fuse what was loaded.

    Args:
        model: trained; batch norms are taken with their running statistics. It stays as it is. Of a method's network
            nobody knows in which order its layers run, so its form for inference is itself.
    """
    model = copy.deepcopy(model).eval()
    if not isinstance(model, MethodSegmentor):
        _fuse_below(model)
    return model


def _fuse_below(module: nn.Module) -> None:
    """In every module below, fuse each operator that can be, then each batch norm with the layer directly before it."""
    before, layer = "", None
    for name, child in module.named_children():
        if hasattr(child, "fused"):
            child = child.fused()
            setattr(module, name, child)
        elif isinstance(child, nn.BatchNorm2d) and isinstance(layer, (nn.Conv2d, nn.ConvTranspose2d)):
            setattr(module, before, fuse_conv_bn_eval(layer, child, transpose=isinstance(layer, nn.ConvTranspose2d)))
            setattr(module, name, nn.Identity())
        elif isinstance(child, nn.BatchNorm2d) and hasattr(layer, "fold"):
            layer.fold(child)
            setattr(module, name, nn.Identity())
        else:
            _fuse_below(child)
        before, layer = name, child


def has_shorter_form(model: nn.Module) -> bool:
    """Whether an operator in the model has a form for inference of its own, beyond folded batch norms."""
    return any(hasattr(module, "fused") for module in model.modules())
