"""Weighted sums over windows whose weights differ from place to place: what content-aware operators reassemble by.

Accumulated over the taps of the window, so that no unfolded copy of the map (25 times its size for a 5x5 window) is
ever made or kept for backward; only the map and its weights are. On a CPU this is also 3 to 15 times faster.
"""

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable


def window_sum(x: Tensor, weights: Tensor, stride: int = 1) -> Tensor:
    """y[c, q, v, u] = Σ_tap weights[tap, q, v, u] · x[c, stride·v + row - p, stride·u + column - p].

    Cells outside the map count as zero, and nothing is renormalised. (N, C, H, W) -> (N, C, Q, h, w)

    Args:
        x: (N, C, H, W).
        weights: (N, k², Q, h, w), shared by the channels; tap = row·k + column, Q weightings of the same windows.
        stride: 1 or 2; p = ⌊(k - stride + 1) / 2⌋, so that a window lies centred on the `stride` cells it replaces
            (on the first of two where k is odd). h = ⌈H / stride⌉, w = ⌈W / stride⌉.
    """
    dtype = torch.promote_types(x.dtype, weights.dtype)
    return _WindowSum.apply(x.to(dtype), weights.to(dtype), stride)


def upsample(low: Tensor, weights: Tensor, scale: int) -> Tensor:
    """Each cell becomes scale x scale cells, each a weighting of the window around it.

    Args:
        low: (N, C, h, w).
        weights: (N, k², scale², h, w); sub-pixel = row·scale + column.

    Returns:
        (N, C, scale·h, scale·w)
    """
    return F.pixel_shuffle(window_sum(low, weights).flatten(1, 2), scale)


class _WindowSum(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x: Tensor, weights: Tensor, stride: int) -> Tensor:
        ctx.save_for_backward(x, weights)
        ctx.stride = stride
        y = x.new_zeros(*x.shape[:2], *weights.shape[2:])
        for tap, cells in enumerate(_taps(_phases(x, weights, stride), weights)):
            y.addcmul_(cells.unsqueeze(2), weights[:, tap, None])
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx, grad: Tensor) -> tuple[Tensor, Tensor, None]:
        x, weights = ctx.saved_tensors
        phases = _phases(x, weights, ctx.stride)
        phases_grad = torch.zeros_like(phases)
        weights_grad = torch.empty_like(weights)
        pairs = zip(_taps(phases, weights), _taps(phases_grad, weights), strict=True)
        for tap, (cells, cells_grad) in enumerate(pairs):
            weights_grad[:, tap] = (grad * cells.unsqueeze(2)).sum(1)
            cells_grad += (grad * weights[:, tap, None]).sum(2)
        return _unphased(phases_grad, x, weights, ctx.stride), weights_grad, None


def _padding(weights: Tensor, stride: int) -> tuple[int, int]:
    """Side of the window and the padding before the map."""
    side = round(weights.shape[1] ** 0.5)
    return side, (side - stride + 1) // 2


def _phases(x: Tensor, weights: Tensor, stride: int) -> Tensor:
    """Zero-padded x, split by row and column modulo the stride, each part contiguous: (s, s, N, C, h + …, w + …)."""
    side, before = _padding(weights, stride)
    # The furthest cell that a window reaches, rounded up to whole strides.
    height, width = (stride * (cells + (side - 1) // stride) for cells in weights.shape[3:])
    x = F.pad(x, (before, width - before - x.shape[3], before, height - before - x.shape[2]))
    x = x.unflatten(3, (-1, stride)).unflatten(2, (-1, stride))  # (N, C, h, s, w, s)
    return x.permute(3, 5, 0, 1, 2, 4).contiguous()


def _unphased(phases: Tensor, x: Tensor, weights: Tensor, stride: int) -> Tensor:
    """The inverse of `_phases`: (N, C, H, W), the padding cut off."""
    _, before = _padding(weights, stride)
    padded = phases.permute(2, 3, 4, 0, 5, 1).flatten(4, 5).flatten(2, 3)
    return padded[:, :, before : before + x.shape[2], before : before + x.shape[3]]


def _taps(phases: Tensor, weights: Tensor) -> list[Tensor]:
    """For each tap, row-major, the cell that it reads for every window: views (N, C, h, w)."""
    stride = phases.shape[0]
    side, _ = _padding(weights, stride)
    height, width = weights.shape[3:]
    reach = [(offset % stride, offset // stride) for offset in range(side)]
    return [
        phases[row, column, :, :, top : top + height, left : left + width]
        for row, top in reach
        for column, left in reach
    ]
