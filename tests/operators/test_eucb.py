"""EUCB against plain loops, and what an impulse, a dead BN and a single channel show of it."""

import pytest
import torch
import torch.nn.functional as F

from operators import eucb
from operators.eucb import EUCB


def nearest(x):
    return x.repeat_interleave(2, 2).repeat_interleave(2, 3)


def official_tensors(in_channels, out_channels):
    return {
        "up_dwc.1.weight": torch.randn(in_channels, 1, 3, 3) / 3,
        **{f"up_dwc.2.{kind}": torch.randn(in_channels) for kind in ("weight", "bias", "running_mean")},
        "up_dwc.2.running_var": torch.rand(in_channels) + 0.5,
        "up_dwc.2.num_batches_tracked": torch.tensor(9),
        "pwc.0.weight": torch.randn(out_channels, in_channels, 1, 1) / in_channels**0.5,
        "pwc.0.bias": torch.randn(out_channels),
    }


def slow(x, tensors):
    n, channels, height, width = x.shape
    hidden = torch.zeros(n, channels, 2 * height, 2 * width)
    for row in range(2 * height):
        for column in range(2 * width):
            for i in range(3):
                for j in range(3):
                    v, u = row + i - 1, column + j - 1
                    if 0 <= v < 2 * height and 0 <= u < 2 * width:
                        weight = tensors["up_dwc.1.weight"][:, 0, i, j]
                        hidden[:, :, row, column] += weight * x[:, :, v // 2, u // 2]
    mean, variance, weight, bias = (
        tensors[f"up_dwc.2.{kind}"][:, None, None] for kind in ("running_mean", "running_var", "weight", "bias")
    )
    hidden = ((hidden - mean) / (variance + 1e-5).sqrt() * weight + bias).clamp(min=0)
    y = torch.einsum("oc,nchw->nohw", tensors["pwc.0.weight"][:, :, 0, 0], hidden)
    return y + tensors["pwc.0.bias"][:, None, None]


@pytest.mark.parametrize("size", [(4, 5), (1, 1), (2, 7)])
def test_it_equals_the_loops(size):
    operator, tensors = EUCB(5, 3).eval(), official_tensors(5, 3)
    operator.load_official(tensors)
    x = torch.randn(2, 5, *size)
    torch.testing.assert_close(operator(x), slow(x, tensors), rtol=1e-5, atol=1e-5)


def test_an_impulse_and_a_fresh_norm_leave_nearest_neighbours():
    operator, x = EUCB(4, 3).eval(), torch.rand(2, 4, 5, 6)
    operator.depthwise.weight.data.zero_()[:, :, 1, 1] = 1
    expected = F.conv2d(nearest(x / (1 + operator.norm.eps) ** 0.5), operator.pointwise.weight, operator.pointwise.bias)
    torch.testing.assert_close(operator(x), expected)


def test_where_the_norm_is_negative_the_bias_is_left():
    operator = EUCB(4, 3).eval()
    torch.nn.init.constant_(operator.norm.bias, -100)
    torch.nn.init.normal_(operator.pointwise.bias)
    y = operator(torch.randn(2, 4, 5, 6))
    assert torch.equal(y, operator.pointwise.bias[None, :, None, None].expand_as(y))


def test_channels_are_mixed_by_the_pointwise_convolution_alone():
    operator, x = EUCB(4, 4).eval(), torch.rand(1, 4, 5, 6)
    operator.pointwise.weight.data.copy_(torch.eye(4)[:, :, None, None])
    changed = x.clone()
    changed[:, 2] += 1
    operator.depthwise.weight.data.abs_()  # so that the ReLU lets everything past
    differing = (operator(changed) != operator(x)).flatten(2).any(2)
    assert differing.tolist() == [[False, False, True, False]]


def test_initialisation_is_the_authors():
    operator = EUCB(64, 96)
    assert operator.depthwise.weight.std().item() == pytest.approx(0.02, rel=0.1)
    assert operator.pointwise.weight.std().item() == pytest.approx(0.02, rel=0.03)
    assert not operator.pointwise.bias.any()


def test_the_first_step_changes_the_channels_and_no_other_layer_does():
    path = eucb.up(6, 4, 3)
    assert [(step.pointwise.in_channels, step.pointwise.out_channels) for step in path] == [(6, 4), (4, 4), (4, 4)]
    assert all(isinstance(step, EUCB) for step in path)
    assert path.eval()(torch.randn(1, 6, 2, 3)).shape == (1, 4, 16, 24)


def test_foreign_weights_are_refused():
    tensors = official_tensors(5, 3)
    with pytest.raises(RuntimeError, match="Unexpected key"):
        EUCB(5, 3).load_official({**tensors, "other": torch.zeros(1)})
    del tensors["up_dwc.2.weight"]
    with pytest.raises(RuntimeError, match="Missing key"):
        EUCB(5, 3).load_official(tensors)
