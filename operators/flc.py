"""FLC pooling: the map is halved in the frequency domain, where the upper half of the spectrum is cut off.

Grabinski, Jung, Keuper, Keuper, "FrequencyLowCut Pooling – Plug & Play against Catastrophic Overfitting", ECCV 2022,
arXiv:2204.00491. No aliasing at all, by the ideal low-pass filter: the far end of the scale StrideConv, BlurPool, FLC.

    y = real part of the inverse DFT of the frequencies -⌊m/2⌋ … m - ⌊m/2⌋ - 1 of x along both axes, m = n/2

The mean is kept. Odd sides are continued by their last row or column, so that they give ⌈n/2⌉. Ours are both: the
authors' crop misses the zero frequency by one where n = 4k + 2 (a constant becomes a cosine), and cuts odd maps to
⌊n/2⌋ (9 to 4); where 4 divides n both are the same. It is global: every cell sees its whole row and column, and what
leaves the map at one border enters at the other.

Computed as products with real matrices, always in float32 or wider: deterministic, exportable, and torch has no
transform of bfloat16 maps. Only the lowest frequency -m/2 of an even m stands alone, without its conjugate; its
imaginary part has rank one.

    y = K_h x K_wᵀ - (a_h x a_wᵀ) · (-1)^(r + s)    K(r, c) = κ(2r - c), κ(j) = 1/n Σ_k cos(2πkj/n)
                                                    a(c) = sin(πc/2)/n for even m, else 0

Placement, the authors': FLC, then conv3x3 of stride 1 (no bias) at the low resolution, BN, a ReLU where the baseline
has one. No parameters of its own. Initialisation: HRNet's (Kaiming).
"""

from collections import OrderedDict
from math import pi

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from operators import Pair
from rfbench import reassembly


class FLCPool(nn.Module):
    """(N, C, H, W) -> (N, C, ⌈H/2⌉, ⌈W/2⌉)"""

    def forward(self, x: Tensor) -> Tensor:
        height, width = x.shape[2:]
        dtype = x.dtype
        if height % 2 or width % 2:
            x = F.pad(x, (0, width % 2, 0, height % 2), mode="replicate")
        with reassembly.full_precision(x):
            x = x.to(torch.promote_types(dtype, torch.float32))
            (rows, row_wave), (columns, column_wave) = (_matrices(side, x) for side in x.shape[2:])
            y = rows @ (x @ columns.mT)
            alone = row_wave @ x @ column_wave  # (N, C)
            row, column = (torch.arange(side, device=x.device) for side in y.shape[2:])
            odd = (row[:, None] + column) % 2
            return (y - alone[:, :, None, None] * (1 - 2 * odd)).to(dtype)


def _matrices(n: int, like: Tensor) -> tuple[Tensor, Tensor]:
    """K (n/2, n) and a (n) of an even side."""
    m, device = n // 2, like.device
    frequencies = torch.arange(-(m // 2), m - m // 2, device=device)
    cells, targets = torch.arange(n, device=device), torch.arange(m, device=device)
    # Whole numbers modulo n first, so that the phases of far frequencies and cells are exact.
    kernel = torch.cos((cells[:, None] * frequencies % n).double() * (2 * pi / n)).sum(1) / n
    wave = torch.sin(cells.double() * (pi / 2)) / n if m % 2 == 0 else torch.zeros(n, device=device)
    return kernel[(2 * targets[:, None] - cells) % n].to(like), wave.to(like)


def down(in_channels: int, out_channels: int, steps: int, relu: bool) -> nn.Sequential:
    """t × [FLC + conv3x3 + BN + ReLU], the last to C_out. (N, C_in, H, W) -> (N, C_out, ⌈H/2^t⌉, ⌈W/2^t⌉)"""
    inner = [_step(in_channels, in_channels, True) for _ in range(steps - 1)]
    return nn.Sequential(*inner, _step(in_channels, out_channels, relu))


def _step(in_channels: int, out_channels: int, relu: bool) -> nn.Sequential:
    layers = OrderedDict(
        pool=FLCPool(),
        conv=nn.Conv2d(in_channels, out_channels, kernel_size=3, padding=1, bias=False),
        norm=nn.BatchNorm2d(out_channels),
        relu=nn.ReLU() if relu else nn.Identity(),
    )
    return nn.Sequential(layers)


DOWN = {"FLC": down}
PAIRS = (
    Pair(
        "flc_bilinear",
        "FLC",
        "Bilinear",
        since="ECCV 2022; the centred crop of the paper, which the authors' code misses by one for sides of 4k + 2",
    ),
)
