"""SPD-Conv against plain loops, the strided convolutions it equals, and the authors' names."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from operators import spdconv
from operators.spdconv import SPDConv, space_to_depth


def slow_space_to_depth(x):
    n, channels, height, width = x.shape
    y = torch.zeros(n, 4 * channels, -(-height // 2), -(-width // 2), dtype=x.dtype)
    for part, (row, column) in enumerate([(0, 0), (1, 0), (0, 1), (1, 1)]):
        for v in range(row, height, 2):
            for u in range(column, width, 2):
                y[:, part * channels : (part + 1) * channels, v // 2, u // 2] = x[:, :, v, u]
    return y


def official_tensors(in_channels, out_channels, kernel, prefix="conv."):
    norm = {"weight": torch.randn(out_channels), "bias": torch.randn(out_channels),
            "running_mean": torch.randn(out_channels), "running_var": torch.rand(out_channels) + 0.5,
            "num_batches_tracked": torch.tensor(7)}  # fmt: skip
    weight = torch.randn(out_channels, 4 * in_channels, kernel, kernel) / (2 * kernel * in_channels**0.5)
    return {f"{prefix}conv.weight": weight} | {f"{prefix}bn.{name}": value for name, value in norm.items()}


def normed(y, tensors):
    names = ("running_mean", "running_var", "weight", "bias")
    return F.batch_norm(y, *(tensors[f"conv.bn.{name}"] for name in names))


@pytest.mark.parametrize("size", [(4, 6), (5, 7), (1, 1), (2, 3)])
def test_rearrangement_equals_the_loops_and_fills_up_with_zeros(size):
    x = torch.randn(2, 3, *size)
    assert torch.equal(space_to_depth(x), slow_space_to_depth(x))


def test_the_order_is_row_offset_first():
    x = torch.tensor([[1.0, 2.0], [3.0, 4.0]])[None, None]
    assert space_to_depth(x).flatten().tolist() == [1, 3, 2, 4]
    assert F.pixel_unshuffle(x, 2).flatten().tolist() == [1, 2, 3, 4]


def test_rearrangement_and_the_right_shuffle_are_the_identity():
    x = torch.randn(2, 3, 6, 8)
    parts = space_to_depth(x).unflatten(1, (2, 2, 3))  # column offset, row offset, channel
    assert torch.equal(F.pixel_shuffle(parts.permute(0, 3, 2, 1, 4, 5).flatten(1, 3), 2), x)


@pytest.mark.parametrize("kernel", [1, 3])
def test_it_equals_one_strided_convolution_of_twice_the_kernel_on_even_maps(kernel):
    """6x6, stride 2, padding 2 with interleaved weights for kernel 3; 2x2, stride 2 for kernel 1."""
    operator, tensors = SPDConv(3, 5, kernel=kernel).eval(), official_tensors(3, 5, kernel)
    operator.load_official(tensors)
    parts = tensors["conv.conv.weight"].unflatten(1, (2, 2, 3))  # column offset, row offset, channel
    weight = torch.zeros(5, 3, 2 * kernel, 2 * kernel)
    for column in (0, 1):
        for row in (0, 1):
            weight[:, :, row::2, column::2] = parts[:, column, row]
    x = torch.randn(2, 3, 8, 10)
    expected = F.relu(normed(F.conv2d(x, weight, stride=2, padding=kernel - 1), tensors))
    torch.testing.assert_close(operator(x), expected, rtol=1e-5, atol=1e-5)


def test_steps_keep_the_channels_until_the_last_and_odd_maps_give_the_ceiling():
    path = spdconv.down(4, 6, 3, relu=False)
    assert [(step.conv.in_channels, step.conv.out_channels) for step in path] == [(16, 4), (16, 4), (16, 6)]
    assert [type(step.act) for step in path] == [nn.ReLU, nn.ReLU, nn.Identity]
    assert isinstance(spdconv.down(4, 6, 1, relu=True)[0].act, nn.ReLU)
    assert path.eval()(torch.randn(1, 4, 17, 9)).shape == (1, 6, 3, 2)
    x = torch.randn(1, 4, 5, 5)
    padded = F.pad(x, (0, 1, 0, 1))
    assert torch.equal(path[0](x), path[0](padded))


def test_weights_load_under_every_name_that_circulates():
    first, second, tensors = SPDConv(3, 5), SPDConv(3, 5), official_tensors(3, 5, 3)
    first.load_official(tensors)
    second.load_official({key.removeprefix("conv.") if key.startswith("conv.bn") else "conv.weight": value
                          for key, value in tensors.items()})  # fmt: skip
    for a, b in zip(first.state_dict().values(), second.state_dict().values(), strict=True):
        assert torch.equal(a, b)
    with pytest.raises(RuntimeError, match="Unexpected key"):
        first.load_official({**tensors, "other": torch.zeros(1)})
    del tensors["conv.bn.bias"]
    with pytest.raises(RuntimeError, match="Missing key"):
        first.load_official(tensors)


def test_even_kernels_are_refused():
    with pytest.raises(ValueError, match="kernel must be odd, not 2"):
        SPDConv(3, 5, kernel=2)
