"""The network for inference: fewer layers, the same function of the image."""

import copy

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from operators.m2mrf import M2MRF


def fuse(model: nn.Module) -> nn.Module:
    """A copy of the model for inference, in evaluation mode; equal to it up to rounding.

    Batch norms are folded into the convolution before them, and every M2MRF takes its shorter form. The tensors have
    other names and shapes than the model's: save the model, and fuse what was loaded.

    Args:
        model: trained; batch norms are taken with their running statistics. It stays as it is.
    """
    model = copy.deepcopy(model).eval()
    _fuse_below(model)
    return model


class FusedM2MRF(nn.Module):
    """M2MRF with both 1x1 convolutions absorbed: one strided convolution, one 1x1, a pixel shuffle.

    The compression is absorbed with its bias, whole patches at a time, padded cells included. That is exact because
    M2MRF pads with zeros before it compresses: a padded cell becomes the bias there, and here, too.
    (N, C_in, H, W) -> (N, C_out, max(⌊H·scale⌋, 1), max(⌊W·scale⌋, 1))
    """

    def __init__(self, operator: M2MRF):
        super().__init__()
        self.scale, self.patch_size, self.out_patch_size = operator.scale, operator.patch_size, operator.out_patch_size
        compress, recover = (conv.weight.double()[:, :, 0, 0] for conv in (operator.compress, operator.recover))
        gather = operator.gather.weight.double()  # (f, e, S, S)
        cells = self.out_patch_size**2
        scatter = operator.scatter.weight.double()[:, :, 0, 0].unflatten(0, (-1, cells))  # (e, (S·s)², f)
        self.gather = _conv(
            torch.einsum("feij,ec->fcij", gather, compress),
            operator.gather.bias + torch.einsum("feij,e->f", gather, operator.compress.bias.double()),
            operator.gather,
        )
        bias = recover @ operator.scatter.bias.double().unflatten(0, (-1, cells)) + operator.recover.bias[:, None]
        self.scatter = _conv(
            torch.einsum("oe,epf->opf", recover, scatter).flatten(0, 1)[:, :, None, None],
            bias.flatten(),
            operator.scatter,
        )

    def forward(self, x: Tensor) -> Tensor:
        height, width = x.shape[2:]
        x = F.pad(x, (0, -width % self.patch_size, 0, -height % self.patch_size))
        x = self.scatter(self.gather(x))  # (N, C_out·(S·s)², a, b)
        x = F.pixel_shuffle(x, self.out_patch_size)
        return x[:, :, : max(int(height * self.scale), 1), : max(int(width * self.scale), 1)]

    @torch.no_grad()
    def fold(self, norm: nn.BatchNorm2d) -> None:
        """Absorb the batch norm that follows."""
        scale = norm.weight.double() / (norm.running_var.double() + norm.eps).sqrt()
        shift = norm.bias - norm.running_mean * scale
        scale, shift = (value.repeat_interleave(self.out_patch_size**2) for value in (scale, shift))
        self.scatter.weight.copy_(self.scatter.weight * scale[:, None, None, None])
        self.scatter.bias.copy_(self.scatter.bias * scale + shift)


def _conv(weight: Tensor, bias: Tensor, like: nn.Conv2d) -> nn.Conv2d:
    """A convolution of this weight and bias, with the other's kernel, stride, type and device."""
    conv = nn.Conv2d(weight.shape[1], weight.shape[0], like.kernel_size, like.stride)
    conv.weight, conv.bias = (nn.Parameter(value.detach().to(like.weight)) for value in (weight, bias))
    return conv


def _fuse_below(module: nn.Module) -> None:
    """In every module below, fuse each M2MRF, then each batch norm with the layer registered directly before it."""
    before, layer = "", None
    for name, child in module.named_children():
        if isinstance(child, M2MRF):
            child = FusedM2MRF(child)
            setattr(module, name, child)
        elif isinstance(child, nn.BatchNorm2d) and isinstance(layer, (nn.Conv2d, nn.ConvTranspose2d)):
            setattr(module, before, fuse_conv_bn_eval(layer, child, transpose=isinstance(layer, nn.ConvTranspose2d)))
            setattr(module, name, nn.Identity())
        elif isinstance(child, nn.BatchNorm2d) and isinstance(layer, FusedM2MRF):
            layer.fold(child)
            setattr(module, name, nn.Identity())
        else:
            _fuse_below(child)
        before, layer = name, child
