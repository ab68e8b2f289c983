"""Strided convolution, the downsampling of HRNet.

Wang et al., "Deep High-Resolution Representation Learning for Visual Recognition", arXiv:1908.07919.
Placement: as in mmseg, module for module: state_dict keys and outputs equal mmseg's, ImageNet weights load.
Confidence: certain. Initialisation: HRNet's (Kaiming).
"""

from torch import nn

from operators import Pair


def down(in_channels: int, out_channels: int, steps: int, relu: bool) -> nn.Sequential:
    """t × conv3x3 stride 2, the last to C_out. (N, C_in, H, W) -> (N, C_out, ⌈H/2^t⌉, ⌈W/2^t⌉)"""
    inner = [_step(in_channels, in_channels, relu=True) for _ in range(steps - 1)]
    return nn.Sequential(*inner, _step(in_channels, out_channels, relu))


def _step(in_channels: int, out_channels: int, relu: bool) -> nn.Sequential:
    conv = nn.Conv2d(in_channels, out_channels, kernel_size=3, stride=2, padding=1, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(out_channels), *([nn.ReLU()] if relu else []))


OF_HRNET = ("StrideConv",)
DOWN = {"StrideConv": down}
PAIRS = (Pair("strideconv_bilinear", "StrideConv", "Bilinear", params=65_847_844, confidence="certain"),)
