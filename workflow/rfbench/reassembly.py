"""Sums and inner products over windows that differ from place to place: what content-aware operators reassemble by.

Accumulated over the taps of the window, so that no unfolded copy of the map (25 times its size for a 5x5 window) is
ever made or kept for backward; only the map and its weights are. On a CPU this is also 3 to 15 times faster.

Samples at learnt positions, what point-based operators reassemble by, have their coordinates in float32 whatever the
maps are in: in bfloat16 a position in a row of 360 cells would be off by up to a third of a cell.
"""

import contextlib
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable


def window_sum(x: Tensor, weights: Tensor, stride: int = 1, dilation: int = 1) -> Tensor:
    """y[c, q, v, u] = Σ_tap weights[tap, q, v, u] · x[c, stride·v + dilation·row - p, stride·u + dilation·column - p].

    Cells outside the map count as zero, and nothing is renormalised. (N, C, H, W) -> (N, C, Q, h, w)

    Args:
        x: (N, C, H, W).
        weights: (N, k², Q, h, w), shared by the channels; tap = row·k + column, Q weightings of the same windows.
        stride: 1 or 2; h = ⌈H / stride⌉, w = ⌈W / stride⌉.
        dilation: distance of neighbouring taps. p = ⌊(dilation·(k - 1) - stride + 2) / 2⌋, so that a window lies
            centred on the `stride` cells it replaces (on the first of two where it spans an odd number of cells).
    """
    dtype = torch.promote_types(x.dtype, weights.dtype)
    return _WindowSum.apply(x.to(dtype), weights.to(dtype), stride, dilation)


def window_dot(query: Tensor, key: Tensor, kernel: int, scale: int = 1, dilation: int = 1) -> Tensor:
    """Inner products over the channels of each cell of the query with the window around its cell of the key.

    Without the unfolded copy of the key: the twin of `window_sum` (each is the other's gradient). Cells outside the
    key's map count as zero.

    Args:
        query: (N, D, scale·h, scale·w).
        key: (N, D, h, w).
        kernel: side k of the window, odd.
        scale: width of the block of query cells that lie in one cell of the key.
        dilation: distance of neighbouring taps.

    Returns:
        (N, k², scale², h, w); tap = row·k + column, sub-pixel = row·scale + column, as `upsample` takes its weights.
    """
    if kernel < 1 or kernel % 2 == 0:
        raise ValueError(f"window_dot: kernel must be odd, not {kernel}, for its window to have a centre.")
    if query.shape[2:] != tuple(scale * side for side in key.shape[2:]):
        expected, found = (scale * key.shape[2], scale * key.shape[3]), tuple(query.shape[2:])
        raise ValueError(f"window_dot: expected a query of {expected} cells, scale times the key's, found {found}.")
    dtype = torch.promote_types(query.dtype, key.dtype)
    query = F.pixel_unshuffle(query.to(dtype), scale).unflatten(1, (-1, scale**2))  # (N, D, scale², h, w)
    return _WindowDot.apply(query, key.to(dtype), kernel, dilation)


def upsample(low: Tensor, weights: Tensor, scale: int) -> Tensor:
    """Each cell becomes scale x scale cells, each a weighting of the window around it.

    Args:
        low: (N, C, h, w).
        weights: (N, k², scale², h, w); sub-pixel = row·scale + column.

    Returns:
        (N, C, scale·h, scale·w)
    """
    return F.pixel_shuffle(window_sum(low, weights).flatten(1, 2), scale)


