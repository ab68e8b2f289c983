"""Average pooling as downsampling: the control of every operator that learns how to average.

    y(v, u) = mean of the cells of block (v, u), 2x2, that lie inside the map

Placement, as in `maxpool.py`: t pools on C_in, nothing between, then conv1x1 (no bias) + BN.
Initialisation: HRNet's (Kaiming).
"""

from collections import OrderedDict

from torch import nn

from operators import Pair


def down(in_channels: int, out_channels: int, steps: int, relu: bool) -> nn.Sequential:
    """t × 2x2 mean, conv1x1 + BN. (N, C_in, H, W) -> (N, C_out, ⌈H/2^t⌉, ⌈W/2^t⌉)"""
    path = OrderedDict(
        pool=nn.Sequential(*(nn.AvgPool2d(2, ceil_mode=True, count_include_pad=False) for _ in range(steps))),
        conv=nn.Conv2d(in_channels, out_channels, kernel_size=1, bias=False),
        norm=nn.BatchNorm2d(out_channels),
        relu=nn.ReLU() if relu else nn.Identity(),
    )
    return nn.Sequential(path)


DOWN = {"AvgPool": down}
PAIRS = (Pair("avgpool_bilinear", "AvgPool", "Bilinear", since="control"),)
