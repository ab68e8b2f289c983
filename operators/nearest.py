"""Nearest-neighbour interpolation as upsampling: the control of every operator that learns what to put between cells.

    y(v, u) = x(⌊v / 2^t⌋, ⌊u / 2^t⌋)

Placement, as in `bilinear.py`: conv1x1 (no bias) + BN at the low resolution, then the copies.
Initialisation: HRNet's (Kaiming).
"""

from torch import nn

from operators import Pair


def up(in_channels: int, out_channels: int, steps: int) -> nn.Sequential:
    """(N, C_in, H, W) -> (N, C_out, 2^t·H, 2^t·W)"""
    return nn.Sequential(
        nn.Conv2d(in_channels, out_channels, kernel_size=1, bias=False),
        nn.BatchNorm2d(out_channels),
        nn.Upsample(scale_factor=2**steps, mode="nearest"),
    )


UP = {"Nearest": up}
PAIRS = (Pair("strideconv_nearest", "StrideConv", "Nearest", since="control"),)