def sample(x: Tensor, offsets: Tensor, groups: int, scale: int = 2) -> Tensor:
    """Each cell becomes scale x scale cells, each read bilinearly where an offset moves it to.

    Without offsets the cells lie evenly, and the result is bilinear interpolation. Positions beyond the border read
    the border cell. Computed in float32 or wider and returned in x's type. Its backward (torch's grid_sample) is not
    deterministic on CUDA.

    Args:
        x: (N, C, H, W), H and W any; C divisible by groups, each group of consecutive channels at its own positions.
        offsets: (N, 2·groups·scale², h, w) in cells of the offsets' map, which x is laid out over.
            Channel = coordinate·groups·scale² + group·scale² + row·scale + column; coordinate 0 is the column.

    Returns:
        (N, C, scale·h, scale·w)
    """
    n, channels = x.shape[:2]
    height, width = offsets.shape[2:]
    wide = torch.promote_types(x.dtype, torch.float32)
    columns, rows = offsets.to(wide).unflatten(1, (2, groups, scale, scale)).unbind(1)  # (N, g, s, s, h, w)
    inner = (torch.arange(scale, device=x.device, dtype=wide) + 0.5) / scale  # of a sub-pixel in its cell
    columns = columns + inner[:, None, None] + torch.arange(width, device=x.device, dtype=wide)
    rows = rows + inner[:, None, None, None] + torch.arange(height, device=x.device, dtype=wide)[:, None]
    grid = torch.stack([2 * columns / width - 1, 2 * rows / height - 1], dim=-1)
    grid = grid.permute(0, 1, 4, 2, 5, 3, 6).reshape(n * groups, scale * height, scale * width, 2)
    parts = x.to(wide).reshape(n * groups, channels // groups, *x.shape[2:])
    y = F.grid_sample(parts, grid, mode="bilinear", padding_mode="border", align_corners=False)
    return y.reshape(n, channels, *y.shape[2:]).to(x.dtype)


def full_precision(x: Tensor) -> contextlib.AbstractContextManager:
    """Turns autocast off on x's device, for what half precision would spoil."""
    device = x.device.type
    return (
        torch.autocast(device, enabled=False) if torch.amp.is_autocast_available(device) else contextlib.nullcontext()
    )


@dataclass(frozen=True)
class _Windows:
    """Windows over a map, without the map: which cell each of their taps reads."""

    side: int
    stride: int
    dilation: int
    height: int  # of the map of windows
    width: int

    @property
    def before(self) -> int:
        """Cells of padding before the map."""
        return (self.dilation * (self.side - 1) - self.stride + 2) // 2

    @property
    def reach(self) -> int:
        """Strides from a window's first cell to the furthest that it reads, rounded down."""
        return self.dilation * (self.side - 1) // self.stride

    def phases(self, x: Tensor) -> Tensor:
        """Zero-padded x, split by row and column modulo the stride, each contiguous: (s, s, N, C, h + …, w + …)."""
        height, width = (self.stride * (cells + self.reach) for cells in (self.height, self.width))
        x = F.pad(x, (self.before, width - self.before - x.shape[3], self.before, height - self.before - x.shape[2]))
        x = x.unflatten(3, (-1, self.stride)).unflatten(2, (-1, self.stride))  # (N, C, h, s, w, s)
        return x.permute(3, 5, 0, 1, 2, 4).contiguous()

    def unphased(self, phases: Tensor, size: torch.Size) -> Tensor:
        """The inverse of `phases`: (N, C, *size), the padding cut off."""
        padded = phases.permute(2, 3, 4, 0, 5, 1).flatten(4, 5).flatten(2, 3)
        return padded[:, :, self.before : self.before + size[0], self.before : self.before + size[1]]

    def taps(self, phases: Tensor) -> list[Tensor]:
        """For each tap, row-major, the cell that it reads for every window: views (N, C, h, w)."""
        offsets = [divmod(self.dilation * tap, self.stride) for tap in range(self.side)]
        return [
            phases[row, column, :, :, top : top + self.height, left : left + self.width]
            for top, row in offsets
            for left, column in offsets
        ]

    def sum(self, x: Tensor, weights: Tensor) -> Tensor:
        """Σ_tap weights[tap, q] · x(cell of the tap): (N, C, Q, h, w)"""
        y = x.new_zeros(*x.shape[:2], *weights.shape[2:])
        for tap, cells in enumerate(self.taps(self.phases(x))):
            y.addcmul_(cells.unsqueeze(2), weights[:, tap, None])
        return y

    def dot(self, y: Tensor, x: Tensor) -> Tensor:
        """Σ_c y[c, q] · x[c](cell of the tap): (N, k², Q, h, w)"""
        weights = y.new_empty(y.shape[0], self.side**2, *y.shape[2:])
        for tap, cells in enumerate(self.taps(self.phases(x))):
            weights[:, tap] = (y * cells.unsqueeze(2)).sum(1)
        return weights

    def scatter(self, y: Tensor, weights: Tensor, size: torch.Size) -> Tensor:
        """Each window adds Σ_q weights[tap, q] · y[q] to the cell of each of its taps: (N, C, *size)"""
        inner = (self.height + self.reach, self.width + self.reach)
        phases = y.new_zeros(self.stride, self.stride, *y.shape[:2], *inner)
        for tap, cells in enumerate(self.taps(phases)):
            cells += (y * weights[:, tap, None]).sum(2)
        return self.unphased(phases, size)


class _WindowSum(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x: Tensor, weights: Tensor, stride: int, dilation: int) -> Tensor:
        ctx.save_for_backward(x, weights)
        ctx.windows = _Windows(round(weights.shape[1] ** 0.5), stride, dilation, *weights.shape[3:])
        return ctx.windows.sum(x, weights)

    @staticmethod
    @once_differentiable
    def backward(ctx, grad: Tensor) -> tuple[Tensor, Tensor, None, None]:
        x, weights = ctx.saved_tensors
        return ctx.windows.scatter(grad, weights, x.shape[2:]), ctx.windows.dot(grad, x), None, None


class _WindowDot(torch.autograd.Function):
    @staticmethod
    def forward(ctx, query: Tensor, key: Tensor, kernel: int, dilation: int) -> Tensor:
        ctx.save_for_backward(query, key)
        ctx.windows = _Windows(kernel, 1, dilation, *key.shape[2:])
        return ctx.windows.dot(query, key)

    @staticmethod
    @once_differentiable
    def backward(ctx, grad: Tensor) -> tuple[Tensor, Tensor, None, None]:
        query, key = ctx.saved_tensors
        return ctx.windows.sum(key, grad), ctx.windows.scatter(query, grad, key.shape[2:]), None, None
