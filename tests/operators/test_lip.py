"""LIP against plain loops, its start as an average, and its exponentials in half precision."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from operators import lip
from operators.lip import LIP


def official_tensors(channels, kind="bottleneck", width=128):
    """Random tensors under the authors' names and shapes."""
    if kind == "simplified":
        shapes = {"conv": (channels, channels, 3, 3), "bn": (channels,)}
    else:
        shapes = {
            "conv1": (width, channels, 1, 1),
            "conv2": (width, width, 3, 3),
            "conv3": (channels, width, 1, 1),
            "bn1": (width,),
            "bn2": (width,),
            "bn3": (channels,),
        }
    tensors = {f"logit.{name}.weight": torch.randn(shape) for name, shape in shapes.items()}
    return tensors | {f"logit.{name}.bias": torch.randn(shape) for name, shape in shapes.items() if "bn" in name}


def instance_norm(x, tensors, name):
    """Each channel of each image to mean 0 and variance 1, then affine."""
    y = torch.empty_like(x)
    for b in range(x.shape[0]):
        for c in range(x.shape[1]):
            cells = x[b, c].double()
            centred = cells - cells.mean()
            y[b, c] = centred / math.sqrt(centred.square().mean() + 1e-5)
    return y * tensors[f"logit.{name}.weight"][:, None, None] + tensors[f"logit.{name}.bias"][:, None, None]


def slow_logits(x, tensors, kind):
    if kind == "simplified":
        return 12 * torch.sigmoid(instance_norm(F.conv2d(x, tensors["logit.conv.weight"], padding=1), tensors, "bn"))
    x = F.relu(instance_norm(F.conv2d(x, tensors["logit.conv1.weight"]), tensors, "bn1"))
    x = F.relu(instance_norm(F.conv2d(x, tensors["logit.conv2.weight"], padding=1), tensors, "bn2"))
    return 12 * torch.sigmoid(instance_norm(F.conv2d(x, tensors["logit.conv3.weight"]), tensors, "bn3"))


def slow_lip(x, tensors, kind):
    logits = slow_logits(x, tensors, kind)
    n, channels, height, width = x.shape
    y = torch.empty(n, channels, -(-height // 2), -(-width // 2))
    for b in range(n):
        for c in range(channels):
            for v in range(y.shape[2]):
                for u in range(y.shape[3]):
                    total = norm = 0.0
                    for row in range(max(2 * v - 1, 0), min(2 * v + 2, height)):
                        for column in range(max(2 * u - 1, 0), min(2 * u + 2, width)):
                            weight = math.exp(logits[b, c, row, column])
                            total += weight * x[b, c, row, column].item()
                            norm += weight
                    y[b, c, v, u] = total / norm
    return y


@pytest.mark.parametrize(("kind", "width"), [("bottleneck", 128), ("bottleneck", 5), ("simplified", 128)])
@pytest.mark.parametrize("size", [(6, 8), (7, 5), (1, 1), (1, 4)])
def test_equals_the_loops(kind, width, size):
    tensors, operator = official_tensors(3, kind, width), LIP(3, kind, width)
    operator.load_official(tensors)
    x = torch.randn(2, 3, *size)
    expected = slow_lip(x, tensors, kind)
    torch.testing.assert_close(operator.train()(x), expected, rtol=1e-4, atol=1e-4)
    assert torch.equal(operator.train()(x), operator.eval()(x))  # instance statistics in evaluation, too


def test_it_starts_as_an_average_of_the_cells_inside_the_map():
    x = torch.randn(2, 16, 9, 8)
    valid = F.avg_pool2d(x, 3, stride=2, padding=1, count_include_pad=False)
    torch.testing.assert_close(LIP(16)(x), valid)


def test_a_single_cell_yields_the_norms_bias():
    norm = lip.InstanceNorm(4)
    nn.init.normal_(norm.bias)
    torch.testing.assert_close(norm(torch.randn(3, 4, 1, 1)), norm.bias.view(1, 4, 1, 1).expand(3, 4, 1, 1))
    x = torch.randn(3, 4, 6, 7)
    torch.testing.assert_close(norm(x), nn.functional.instance_norm(x, weight=norm.weight, bias=norm.bias))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_the_largest_weights_do_not_overflow_in_half_precision(dtype):
    operator = LIP(4)
    nn.init.constant_(operator.logit.bn3.bias, 1e3)  # all logits 12, e^12 = 162,755
    x = torch.full((1, 4, 8, 8), 60.0)
    torch.testing.assert_close(operator.to(dtype)(x.to(dtype)).float(), torch.full((1, 4, 4, 4), 60.0))


def test_the_logits_maps_are_not_kept_for_backward():
    operator, x = LIP(4, width=64), torch.randn(1, 4, 16, 16, requires_grad=True)
    kept = {}
    with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.setdefault(t.data_ptr(), t), lambda t: t):
        operator(x)
    # x and the output of the 3x3 convolution
    assert sum(tensor.numel() for tensor in kept.values()) <= x.numel() + 64 * 16 * 16 + 16


def test_an_unknown_kind_is_refused():
    with pytest.raises(ValueError, match="kind must be one of bottleneck, simplified, not 'gaussian'"):
        LIP(4, kind="gaussian")


def test_load_official_is_strict():
    tensors = official_tensors(4)
    with pytest.raises(RuntimeError, match="Missing key"):
        LIP(4, "simplified").load_official(tensors)
    with pytest.raises(RuntimeError, match="size mismatch"):
        LIP(4, width=64).load_official(tensors)


def test_a_path_pools_the_convolutions_output():
    path = lip.down(3, 5, 2, relu=False, kind="simplified").eval()
    x = torch.randn(1, 3, 13, 10)
    y = x
    for step, activation in zip(path, (F.relu, lambda z: z), strict=True):
        y = step.lip(activation(step.norm(step.conv(y))))
    assert torch.equal(path(x), y)
    assert [step.conv.out_channels for step in path] == [3, 5]
