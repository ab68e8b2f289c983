"""ADown against plain loops, and what becomes of constants, halves and a lit cell."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from operators import adown
from operators.adown import ADown


def official_tensors(in_channels, out_channels):
    half, tensors = out_channels // 2, {}
    for name, kernel in (("cv1", 3), ("cv2", 1)):
        tensors[f"{name}.conv.weight"] = torch.randn(half, in_channels // 2, kernel, kernel)
        tensors |= {f"{name}.bn.{kind}": torch.randn(half) for kind in ("weight", "bias", "running_mean")}
        tensors[f"{name}.bn.running_var"] = torch.rand(half) + 0.5
        tensors[f"{name}.bn.num_batches_tracked"] = torch.tensor(3)
    return tensors


def slow(x, tensors, act=F.relu):
    n, channels, height, width = x.shape

    def cell(row, column):  # odd maps go on by their last row and column
        return x[:, :, min(row, height - 1), min(column, width - 1)]

    rows, columns = 2 * (-(-height // 2)) - 1, 2 * (-(-width // 2)) - 1
    z = torch.zeros(n, channels, rows, columns)
    for v in range(rows):
        for u in range(columns):
            z[:, :, v, u] = sum(cell(v + i, u + j) for i in (0, 1) for j in (0, 1)) / 4
    first, second = z[:, : channels // 2], z[:, channels // 2 :]
    down, across = ([range(max(2 * v - 1, 0), min(2 * v + 2, n)) for v in range(n // 2 + 1)] for n in (rows, columns))
    pooled = torch.stack([second[:, :, list(r)][..., list(c)].amax((2, 3)) for r in down for c in across], 2)
    parts = [
        F.conv2d(first, tensors["cv1.conv.weight"], stride=2, padding=1),
        F.conv2d(pooled.unflatten(2, (len(down), len(across))), tensors["cv2.conv.weight"]),
    ]
    names = ("running_mean", "running_var", "weight", "bias")
    norms = [[tensors[f"{branch}.bn.{name}"] for name in names] for branch in ("cv1", "cv2")]
    return torch.cat([act(F.batch_norm(part, *norm)) for part, norm in zip(parts, norms, strict=True)], dim=1)


@pytest.mark.parametrize("size", [(6, 8), (5, 7), (1, 1), (2, 2), (1, 6)])
def test_it_equals_the_loops(size):
    operator, tensors = ADown(6, 8).eval(), official_tensors(6, 8)
    operator.load_official(tensors)
    x = torch.randn(2, 6, *size)
    expected = slow(x, tensors)
    assert expected.shape[2:] == tuple(-(-side // 2) for side in size)
    torch.testing.assert_close(operator(x), expected, rtol=1e-5, atol=1e-5)


def test_the_authors_activation_can_be_chosen():
    operator, tensors = ADown(6, 8, act=nn.SiLU).eval(), official_tensors(6, 8)
    operator.load_official(tensors)
    x = torch.randn(2, 6, 6, 8)
    torch.testing.assert_close(operator(x), slow(x, tensors, F.silu), rtol=1e-5, atol=1e-5)


def test_a_constant_is_convolved_in_the_interior_and_kept_by_the_maximum():
    operator = ADown(4, 6, act=nn.Identity).eval()
    y = operator(torch.full((1, 4, 8, 8), 3.0))
    expected = 3 * operator.cv1.conv.weight.sum((1, 2, 3)) / (1 + operator.cv1.bn.eps) ** 0.5
    torch.testing.assert_close(y[:, :3, 1:-1, 1:-1], expected[None, :, None, None].expand(1, 3, 2, 2))
    expected = 3 * operator.cv2.conv.weight.sum((1, 2, 3)) / (1 + operator.cv2.bn.eps) ** 0.5
    torch.testing.assert_close(y[:, 3:], expected[None, :, None, None].expand(1, 3, 4, 4))


def test_each_half_of_the_channels_goes_its_own_way():
    """What the first half holds reaches the first half of the result alone, and the second the second."""
    operator = ADown(4, 6, act=nn.Identity).eval()
    x, other = torch.randn(1, 4, 8, 8), torch.randn(1, 4, 8, 8)
    mixed = torch.cat([x[:, :2], other[:, 2:]], dim=1)
    assert torch.equal(operator(mixed)[:, :3], operator(x)[:, :3])
    assert torch.equal(operator(mixed)[:, 3:], operator(other)[:, 3:])


def test_swapping_the_halves_of_map_and_layers_swaps_the_halves_of_the_result():
    """With a convolution of the centre alone both ways see the same averaged map, through different windows."""
    operator = ADown(4, 6, act=nn.Identity).eval()
    operator.cv1.conv.weight.data.zero_()[:, :, 1, 1] = operator.cv2.conv.weight.data[:, :, 0, 0]
    x = torch.full((1, 4, 8, 8), 2.0) * torch.tensor([1.0, 2.0, 3.0, 4.0])[None, :, None, None]
    swapped = torch.cat([x[:, 2:], x[:, :2]], dim=1)
    torch.testing.assert_close(operator(swapped), operator(x).roll(3, 1))


def test_a_lit_cell_reaches_the_maximum_as_a_quarter():
    x = torch.zeros(1, 2, 8, 8)
    x[:, :, 3, 4] = 1
    operator = ADown(2, 2, act=nn.Identity).eval()
    operator.cv2.conv.weight.data.fill_(1)
    y = operator(x)[:, 1] * (1 + operator.cv2.bn.eps) ** 0.5
    torch.testing.assert_close(y.max(), torch.tensor(0.25))
    assert set(y.unique().round(decimals=3).tolist()) == {0, 0.25}


def test_steps_keep_the_channels_until_the_last():
    path = adown.down(4, 6, 3, relu=False)
    assert [(step.cv1.conv.in_channels, step.cv1.conv.out_channels) for step in path] == [(2, 2), (2, 2), (2, 3)]
    assert [type(step.cv2.act) for step in path] == [nn.ReLU, nn.ReLU, nn.Identity]
    assert isinstance(adown.down(4, 6, 1, relu=True)[0].cv1.act, nn.ReLU)


def test_odd_channels_and_foreign_weights_are_refused():
    with pytest.raises(ValueError, match="must be even, not 3 and 8"):
        ADown(3, 8)
    tensors = official_tensors(6, 8)
    with pytest.raises(RuntimeError, match="Unexpected key"):
        ADown(6, 8).load_official({**tensors, "other": torch.zeros(1)})
    del tensors["cv2.bn.running_var"]
    with pytest.raises(RuntimeError, match="Missing key"):
        ADown(6, 8).load_official(tensors)
