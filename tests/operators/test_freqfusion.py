"""FreqFusion against plain loops, and what is left of it where its generators are silent."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from operators import freqfusion
from operators.freqfusion import FreqFusion


def nearest(x):
    return x.repeat_interleave(2, 2).repeat_interleave(2, 3)


def mean(x, side):
    return F.avg_pool2d(x, side, stride=1, padding=side // 2, count_include_pad=True)


def official_tensors(channels, m=8, hamming=False):
    """Random tensors under the authors' names, with their constants."""
    layers = {
        "hr_channel_compressor": (m, channels, 1),
        "lr_channel_compressor": (m, channels, 1),
        "content_encoder": (25, m, 3),
        "content_encoder2": (9, m, 3),
        "dysampler.offset": (32, m + 8, 3),
        "dysampler.direct_scale": (32, m + 8, 3),
        "dysampler.hr_offset": (8, m + 8, 3),
        "dysampler.hr_direct_scale": (8, m + 8, 3),
    }
    tensors = {}
    for name, (outputs, inputs, side) in layers.items():
        tensors[f"{name}.weight"] = torch.randn(outputs, inputs, side, side, dtype=torch.float64) / inputs**0.5 / side
        tensors[f"{name}.bias"] = torch.randn(outputs, dtype=torch.float64) / 2
    for norm in ("norm_hr", "norm_lr"):
        tensors |= {f"dysampler.{norm}.{kind}": torch.randn(m, dtype=torch.float64) for kind in ("weight", "bias")}
    tensors["dysampler.init_pos"] = torch.zeros(1, 32, 1, 1)
    for name, side in (("lowpass", 5), ("highpass", 3)):
        window = torch.tensor(np.outer(np.hamming(side), np.hamming(side)))
        tensors[f"hamming_{name}"] = window[None, None] if hamming else torch.ones(1)
    return tensors


