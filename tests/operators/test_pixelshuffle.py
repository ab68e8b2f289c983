"""PixelShuffle against plain loops, its start without checkerboards, and the deconvolution it contains."""

import pytest
import torch
import torch.nn.functional as F

from operators import deconv, pixelshuffle
from operators.pixelshuffle import PixelShuffleUpsample


def nearest(x):
    return x.repeat_interleave(2, 2).repeat_interleave(2, 3)


@pytest.mark.parametrize("kernel", [1, 3])
@pytest.mark.parametrize("size", [(4, 5), (1, 1), (2, 7)])
def test_it_equals_the_loops(kernel, size):
    operator, weight, bias = PixelShuffleUpsample(3, kernel), torch.randn(12, 3, kernel, kernel), torch.randn(12)
    operator.load_official({"0.weight": weight, "0.bias": bias})
    x = torch.randn(2, 3, *size)
    y = torch.zeros(2, 3, 2 * size[0], 2 * size[1])
    for c in range(3):
        for row in range(2 * size[0]):
            for column in range(2 * size[1]):
                channel = 4 * c + 2 * (row % 2) + column % 2
                y[:, c, row, column] = bias[channel]
                for i in range(kernel):
                    for j in range(kernel):
                        v, u = row // 2 + i - kernel // 2, column // 2 + j - kernel // 2
                        if 0 <= v < size[0] and 0 <= u < size[1]:
                            y[:, c, row, column] += x[:, :, v, u] @ weight[channel, :, i, j]
    torch.testing.assert_close(operator(x), y, rtol=1e-5, atol=1e-5)


def test_it_starts_as_nearest_neighbours_of_one_convolution():
    operator, x = PixelShuffleUpsample(6), torch.randn(2, 6, 4, 5)
    shared = operator.conv.weight[::4]
    assert not operator.conv.bias.any()
    torch.testing.assert_close(operator(x), nearest(F.conv2d(x, shared, padding=1)))
    wide = PixelShuffleUpsample(96).conv.weight
    assert wide.std().item() == pytest.approx((2 / (9 * 96)) ** 0.5, rel=0.02), "Kaiming's deviation"
    assert not torch.equal(wide[0], wide[4])


def test_impulses_in_the_centre_copy_the_map():
    operator, x = PixelShuffleUpsample(3), torch.randn(1, 3, 4, 5)
    weight = torch.zeros(12, 3, 3, 3)
    weight[torch.arange(12), torch.arange(12) // 4, 1, 1] = 1
    operator.load_official({"0.weight": weight, "0.bias": torch.zeros(12)})
    torch.testing.assert_close(operator(x), nearest(x))


def test_the_order_of_the_four_is_row_by_row():
    operator = PixelShuffleUpsample(2, kernel=1)
    operator.load_official({"0.weight": torch.zeros(8, 2, 1, 1), "0.bias": torch.arange(8.0)})
    y = operator(torch.zeros(1, 2, 1, 1))
    assert y[0].tolist() == [[[0, 1], [2, 3]], [[4, 5], [6, 7]]]


def test_with_kernel_1_it_is_a_deconvolution():
    operator, path = PixelShuffleUpsample(3, kernel=1), deconv.up(3, 3, 1)
    weight = operator.conv.weight.detach().unflatten(0, (3, 4))[:, :, :, 0, 0]  # (output, sub-pixel, input)
    path.deconv.weight.data = weight.permute(2, 0, 1).unflatten(2, (2, 2))
    x = torch.randn(2, 3, 4, 5)
    torch.testing.assert_close(operator(x), path.deconv(x))


def test_the_path_shuffles_after_its_convolution():
    path, x = pixelshuffle.up(6, 4, 3).eval(), torch.randn(2, 6, 3, 2)
    conv, norm, *steps = path
    y = norm(conv(x))
    assert len(steps) == 3
    for step in steps:
        y = step(y)
    assert torch.equal(path(x), y)
    assert y.shape == (2, 4, 24, 16)


def test_even_kernels_and_foreign_weights_are_refused():
    with pytest.raises(ValueError, match="kernel must be odd, not 2"):
        PixelShuffleUpsample(3, kernel=2)
    with pytest.raises(RuntimeError, match="Missing key"):
        PixelShuffleUpsample(3).load_official({"0.weight": torch.zeros(12, 3, 3, 3)})
    with pytest.raises(RuntimeError, match="Unexpected key"):
        PixelShuffleUpsample(3).load_official({**PixelShuffleUpsample(3).state_dict(), "other": torch.zeros(1)})
