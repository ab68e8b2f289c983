"""CARAFE and CARAFE++ against plain loops over cells, sub-pixels and taps."""

import math

import pytest
import torch
import torch.nn.functional as F

from operators import carafe
from operators.carafe import CARAFEDownsample, CARAFEUpsample


def official_tensors(channels, scale=1, compressed=64, kernel=5, encoder_kernel=3):
    """Random tensors under the authors' names and shapes."""
    maps = kernel**2 * scale**2
    return {
        "channel_compressor.weight": torch.randn(compressed, channels, 1, 1) / channels**0.5,
        "channel_compressor.bias": torch.randn(compressed),
        "content_encoder.weight": torch.randn(maps, compressed, encoder_kernel, encoder_kernel) / compressed**0.5,
        "content_encoder.bias": torch.randn(maps),
    }


def logits(x, tensors, stride):
    compressed = F.conv2d(x, tensors["channel_compressor.weight"], tensors["channel_compressor.bias"])
    weight = tensors["content_encoder.weight"]
    return F.conv2d(compressed, weight, tensors["content_encoder.bias"], stride, padding=weight.shape[2] // 2)


def weighted(x, taps, row, column):
    """Σ over the window around (row, column) of one image, the logits of its taps given."""
    exponentials = [math.exp(tap) for tap in taps.tolist()]
    side = int(len(exponentials) ** 0.5)
    total = torch.zeros(x.shape[0])
    for tap, exponential in enumerate(exponentials):
        r, c = row + tap // side - side // 2, column + tap % side - side // 2
        if 0 <= r < x.shape[1] and 0 <= c < x.shape[2]:
            total += exponential / sum(exponentials) * x[:, r, c]
    return total


def slow_up(x, tensors, scale):
    maps = logits(x, tensors, stride=1)
    n, channels, height, width = x.shape
    y = torch.empty(n, channels, height * scale, width * scale)
    for b in range(n):
        for row in range(height * scale):
            for column in range(width * scale):
                cell = row // scale, column // scale
                sub_pixel = (row % scale) * scale + column % scale
                taps = maps[b, sub_pixel :: scale**2, cell[0], cell[1]]  # channel = tap·scale² + sub-pixel
                y[b, :, row, column] = weighted(x[b], taps, *cell)
    return y


def slow_down(x, tensors):
    maps = logits(x, tensors, stride=2)
    n, channels = x.shape[:2]
    y = torch.empty(n, channels, *maps.shape[2:])
    for b in range(n):
        for row in range(maps.shape[2]):
            for column in range(maps.shape[3]):
                y[b, :, row, column] = weighted(x[b], maps[b, :, row, column], 2 * row, 2 * column)
    return y


@pytest.mark.parametrize("options", [{}, {"kernel": 3, "compressed": 5, "encoder_kernel": 1}])
@pytest.mark.parametrize("size", [(4, 5), (1, 1), (2, 7)])
@pytest.mark.parametrize("scale", [2, 4])
def test_up_equals_the_loops(options, size, scale):
    tensors, operator = official_tensors(3, scale, **options), CARAFEUpsample(3, scale, **options)
    operator.load_official(tensors)
    x = torch.randn(2, 3, *size)
    torch.testing.assert_close(operator(x), slow_up(x, tensors, scale), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("options", [{}, {"kernel": 3, "compressed": 5, "encoder_kernel": 1}])
@pytest.mark.parametrize("size", [(6, 8), (1, 1), (7, 5)])
def test_down_equals_the_loops(options, size):
    tensors, operator = official_tensors(3, **options), CARAFEDownsample(3, **options)
    operator.load_official(tensors)
    x = torch.randn(2, 3, *size)
    expected = slow_down(x, tensors)
    assert expected.shape[2:] == tuple(-(-side // 2) for side in size)
    torch.testing.assert_close(operator(x), expected, rtol=1e-5, atol=1e-5)


def test_a_constant_map_stays_constant_where_the_window_fits_and_fades_at_the_border():
    y = CARAFEUpsample(2, 2)(torch.ones(1, 2, 6, 6))
    torch.testing.assert_close(y[:, :, 4:8, 4:8], torch.ones(1, 2, 4, 4))
    assert (y[:, :, 0, 0] < 0.6).all()  # 9 of 25 taps lie inside


def test_initialisation_is_the_authors():
    operator = CARAFEUpsample(96, 4)
    bound = (6 / (96 + 64)) ** 0.5
    assert 0.9 * bound < operator.channel_compressor.weight.abs().max() <= bound
    assert operator.content_encoder.weight.std().item() == pytest.approx(0.001, rel=0.02)
    assert not operator.channel_compressor.bias.any()
    assert not operator.content_encoder.bias.any()


@pytest.mark.parametrize("option", ["kernel", "encoder_kernel"])
def test_even_windows_are_refused(option):
    with pytest.raises(ValueError, match=f"{option} must be odd, not 4"):
        CARAFEUpsample(8, 2, **{option: 4})


def test_load_official_is_strict():
    tensors = official_tensors(8)
    with pytest.raises(RuntimeError, match="Unexpected key"):
        CARAFEDownsample(8).load_official({**tensors, "other": torch.zeros(1)})
    del tensors["content_encoder.bias"]
    with pytest.raises(RuntimeError, match="Missing key"):
        CARAFEDownsample(8).load_official(tensors)


def test_paths_reassemble_before_the_convolution_down_and_after_it_up():
    down, up = carafe.down(6, 8, 3, relu=True).eval(), carafe.up(8, 6, 3).eval()
    x = torch.randn(1, 6, 17, 12)
    y = x
    for step in down.carafe:
        y = step(y)
    assert torch.equal(down(x), F.relu(down.norm(down.conv(y))))
    conv, norm, operator = up
    assert operator.scale == 8
    assert torch.equal(up(down(x)), operator(norm(conv(down(x)))))
