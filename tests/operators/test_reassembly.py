"""Window sums against plain loops."""

import pytest
import torch

from rfbench import reassembly


def slow_window_sum(x, weights, stride):
    n, channels, height, width = x.shape
    _, taps, q, rows, columns = weights.shape
    side = int(taps**0.5)
    before = {(1, 1): 0, (3, 1): 1, (5, 1): 2, (3, 2): 1, (5, 2): 2, (6, 2): 2, (2, 2): 0}[side, stride]
    y = torch.zeros(n, channels, q, rows, columns, dtype=x.dtype)
    for v in range(rows):
        for u in range(columns):
            for tap in range(taps):
                row, column = stride * v + tap // side - before, stride * u + tap % side - before
                if 0 <= row < height and 0 <= column < width:
                    y[:, :, :, v, u] += weights[:, tap, None, :, v, u] * x[:, :, None, row, column]
    return y


@pytest.mark.parametrize(("side", "stride"), [(1, 1), (3, 1), (5, 1), (3, 2), (5, 2), (6, 2), (2, 2)])
@pytest.mark.parametrize("size", [(1, 1), (2, 3), (5, 4), (7, 9)])
def test_equals_the_loops_with_their_gradients(side, stride, size):
    rows, columns = (-(-cells // stride) for cells in size)
    x = torch.randn(2, 3, *size, dtype=torch.float64, requires_grad=True)
    weights = torch.randn(2, side**2, 4, rows, columns, dtype=torch.float64, requires_grad=True)
    y, expected = reassembly.window_sum(x, weights, stride), slow_window_sum(x, weights, stride)
    torch.testing.assert_close(y, expected)
    cotangent = torch.randn_like(y)
    for actual, wanted in zip(
        torch.autograd.grad(y, (x, weights), cotangent),
        torch.autograd.grad(expected, (x, weights), cotangent),
        strict=True,
    ):
        torch.testing.assert_close(actual, wanted)


def test_upsampling_puts_sub_pixel_q_at_its_row_and_column():
    low, weights = torch.randn(1, 2, 3, 4), torch.randn(1, 9, 4, 3, 4)
    y, parts = reassembly.upsample(low, weights, 2), slow_window_sum(low, weights, 1)
    for q in range(4):
        torch.testing.assert_close(y[:, :, q // 2 :: 2, q % 2 :: 2], parts[:, :, q])


def test_mixed_dtypes_are_summed_in_the_wider():
    y = reassembly.window_sum(torch.randn(1, 2, 4, 4).bfloat16(), torch.randn(1, 9, 1, 4, 4))
    assert y.dtype == torch.float32


def test_nothing_but_the_map_and_its_weights_is_kept():
    x, weights = torch.randn(1, 8, 16, 16, requires_grad=True), torch.randn(1, 25, 1, 8, 8, requires_grad=True)
    kept = {}
    with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.setdefault(id(t), t), lambda t: t):
        reassembly.window_sum(x, weights, 2)
    assert sum(tensor.numel() for tensor in kept.values()) == x.numel() + weights.numel()
