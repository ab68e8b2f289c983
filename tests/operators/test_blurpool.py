"""BlurPool against plain loops and against what its filters must do to constants, chessboards and ramps."""

import math

import pytest
import torch
import torch.nn.functional as F

from operators import blurpool, strideconv
from operators.blurpool import BlurPool, MaxPool


def slow_blur(x, size):
    n, channels, height, width = x.shape
    weights = [math.comb(size - 1, k) / 2 ** (size - 1) for k in range(size)]

    def cell(at, side):
        """Beyond the border: reflected without repeating the border, or the border cell where that is too short."""
        if side <= size // 2:
            return min(max(at, 0), side - 1)
        return -at if at < 0 else 2 * (side - 1) - at if at >= side else at

    y = torch.zeros(n, channels, -(-height // 2), -(-width // 2), dtype=x.dtype)
    for v in range(y.shape[2]):
        for u in range(y.shape[3]):
            for i in range(size):
                for j in range(size):
                    row, column = 2 * v + i - (size - 1) // 2, 2 * u + j - (size - 1) // 2
                    y[:, :, v, u] += weights[i] * weights[j] * x[:, :, cell(row, height), cell(column, width)]
    return y


@pytest.mark.parametrize("filter_size", range(1, 8))
@pytest.mark.parametrize("size", [(8, 8), (7, 9), (4, 5), (3, 2), (2, 2), (1, 1), (1, 6)])
def test_blurring_equals_the_loops(filter_size, size):
    x = torch.randn(2, 3, *size, dtype=torch.float64)
    torch.testing.assert_close(BlurPool(3, filter_size).double()(x), slow_blur(x, filter_size))


@pytest.mark.parametrize("filter_size", range(1, 8))
def test_a_constant_stays_borders_included(filter_size):
    for size in [(2, 2), (2, 9), (9, 8), (12, 12)]:
        x = torch.full((1, 2, *size), 3.0)
        torch.testing.assert_close(
            BlurPool(2, filter_size)(x), torch.full((1, 2, -(-size[0] // 2), -(-size[1] // 2)), 3.0)
        )


@pytest.mark.parametrize("filter_size", range(2, 8))
def test_a_chessboard_vanishes_where_slicing_would_keep_one_colour(filter_size):
    board = 1.0 - 2 * (torch.arange(16)[:, None] + torch.arange(16)).remainder(2)
    y = BlurPool(1, filter_size)(board[None, None])
    assert y[:, :, 2:-2, 2:-2].abs().max() < 1e-7
    assert torch.equal(BlurPool(1, 1)(board[None, None]), torch.ones(1, 1, 8, 8))


@pytest.mark.parametrize(
    ("filter_size", "expected"), [(4, [0.75, 2.5, 4.5, 6.25]), (3, [0.5, 2, 4, 6]), (2, [0.5, 2.5, 4.5, 6.5])]
)
def test_a_ramp_shows_where_the_samples_lie(filter_size, expected):
    """Filter 4 is centred on the pair that a sample replaces, filter 3 on its first cell."""
    ramp = torch.arange(8.0).expand(1, 1, 8, 8)
    assert BlurPool(1, filter_size)(ramp)[0, 0, 2].tolist() == expected
    assert BlurPool(1, filter_size)(ramp.mT)[0, 0, :, 2].tolist() == expected


def test_filter_1_is_slicing_and_filter_2_average_pooling():
    x = torch.randn(2, 3, 8, 6)
    assert torch.equal(BlurPool(3, 1)(x), x[:, :, ::2, ::2])
    torch.testing.assert_close(BlurPool(3, 2)(x), F.avg_pool2d(x, 2))


@pytest.mark.parametrize("filter_size", [3, 4, 5])
def test_a_shift_by_two_cells_shifts_the_result_by_one(filter_size):
    x = torch.randn(1, 2, 20, 20)
    y, shifted = BlurPool(2, filter_size)(x), BlurPool(2, filter_size)(x.roll((2, 2), (2, 3)))
    torch.testing.assert_close(shifted[:, :, 3:-2, 3:-2], y[:, :, 2:-3, 2:-3])


@pytest.mark.parametrize("relu", [False, True])
def test_with_filter_1_and_its_weights_the_path_equals_strided_convolutions(relu):
    """A convolution of stride 1, BN and ReLU, then every other cell, is the convolution of stride 2."""
    strided, path = strideconv.down(4, 6, 3, relu), blurpool.blur_down(4, 6, 3, relu, filter_size=1)
    for module in strided.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(), module.running_var.uniform_(0.5, 2)
    for source, target in zip(strided, path, strict=True):
        target.conv.load_state_dict(source[0].state_dict()), target.norm.load_state_dict(source[1].state_dict())
    x = torch.randn(2, 4, 17, 12)
    torch.testing.assert_close(path.eval()(x), strided.eval()(x))


def test_max_pooling_takes_cells_inside_the_map():
    x = torch.randn(2, 3, 5, 4)
    expected = torch.stack(
        [x[:, :, v : v + 2, u : u + 2].amax((2, 3)) for v in range(5) for u in range(4)], dim=2
    ).unflatten(2, (5, 4))
    assert torch.equal(MaxPool()(x), expected)


def test_the_maxblur_path_pools_and_blurs_before_its_convolution():
    path, x = blurpool.maxblur_down(4, 6, 2, relu=True).eval(), torch.randn(2, 4, 13, 10)
    y = x
    for _ in range(2):
        y = slow_blur(MaxPool()(y), 4)
    torch.testing.assert_close(path(x), F.relu(path.norm(path.conv(y))))


@pytest.mark.parametrize("filter_size", [0, 8, 2.5])
def test_other_filters_are_refused(filter_size):
    with pytest.raises(ValueError, match=f"filter_size must be 1 to 7, not {filter_size}"):
        BlurPool(3, filter_size)
