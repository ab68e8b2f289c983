"""What every building block must do beyond its formula: all sizes, gradients, layouts, precisions, compilers."""

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.func import functional_call

from operators import avgpool, nearest
from operators.a2u import A2UDownsample, a2u_upsample
from operators.adown import ADown
from operators.blurpool import BlurPool
from operators.blurpool import MaxPool as DenseMaxPool
from operators.carafe import CARAFEDownsample, CARAFEUpsample
from operators.dysample import DySample
from operators.eucb import EUCB
from operators.fade import FADE
from operators.flc import FLCPool
from operators.freqfusion import FreqFusion, PathStep
from operators.haar import haar_down, haar_up
from operators.hwd import HWD
from operators.indexnet import IndexNetDownsample, index_upsample
from operators.lip import LIP
from operators.m2mrf import M2MRF
from operators.maxpool import MaxPoolDownsample, max_unpool
from operators.pixelshuffle import PixelShuffleUpsample
from operators.sapa import SAPA
from operators.spdconv import SPDConv

CHANNELS = 4


class RoundTrip(nn.Module):
    """A guided pair's down step, then the up step with its record: x -> (down, up)."""

    def __init__(self, down: nn.Module, up):
        super().__init__()
        self.down, self.up = down, up

    def forward(self, x):
        y, record = self.down(x)
        return y, self.up(y, record)


class Pooling(nn.Module):
    """Max pooling and unpooling: x -> (down, up)."""

    def __init__(self):
        super().__init__()
        self.down = MaxPoolDownsample()

    def forward(self, x):
        y, indices = self.down(x)
        return y, max_unpool(y, indices, x.shape[2:])


class Guided(nn.Module):
    """A guided step on the mean of 2x2 cells, guided by the map itself: x -> its size again."""

    def __init__(self, step: nn.Module):
        super().__init__()
        self.step = step

    def forward(self, x):
        return self.step(F.avg_pool2d(x, 2, ceil_mode=True, count_include_pad=False), x)


class Haar(nn.Module):
    """The Haar transform and its inverse: x -> (down, up), the details doubled so that the map is not x again."""

    def forward(self, x):
        ll, details = haar_down(x)
        return ll, haar_up(ll, 2 * details, x.shape[2:])


def double(side: int) -> int:
    return 2 * side


