"""ADown: half of the channels through a strided convolution, half through max pooling.

Wang, Yeh, Liao, "YOLOv9: Learning What You Want to Learn Using Programmable Gradient Information", ECCV 2024,
arXiv:2402.13616, whose code has it; the paper does not describe it.

    z = mean over 2x2 cells, stride 1; z1, z2 its halves by channel
    y = [act(BN(conv3x3 stride 2 (z1))), act(BN(conv1x1(max over 3x3 cells, stride 2 (z2))))]    C_out/2 channels each

Placement (ours): each step replaces a strided convolution; the activation is the baseline's ReLU (authors: SiLU), none
at the end of a fusion path. Odd maps are padded right and bottom by their last row and column, so that they give
⌈n/2⌉ (authors: ⌊n/2⌋); even maps are untouched. About a quarter of StrideConv's weights.
Initialisation: HRNet's (Kaiming).
"""

from collections import OrderedDict

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from operators import Pair
from rfbench import official


class ADown(nn.Module):
    """(N, C_in, H, W) -> (N, C_out, ⌈H/2⌉, ⌈W/2⌉)

    Args:
        in_channels: C_in, even.
        out_channels: C_out, even.
        act: class of the activation; nn.Identity for none.
    """

    def __init__(self, in_channels: int, out_channels: int, act: type[nn.Module] = nn.ReLU):
        super().__init__()
        if in_channels % 2 or out_channels % 2:
            raise ValueError(f"ADown: halves its channels, so they must be even, not {in_channels} and {out_channels}.")
        half, out = in_channels // 2, out_channels // 2
        self.cv1 = _block(nn.Conv2d(half, out, kernel_size=3, stride=2, padding=1, bias=False), act)
        self.cv2 = _block(nn.Conv2d(half, out, kernel_size=1, bias=False), act)

    def forward(self, x: Tensor) -> Tensor:
        height, width = x.shape[2:]
        if height % 2 or width % 2:
            x = F.pad(x, (0, width % 2, 0, height % 2), mode="replicate")
        first, second = F.avg_pool2d(x, 2, stride=1).chunk(2, dim=1)
        return torch.cat([self.cv1(first), self.cv2(F.max_pool2d(second, 3, stride=2, padding=1))], dim=1)

    def load_official(self, state_dict: dict[str, Tensor]) -> None:
        """Load the authors' tensors `cv1.conv.weight`, `cv1.bn.*`, `cv2.conv.weight`, `cv2.bn.*`, strictly."""
        official.load_official(self, state_dict)


def _block(conv: nn.Conv2d, act: type[nn.Module]) -> nn.Sequential:
    return nn.Sequential(OrderedDict(conv=conv, bn=nn.BatchNorm2d(conv.out_channels), act=act()))


def down(in_channels: int, out_channels: int, steps: int, relu: bool) -> nn.Sequential:
    """t × ADown, the last to C_out. (N, C_in, H, W) -> (N, C_out, ⌈H/2^t⌉, ⌈W/2^t⌉)"""
    inner = [ADown(in_channels, in_channels) for _ in range(steps - 1)]
    return nn.Sequential(*inner, ADown(in_channels, out_channels, act=nn.ReLU if relu else nn.Identity))


DOWN = {"ADown": down}
PAIRS = (
    Pair(
        "adown_bilinear",
        "ADown",
        "Bilinear",
        since="YOLOv9, ECCV 2024; of the authors' code, the paper does not describe it",
    ),
)
