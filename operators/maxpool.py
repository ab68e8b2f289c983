"""Max pooling as downsampling, and unpooling by its indices as upsampling.

Compared in Liu, Liu, Liang, arXiv:2111.00193, Table 2 (unpooling: Badrinarayanan et al., "SegNet",
arXiv:1511.00561); their placement in HRNet is not released.

    down: y(v, u) = max of x over rows 2v-1…2v+1, columns 2u-1…2u+1, cells inside the map; k(v, u): where it lies
    up: y(k(v, u)) = x(v, u), elsewhere 0

Down: t pools (3x3, stride 2) on the input channels, nothing between, then one conv1x1 (no bias) + BN.
Up: conv1x1 (no bias) + BN, then t unpoolings. The path j -> i takes the indices of the same module's mirrored
path i -> j, last step first: this pairing is ours, chosen because its channels and sizes always match.
Confidence: high for MaxPool / Bilinear (the parameter count agrees exactly); for MaxUnpool high as to the count, while
the index pairing is undetermined. Initialisation: HRNet's (Kaiming).
Ties: the first maximum of a window in row-major order wins and receives the gradient.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from operators import Pair


class MaxPoolDownsample(nn.Module):
    """3x3 max pooling, stride 2: (N, C, H, W) -> y and flat indices row·W + column, both (N, C, ⌈H/2⌉, ⌈W/2⌉)."""

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return F.max_pool2d(x, kernel_size=3, stride=2, padding=1, return_indices=True)


def max_unpool(low: Tensor, indices: Tensor, output_size: tuple[int, int]) -> Tensor:
    """Write each cell to the place its maximum came from, 0 elsewhere: (N, C, h, w) -> (N, C, *output_size).

    Windows overlap: of several cells with one target the last in row-major order is written, and it alone receives
    gradient, on every device (F.max_unpool2d leaves both open and refuses deterministic mode).

    Args:
        low: the map to unpool, of the indices' shape.
        indices: as `MaxPoolDownsample` gives them.
        output_size: height and width of the pooled map.
    """
    height, width = output_size
    nowhere = height * width  # one cell too many, for the overwritten ones
    target = torch.where(_overwritten(indices), nowhere, indices).flatten(2)
    y = low.new_zeros(*low.shape[:2], nowhere + 1).scatter(2, target, low.flatten(2))
    return y[..., :nowhere].unflatten(2, (height, width))


def _overwritten(indices: Tensor) -> Tensor:
    """Cells whose target a later cell has too; 3x3 windows share cells with their eight neighbours only."""
    height, width = indices.shape[2:]
    after = F.pad(indices, (1, 1, 0, 1), value=-1)  # no index is -1
    overwritten = indices == after[:, :, :height, 2:]  # by the cell to the right
    for column in range(3):  # by one of the three below
        overwritten = overwritten | (indices == after[:, :, 1:, column : column + width])
    return overwritten


class MaxPoolPath(nn.Module):
    """(N, C_in, H, W) -> (N, C_out, ⌈H/2^t⌉, ⌈W/2^t⌉) and a step's record: (indices, size of the pooled map)."""

    def __init__(self, in_channels: int, out_channels: int, steps: int, relu: bool):
        super().__init__()
        # Named, so that no ImageNet tensor of the replaced strided convolutions fits by accident.
        self.pool = nn.ModuleList(MaxPoolDownsample() for _ in range(steps))
        self.conv = nn.Conv2d(in_channels, out_channels, kernel_size=1, bias=False)
        self.norm = nn.BatchNorm2d(out_channels)
        self.relu = nn.ReLU() if relu else nn.Identity()

    def forward(self, x: Tensor) -> tuple[Tensor, tuple]:
        records = ()
        for pool in self.pool:
            size = x.shape[2:]
            x, indices = pool(x)
            records += ((indices, size),)
        return self.relu(self.norm(self.conv(x))), records


class MaxUnpoolPath(nn.Module):
    """(N, C_in, h, w) and the records of a MaxPoolPath with C_out inputs -> (N, C_out, H, W) of the pooled map."""

    def __init__(self, in_channels: int, out_channels: int, steps: int):
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, kernel_size=1, bias=False)
        self.norm = nn.BatchNorm2d(out_channels)

    def forward(self, x: Tensor, records: tuple) -> Tensor:
        x = self.norm(self.conv(x))
        for indices, size in reversed(records):
            x = max_unpool(x, indices, size)
        return x


DOWN = {"MaxPool": MaxPoolPath}
UP = {"MaxUnpool": MaxUnpoolPath}
PAIRS = (
    Pair("maxpool_bilinear", "MaxPool", "Bilinear", params=59_453_956, confidence="high"),
    Pair(
        "maxpool_maxunpool",
        "MaxPool",
        "MaxUnpool",
        params=59_453_956,
        confidence="count high, index pairing undetermined",
        guide="mirror",
    ),
)
