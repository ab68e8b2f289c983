"""BlurPool: a low-pass filter before every halving, so that no frequency is folded onto another.

Zhang, "Making Convolutional Networks Shift-Invariant Again", ICML 2019, arXiv:1904.11486: ConvBlurPool
for strided convolutions, MaxBlurPool for max pooling.

    y = x * f at every other cell    f = outer product of binomial weights, sum 1: (1 2 1), (1 3 3 1), (1 4 6 4 1), …

A filter of side n reads ⌊(n-1)/2⌋ cells before and ⌈(n-1)/2⌉ behind each even one; the map goes on beyond its border by
reflection. Side 2 is average pooling, side 1 plain slicing. No parameters.

Placement, the authors' recipes: "BlurPool", each step is a conv3x3 of stride 1 (no bias), BN, a ReLU where the
baseline has one, then BlurPool; "MaxBlurPool", t times max pooling 2x2 of stride 1 and BlurPool on C_in, then conv1x1
(no bias) + BN as in `maxpool.py`. Ours: sides not larger than the padding (2 cells) go on by replication, which
torch's reflection refuses; max pooling takes the cells inside the map only, so that the map keeps its size.
Default: side 4, the authors' package's; its samples lie centred on the pairs of cells that they replace, where
bilinear upsampling expects them. Initialisation: HRNet's (Kaiming).
"""

from collections import OrderedDict

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from operators import Pair

OPTIONS = {"filter_size": 4}  # see BlurPool
BINOMIAL = ((1,), (1, 1), (1, 2, 1), (1, 3, 3, 1), (1, 4, 6, 4, 1), (1, 5, 10, 10, 5, 1), (1, 6, 15, 20, 15, 6, 1))


class BlurPool(nn.Module):
    """(N, C, H, W) -> (N, C, ⌈H/2⌉, ⌈W/2⌉)

    Args:
        channels: C.
        filter_size: side of the binomial filter, 1 to 7.
    """

    def __init__(self, channels: int, filter_size: int = 4):
        super().__init__()
        if filter_size not in range(1, len(BINOMIAL) + 1):
            raise ValueError(f"BlurPool: filter_size must be 1 to {len(BINOMIAL)}, not {filter_size}.")
        self.channels, self.filter_size = channels, filter_size
        weights = torch.tensor(BINOMIAL[filter_size - 1]) / 2 ** (filter_size - 1)
        self.register_buffer("filter", torch.outer(weights, weights), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        x = _extended(_extended(x, 2, self.filter_size - 1), 3, self.filter_size - 1)
        weight = self.filter.expand(self.channels, 1, -1, -1)
        return F.conv2d(x, weight, stride=2, groups=self.channels)

    def extra_repr(self) -> str:
        return f"{self.channels}, filter_size={self.filter_size}"


def _extended(x: Tensor, dim: int, cells: int) -> Tensor:
    """Cells more along a dimension, half of them (rounded down) before the map: its reflection, or its border cell."""
    before, after, side = cells // 2, cells - cells // 2, x.shape[dim]
    if cells == 0:
        return x
    if side > after:  # slices, since the backward of torch's reflection padding is not deterministic on CUDA
        first, last = (x.narrow(dim, 1, before), x.narrow(dim, side - 1 - after, after))
        return torch.cat([first.flip(dim), x, last.flip(dim)], dim)
    first, last = (x.narrow(dim, at, 1).repeat_interleave(n, dim) for at, n in ((0, before), (side - 1, after)))
    return torch.cat([first, x, last], dim)


class MaxPool(nn.Module):
    """2x2 max pooling, stride 1, over cells inside the map: (N, C, H, W) -> (N, C, H, W)"""

    def forward(self, x: Tensor) -> Tensor:
        return F.max_pool2d(F.pad(x, (0, 1, 0, 1), value=-torch.inf), 2, stride=1)


def blur_down(in_channels: int, out_channels: int, steps: int, relu: bool, **options) -> nn.Sequential:
    """t × [conv3x3 + BN + ReLU + BlurPool], the last to C_out. (N, C_in, H, W) -> (N, C_out, ⌈H/2^t⌉, ⌈W/2^t⌉)"""
    inner = [_blur_step(in_channels, in_channels, True, options) for _ in range(steps - 1)]
    return nn.Sequential(*inner, _blur_step(in_channels, out_channels, relu, options))


def _blur_step(in_channels: int, out_channels: int, relu: bool, options: dict) -> nn.Sequential:
    layers = OrderedDict(
        conv=nn.Conv2d(in_channels, out_channels, kernel_size=3, padding=1, bias=False),
        norm=nn.BatchNorm2d(out_channels),
        relu=nn.ReLU() if relu else nn.Identity(),
        blur=BlurPool(out_channels, **options),
    )
    return nn.Sequential(layers)


def maxblur_down(in_channels: int, out_channels: int, steps: int, relu: bool, **options) -> nn.Sequential:
    """t × [max pooling + BlurPool], conv1x1 + BN. (N, C_in, H, W) -> (N, C_out, ⌈H/2^t⌉, ⌈W/2^t⌉)"""
    pools = [layer for _ in range(steps) for layer in (MaxPool(), BlurPool(in_channels, **options))]
    path = OrderedDict(
        pool=nn.Sequential(*pools),
        conv=nn.Conv2d(in_channels, out_channels, kernel_size=1, bias=False),
        norm=nn.BatchNorm2d(out_channels),
        relu=nn.ReLU() if relu else nn.Identity(),
    )
    return nn.Sequential(path)


DOWN = {"BlurPool": blur_down, "MaxBlurPool": maxblur_down}
PAIRS = (
    Pair("blur_bilinear", "BlurPool", "Bilinear", since="ICML 2019"),
    Pair("maxblur_bilinear", "MaxBlurPool", "Bilinear", since="ICML 2019"),
)