def half(side: int) -> int:
    return -(-side // 2)


def same(side: int) -> int:
    return side


# name -> (the block, what it makes of a side, one for each output)
BLOCKS = {
    "maxpool": (Pooling, half, same),
    "lip": (lambda: LIP(CHANNELS, width=8), half),
    "lip_simplified": (lambda: LIP(CHANNELS, kind="simplified"), half),
    "carafe_down": (lambda: CARAFEDownsample(CHANNELS, compressed=6), half),
    "carafe_down_kernel3": (lambda: CARAFEDownsample(CHANNELS, compressed=6, kernel=3, encoder_kernel=1), half),
    "carafe_up2": (lambda: CARAFEUpsample(CHANNELS, 2, compressed=6), double),
    "carafe_up4": (lambda: CARAFEUpsample(CHANNELS, 4, compressed=6, kernel=3), lambda side: 4 * side),
    **{
        f"indexnet_{kind}_nonlinear_context" if nonlinear else f"indexnet_{kind}": (
            lambda kind=kind, nonlinear=nonlinear, context=context: RoundTrip(
                IndexNetDownsample(CHANNELS, kind, nonlinear, context), index_upsample
            ),
            half,
            same,
        )
        for kind in ("holistic", "o2o", "m2o")
        for nonlinear, context in ((False, False), (True, True))
    },
    "a2u": (lambda: RoundTrip(A2UDownsample(CHANNELS), a2u_upsample), half, same),
    "a2u_unshared": (lambda: RoundTrip(A2UDownsample(CHANNELS, 5, shared=False), a2u_upsample), half, same),
    "blur": (lambda: BlurPool(CHANNELS), half),
    "blur_filter5": (lambda: BlurPool(CHANNELS, filter_size=5), half),
    "maxblur": (lambda: nn.Sequential(DenseMaxPool(), BlurPool(CHANNELS)), half),
    "spd": (lambda: SPDConv(CHANNELS, CHANNELS), half),
    "spd_kernel1": (lambda: SPDConv(CHANNELS, CHANNELS, kernel=1), half),
    "hwd": (lambda: HWD(CHANNELS, CHANNELS), half),
    "haar": (Haar, half, same),
    "adown": (lambda: ADown(CHANNELS, CHANNELS), half),
    "avgpool": (lambda: avgpool.down(CHANNELS, CHANNELS, 1, relu=True), half),
    "nearest": (lambda: nearest.up(CHANNELS, CHANNELS, 1), double),
    "fade": (lambda: Guided(FADE(CHANNELS)), same),
    "fade_lite_without_gate": (lambda: Guided(FADE(CHANNELS, gate=False, lite=True)), same),
    "sapa": (lambda: Guided(SAPA(CHANNELS, dim=6)), same),
    "freqfusion": (lambda: Guided(FreqFusion(CHANNELS, 8)), same, same),
    "freqfusion_step": (lambda: Guided(PathStep(CHANNELS, residual=True, compressed=8, hamming=True)), same),
    "flc": (FLCPool, half),
    "pixelshuffle": (lambda: PixelShuffleUpsample(CHANNELS), double),
    "eucb": (lambda: EUCB(CHANNELS, CHANNELS), double),
    "dysample": (lambda: DySample(CHANNELS), double),
    "dysample_dynamic": (lambda: DySample(CHANNELS, groups=2, dynamic=True), double),
    "m2mrf_down": (lambda: M2MRF(1 / 2, CHANNELS, CHANNELS, reduction=2), lambda side: max(side // 2, 1)),
    "m2mrf_up": (lambda: M2MRF(2, CHANNELS, CHANNELS, reduction=2), double),
}


def make(name: str) -> nn.Module:
    """The block with weights that let every part of it speak (some start at zero)."""
    block = BLOCKS[name][0]()
    for parameter in block.parameters():
        nn.init.normal_(parameter, mean=0.1, std=0.3)
    return block


def outputs(block: nn.Module, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
    y = block(x)
    return y if isinstance(y, tuple) else (y,)


def check_size(name: str, block: nn.Module, height: int, width: int) -> None:
    x = torch.randn(2, CHANNELS, height, width, requires_grad=True)
    ys = outputs(block, x)
    for y, side in zip(ys, BLOCKS[name][1:], strict=True):
        assert y.shape == (2, CHANNELS, side(height), side(width))
        assert y.isfinite().all()
    sum(y.square().sum() for y in ys).backward()
    assert x.grad.isfinite().all()


@pytest.mark.parametrize("name", BLOCKS)
def test_small_odd_and_narrow_maps(name):
    block = make(name)
    for size in [(1, 1), (1, 2), (2, 1), (2, 2), (3, 3), (5, 4), (1, 9), (7, 6), (12, 13), (17, 16)]:
        check_size(name, block, *size)


@pytest.mark.parametrize("name", BLOCKS)
def test_a_single_image_may_be_of_one_cell(name):
    block = make(name).eval()
    for size in [(1, 1), (1, 2), (2, 2), (3, 2)]:
        for y, side in zip(outputs(block, torch.randn(1, CHANNELS, *size)), BLOCKS[name][1:], strict=True):
            assert y.shape == (1, CHANNELS, side(size[0]), side(size[1]))
            assert y.isfinite().all()


@pytest.mark.slow
@pytest.mark.parametrize("name", BLOCKS)
def test_every_size_from_1_to_65(name):
    block = make(name)
    for side in range(1, 66):
        check_size(name, block, side, side)
        check_size(name, block, side, 66 - side)


@pytest.mark.parametrize("name", BLOCKS)
def test_gradients_equal_finite_differences(name):
    block = make(name).double().eval()
    names, values = zip(*block.named_parameters(), strict=True) if list(block.parameters()) else ((), ())
    x = torch.randn(2, CHANNELS, 5, 4, dtype=torch.float64, requires_grad=True)

    def run(x, *values):
        return functional_call(block, dict(zip(names, values, strict=True)), (x,))

    assert torch.autograd.gradcheck(run, (x, *values), fast_mode=True)


@pytest.mark.parametrize("name", BLOCKS)
def test_one_image_does_not_change_anothers_result(name):
    block = make(name).eval()
    x = torch.randn(3, CHANNELS, 9, 6)
    alone = zip(*(outputs(block, image[None]) for image in x), strict=True)
    for together, single in zip(outputs(block, x), alone, strict=True):
        torch.testing.assert_close(together, torch.cat(single))


@pytest.mark.parametrize("name", BLOCKS)
def test_channels_last_gives_the_same(name):
    block, x = make(name).eval(), torch.randn(2, CHANNELS, 9, 6)
    last = copy.deepcopy(block).to(memory_format=torch.channels_last)
    for a, b in zip(outputs(block, x), outputs(last, x.to(memory_format=torch.channels_last)), strict=True):
        torch.testing.assert_close(a, b)


@pytest.mark.parametrize("name", BLOCKS)
def test_mixed_precision_stays_close(name):
    block = make(name).eval()
    x = torch.randn(2, CHANNELS, 17, 16).bfloat16()
    expected = outputs(block, x.float())
    x.requires_grad_()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        ys = outputs(block, x)
    for y, wanted in zip(ys, expected, strict=True):
        assert y.dtype == torch.bfloat16
        assert (y - wanted).abs().mean() < 0.05 * wanted.abs().mean()
    sum(y.float().square().sum() for y in ys).backward()
    assert x.grad.isfinite().all()


@pytest.fixture
def deterministic():
    torch.use_deterministic_algorithms(True)
    yield
    torch.use_deterministic_algorithms(False)


@pytest.mark.parametrize("name", BLOCKS)
def test_forward_and_backward_are_deterministic(name, deterministic):
    block, x = make(name), torch.randn(2, CHANNELS, 33, 30)
    runs = []
    for _ in range(2):
        leaf = x.clone().requires_grad_()
        ys = outputs(copy.deepcopy(block), leaf)
        sum(y.square().sum() for y in ys).backward()
        runs.append([*ys, leaf.grad])
    assert all(torch.equal(a, b) for a, b in zip(*runs, strict=True))


# Generating code for backward takes up to a minute a block: two of them, and all the others without it.
@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "backend"), [*((name, "aot_eager") for name in BLOCKS), ("lip", "inductor"), ("maxpool", "inductor")]
)
def test_it_compiles_whole(name, backend):
    block, x = make(name), torch.randn(2, CHANNELS, 9, 6)
    compiled = torch.compile(copy.deepcopy(block), fullgraph=True, backend=backend)
    results = []
    for module in (block, compiled):
        leaf = x.clone().requires_grad_()
        ys = outputs(module, leaf)
        sum(y.square().sum() for y in ys).backward()
        results.append([*(y.detach() for y in ys), leaf.grad, *(p.grad for p in module.parameters())])
    for a, b in zip(*results, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", BLOCKS)
def test_it_exports(name):
    block, x = make(name).eval(), torch.randn(2, CHANNELS, 9, 6)
    exported = torch.export.export(block, (x,)).module()
    for a, b in zip(outputs(block, x), outputs(exported, x), strict=True):
        torch.testing.assert_close(a, b)
