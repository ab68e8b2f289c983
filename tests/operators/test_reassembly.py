"""Window sums and inner products against plain loops."""

import math

import pytest
import torch
import torch.nn.functional as F

from rfbench import reassembly


def reads(side, stride, dilation, v, u, tap, height, width):
    """The cell that a tap of window (v, u) reads, or None outside the map."""
    before = {(1, 1): 0, (3, 1): 1, (5, 1): 2, (3, 2): 1, (5, 2): 2, (6, 2): 2, (2, 2): 0}[side, stride] * dilation
    row, column = stride * v + dilation * (tap // side) - before, stride * u + dilation * (tap % side) - before
    return (row, column) if 0 <= row < height and 0 <= column < width else None


def slow_window_sum(x, weights, stride, dilation=1):
    n, channels, height, width = x.shape
    _, taps, q, rows, columns = weights.shape
    y = torch.zeros(n, channels, q, rows, columns, dtype=x.dtype)
    for v in range(rows):
        for u in range(columns):
            for tap in range(taps):
                if cell := reads(int(taps**0.5), stride, dilation, v, u, tap, height, width):
                    y[:, :, :, v, u] += weights[:, tap, None, :, v, u] * x[:, :, None, cell[0], cell[1]]
    return y


def slow_window_dot(query, key, side, scale, dilation):
    n, _, height, width = key.shape
    y = torch.zeros(n, side**2, scale**2, height, width, dtype=key.dtype)
    for row in range(scale * height):
        for column in range(scale * width):
            v, u, q = row // scale, column // scale, (row % scale) * scale + column % scale
            for tap in range(side**2):
                if cell := reads(side, 1, dilation, v, u, tap, height, width):
                    y[:, tap, q, v, u] = (query[:, :, row, column] * key[:, :, cell[0], cell[1]]).sum(1)
    return y


def assert_equal_with_gradients(y, expected, inputs):
    torch.testing.assert_close(y, expected)
    cotangent = torch.randn_like(y)
    for actual, wanted in zip(
        torch.autograd.grad(y, inputs, cotangent), torch.autograd.grad(expected, inputs, cotangent), strict=True
    ):
        torch.testing.assert_close(actual, wanted)


def leaf(*shape):
    return torch.randn(*shape, dtype=torch.float64, requires_grad=True)


SIZES = [(1, 1), (2, 3), (5, 4), (7, 9)]


@pytest.mark.parametrize(("side", "stride"), [(1, 1), (3, 1), (5, 1), (3, 2), (5, 2), (6, 2), (2, 2)])
@pytest.mark.parametrize("size", SIZES)
def test_a_sum_equals_the_loops_with_its_gradients(side, stride, size):
    x, weights = leaf(2, 3, *size), leaf(2, side**2, 4, *(-(-cells // stride) for cells in size))
    y, expected = reassembly.window_sum(x, weights, stride), slow_window_sum(x, weights, stride)
    assert_equal_with_gradients(y, expected, (x, weights))


@pytest.mark.parametrize("dilation", [2, 3])
@pytest.mark.parametrize("size", SIZES)
def test_a_dilated_sum_equals_the_loops_with_its_gradients(dilation, size):
    x, weights = leaf(2, 3, *size), leaf(2, 9, 1, *size)
    y, expected = reassembly.window_sum(x, weights, dilation=dilation), slow_window_sum(x, weights, 1, dilation)
    assert_equal_with_gradients(y, expected, (x, weights))


@pytest.mark.parametrize(("side", "scale", "dilation"), [(5, 2, 1), (3, 1, 2), (1, 1, 1), (3, 4, 1)])
@pytest.mark.parametrize("size", SIZES)
def test_a_dot_equals_the_loops_with_its_gradients(side, scale, dilation, size):
    query, key = leaf(2, 3, *(scale * cells for cells in size)), leaf(2, 3, *size)
    y = reassembly.window_dot(query, key, side, scale, dilation)
    assert_equal_with_gradients(y, slow_window_dot(query, key, side, scale, dilation), (query, key))


def test_sum_and_dot_are_each_others_gradient():
    x, weights, y = leaf(2, 3, 5, 4), leaf(2, 25, 4, 5, 4), leaf(2, 3, 10, 8)
    (gradient,) = torch.autograd.grad(reassembly.upsample(x, weights, 2), weights, y)
    torch.testing.assert_close(reassembly.window_dot(y, x, 5, 2), gradient)
    (gradient,) = torch.autograd.grad(reassembly.window_dot(y, x, 5, 2), y, weights)
    torch.testing.assert_close(reassembly.upsample(x, weights, 2), gradient)


def test_a_dot_refuses_an_even_window_and_a_query_of_another_size():
    with pytest.raises(ValueError, match="kernel must be odd, not 4"):
        reassembly.window_dot(torch.zeros(1, 2, 4, 4), torch.zeros(1, 2, 2, 2), 4, 2)
    with pytest.raises(ValueError, match=r"expected a query of \(4, 6\) cells.*found \(4, 5\)"):
        reassembly.window_dot(torch.zeros(1, 2, 4, 5), torch.zeros(1, 2, 2, 3), 3, 2)


def test_upsampling_puts_sub_pixel_q_at_its_row_and_column():
    low, weights = torch.randn(1, 2, 3, 4), torch.randn(1, 9, 4, 3, 4)
    y, parts = reassembly.upsample(low, weights, 2), slow_window_sum(low, weights, 1)
    for q in range(4):
        torch.testing.assert_close(y[:, :, q // 2 :: 2, q % 2 :: 2], parts[:, :, q])


def test_mixed_dtypes_are_summed_in_the_wider():
    y = reassembly.window_sum(torch.randn(1, 2, 4, 4).bfloat16(), torch.randn(1, 9, 1, 4, 4))
    assert y.dtype == torch.float32


@pytest.mark.parametrize(
    ("function", "shapes"),
    [
        (lambda x, weights: reassembly.window_sum(x, weights, 2), [(1, 8, 16, 16), (1, 25, 1, 8, 8)]),
        (lambda query, key: reassembly.window_dot(query, key, 5, 2), [(1, 8, 32, 32), (1, 8, 16, 16)]),
    ],
)
def test_nothing_but_the_two_inputs_is_kept(function, shapes):
    inputs, kept = [torch.randn(shape, requires_grad=True) for shape in shapes], {}
    with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.setdefault(id(t), t), lambda t: t):
        function(*inputs)
    assert sum(tensor.numel() for tensor in kept.values()) == sum(x.numel() for x in inputs)


def slow_sample(x, offsets, groups, scale):
    n, channels, height, width = x.shape
    rows, columns = offsets.shape[2:]
    y = torch.zeros(n, channels, scale * rows, scale * columns, dtype=x.dtype)
    for b in range(n):
        for c in range(channels):
            group = c // (channels // groups)
            for v in range(scale * rows):
                for u in range(scale * columns):
                    channel = group * scale**2 + (v % scale) * scale + u % scale
                    right = offsets[b, channel, v // scale, u // scale].item()
                    down = offsets[b, groups * scale**2 + channel, v // scale, u // scale].item()
                    # centre of the target in cells of the offsets, then in cells of x, cell centres at whole numbers
                    row = ((v + 0.5) / scale + down) * height / rows - 0.5
                    column = ((u + 0.5) / scale + right) * width / columns - 0.5
                    row, column = min(max(row, 0), height - 1), min(max(column, 0), width - 1)
                    top, left = math.floor(row), math.floor(column)
                    for i, j in ((top, left), (top, left + 1), (top + 1, left), (top + 1, left + 1)):
                        weight = max(0, 1 - abs(row - i)) * max(0, 1 - abs(column - j))
                        if weight:
                            y[b, c, v, u] += weight * x[b, c, i, j]
    return y


@pytest.mark.parametrize("scale", [2, 4])
@pytest.mark.parametrize("size", [(1, 1), (2, 3), (5, 4)])
@pytest.mark.parametrize("zoom", [1, 2])  # of the map that is read against the offsets'
def test_samples_equal_the_loops(scale, size, zoom):
    x = torch.randn(2, 6, *(zoom * side for side in size), dtype=torch.float64)
    offsets = torch.randn(2, 2 * 3 * scale**2, *size, dtype=torch.float64)
    torch.testing.assert_close(reassembly.sample(x, offsets, 3, scale), slow_sample(x, offsets, 3, scale))


@pytest.mark.parametrize("scale", [2, 4, 8])
def test_samples_without_offsets_are_bilinear_interpolation(scale):
    x = torch.randn(2, 4, 7, 5, dtype=torch.float64)
    y = reassembly.sample(x, torch.zeros(2, 2 * 2 * scale**2, 7, 5, dtype=torch.float64), 2, scale)
    expected = F.interpolate(x, scale_factor=scale, mode="bilinear", align_corners=False)
    torch.testing.assert_close(y, expected, rtol=0, atol=2e-15)


def test_the_gradients_of_samples_equal_finite_differences():
    x = leaf(1, 4, 3, 4)
    offsets = torch.rand(1, 2 * 2 * 4, 3, 4, dtype=torch.float64).mul_(0.2).requires_grad_()  # away from the kinks
    assert torch.autograd.gradcheck(lambda x, offsets: reassembly.sample(x, offsets, 2), (x, offsets))


def test_half_precision_maps_are_read_at_full_precision_positions():
    """A ramp tells where it is read: in bfloat16 the positions of its far end would be off by a third of a cell."""
    x = torch.arange(360.0).expand(1, 1, 2, 360) / 512
    offsets = torch.full((1, 2 * 4, 2, 360), 0.1)
    y = reassembly.sample(x.bfloat16(), offsets, 1)
    expected = reassembly.sample(x.bfloat16().float(), offsets, 1)
    assert y.dtype == torch.bfloat16
    assert torch.equal(y, expected.bfloat16())


def test_full_precision_survives_autocast():
    x = torch.randn(3, 3)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert (x @ x).dtype == torch.bfloat16
        with reassembly.full_precision(x):
            assert (x @ x).dtype == torch.float32
