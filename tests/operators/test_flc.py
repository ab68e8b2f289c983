"""FLC pooling against the discrete Fourier transform, and what it does to constants, cosines and shifts."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from operators import flc
from operators.flc import FLCPool


def by_fft(x):
    """The centred low half of the spectrum, cut out by hand. x: (N, C, H, W), numpy, sides even."""
    spectrum = np.fft.fft2(x)
    kept = []
    for side in x.shape[2:]:
        m = side // 2
        kept.append([k % side for k in range(-(m // 2), m - m // 2)])
    cut = spectrum[:, :, kept[0]][..., kept[1]]
    order = [[k % len(ks) for k in range(-(len(ks) // 2), len(ks) - len(ks) // 2)] for ks in kept]
    sorted_ = np.empty_like(cut)
    for i, row in enumerate(order[0]):
        for j, column in enumerate(order[1]):
            sorted_[:, :, row, column] = cut[:, :, i, j]
    return np.fft.ifft2(sorted_).real / 4


@pytest.mark.parametrize("size", [(8, 8), (6, 10), (8, 6), (2, 2), (2, 12), (16, 20), (90, 60)])
def test_the_matrices_equal_the_transform(size):
    x = torch.randn(2, 3, *size, dtype=torch.float64)
    np.testing.assert_allclose(FLCPool()(x).numpy(), by_fft(x.numpy()), rtol=0, atol=1e-13)


@pytest.mark.parametrize("size", [(7, 8), (8, 5), (9, 9), (1, 1), (1, 6)])
def test_odd_sides_go_on_by_their_last_row_and_column(size):
    x = torch.randn(2, 3, *size, dtype=torch.float64)
    y = FLCPool()(x)
    assert y.shape[2:] == tuple(-(-side // 2) for side in size)
    full = np.pad(x.numpy(), ((0, 0), (0, 0), *((0, side % 2) for side in size)), mode="edge")
    np.testing.assert_allclose(y.numpy(), by_fft(full), rtol=0, atol=1e-13)


def test_a_constant_stays_at_every_size():
    for side in range(2, 65):
        y = FLCPool()(torch.full((1, 1, side, 66 - side), 3.0))
        torch.testing.assert_close(y, torch.full_like(y, 3), rtol=0, atol=1e-5)


@pytest.mark.parametrize("side", [12, 16, 22])
def test_a_cosine_below_the_new_limit_is_sliced_and_one_above_it_vanishes(side):
    cells = torch.arange(side, dtype=torch.float64)
    for frequency in range(side // 2 + 1):
        x = torch.cos(2 * torch.pi * frequency * cells / side).expand(1, 1, side, side)
        for wave in (x, x.mT):
            y = FLCPool()(wave)
            if frequency < side / 4:
                torch.testing.assert_close(y, wave[:, :, ::2, ::2].contiguous())
            elif frequency > side / 4:
                assert y.abs().max() < 1e-12


@pytest.mark.parametrize("size", [(8, 12), (6, 10), (16, 16)])
def test_a_circular_shift_by_two_cells_is_a_shift_by_one(size):
    x = torch.randn(1, 2, *size, dtype=torch.float64)
    torch.testing.assert_close(FLCPool()(x.roll((2, 4), (2, 3))), FLCPool()(x).roll((1, 2), (2, 3)))


def test_it_is_linear_and_the_mean_square_never_grows():
    for size in [(8, 8), (6, 10), (4, 16), (2, 2)]:
        x, other = torch.randn(2, 50, 1, *size, dtype=torch.float64)
        y = FLCPool()(x)
        torch.testing.assert_close(FLCPool()(2 * x - other), 2 * y - FLCPool()(other))
        assert (y.square().mean((2, 3)) <= x.square().mean((2, 3)) + 1e-12).all()


def test_every_cell_sees_its_whole_row_and_column():
    x = torch.zeros(1, 1, 16, 16)
    x[..., 5, 7] = 1  # between the cells that are sampled: on one of them, it would show there alone
    assert (FLCPool()(x).abs() > 1e-4).float().mean() > 0.8


def test_half_precision_maps_are_pooled_in_float32():
    x = torch.randn(1, 2, 64, 64).bfloat16()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        y = FLCPool()(x)
    assert y.dtype == torch.bfloat16
    assert torch.equal(y, FLCPool()(x.float()).bfloat16())


@pytest.mark.parametrize("relu", [False, True])
def test_the_path_pools_before_each_convolution(relu):
    path, x = flc.down(4, 6, 2, relu).eval(), torch.randn(2, 4, 14, 9)
    y = F.relu(path[0].norm(path[0].conv(FLCPool()(x))))
    y = path[1].norm(path[1].conv(FLCPool()(y)))
    assert torch.equal(path(x), F.relu(y) if relu else y)
    assert [(step.conv.in_channels, step.conv.out_channels, step.conv.stride) for step in path] == [
        (4, 4, (1, 1)),
        (4, 6, (1, 1)),
    ]
