"""DySample against plain loops, and what offsets of a known size do to a map."""

import math

import pytest
import torch
import torch.nn.functional as F

from operators import dysample
from operators.dysample import DySample


def official_tensors(channels, groups=4, dynamic=False):
    """Random tensors under the authors' names, with their constant of initial positions."""
    tensors = {
        "offset.weight": torch.randn(8 * groups, channels, 1, 1, dtype=torch.float64) / channels**0.5,
        "offset.bias": torch.randn(8 * groups, dtype=torch.float64),
        "init_pos": torch.zeros(1, 8 * groups, 1, 1),
    }
    scope = {"scope.weight": torch.randn(8 * groups, channels, 1, 1, dtype=torch.float64)}
    return {**tensors, **(scope if dynamic else {})}


def slow(x, tensors, groups):
    n, channels, height, width = x.shape
    o = torch.einsum("oc,nchw->nohw", tensors["offset.weight"][..., 0, 0], x) + tensors["offset.bias"][:, None, None]
    if "scope.weight" in tensors:
        o = o * 0.5 / (1 + torch.exp(-torch.einsum("oc,nchw->nohw", tensors["scope.weight"][..., 0, 0], x)))
    else:
        o = o / 4
    y = torch.zeros(n, channels, 2 * height, 2 * width, dtype=x.dtype)
    for b in range(n):
        for c in range(channels):
            for v in range(2 * height):
                for u in range(2 * width):
                    row, column = v // 2, u // 2
                    at = (c // (channels // groups)) * 4 + (v % 2) * 2 + u % 2
                    # in low cells, the first cell's centre at 0
                    across = column + ((u % 2) - 0.5) / 2 + o[b, at, row, column].item()
                    down = row + ((v % 2) - 0.5) / 2 + o[b, groups * 4 + at, row, column].item()
                    across, down = min(max(across, 0), width - 1), min(max(down, 0), height - 1)
                    for i in {math.floor(down), math.ceil(down)}:
                        for j in {math.floor(across), math.ceil(across)}:
                            y[b, c, v, u] += (1 - abs(down - i)) * (1 - abs(across - j)) * x[b, c, i, j]
    return y


@pytest.mark.parametrize("dynamic", [False, True])
@pytest.mark.parametrize("groups", [1, 2, 4])
@pytest.mark.parametrize("size", [(4, 5), (1, 1), (2, 7)])
def test_it_equals_the_loops(dynamic, groups, size):
    operator, tensors = DySample(8, groups, dynamic).double(), official_tensors(8, groups, dynamic)
    operator.load_official(tensors)
    x = torch.randn(2, 8, *size, dtype=torch.float64)
    torch.testing.assert_close(operator(x), slow(x, tensors, groups))


def bilinear(x):
    return F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)


def without_offsets(channels, **options):
    operator = DySample(channels, **options).double()
    torch.nn.init.zeros_(operator.offset.weight)
    return operator


def test_without_offsets_it_is_bilinear_interpolation():
    x = torch.randn(2, 8, 6, 5, dtype=torch.float64)
    torch.testing.assert_close(without_offsets(8)(x), bilinear(x), rtol=0, atol=2e-15)


def test_dynamic_scope_starts_as_static_scope():
    static, dynamic = DySample(8), DySample(8, dynamic=True)
    dynamic.offset.load_state_dict(static.offset.state_dict())
    x = torch.randn(2, 8, 6, 5)
    torch.testing.assert_close(dynamic(x), static(x), rtol=0, atol=1e-6)
    torch.nn.init.normal_(dynamic.scope.weight)
    assert (dynamic(x) - static(x)).abs().max() > 1e-4


def test_a_constant_stays_borders_included():
    operator = DySample(8)
    torch.nn.init.normal_(operator.offset.weight)
    torch.testing.assert_close(operator(torch.full((1, 8, 4, 5), 3.0)), torch.full((1, 8, 8, 10), 3.0))


@pytest.mark.parametrize(("coordinate", "dim"), [(0, 3), (1, 2)])
def test_an_offset_of_4_shifts_by_one_low_cell_along_its_axis(coordinate, dim):
    """Coordinate 0 is the column. A quarter of 4 is one low cell, two of the result's."""
    operator, x = without_offsets(8), torch.randn(1, 8, 6, 7, dtype=torch.float64)
    operator.offset.bias.data[16 * coordinate : 16 * (coordinate + 1)] = 4
    y, expected = operator(x), bilinear(x)
    side = y.shape[dim]
    torch.testing.assert_close(y.narrow(dim, 0, side - 2), expected.narrow(dim, 2, side - 2), rtol=0, atol=1e-14)


def test_every_value_lies_between_its_channels_extremes():
    operator, x = DySample(8, dynamic=True), torch.randn(3, 8, 6, 5)
    for parameter in operator.parameters():
        torch.nn.init.normal_(parameter)
    y = operator(x)
    assert (y <= x.amax((2, 3), keepdim=True) + 1e-6).all()
    assert (y >= x.amin((2, 3), keepdim=True) - 1e-6).all()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_autocast_leaves_the_positions_in_full_precision(dtype):
    operator, x = DySample(8, dynamic=True), torch.randn(1, 8, 2, 360)
    for parameter in operator.parameters():
        torch.nn.init.normal_(parameter)
    expected = operator.offsets(x.to(dtype).float())
    with torch.autocast("cpu", dtype=dtype):
        offsets = operator.offsets(x.to(dtype))
        ramp = torch.arange(360.0).expand(1, 8, 2, 360)
        seen = operator(ramp)
    assert offsets.dtype == torch.float32
    assert (offsets - expected).abs().max() < 1e-3
    torch.testing.assert_close(seen, operator(ramp), rtol=0, atol=1e-3)  # a ramp's values are the positions


def test_initialisation_is_the_authors():
    operator = DySample(96, dynamic=True)
    assert operator.offset.weight.std().item() == pytest.approx(0.001, rel=0.05)
    assert not operator.offset.bias.any()
    assert not operator.scope.weight.any()
    assert operator.scope.bias is None


def test_the_path_samples_after_its_convolution():
    path, x = dysample.up(6, 8, 3).eval(), torch.randn(2, 6, 3, 2)
    conv, norm, *steps = path
    y = norm(conv(x))
    assert len(steps) == 3
    for step in steps:
        y = step(y)
    assert torch.equal(path(x), y)
    assert y.shape == (2, 8, 24, 16)


def test_groups_that_do_not_divide_and_foreign_weights_are_refused():
    with pytest.raises(ValueError, match="groups must divide the 6 channels, which 4 does not"):
        DySample(6)
    tensors = official_tensors(8)
    with pytest.raises(RuntimeError, match="Unexpected key"):
        DySample(8).load_official({**tensors, "scope.weight": torch.zeros(32, 8, 1, 1)})
    with pytest.raises(RuntimeError, match=r"constant init_pos of shape \(1, 32, 1, 1\)"):
        DySample(8).load_official({**tensors, "init_pos": torch.zeros(1, 128, 1, 1)})
    del tensors["offset.bias"]
    with pytest.raises(RuntimeError, match="Missing key"):
        DySample(8).load_official(tensors)
