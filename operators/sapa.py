"""SAPA: kernels from the similarity of the encoder's cells with the cells to reassemble.

Lu, Liu, Ye, Fu, Liu, Cao, "SAPA: Similarity-Aware Point Affiliation for Feature Upsampling", NeurIPS 2022,
arXiv:2209.12866; of its variants the basic one (SAPA-B). y: guide at twice the size, x: low map.

    q = linear(LN(y)), k = linear(LN(x))    LN: over the channels of a cell; d channels each
    S(target, tap) = q(target) · k(cell of the tap in the 5x5 window around the target's low cell)
    result = Σ_tap softmax(S)(tap) · x(cell of the tap)

Cells outside the map have similarity 0 and value 0, and take part in the softmax. S is not divided by √d.
d is 32, which the authors' published parameter count needs; their class's default is 64.

Placement (ours): `rfbench.guided`; the authors' decoders match it step for step.
Initialisation, the authors': linear layers truncated normal of std 0.02, biases 0; norms 1 and 0.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from operators import Pair
from rfbench import official, reassembly
from rfbench.guided import GuidedStep, GuidedUpPath

OPTIONS = {"dim": 32}  # see SAPA
KERNEL = 5


class SAPA(GuidedStep):
    """(N, C, h, w) and a guide (N, C, H, W) -> (N, C, H, W), h = ⌈H/2⌉, w = ⌈W/2⌉

    Args:
        channels: C.
        dim: d, channels in which cells are compared.
    """

    def __init__(self, channels: int, dim: int = 32):
        super().__init__()
        self.norm_y = nn.LayerNorm(channels)
        self.norm_x = nn.LayerNorm(channels)
        self.q = nn.Linear(channels, dim)
        self.k = nn.Linear(channels, dim)
        self.init_operator()

    def reassemble(self, low: Tensor, guide: Tensor) -> Tensor:
        query, key = _embedded(self.norm_y, self.q, guide), _embedded(self.norm_x, self.k, low)
        weights = F.softmax(reassembly.window_dot(query, key, KERNEL, 2), dim=1)  # (N, 25, 4, h, w)
        return reassembly.upsample(low, weights, 2).to(low.dtype)

    @torch.no_grad()
    def init_operator(self) -> None:
        for linear in (self.q, self.k):
            nn.init.trunc_normal_(linear.weight, std=0.02)
            nn.init.zeros_(linear.bias)

    def load_official(self, state_dict: dict[str, Tensor]) -> None:
        """Load the authors' tensors `norm_y.*`, `norm_x.*`, `q.*`, `k.*`, strictly."""
        official.load_official(self, state_dict)


def _embedded(norm: nn.LayerNorm, linear: nn.Linear, x: Tensor) -> Tensor:
    """(N, C, H, W) -> (N, d, H, W)"""
    return linear(norm(x.permute(0, 2, 3, 1))).permute(0, 3, 1, 2)


def up(in_channels: int, out_channels: int, steps: int, **options) -> GuidedUpPath:
    """conv1x1 + BN + t × SAPA. (N, C_in, h, w) and the records -> (N, C_out, H, W) of the first record"""
    return GuidedUpPath(in_channels, out_channels, steps, lambda channels: SAPA(channels, **options))


UP = {"SAPA": up}
PAIRS = (
    Pair(
        "strideconv_sapa",
        "StrideConv*",
        "SAPA",
        label="StrideConv/SAPA",
        guide="mirror",
        since="NeurIPS 2022, SAPA-B; dimension 32 as the paper's count needs, 64 is the default of the authors' code",
    ),
)
