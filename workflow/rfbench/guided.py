"""Guided upsampling: an up path whose steps look at the map of the resolution they go to.

The down path "StrideConv*" (operators/strideconv.py) records each step's input; a pair with it and `guide="mirror"`
hands those maps to the mirrored up path. They are x_i, the map of the branch that the path leads to, and the maps on
the way down from it. All have the path's C_out channels, so that no layer is needed to align them.
"""

from collections.abc import Callable

import torch.nn.functional as F
from torch import Tensor, nn


class GuidedStep(nn.Module):
    """One step of ×2 that looks at a guide: (N, C, h, w) and (N, C, H, W) -> (N, C, H, W), h = ⌈H/2⌉, w = ⌈W/2⌉.

    A subclass implements `reassemble` for guides of even sides, H = 2h and W = 2w. An odd guide is padded right and
    bottom by its last column and row, and what comes out is cut to its size.
    """

    def forward(self, low: Tensor, guide: Tensor) -> Tensor | tuple[Tensor, ...]:
        height, width = guide.shape[2:]
        expected = (-(-height // 2), -(-width // 2))
        if low.shape[2:] != expected:
            raise ValueError(
                f"{type(self).__name__}: expected a low map of half the guide's size, {expected[0]}x{expected[1]} "
                f"cells, found {low.shape[2]}x{low.shape[3]}."
            )
        if height % 2 or width % 2:
            padded = F.pad(guide, (0, width % 2, 0, height % 2), mode="replicate")
            guide = padded.to(guide.dtype)  # which autocast widens
        y = self.reassemble(low, guide)
        if isinstance(y, tuple):
            return tuple(part[:, :, :height, :width] for part in y)
        return y[:, :, :height, :width]

    def reassemble(self, low: Tensor, guide: Tensor) -> Tensor | tuple[Tensor, ...]:
        """(N, C, h, w) and (N, C, 2h, 2w) -> (N, C, 2h, 2w), or several such maps."""
        raise NotImplementedError


class GuidedUpPath(nn.Sequential):
    """conv1x1 + BN, which have the names of HRNet's own, then t guided steps, each with its own guide.

    (N, C_in, h, w) and t records (N, C_out, ⌈H/2^s⌉, ⌈W/2^s⌉), s = 0 … t-1 -> (N, C_out, H, W)

    Args:
        step: makes one step; all are given C_out alone.
    """

    def __init__(self, in_channels: int, out_channels: int, steps: int, step: Callable[[int], nn.Module]):
        super().__init__(
            nn.Conv2d(in_channels, out_channels, kernel_size=1, bias=False),
            nn.BatchNorm2d(out_channels),
            *(step(out_channels) for _ in range(steps)),
        )

    def forward(self, x: Tensor, records: tuple[Tensor, ...]) -> Tensor:
        conv, norm, *steps = self
        x = norm(conv(x))
        for step, guide in zip(steps, reversed(records), strict=True):
            x = step(x, guide)
        return x
