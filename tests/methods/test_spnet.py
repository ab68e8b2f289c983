"""SPNet's strips and mixed pooling against loops; where they stand; the paper's counts."""

import pytest
import torch
import torch.nn.functional as F

from rfbench.methods import spnet
from rfbench.methods.spnet import MixedPooling, SPHead, StripPooling, Strips
from rfbench.models import count_parameters


def varied(module):
    """The module in evaluation with all weights and statistics random, so that none hides."""
    for name, tensor in module.state_dict().items():
        if name.endswith("running_var"):
            tensor.uniform_(0.5, 1.5)
        elif tensor.is_floating_point():
            tensor.normal_(std=0.3)
    return module.eval()


def slow_norm(x, norm):
    return (x - norm.running_mean) / (norm.running_var + norm.eps) ** 0.5 * norm.weight + norm.bias


def slow_strips(x, strips):
    """y(h, w) = ReLU(Σ_t A_t · mean of row h+t + Σ_t B_t · mean of column w+t), zero beyond the map; one image."""
    channels, height, width = x.shape
    rows = [sum(x[:, h, w] for w in range(width)) / width for h in range(height)]
    columns = [sum(x[:, h, w] for h in range(height)) / height for w in range(width)]
    a, b = strips.rows[0].weight[:, :, :, 0], strips.columns[0].weight[:, :, 0]
    y = torch.zeros(channels, height, width)
    for h in range(height):
        for w in range(width):
            row = sum(a[:, :, t + 1] @ rows[h + t] for t in (-1, 0, 1) if 0 <= h + t < height)
            column = sum(b[:, :, t + 1] @ columns[w + t] for t in (-1, 0, 1) if 0 <= w + t < width)
            y[:, h, w] = (slow_norm(row, strips.rows[1]) + slow_norm(column, strips.columns[1])).clamp(min=0)
    return y


@pytest.mark.parametrize("size", [(5, 7), (1, 4), (8, 1), (6, 6)])
@torch.no_grad()
def test_strips_equal_the_loops(size):
    strips, x = varied(Strips(3)), torch.randn(2, 3, *size)
    expected = torch.stack([slow_strips(image, strips) for image in x])
    torch.testing.assert_close(strips(x), expected, rtol=1e-5, atol=1e-5)


@torch.no_grad()
def test_strip_pooling_gates_the_map():
    pooling, x = varied(StripPooling(3)), torch.randn(2, 3, 4, 6)
    strips = torch.stack([slow_strips(image, pooling.strips) for image in x])
    scores = torch.einsum("oc,nchw->nohw", pooling.gate.weight[:, :, 0, 0], strips)
    expected = x * (scores + pooling.gate.bias[:, None, None]).sigmoid()
    torch.testing.assert_close(pooling(x), expected, rtol=1e-5, atol=1e-5)


def slow_pools(x, side):
    """Mean of cells ⌊i·H/side⌋ … ⌈(i+1)·H/side⌉ by ⌊j·W/side⌋ … ⌈(j+1)·W/side⌉, in one image's map."""
    channels, height, width = x.shape
    y = torch.zeros(channels, side, side)
    for i in range(side):
        for j in range(side):
            rows = slice(i * height // side, -(-(i + 1) * height // side))
            columns = slice(j * width // side, -(-(j + 1) * width // side))
            y[:, i, j] = x[:, rows, columns].mean((1, 2))
    return y


@pytest.mark.parametrize("size", [(24, 30), (9, 14)])
@torch.no_grad()
def test_mixed_pooling_equals_its_parts(size):
    """Pools of 20 and 12 by loops, convolutions and norms one by one; the text's order of sums, ReLUs and residual."""
    pooling, x = varied(MixedPooling(8)), torch.randn(1, 8, *size)

    def step(module, value, relu):
        conv, norm = module[0], module[1]
        value = F.conv2d(value, conv.weight, padding=conv.weight.shape[2] // 2)
        value = slow_norm(value.permute(0, 2, 3, 1), norm).permute(0, 3, 1, 2)
        return value.clamp(min=0) if relu else value

    y = step(pooling.to_squares, x, relu=True)
    total = step(pooling.as_it_is, y, relu=False)
    for side, conv in zip((20, 12), pooling.pooled, strict=True):
        small = step(conv, slow_pools(y[0], side)[None], relu=False)
        total += F.interpolate(small, size, mode="bilinear", align_corners=False)
    squares = step(pooling.squares, total.clamp(min=0), relu=True)
    strips = slow_strips(step(pooling.to_strips, x, relu=True)[0], pooling.strips[0])[None]
    strips = step(pooling.strips[1:], strips, relu=True)
    expected = (x + step(pooling.out, torch.cat([squares, strips], 1), relu=False)).clamp(min=0)
    torch.testing.assert_close(pooling(x), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("module", [StripPooling(2), MixedPooling(4)])
def test_gradients_are_right(module):
    module = varied(module).double()
    x = torch.randn(1, 2 if isinstance(module, StripPooling) else 4, 4, 5, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(module, (x,))


def test_parts_have_the_papers_parameters():
    """The head 15.62 M; strips of ResNet-50 6.12 M; without auxiliary head 45.26 and 64.25 M."""
    with torch.device("meta"):
        head = SPHead(2048, 4)
        networks = [spnet.build(4, depth=depth) for depth in (50, 101)]
    strips = sum(count_parameters(m) for m in networks[0].modules() if isinstance(m, StripPooling))
    counts = [count_parameters(head), strips, *map(count_parameters, networks)]
    assert [round(count / 1e6, 2) for count in counts] == [15.62, 6.12, 45.26, 64.25]


@pytest.mark.parametrize(("depth", "blocks"), [(50, (3, 4, 6, 3)), (101, (3, 4, 23, 3))])
def test_strips_stand_where_the_paper_says(depth, blocks):
    network = spnet.build(4, size="embedded", depth=depth).eval()
    found = [name for name, module in network.backbone.named_modules() if isinstance(module, StripPooling)]
    expected = [f"layer{stage + 1}.{blocks[stage] - 1}" for stage in range(3)] + [f"layer4.{n}" for n in range(3)]
    assert found == [f"{place}.strips" for place in expected]
    called = []
    for name in found:
        block = network.backbone.get_submodule(name.removesuffix(".strips"))
        block.strips.register_forward_hook(lambda m, given, y: called.append(given[0]))
        block.conv3.register_forward_pre_hook(lambda m, given: called.append(given[0]))
        block.norm2.register_forward_hook(lambda m, given, y: called.append(y.clone()))
    network(torch.randn(1, 3, 64, 64))
    assert len(called) == 3 * len(found)
    triples = list(zip(called[::3], called[1::3], called[2::3], strict=True))
    for name, (normed, into, after) in zip(found, triples, strict=True):
        pooling = network.backbone.get_submodule(name)
        assert torch.equal(into, normed.clamp(min=0)), "behind conv2, batch norm and ReLU"
        torch.testing.assert_close(after, pooling(into))
