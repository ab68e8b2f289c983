"""FPT: each transformer against loops over cells, global convolutions without the crash, counts of every form."""

import math
import subprocess
import sys

import pytest
import torch
import torch.nn.functional as F

from rfbench.errors import RFBenchError
from rfbench.methods import fpt
from rfbench.methods.parts.fpt import DropBlock, GlobalConv, GroundingTransformer, RenderingTransformer, SelfTransformer
from rfbench.models import count_parameters


def varied(module):
    """In evaluation and float64, with all weights and statistics random."""
    module = module.double().eval()
    for name, tensor in module.state_dict().items():
        if name.endswith("running_var"):
            tensor.uniform_(0.5, 1.5)
        elif tensor.is_floating_point():
            tensor.normal_(std=0.4)
    return module


def normed(x, norm):
    """Batch norm of (C, …) by its formula."""
    shape = (-1, *[1] * (x.dim() - 1))
    x = (x - norm.running_mean.view(shape)) / (norm.running_var.view(shape) + norm.eps).sqrt()
    return x * norm.weight.view(shape) + norm.bias.view(shape)


def projected(x, conv):
    """A 1x1 convolution of one image's map (C, H, W)."""
    return torch.einsum("oc,chw->ohw", conv.weight[:, :, 0, 0], x)


def softmax(values):
    exponentials = [math.exp(value) for value in values]
    return [value / sum(exponentials) for value in exponentials]


def slow_attention(module, target, source, parts, temperature, cells, score):
    """Σ_n π_n softmax_j(score(q_n, k_n)) v over the cells j of each cell i, one image, cell by cell."""
    channels, height, width = target.shape
    q, k, v = projected(target, module.query), projected(source, module.key), projected(source, module.value)
    part = q.shape[0] // parts
    mean = sum(k[:, r, c] for r in range(height) for c in range(width)) / (height * width)
    mix = softmax([float(weight @ mean) for weight in module.mix.weight])
    y = torch.zeros(channels, height, width, dtype=torch.float64)
    for row in range(height):
        for column in range(width):
            places = cells(row, column, height, width)
            inside = [0 <= r < height and 0 <= c < width for r, c in places]
            keys = [
                k[:, r, c] if there else torch.zeros_like(mean) for (r, c), there in zip(places, inside, strict=True)
            ]
            for n in range(parts):
                of = slice(n * part, (n + 1) * part)
                weights = softmax([score(q[of, row, column], key[of]) / temperature for key in keys])
                for weight, (r, c), there in zip(weights, places, inside, strict=True):
                    if there:
                        y[:, row, column] += mix[n] * weight * v[:, r, c]
    return normed(projected(y, module.out[0]), module.out[1])


def everywhere(row, column, height, width):
    return [(r, c) for r in range(height) for c in range(width)]


def around(row, column, height, width):
    return [(row + r, column + c) for r in range(-2, 3) for c in range(-2, 3)]


@pytest.mark.parametrize("temperature", [None, 0.7])
@torch.no_grad()
def test_the_self_transformer_equals_the_loops(temperature):
    module = varied(SelfTransformer(8, 2, temperature))
    x = torch.randn(2, 8, 3, 5, dtype=torch.float64)
    expected = [
        slow_attention(module, image, image, 2, temperature or 2**0.5, everywhere, lambda q, k: float(q @ k))
        for image in x
    ]
    torch.testing.assert_close(module(x), torch.stack(expected))


@pytest.mark.parametrize("temperature", [None, 0.7])
@pytest.mark.parametrize("size", [(3, 6), (1, 2)])
@torch.no_grad()
def test_the_grounding_transformer_equals_the_loops(size, temperature):
    module = varied(GroundingTransformer(16, 4, temperature))
    fine, coarse = torch.randn(2, 2, 16, *size, dtype=torch.float64)

    def distance(q, k):
        return -float(((q - k) ** 2).sum())

    expected = [
        slow_attention(module, f, c, 4, temperature or 2**0.5, around, distance)
        for f, c in zip(fine, coarse, strict=True)
    ]
    torch.testing.assert_close(module(fine, coarse), torch.stack(expected))


