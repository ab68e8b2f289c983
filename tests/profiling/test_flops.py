"""Floating-point operations against formulas written out for each operator."""

import pytest
import torch
from torch import nn

import operators
from operators.carafe import CARAFEDownsample, CARAFEUpsample
from operators.dysample import DySample
from operators.lip import LIP
from operators.m2mrf import M2MRF
from rfbench.models import assemble, build_model
from rfbench.profiling import flops


def count(model: nn.Module, *shape: int, device: str = "cpu") -> int:
    with torch.device(device), torch.no_grad(), flops.counter() as counter:
        model.eval()(torch.randn(shape))
    return counter.get_total_flops()


def test_m2mrf_by_hand():
    """32 -> 16 channels, e = f = 8, patches of 8x8 cells become 4x4; 12x16 cells are padded to 16x16, four patches."""
    e, f, patches = 8, 8, 4
    compress = 16 * 16 * 32 * e
    gather, scatter = patches * 64 * e * f, patches * f * 16 * e
    recover = patches * 16 * e * 16
    model = M2MRF(0.5, 32, 16)
    assert count(model, 1, 32, 12, 16) == 2 * (compress + gather + scatter + recover)
    assert count(model, 3, 32, 12, 16) == 3 * count(model, 1, 32, 12, 16)


def test_carafe_by_hand():
    """The encoder predicts 25 weights for each new cell, which then weigh 25 cells on every channel."""
    channels, cells = 10, 8 * 12
    compressor, encoder, taps = channels * 64, 9 * 64 * 25, 25 * channels
    up = cells * (compressor + 4 * encoder + 4 * taps)
    assert count(CARAFEUpsample(channels, 2), 1, channels, 8, 12) == 2 * up
    down = cells * (4 * compressor + encoder + taps)
    assert count(CARAFEDownsample(channels), 1, channels, 16, 24) == 2 * down


def test_lip_by_hand():
    """Numerator and denominator are sums over nine cells; the logit's convolutions run at full size."""
    channels, width, cells = 6, 128, 16 * 16
    logit = cells * (channels * width + 9 * width * width + width * channels)
    assert count(LIP(channels), 1, channels, 16, 16) == 2 * (logit + 2 * 9 * (cells // 4) * channels)


def test_dysample_by_hand():
    """The offsets of 32 coordinates, then four cells for each new one."""
    channels, cells = 8, 5 * 6
    assert count(DySample(channels), 1, channels, 5, 6) == 2 * (32 * channels * cells + 4 * 4 * channels * cells)


def test_bilinear_counts_four_taps():
    assert count(nn.Upsample(scale_factor=2, mode="bilinear"), 1, 5, 4, 4) == 2 * 4 * 5 * 8 * 8


@pytest.mark.parametrize("pair", operators.available())
def test_meta_counts_what_is_computed(pair):
    torch.set_num_threads(1)
    with torch.device("meta"):
        meta = assemble(pair, "hrnetv2_embedded")
    real = count(build_model(pair, "hrnetv2_embedded"), 1, 3, 64, 96)
    assert count(meta, 1, 3, 64, 96, device="meta") == real > 0
