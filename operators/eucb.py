"""EUCB: nearest neighbours, a depthwise convolution, a pointwise one.

Rahman, Munir, Marculescu, "EMCAD: Efficient Multi-scale Convolutional Attention Decoding for Medical Image
Segmentation", CVPR 2024, arXiv:2405.06880 (efficient up-convolution block).

    y = conv1x1(ReLU(BN(depthwise conv3x3(nearest ×2 of x))))    depthwise without, conv1x1 with bias

The authors' code also shuffles channels, in as many groups as there are channels: the identity, left out here.

Placement (ours): the operator changes the channels itself and replaces conv1x1 + BN; its first step goes C_j -> C_i,
the others C_i -> C_i. It ends without activation, as the authors'.
Initialisation, the authors': convolutions N(0, 0.02), biases 0.
"""

import torch
from torch import Tensor, nn

from operators import Pair
from rfbench import official

OFFICIAL_NAMES = {"up_dwc.1": "depthwise", "up_dwc.2": "norm", "pwc.0": "pointwise"}  # the authors': ours


class EUCB(nn.Module):
    """(N, C_in, H, W) -> (N, C_out, 2H, 2W)

    Args:
        in_channels: C_in.
        out_channels: C_out.
    """

    def __init__(self, in_channels: int, out_channels: int):
        super().__init__()
        self.upsample = nn.Upsample(scale_factor=2, mode="nearest")
        self.depthwise = nn.Conv2d(in_channels, in_channels, 3, padding=1, groups=in_channels, bias=False)
        self.norm = nn.BatchNorm2d(in_channels)
        self.relu = nn.ReLU()
        self.pointwise = nn.Conv2d(in_channels, out_channels, kernel_size=1)
        self.init_operator()

    def forward(self, x: Tensor) -> Tensor:
        return self.pointwise(self.relu(self.norm(self.depthwise(self.upsample(x)))))

    @torch.no_grad()
    def init_operator(self) -> None:
        for conv in (self.depthwise, self.pointwise):
            nn.init.normal_(conv.weight, std=0.02)
        nn.init.zeros_(self.pointwise.bias)

    def load_official(self, state_dict: dict[str, Tensor]) -> None:
        """Load the authors' tensors (prefixes as in OFFICIAL_NAMES), strictly."""
        official.load_official(self, state_dict, OFFICIAL_NAMES)


def up(in_channels: int, out_channels: int, steps: int) -> nn.Sequential:
    """t × EUCB, the first to C_out. (N, C_in, H, W) -> (N, C_out, 2^t·H, 2^t·W)"""
    return nn.Sequential(EUCB(in_channels, out_channels), *(EUCB(out_channels, out_channels) for _ in range(steps - 1)))


UP = {"EUCB": up}
PAIRS = (
    Pair(
        "strideconv_eucb",
        "StrideConv",
        "EUCB",
        since="CVPR 2024; the shuffle of the authors' code, an identity, left out",
    ),
)