@torch.no_grad()
def test_the_rendering_transformer_follows_its_equation():
    """w = GAP(K); conv(Q · w) + conv(V); conv of the sum – each with norm and ReLU."""
    module = varied(RenderingTransformer(6))
    coarse, fine = torch.randn(2, 1, 6, 5, 4, dtype=torch.float64)

    def step(block, x):
        y = F.conv2d(x, block[0].weight, padding=block[0].weight.shape[2] // 2)
        return normed(y[0], block[1]).clamp(min=0)[None]

    weight = step(module.weight, fine.sum((2, 3), keepdim=True) / 20)
    expected = step(module.out, step(module.query, coarse * weight) + step(module.value, fine))
    torch.testing.assert_close(module(coarse, fine), expected)


@pytest.mark.parametrize("kernel", [1, 7, 31])
@torch.no_grad()
def test_global_convolutions_are_columns_and_rows(kernel):
    """Both orders by plain convolutions of (k, 1) and (1, k); a forward pass of (k, 1) is safe."""
    module = varied(GlobalConv(3, kernel))
    x = torch.randn(2, 3, 9, 11, dtype=torch.float64)

    def step(x, weight, norm, padding):
        return torch.stack([normed(image, norm) for image in F.conv2d(x, weight, padding=padding)]).clamp(min=0)

    def column(x, layer, norm):
        return step(x, layer.row.weight.transpose(2, 3), norm, (kernel // 2, 0))

    def row(x, layer, norm):
        return step(x, layer.weight, norm, (0, kernel // 2))

    down, across = module.down_first, module.across_first
    expected = row(column(x, *down[:2]), *down[3:5]) + column(row(x, *across[:2]), *across[3:5])
    torch.testing.assert_close(module(x), expected)


def test_backward_of_the_largest_kernel_does_not_crash():
    """torch 2.13's Conv2d of 31 rows corrupts the heap on these maps; in a process of its own, which a crash ends."""
    code = """
import torch
from rfbench.methods.parts.fpt import GlobalConv
for side in (12, 16):
    for _ in range(3):
        x = torch.randn(2, 32, side, side, requires_grad=True)
        GlobalConv(32, 31)(x).square().sum().backward()
        assert x.grad.isfinite().all()
print("whole")
"""
    ended = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, timeout=300)
    assert (ended.returncode, ended.stdout) == (0, "whole\n"), ended.stderr


@pytest.mark.parametrize(
    ("module", "maps"),
    [
        (SelfTransformer(4, 2, None), 1),
        (GroundingTransformer(8, 4, None), 2),
        (RenderingTransformer(2), 2),
        (GlobalConv(2, 7), 1),
    ],
    ids=["ST", "LGT", "RT", "GCN"],
)
def test_gradients_are_right(module, maps):
    channels = {SelfTransformer: 4, GroundingTransformer: 8}.get(type(module), 2)
    given = [torch.randn(1, channels, 3, 2, dtype=torch.float64, requires_grad=True) for _ in range(maps)]
    assert torch.autograd.gradcheck(varied(module), given)


def test_dropblock_drops_whole_blocks_and_keeps_the_share():
    """Whatever is zero lies in a zero 3x3 block; a tenth is dropped, as far as blocks do not overlap."""
    torch.manual_seed(0)
    drop, x = DropBlock(0.9).train(), torch.ones(8, 16, 40, 30)
    y = drop(x)
    zero = (y == 0).float()
    blocks = F.conv2d(zero.flatten(0, 1)[:, None], torch.ones(1, 1, 3, 3)) == 9  # centres of whole blocks
    covered = F.conv_transpose2d(blocks.float(), torch.ones(1, 1, 3, 3)) > 0
    assert torch.equal(covered.view_as(zero), zero.bool())
    independent = 1 - (1 - 0.1 / 9 * (40 * 30) / (38 * 28)) ** 9  # of nine centres around an inner cell at least one
    assert zero[:, :, 2:-2, 2:-2].mean().item() == pytest.approx(independent, abs=0.005)
    assert y.mean().item() == pytest.approx(1, rel=1e-5)
    assert torch.equal(drop.eval()(x), x)
    assert torch.equal(DropBlock(1.0).train()(x), x)


@pytest.mark.parametrize(
    ("transformers", "millions"),
    [((), 66.13), (("ST",), 71.64), (("LGT",), 72.63), (("RT",), 82.46), (("ST", "LGT", "RT"), 90.93)],
)
def test_counts_of_every_form(transformers, millions):
    """Ours, at Cityscapes' 19 classes: the published ones (71.3 to 127.2 M) follow from no reading of the text."""
    with torch.device("meta"):
        network = fpt.build(19, transformers=transformers)
    assert round(count_parameters(network) / 1e6, 2) == millions


def test_transformers_go_where_the_paper_draws_them():
    """ST on every level, LGT from every coarser one, RT from every finer one."""
    head = fpt.build(4, size="embedded", depth=50).decode_head
    taken = [sorted((type(t).__name__[0], levels) for t, levels in head.of(level)) for level in range(4)]
    assert taken == [
        sorted([("S", (i,)), *(("G", (i, j)) for j in range(i + 1, 4)), *(("R", (i, j)) for j in range(i))])
        for i in range(4)
    ]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"transformers": ("ST", "GT")}, "transformers: expected some of ST, LGT, RT, found GT"),
        ({"temperature": 0.0}, "expected temperature > 0"),
        ({"keep": 1.5}, "0 < keep <= 1, found None and 1.5"),
    ],
)
def test_wrong_options_are_refused(options, message):
    with pytest.raises(RFBenchError, match=message):
        fpt.build(4, size="embedded", **options)
