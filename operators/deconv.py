"""Deconvolution (transposed convolution) as upsampling.

Compared in Liu, Liu, Liang, arXiv:2111.00193, Table 2; its placement in HRNet is not released.

    y[o, s·v + i, s·u + j] = Σ_c W[c, o, i, j] · x[c, v, u]    s = 2^t, 0 ≤ i, j < s: each cell becomes its own block

Placement: one transposed convolution with kernel = stride = 2^t instead of the conv1x1, no bias, then BN.
Confidence: high (the parameter count agrees exactly).
Initialisation: PyTorch's default (HRNet's does not reach transposed convolutions; the BN removes its scale).
"""

from collections import OrderedDict

from torch import nn

from operators import Pair


def up(in_channels: int, out_channels: int, steps: int) -> nn.Sequential:
    """(N, C_in, H, W) -> (N, C_out, 2^t·H, 2^t·W)"""
    scale = 2**steps
    path = OrderedDict(
        deconv=nn.ConvTranspose2d(in_channels, out_channels, kernel_size=scale, stride=scale, bias=False),
        norm=nn.BatchNorm2d(out_channels),
    )
    return nn.Sequential(path)


UP = {"Deconv": up}
PAIRS = (Pair("strideconv_deconv", "StrideConv", "Deconv", params=73_119_268, confidence="high"),)
