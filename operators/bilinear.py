"""Bilinear interpolation, the upsampling of HRNet.

Wang et al., "Deep High-Resolution Representation Learning for Visual Recognition", arXiv:1908.07919.
Placement: conv1x1 + BN at the low resolution, then the interpolation (align_corners=False), as in mmseg.
Confidence: certain. Initialisation: HRNet's (Kaiming).
"""

from torch import nn


def up(in_channels: int, out_channels: int, steps: int) -> nn.Sequential:
    """(N, C_in, H, W) -> (N, C_out, 2^t·H, 2^t·W)"""
    return nn.Sequential(
        nn.Conv2d(in_channels, out_channels, kernel_size=1, bias=False),
        nn.BatchNorm2d(out_channels),
        nn.Upsample(scale_factor=2**steps, mode="bilinear", align_corners=False),
    )


OF_HRNET = ("Bilinear",)
UP = {"Bilinear": up}
