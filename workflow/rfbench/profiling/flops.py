"""Floating-point operations of a forward pass; a multiply-add counts as two.

torch counts convolutions and matrix products. The weighted sums of reassembly, which often are neither, are added:
accumulated windows (`rfbench.reassembly`), averaged windows, bilinear interpolation and samples. Norms, activations,
softmax, maxima and other element-wise work are not counted, nor are the weightings x·w before an average and the inner
products of windows (`window_dot`).
"""

from math import prod

import torch
from torch.utils.flop_counter import FlopCounterMode

aten = torch.ops.aten


def counter() -> FlopCounterMode:
    """A context that counts what is computed in it; on the device `meta` nothing is. See `get_total_flops()`."""
    formulas = {
        aten.addcmul_: _addcmul,
        aten.avg_pool2d: _avg_pool2d,
        aten.upsample_bilinear2d: _bilinear,
        aten.grid_sampler_2d: _bilinear,
    }
    return FlopCounterMode(display=False, custom_mapping=formulas)


def _addcmul(target: tuple[int, ...], *_, **__) -> int:
    """One multiply-add a cell of the target: a tap of a window."""
    return 2 * prod(target)


def _avg_pool2d(_x: tuple[int, ...], kernel: list[int], *_, out_shape: tuple[int, ...], **__) -> int:
    """One multiply-add a cell of the window; `kernel` holds one side for both or the two."""
    return 2 * prod(kernel if len(kernel) == 2 else 2 * list(kernel)) * prod(out_shape)


def _bilinear(*_, out_shape: tuple[int, ...], **__) -> int:
    """Four multiply-adds a cell."""
    return 2 * 4 * prod(out_shape)
