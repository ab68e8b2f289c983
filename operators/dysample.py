"""DySample: upsampling by sampling, at positions that the map itself predicts.

Liu, Lu, Fu, Cao, "Learning to Upsample by Learning to Sample", ICCV 2023, arXiv:2308.15085; of its variants
the one that predicts offsets at the low resolution ("lp") with static scope, or with dynamic scope ("DySample+").

    o = conv1x1(x)    two coordinates for each of g groups of channels and each of the four cells that one becomes
    y = x read bilinearly at (cell centre of bilinear ×2) + r·o, in low cells, beyond the border the border cell
    r = 1/4 (static), or sigmoid(conv1x1(x)) / 2 for each coordinate (dynamic)

Offsets and positions are computed in float32 under autocast, too, unlike the authors' (see `rfbench.reassembly.sample`,
also for determinism on GPUs).

Placement (ours): conv1x1 (no bias) + BN, then t steps of ×2 on C_i, nothing between: 1/4 is meant for ×2, at ×8
neighbouring samples could pass far beyond each other.
Initialisation, the authors': offsets N(0, 0.001), biases 0, scope 0. It starts as bilinear interpolation, nearly.
"""

import torch
from torch import Tensor, nn

from operators import Pair
from rfbench import official, reassembly

OPTIONS = {"groups": 4, "dynamic": False}  # see DySample


class DySample(nn.Module):
    """(N, C, H, W) -> (N, C, 2H, 2W)

    Args:
        channels: C, divisible by groups.
        groups: g; channels of a group are sampled at the same positions.
        dynamic: scope r predicted, too ("DySample+").
    """

    def __init__(self, channels: int, groups: int = 4, dynamic: bool = False):
        super().__init__()
        if groups < 1 or channels % groups:
            raise ValueError(f"DySample: groups must divide the {channels} channels, which {groups} does not.")
        self.groups = groups
        self.offset = nn.Conv2d(channels, 2 * groups * 4, kernel_size=1)
        self.scope = nn.Conv2d(channels, 2 * groups * 4, kernel_size=1, bias=False) if dynamic else None
        self.init_operator()

    def forward(self, x: Tensor) -> Tensor:
        return reassembly.sample(x, self.offsets(x), self.groups)

    def offsets(self, x: Tensor) -> Tensor:
        """r·o in low cells: (N, 8g, H, W), channel = coordinate·4g + group·4 + row·2 + column as in `sample`."""
        with reassembly.full_precision(x):
            x = x.to(self.offset.weight.dtype)
            scope = 0.25 if self.scope is None else 0.5 * torch.sigmoid(self.scope(x))
            return scope * self.offset(x)

    @torch.no_grad()
    def init_operator(self) -> None:
        nn.init.normal_(self.offset.weight, std=0.001)
        nn.init.zeros_(self.offset.bias)
        if self.scope is not None:
            nn.init.zeros_(self.scope.weight)

    def load_official(self, state_dict: dict[str, Tensor]) -> None:
        """Load the authors' tensors `offset.*` and, of the dynamic scope, `scope.weight`, strictly; scale 2, "lp"."""
        official.load_official(self, state_dict, constants={"init_pos": (1, 2 * self.groups * 4, 1, 1)})

    def extra_repr(self) -> str:
        return f"groups={self.groups}"


def up(in_channels: int, out_channels: int, steps: int, **options) -> nn.Sequential:
    """conv1x1 + BN + t × DySample. (N, C_in, H, W) -> (N, C_out, 2^t·H, 2^t·W)"""
    return nn.Sequential(
        nn.Conv2d(in_channels, out_channels, kernel_size=1, bias=False),
        nn.BatchNorm2d(out_channels),
        *(DySample(out_channels, **options) for _ in range(steps)),
    )


UP = {"DySample": up}
PAIRS = (Pair("strideconv_dysample", "StrideConv", "DySample", since="ICCV 2023"),)
