"""Bytes kept for backward, of layers that can be counted by hand; conformance holds every pair to its limit."""

import pytest
import torch
from torch import nn

import operators
import rfbench
from rfbench.models import assemble
from rfbench.profiling.memory import saved_bytes


def test_counts_each_storage_once_and_no_parameter():
    torch.set_num_threads(1)
    model = nn.Sequential(nn.Conv2d(3, 8, 1), nn.ReLU(), nn.Conv2d(8, 2, 1))
    # The input, and the ReLU's output, which the second convolution keeps, too.
    assert saved_bytes(model, (2, 3, 16, 16)) == 4 * 2 * 16 * 16 * (3 + 8)
    assert saved_bytes(model.requires_grad_(False), (2, 3, 16, 16)) == 0


@pytest.mark.parametrize("pair", operators.available())
def test_meta_keeps_what_the_real_network_keeps(pair):
    """Recomputation and custom backward passes too, at sizes that need padding."""
    torch.set_num_threads(1)
    with torch.device("meta"):
        meta = assemble(pair, "hrnetv2_embedded").train()
    real = rfbench.build_model(pair, "hrnetv2_embedded").train()
    assert saved_bytes(meta, (2, 3, 72, 100)) == saved_bytes(real, (2, 3, 72, 100))


def test_memory_of_the_papers_baseline():
    """HRNetV2-W48 at 512x512; 1,230 MB were measured on a CPU."""
    with torch.device("meta"):
        assert saved_bytes(assemble("strideconv_bilinear").train(), (1, 3, 512, 512)) == pytest.approx(1230e6, rel=1e-3)
