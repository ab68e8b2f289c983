"""PixelShuffle: sub-pixel convolution, initialised without checkerboards.

Shi et al., "Real-Time Single Image and Video Super-Resolution Using an Efficient Sub-Pixel Convolutional Neural
Network", CVPR 2016, arXiv:1609.05158. As an upsampler of features: conv3x3 C -> 4C with bias, then the shuffle, the
form that the papers of SAPA, FADE, DySample and FreqFusion compare with. With kernel 1 it is a deconvolution.

    y(c, 2v + a, 2u + b) = conv(x)(4c + 2a + b, v, u)    a, b in {0, 1}

Placement (ours): conv1x1 (no bias) + BN, then t steps of ×2 on C_i, nothing between.
Initialisation: Aitken et al., "Checkerboard artifact free sub-pixel convolution", arXiv:1707.02937 (ICNR): the four
sub-kernels of a channel start as the same Kaiming kernel, biases 0, so that a step starts as nearest ×2 of a
convolution.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from operators import Pair
from rfbench import official

OPTIONS = {"kernel": 3}  # see PixelShuffleUpsample


class PixelShuffleUpsample(nn.Module):
    """(N, C, H, W) -> (N, C, 2H, 2W)

    Args:
        channels: C.
        kernel: side of the convolution, odd.
    """

    def __init__(self, channels: int, kernel: int = 3):
        super().__init__()
        if kernel < 1 or kernel % 2 == 0:
            raise ValueError(f"PixelShuffle: kernel must be odd, not {kernel}, for the map to keep its size.")
        self.conv = nn.Conv2d(channels, 4 * channels, kernel, padding=kernel // 2)
        self.init_operator()

    def forward(self, x: Tensor) -> Tensor:
        return F.pixel_shuffle(self.conv(x), 2)

    @torch.no_grad()
    def init_operator(self) -> None:
        shared = nn.init.kaiming_normal_(self.conv.weight[::4].clone(), mode="fan_out", nonlinearity="relu")
        self.conv.weight.copy_(shared.repeat_interleave(4, dim=0))
        nn.init.zeros_(self.conv.bias)

    def load_official(self, state_dict: dict[str, Tensor]) -> None:
        """Load the tensors of the papers' layer, a convolution and the shuffle in a row: `0.weight`, `0.bias`."""
        official.load_official(self, state_dict, {"0": "conv"})


def up(in_channels: int, out_channels: int, steps: int, **options) -> nn.Sequential:
    """conv1x1 + BN + t × PixelShuffle. (N, C_in, H, W) -> (N, C_out, 2^t·H, 2^t·W)"""
    return nn.Sequential(
        nn.Conv2d(in_channels, out_channels, kernel_size=1, bias=False),
        nn.BatchNorm2d(out_channels),
        *(PixelShuffleUpsample(out_channels, **options) for _ in range(steps)),
    )


UP = {"PixelShuffle": up}
PAIRS = (
    Pair(
        "strideconv_pixelshuffle",
        "StrideConv",
        "PixelShuffle",
        since="CVPR 2016, initialised by ICNR (arXiv 2017)",
    ),
)
