"""Max pooling as downsampling.

Compared in Liu, Liu, Liang, arXiv:2111.00193, Table 2; its placement in HRNet is not released.
Placement: t pools (3x3, stride 2) on the input channels, nothing between, then one conv1x1 (no bias) + BN.
Confidence: high (the parameter count agrees exactly). Initialisation: HRNet's (Kaiming).
Ties: the first maximum of a window in row-major order wins and receives the gradient.
"""

from collections import OrderedDict

from torch import nn

from operators import Pair


def down(in_channels: int, out_channels: int, steps: int, relu: bool) -> nn.Sequential:
    """(N, C_in, H, W) -> (N, C_out, ⌈H/2^t⌉, ⌈W/2^t⌉)"""
    # Named, so that no ImageNet tensor of the replaced strided convolutions fits by accident.
    path = OrderedDict(
        pool=nn.Sequential(*(nn.MaxPool2d(kernel_size=3, stride=2, padding=1) for _ in range(steps))),
        conv=nn.Conv2d(in_channels, out_channels, kernel_size=1, bias=False),
        norm=nn.BatchNorm2d(out_channels),
    )
    if relu:
        path["relu"] = nn.ReLU()
    return nn.Sequential(path)


DOWN = {"MaxPool": down}
PAIRS = (Pair("maxpool_bilinear", "MaxPool", "Bilinear", params=59_453_956, confidence="high"),)
