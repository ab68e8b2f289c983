"""HRNetV2p: a feature pyramid from all branches, for which detection knows HRNet.

Wang et al., "Deep High-Resolution Representation Learning for Visual Recognition", arXiv:1908.07919: all branches at
the highest resolution, joined and mixed by a 1x1 convolution, are pooled to four levels. For segmentation the levels go
to the head of Kirillov et al., "Panoptic Feature Pyramid Networks", arXiv:1901.02446 (mmsegmentation's FPNHead).

Confidence: low; the papers use V2p for detection alone, so the head is chosen here.
"""

import torch
import torch.nn.functional as F
from mmengine.model import BaseModule
from mmseg.models.decode_heads import FPNHead
from torch import Tensor, nn

from rfbench.competitors.method import Method
from rfbench.methods.parts.heads import outputs, segmentor
from rfbench.methods.parts.hrnet import hrnet, hrnet_weights, widths
from rfbench.methods.parts.layers import initialise
from rfbench.methods.parts.sizes import divisor
from rfbench.models.segmentor import LesionSegmentor

STRIDES = (4, 8, 16, 32)


class Pyramid(nn.Module):
    """Four branches -> four maps of as many channels. Convolutions have biases and no norm, as in detection.

    Args:
        widths: channels of the branches.
        channels: of the pyramid.
    """

    def __init__(self, widths: tuple[int, ...], channels: int):
        super().__init__()
        self.mix = nn.Conv2d(sum(widths), channels, kernel_size=1)
        self.levels = nn.ModuleList(nn.Conv2d(channels, channels, kernel_size=3, padding=1) for _ in STRIDES)
        initialise(self)

    def forward(self, branches: list[Tensor]) -> list[Tensor]:
        size = branches[0].shape[2:]
        branches = [F.interpolate(x, size, mode="bilinear", align_corners=False) for x in branches]
        x = self.mix(torch.cat(branches, dim=1))  # (N, C, H/4, W/4)
        return [level(F.avg_pool2d(x, 2**n)) for n, level in enumerate(self.levels)]


class PyramidHead(BaseModule):
    """Four branches -> logits at the highest resolution; a BaseModule, so that mmengine initialises mmseg's head."""

    def __init__(self, widths: tuple[int, ...], channels: int, num_lesions: int):
        super().__init__()
        self.pyramid = Pyramid(widths, channels)
        self.head = FPNHead(
            feature_strides=STRIDES,
            in_channels=[channels] * 4,
            in_index=[0, 1, 2, 3],
            channels=channels // 2,
            dropout_ratio=0.1,
            **outputs(num_lesions),
        )

    def forward(self, branches: list[Tensor]) -> Tensor:
        return self.head(self.pyramid(branches))


def build(num_lesions: int, *, size: str = "published") -> LesionSegmentor:
    """The network: W48, a pyramid of 256 channels, a head of 128."""
    return segmentor(hrnet(size), PyramidHead(widths(size), 256 // divisor(size), num_lesions))


METHOD = Method(
    label="HRNetV2p",
    paper="Wang et al., Deep High-Resolution Representation Learning, TPAMI 2020, arXiv:1908.07919",
    build=build,
    confidence="Low: backbone (W48) and pyramid as published for detection; the head for segmentation (Semantic FPN) "
    "is chosen here.",
    parameters=69_494_340,
    weights=hrnet_weights(),
)
