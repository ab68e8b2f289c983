"""A2U against plain loops, from the predicted filters to guided upsampling."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from operators import a2u
from operators.a2u import A2UDownsample, a2u_upsample


def official_tensors(channels, up_kernel=3, shared=True):
    """Random tensors under the authors' names and shapes."""
    filters = 1 if shared else channels
    convs = {
        "bconv_UP.1": 4 * up_kernel**2,
        "bconv_DP.1": 36,
        "bconv_U.1": filters,
        "bconv_V.1": filters,
    }
    tensors = {f"{name}.weight": torch.randn(maps, channels, 1, 1) for name, maps in convs.items()}
    tensors |= {f"{name}.bias": torch.randn(maps) for name, maps in convs.items()}
    return tensors | {
        f"{name}.0.{kind}": torch.randn(channels) for name in ("bnu", "bnv") for kind in ("weight", "bias")
    }


def dot(x, tensors, name):
    """conv1x1 on a vector of channels."""
    return tensors[f"{name}.weight"][:, :, 0, 0] @ x + tensors[f"{name}.bias"]


def windows(height, width):
    """For each window 6x6 of stride 2: (v, u), tap, row, column of its cells inside the map."""
    for v in range(height // 2):
        for u in range(width // 2):
            for tap in range(36):
                row, column = 2 * v - 2 + tap // 6, 2 * u - 2 + tap % 6
                if 0 <= row < height and 0 <= column < width:
                    yield (v, u), tap, row, column


def slow_branch(x, tensors, letter):
    """LeakyReLU(GroupNorm(x * predicted filter)) of one image (C, H, W)."""
    channels, height, width = x.shape
    filters = torch.empty(channels, 36)
    for tap in range(36):  # adaptive average pooling to 6x6
        row, column = divmod(tap, 6)
        rows = slice(row * height // 6, -(-(row + 1) * height // 6))
        columns = slice(column * width // 6, -(-(column + 1) * width // 6))
        filters[:, tap] = dot(x[:, rows, columns].mean((1, 2)), tensors, f"bconv_{letter}.1")  # one value, or one each
    y = torch.zeros(channels, height // 2, width // 2)
    for (v, u), tap, row, column in windows(height, width):
        y[:, v, u] += filters[:, tap] * x[:, row, column]
    group = channels // math.gcd(32, channels)
    for start in range(0, channels, group):
        part = y[start : start + group]
        y[start : start + group] = (part - part.mean()) / torch.sqrt(part.var(correction=0) + 1e-5)
    weight, bias = (tensors[f"bn{letter.lower()}.0.{kind}"][:, None, None] for kind in ("weight", "bias"))
    y = y * weight + bias
    return torch.where(y > 0, y, 0.01 * y)


def softmax(values):
    exponentials = [math.exp(value) for value in values]
    return [exponential / sum(exponentials) for exponential in exponentials]


def slow_a2u(x, tensors, up_kernel):
    """y and the up mask of one image (C, H, W)."""
    channels, height, width = x.shape
    x = F.pad(x, (0, width % 2, 0, height % 2))
    affinity = (slow_branch(x, tensors, "U") * slow_branch(x, tensors, "V")).sum(0) / math.sqrt(channels)
    mean = x.mean((1, 2))
    p_up, p_down = dot(mean, tensors, "bconv_UP.1"), dot(mean, tensors, "bconv_DP.1")
    rows, columns = affinity.shape
    down = torch.tensor([[softmax((affinity[v, u] * p_down).tolist()) for u in range(columns)] for v in range(rows)])
    y, mask = torch.zeros(channels, rows, columns), torch.empty(up_kernel**2, 2 * rows, 2 * columns)
    for (v, u), tap, row, column in windows(*x.shape[1:]):
        y[:, v, u] += down[v, u, tap] * x[:, row, column]
    for row in range(2 * rows):
        for column in range(2 * columns):
            sub_pixel = row % 2 * 2 + column % 2
            values = affinity[row // 2, column // 2] * p_up[sub_pixel::4]  # channel = tap·4 + sub-pixel
            mask[:, row, column] = torch.tensor(softmax(torch.sigmoid(values).tolist()))
    return y, mask[:, :height, :width]


@pytest.mark.parametrize(("up_kernel", "shared"), [(3, True), (3, False), (5, True)])
@pytest.mark.parametrize(("channels", "size"), [(4, (8, 12)), (6, (7, 5)), (36, (2, 3)), (3, (14, 9))])
def test_down_and_up_mask_equal_the_loops(up_kernel, shared, channels, size):
    tensors, operator = official_tensors(channels, up_kernel, shared), A2UDownsample(channels, up_kernel, shared)
    operator.load_official(tensors)
    x = torch.randn(2, channels, *size)
    y, up_mask = operator(x)
    for b in range(2):
        slow_y, slow_mask = slow_a2u(x[b], tensors, up_kernel)
        torch.testing.assert_close(y[b], slow_y, rtol=1e-3, atol=1e-4)
        torch.testing.assert_close(up_mask[b], slow_mask, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("side", [1, 3, 5])
@pytest.mark.parametrize("size", [(6, 8), (7, 5), (1, 2)])
def test_up_equals_the_loops(side, size):
    low, mask = torch.randn(2, 3, *(-(-cells // 2) for cells in size)), torch.rand(2, side**2, *size)
    expected = torch.zeros(2, 3, *size)
    for row in range(size[0]):
        for column in range(size[1]):
            for tap in range(side**2):
                r, c = row // 2 + tap // side - side // 2, column // 2 + tap % side - side // 2
                if 0 <= r < low.shape[2] and 0 <= c < low.shape[3]:
                    expected[:, :, row, column] += mask[:, tap, None, row, column] * low[:, :, r, c]
    torch.testing.assert_close(a2u_upsample(low, mask), expected)


def test_initialisation_is_the_authors():
    operator = A2UDownsample(256)
    gain = (2 / (1 + 0.01**2)) ** 0.5
    for conv in (operator.up_weights, operator.down_weights):
        assert conv.weight.std().item() == pytest.approx(gain * (2 / (256 + 36)) ** 0.5, rel=0.05)
        assert not conv.bias.any()
    assert operator.filter_u.weight.std().item() == pytest.approx(gain * (2 / 257) ** 0.5, rel=0.2)


def test_an_even_up_kernel_is_refused():
    with pytest.raises(ValueError, match="up_kernel must be odd, not 4"):
        A2UDownsample(8, up_kernel=4)


def test_load_official_is_strict():
    tensors = official_tensors(4)
    with pytest.raises(RuntimeError, match="Unexpected key"):
        A2UDownsample(4).load_official({**tensors, "bconv_X.1.weight": torch.zeros(1)})
    with pytest.raises(RuntimeError, match="size mismatch"):
        A2UDownsample(4, shared=False).load_official(tensors)
    del tensors["bnu.0.bias"]
    with pytest.raises(RuntimeError, match="Missing key"):
        A2UDownsample(4).load_official(tensors)


def test_the_second_order_features_are_not_kept_for_backward():
    operator, x = A2UDownsample(16), torch.randn(1, 16, 16, 16, requires_grad=True)
    kept = {}
    with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.setdefault(t.data_ptr(), t), lambda t: t):
        operator(x)
    own = {parameter.data_ptr() for parameter in operator.parameters()}
    masks = (2 * 36 + 2 * 36 + 2) * 8 * 8  # what softmax, sigmoid and the products keep
    assert sum(t.numel() for address, t in kept.items() if address not in own) <= x.numel() + masks + 1000


def test_paths_convolve_before_each_step_down_and_once_before_the_steps_up():
    down, up = a2u.A2UDownPath(3, 6, 2, relu=False).eval(), a2u.A2UUpPath(6, 3, 2).eval()
    x = torch.randn(1, 3, 13, 10)
    y, records = down(x)
    half, first = down.steps[0].a2u(F.relu(down.steps[0].norm(down.steps[0].conv(x))))
    quarter, second = down.steps[1].a2u(down.steps[1].norm(down.steps[1].conv(half)))
    assert torch.equal(y, quarter)
    assert all(torch.equal(a, b) for a, b in zip(records, (first, second), strict=True))
    assert [step.conv.out_channels for step in down.steps] == [3, 6]
    relus = [type(step.relu) for step in a2u.A2UDownPath(3, 6, 2, relu=True).steps]
    assert relus == [nn.ReLU, nn.ReLU]
    assert torch.equal(up(y, records), a2u_upsample(a2u_upsample(up.norm(up.conv(y)), second), first))
