"""The inference form equals the network it was made of (of every pair: the conformance suite)."""

import pytest
import torch
from torch import nn

import operators
import rfbench
from operators.m2mrf import M2MRF, FusedM2MRF
from rfbench.contract.conformance import lived_in


@pytest.fixture(autouse=True)
def _one_thread():
    torch.set_num_threads(1)
    torch.manual_seed(0)


@pytest.mark.parametrize("scale", [1 / 8, 1 / 4, 1 / 2, 2, 4, 8])
@pytest.mark.parametrize("size", [(16, 24), (13, 21), (5, 3), (1, 1), (65, 9)])
@pytest.mark.parametrize("settings", [{}, {"patch_size": 16}, {"reduction": 2, "alpha": 32}])
def test_m2mrf_s_shorter_form_is_exact_at_padded_borders_too(scale, size, settings):
    operator = lived_in(M2MRF(scale, 16, 12, **settings))
    fused, x = FusedM2MRF(operator), torch.randn(2, 16, *size)
    torch.testing.assert_close(fused(x), operator(x), rtol=1e-5, atol=1e-5)
    operator, x = operator.double(), x.double()
    torch.testing.assert_close(FusedM2MRF(operator)(x), operator(x), rtol=1e-6, atol=1e-12)


def test_m2mrf_s_shorter_form_has_two_convolutions():
    gather, scatter = FusedM2MRF(M2MRF(1 / 2, 32, 64)).children()
    assert (gather.in_channels, gather.out_channels, gather.kernel_size, gather.stride) == (32, 8, (8, 8), (8, 8))
    assert (scatter.in_channels, scatter.out_channels, scatter.kernel_size) == (8, 64 * 16, (1, 1))


def test_the_fused_model_stays_as_it_is():
    model = lived_in(rfbench.build_model("m2mrf_c", "hrnetv2_embedded"))
    before = {key: value.clone() for key, value in model.state_dict().items()}
    rfbench.fuse(model)
    assert all(torch.equal(before[key], value) for key, value in model.state_dict().items())


@pytest.mark.parametrize("pair", [pair for pair in operators.available() if operators.get(pair).params])
def test_no_batch_norm_and_no_long_m2mrf_is_left(pair):
    left = {type(module) for module in rfbench.fuse(rfbench.build_model(pair, "hrnetv2_embedded")).modules()}
    assert not left & {nn.BatchNorm2d, M2MRF}


def test_a_model_in_training_mode_is_fused_for_evaluation_and_stays_in_training():
    model = rfbench.build_model("m2mrf_c", "hrnetv2_embedded").train()
    assert not rfbench.fuse(model).training
    assert model.training
