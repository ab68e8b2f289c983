"""IndexNet against plain loops, from index block to guided upsampling."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from operators import indexnet
from operators.indexnet import IndexNetDownsample, index_upsample

SETTINGS = [
    (kind, nonlinear, context)
    for kind in ("holistic", "o2o", "m2o")
    for nonlinear in (False, True)
    for context in (False, True)
]


def official_tensors(channels, kind, nonlinear, context):
    """Random tensors under the authors' names and shapes."""
    side = 4 if context else 2
    group_size = 1 if kind == "o2o" else channels
    tensors = {}

    def block(prefix, hidden, maps, last_group):
        if not nonlinear:
            tensors[f"{prefix}weight"] = torch.randn(maps, group_size, side, side)
            return
        tensors[f"{prefix}0.weight"] = torch.randn(hidden, group_size, side, side)
        for part in ("weight", "bias", "running_mean"):
            tensors[f"{prefix}1.{part}"] = torch.randn(hidden)
        tensors[f"{prefix}1.running_var"] = torch.rand(hidden) + 0.5
        tensors[f"{prefix}3.weight"] = torch.randn(maps, last_group, 1, 1)

    if kind == "holistic":
        block("indexnet.", 2 * channels, 4, 2 * channels)
    else:
        for q in (1, 2, 3, 4):
            block(f"indexnet{q}." if nonlinear else f"indexnet{q}.0.", channels, channels, group_size)
    return tensors


def slow_block(x, tensors, prefix, groups, nonlinear, context):
    padding = 1 if context else 0
    if not nonlinear:
        return F.conv2d(x, tensors[f"{prefix}weight"], stride=2, padding=padding, groups=groups)
    x = F.conv2d(x, tensors[f"{prefix}0.weight"], stride=2, padding=padding, groups=groups)
    mean, variance, weight, bias = (
        tensors[f"{prefix}1.{part}"][:, None, None] for part in ("running_mean", "running_var", "weight", "bias")
    )
    x = ((x - mean) / torch.sqrt(variance + 1e-5) * weight + bias).clamp(0, 6)
    return F.conv2d(x, tensors[f"{prefix}3.weight"], groups=groups)


def slow_indexnet(x, tensors, kind, nonlinear, context):
    """y and the decoder map, cell by cell."""
    n, channels, height, width = x.shape
    x = F.pad(x, (0, width % 2, 0, height % 2))
    if kind == "holistic":
        four = slow_block(x, tensors, "indexnet.", 1, nonlinear, context)[:, None]  # (N, 1, 4, h, w)
    else:
        groups = channels if kind == "o2o" else 1
        prefixes = [f"indexnet{q}." if nonlinear else f"indexnet{q}.0." for q in (1, 2, 3, 4)]
        four = torch.stack([slow_block(x, tensors, p, groups, nonlinear, context) for p in prefixes], 2)
    maps = four.shape[1]
    y, decoder = torch.empty(n, channels, *four.shape[3:]), torch.empty(n, maps, *x.shape[2:])
    for b in range(n):
        for c in range(channels):
            m = min(c, maps - 1)
            for v in range(y.shape[2]):
                for u in range(y.shape[3]):
                    a = [1 / (1 + math.exp(-logit)) for logit in four[b, m, :, v, u].tolist()]
                    norm = sum(map(math.exp, a))
                    total = 0.0
                    for q, (row, column) in enumerate([(0, 0), (0, 1), (1, 0), (1, 1)]):
                        decoder[b, m, 2 * v + row, 2 * u + column] = a[q]
                        total += math.exp(a[q]) / norm * x[b, c, 2 * v + row, 2 * u + column].item()
                    y[b, c, v, u] = total
    return y, decoder[:, :, :height, :width]


@pytest.mark.parametrize(("kind", "nonlinear", "context"), SETTINGS)
@pytest.mark.parametrize("size", [(6, 8), (7, 5), (1, 1)])
def test_down_and_decoder_map_equal_the_loops(kind, nonlinear, context, size):
    tensors = official_tensors(3, kind, nonlinear, context)
    operator = IndexNetDownsample(3, kind, nonlinear, context).eval()
    operator.load_official(tensors)
    x = torch.randn(2, 3, *size)
    y, decoder_map = operator(x)
    slow_y, slow_map = slow_indexnet(x, tensors, kind, nonlinear, context)
    torch.testing.assert_close(y, slow_y, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(decoder_map, slow_map, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("maps", [1, 3])
@pytest.mark.parametrize("size", [(6, 8), (7, 5), (1, 2)])
def test_up_equals_the_loops(maps, size):
    low, decoder_map = torch.randn(2, 3, *(-(-side // 2) for side in size)), torch.rand(2, maps, *size)
    y = index_upsample(low, decoder_map)
    assert y.shape == (2, 3, *size)
    for row in range(size[0]):
        for column in range(size[1]):
            expected = low[:, :, row // 2, column // 2] * decoder_map[:, :, row, column]
            assert torch.equal(y[:, :, row, column], expected)


def test_a_map_of_other_channels_modulates_with_its_mean():
    low, decoder_map = torch.randn(2, 3, 4, 4), torch.rand(2, 5, 8, 8)
    assert torch.equal(index_upsample(low, decoder_map), index_upsample(low, decoder_map.mean(1, keepdim=True)))


def test_equal_logits_average_the_block():
    operator = IndexNetDownsample(4)
    nn.init.zeros_(operator.indexnet.weight)
    x = torch.randn(1, 4, 6, 6)
    y, decoder_map = operator(x)
    torch.testing.assert_close(y, F.avg_pool2d(x, 2))
    assert (decoder_map == 0.5).all()


@pytest.mark.parametrize(("kind", "nonlinear", "context"), SETTINGS)
def test_initialisation_is_the_authors(kind, nonlinear, context):
    modules = IndexNetDownsample(64, kind, nonlinear, context).modules()
    convs = [module for module in modules if isinstance(module, nn.Conv2d) and module.weight.numel() > 100]
    assert convs
    for conv in convs:
        std = (2 / (conv.kernel_size[0] ** 2 * conv.out_channels)) ** 0.5
        assert conv.weight.std().item() == pytest.approx(std, rel=0.25)


def test_an_unknown_kind_is_refused():
    with pytest.raises(ValueError, match="kind must be one of holistic, o2o, m2o, not 'o2m'"):
        IndexNetDownsample(4, "o2m")


def test_load_official_is_strict():
    with pytest.raises(RuntimeError, match="Missing key"):
        IndexNetDownsample(4, "m2o").load_official(official_tensors(4, "holistic", False, False))
    with pytest.raises(RuntimeError, match="size mismatch"):
        IndexNetDownsample(4, "m2o").load_official(official_tensors(4, "o2o", False, False))


def test_paths_index_then_convolve_down_and_convolve_then_index_up():
    down, up = indexnet.IndexNetDownPath(3, 6, 2, relu=True).eval(), indexnet.IndexNetUpPath(6, 3, 2).eval()
    x = torch.randn(1, 3, 13, 10)
    half, first = down.index[0](x)
    quarter, second = down.index[1](half)
    y, records = down(x)
    assert torch.equal(y, F.relu(down.norm(down.conv(quarter))))
    assert all(torch.equal(a, b) for a, b in zip(records, (first, second), strict=True))
    expected = index_upsample(index_upsample(up.norm(up.conv(y)), second), first)
    assert torch.equal(up(y, records), expected)
