"""SPD-Conv: space to depth, then a convolution without stride, so that no cell is skipped.

Sunkara, Luo, "No More Strided Convolutions or Pooling: A New CNN Building Block for Low-Resolution Images and Small
Objects", ECML PKDD 2022, arXiv:2208.03641.

    s = [x(0::2, 0::2), x(1::2, 0::2), x(0::2, 1::2), x(1::2, 1::2)]    4C channels, row offset first
    y = ReLU(BN(conv(s)))

The order of the four is the authors'; torch's pixel_unshuffle has another. The paper's order of layers is followed;
the authors' networks also convolve before the rearrangement.

Placement (ours): each step replaces a strided convolution, conv3x3 (no bias), BN, a ReLU where the baseline has one;
odd maps are padded with zeros right and bottom. With kernel 3 a step has four times StrideConv's weights, so that a
gain is confounded with capacity: `kernel: 1` (patch merging without its layer norm) has less than half of them.
Initialisation: HRNet's (Kaiming).
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from operators import Pair
from rfbench import official

OPTIONS = {"kernel": 3}  # see SPDConv
# The authors' (class Focus) and the names under which SPDConv circulates: ours
OFFICIAL_NAMES = {"conv.conv": "conv", "conv.bn": "norm", "bn": "norm"}


def space_to_depth(x: Tensor) -> Tensor:
    """(N, C, H, W) -> (N, 4C, ⌈H/2⌉, ⌈W/2⌉): the cells (0, 0), (1, 0), (0, 1), (1, 1) of each 2x2 block."""
    x = F.pad(x, (0, x.shape[3] % 2, 0, x.shape[2] % 2))
    return torch.cat([x[:, :, row::2, column::2] for column in (0, 1) for row in (0, 1)], dim=1)


class SPDConv(nn.Module):
    """(N, C_in, H, W) -> (N, C_out, ⌈H/2⌉, ⌈W/2⌉)

    Args:
        in_channels: C_in.
        out_channels: C_out.
        kernel: side of the convolution, odd.
        act: class of the activation at the end; nn.Identity for none.
    """

    def __init__(self, in_channels: int, out_channels: int, kernel: int = 3, act: type[nn.Module] = nn.ReLU):
        super().__init__()
        if kernel < 1 or kernel % 2 == 0:
            raise ValueError(f"SPDConv: kernel must be odd, not {kernel}, for the map to keep its size.")
        self.conv = nn.Conv2d(4 * in_channels, out_channels, kernel, padding=kernel // 2, bias=False)
        self.norm = nn.BatchNorm2d(out_channels)
        self.act = act()

    def forward(self, x: Tensor) -> Tensor:
        return self.act(self.norm(self.conv(space_to_depth(x))))

    def load_official(self, state_dict: dict[str, Tensor]) -> None:
        """Load the authors' tensors (prefixes as in OFFICIAL_NAMES), strictly."""
        official.load_official(self, state_dict, OFFICIAL_NAMES)


def down(in_channels: int, out_channels: int, steps: int, relu: bool, **options) -> nn.Sequential:
    """t × SPDConv, the last to C_out. (N, C_in, H, W) -> (N, C_out, ⌈H/2^t⌉, ⌈W/2^t⌉)"""
    inner = [SPDConv(in_channels, in_channels, **options) for _ in range(steps - 1)]
    return nn.Sequential(*inner, SPDConv(in_channels, out_channels, **options, act=nn.ReLU if relu else nn.Identity))


DOWN = {"SPDConv": down}
PAIRS = (
    Pair(
        "spd_bilinear",
        "SPDConv",
        "Bilinear",
        since="ECML PKDD 2022; the paper's order of layers, the authors' code also convolves first",
    ),
)