def conv(x, tensors, name):
    weight, bias = tensors[f"{name}.weight"], tensors[f"{name}.bias"]
    return F.conv2d(x, weight, bias, padding=weight.shape[2] // 2)


def softmax(logits, window):
    exponentials = torch.exp(logits) * window[:, None, None]
    return exponentials / exponentials.sum(1, keepdim=True)


def windows(z, weights):
    """Σ over the window around each target's cell; weights (N, k², scale·h, scale·w)."""
    n, taps, rows, columns = weights.shape
    side, scale = int(taps**0.5), rows // z.shape[2]
    y = torch.zeros(n, z.shape[1], rows, columns, dtype=z.dtype)
    for row in range(rows):
        for column in range(columns):
            for tap in range(taps):
                v, u = row // scale + tap // side - side // 2, column // scale + tap % side - side // 2
                if 0 <= v < z.shape[2] and 0 <= u < z.shape[3]:
                    y[:, :, row, column] += weights[:, tap, None, row, column] * z[:, :, v, u]
    return y


def with_similarities(x):
    n, _, height, width = x.shape
    neighbours = [(i, j) for i in (-2, 0, 2) for j in (-2, 0, 2) if (i, j) != (0, 0)]
    y = torch.zeros(n, 8, height, width, dtype=x.dtype)
    for v in range(height):
        for u in range(width):
            for k, (i, j) in enumerate(neighbours):
                if 0 <= v + i < height and 0 <= u + j < width:
                    y[:, k, v, u] = F.cosine_similarity(x[:, :, v, u], x[:, :, v + i, u + j])
    return torch.cat([x, y], dim=1)


def sampled(x, offsets):
    """Four groups at DySample's positions: coordinates in cells of the offsets, x laid out over them."""
    n, channels, height, width = x.shape
    rows, columns = offsets.shape[2:]
    y = torch.zeros_like(x)
    for b in range(n):
        for c in range(channels):
            for v in range(height):
                for u in range(width):
                    at = c // (channels // 4) * 4 + (v % 2) * 2 + u % 2
                    across = ((u + 0.5) / 2 + offsets[b, at, v // 2, u // 2].item()) * width / columns - 0.5
                    down = ((v + 0.5) / 2 + offsets[b, 16 + at, v // 2, u // 2].item()) * height / rows - 0.5
                    across, down = min(max(across, 0), width - 1), min(max(down, 0), height - 1)
                    for i in {math.floor(down), math.ceil(down)}:
                        for j in {math.floor(across), math.ceil(across)}:
                            y[b, c, v, u] += (1 - abs(down - i)) * (1 - abs(across - j)) * x[b, c, i, j]
    return y


def slow(low, guide, tensors):
    low_window, high_window = (tensors[f"hamming_{name}"].expand(1, 1, side, side).flatten()
                               for name, side in (("lowpass", 5), ("highpass", 3)))  # fmt: skip
    fine, coarse = conv(guide, tensors, "hr_channel_compressor"), conv(low, tensors, "lr_channel_compressor")
    a = conv(fine, tensors, "content_encoder2")
    fine = 2 * fine - windows(fine, softmax(a, high_window))
    b = conv(fine, tensors, "content_encoder")
    b = b + windows(conv(coarse, tensors, "content_encoder"), softmax(b, low_window))
    smooth = softmax(b, low_window)
    a = a + windows(conv(coarse, tensors, "content_encoder2"), smooth)
    y = windows(low, smooth)
    detailed = guide + (guide - windows(guide, softmax(a, high_window)))
    groups = fine.shape[1] // 8
    fine, coarse = (
        with_similarities(
            F.group_norm(x, groups, tensors[f"dysampler.{norm}.weight"], tensors[f"dysampler.{norm}.bias"])
        )
        for x, norm in ((fine, "norm_hr"), (coarse, "norm_lr"))
    )
    offset, scale = (
        conv(coarse, tensors, f"dysampler.{name}") + F.pixel_unshuffle(conv(fine, tensors, f"dysampler.hr_{name}"), 2)
        for name in ("offset", "direct_scale")
    )
    return sampled(y, offset / (1 + torch.exp(-scale))), detailed


def loaded(channels=4, m=8, hamming=False):
    operator, tensors = FreqFusion(channels, m, hamming).double(), official_tensors(channels, m, hamming)
    operator.load_official(tensors)
    return operator, tensors


def maps(*size, channels=4, n=2):
    low = torch.randn(n, channels, *size, dtype=torch.float64)
    return low, torch.randn(n, channels, *(2 * side for side in size), dtype=torch.float64)


@pytest.mark.parametrize(("m", "hamming"), [(8, False), (16, False), (8, True)])
@pytest.mark.parametrize("size", [(3, 4), (1, 1), (2, 5)])
def test_it_equals_the_loops(m, hamming, size):
    operator, tensors = loaded(m=m, hamming=hamming)
    low, guide = maps(*size)
    for y, expected in zip(operator(low, guide), slow(low, guide, tensors), strict=True):
        torch.testing.assert_close(y, expected)


def silenced(channels=8):
    """Every kernel uniform, no offset."""
    operator = FreqFusion(channels)
    sampler = operator.dysampler
    for conv_ in (operator.content_encoder, operator.content_encoder2, sampler.offset, sampler.hr_offset):
        torch.nn.init.zeros_(conv_.weight)
    return operator.double()


def test_uniform_kernels_average_the_map_and_sharpen_the_guide():
    low, guide = maps(5, 6, channels=8)
    y, detailed = silenced()(low, guide)
    torch.testing.assert_close(y, nearest(mean(low, 5)))
    torch.testing.assert_close(detailed, 2 * guide - mean(guide, 3))


def test_without_offsets_the_sampling_is_the_identity():
    """A quarter of a low cell beside its centre lies exactly the centre of a cell of the upsampled map."""
    operator, _ = loaded()
    for name in ("offset", "hr_offset"):
        for parameter in operator.dysampler.get_submodule(name).parameters():
            torch.nn.init.zeros_(parameter)
    low, guide = maps(4, 5)
    smooth, _, offsets = operator._kernels(low, guide, True)
    assert not offsets.any()
    torch.testing.assert_close(operator(low, guide)[0], windows(low, F.pixel_shuffle(smooth.flatten(1, 2), 2)))


def test_a_path_of_one_step_adds_the_guides_high_frequencies_and_longer_ones_do_not():
    records = tuple(torch.randn(2, 8, *size, dtype=torch.float64) for size in [(8, 12), (4, 6)])
    for steps in (1, 2):
        path = freqfusion.up(6, 8, steps).double().eval()
        conv_, norm, *inner = path
        for step in inner:
            step.load_state_dict(silenced().state_dict())
        x = torch.randn(2, 6, 4 // steps, 6 // steps, dtype=torch.float64)
        expected = norm(conv_(x))
        for _ in range(steps):
            expected = nearest(mean(expected, 5))
        if steps == 1:
            expected = expected + records[0] - mean(records[0], 3)
        torch.testing.assert_close(path(x, records[:steps]), expected)


def test_a_constant_guide_is_kept_in_the_interior():
    operator, _ = loaded()
    low, guide = maps(5, 5)
    detailed = operator(low, torch.full_like(guide, 3))[1]
    torch.testing.assert_close(detailed[:, :, 1:-1, 1:-1], torch.full_like(guide, 3)[:, :, 1:-1, 1:-1])


@pytest.mark.parametrize("hamming", [False, True])
def test_every_kernel_sums_to_one(hamming):
    operator, _ = loaded(hamming=hamming)
    smooth, sharp, _ = operator._kernels(*maps(4, 5), True)
    assert (smooth.shape[1], sharp.shape[1]) == (25, 9)
    for kernels in (smooth, sharp):
        torch.testing.assert_close(kernels.sum(1), torch.ones_like(kernels[:, 0]))


def test_maps_of_zeros_have_finite_gradients():
    operator, (low, guide) = FreqFusion(8), (torch.zeros(1, 8, 4, 4), torch.zeros(1, 8, 8, 8))
    low.requires_grad_(), guide.requires_grad_()
    sum(y.square().sum() + y.sum() for y in operator(low, guide)).backward()
    for tensor in (low, guide, *operator.parameters()):
        assert tensor.grad.isfinite().all()


def test_autocast_leaves_the_offsets_in_float32():
    operator = FreqFusion(8)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        *_, offsets = operator._kernels(torch.randn(1, 8, 4, 4), torch.randn(1, 8, 8, 8), True)
    assert offsets.dtype == torch.float32


def test_initialisation():
    operator = FreqFusion(96)
    sampler = operator.dysampler
    for conv_ in (operator.content_encoder, operator.content_encoder2, sampler.offset, sampler.hr_offset):
        assert conv_.weight.std().item() == pytest.approx(0.001, rel=0.05)
    assert not sampler.direct_scale.weight.any()
    assert not sampler.hr_direct_scale.weight.any()
    bound = (6 / (96 + 64)) ** 0.5
    for conv_ in (operator.hr_channel_compressor, operator.lr_channel_compressor):
        assert 0.9 * bound < conv_.weight.abs().max() <= bound
    assert not any(parameter.any() for name, parameter in operator.named_parameters() if name.endswith("bias"))


def test_compression_may_be_a_share_of_the_channels():
    assert FreqFusion(96, 0.25).hr_channel_compressor.out_channels == 24
    assert FreqFusion(8, 0.25).hr_channel_compressor.out_channels == 8
    for channels, compressed in ((8, 7), (8, 17), (6, 64)):
        with pytest.raises(ValueError, match=f"found {channels} and {compressed}"):
            FreqFusion(channels, compressed)


def test_foreign_weights_are_refused():
    tensors = official_tensors(4)
    with pytest.raises(RuntimeError, match="Unexpected key"):
        FreqFusion(4, 8).load_official({**tensors, "other": torch.zeros(1)})
    with pytest.raises(RuntimeError, match=r"constant hamming_lowpass of shape \(1, 1, 5, 5\), found \(1,\)"):
        FreqFusion(4, 8, hamming=True).load_official(tensors)
    del tensors["dysampler.norm_hr.weight"]
    with pytest.raises(RuntimeError, match="Missing key"):
        FreqFusion(4, 8).load_official(tensors)
