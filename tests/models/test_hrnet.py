"""Injection into mmseg's HRNet: identical where nothing is replaced, initialised as it should be where something is."""

import pytest
import torch
from mmseg.models.backbones import HRNet

import operators
import rfbench
from operators.m2mrf import M2MRF
from rfbench.errors import RFBenchError
from rfbench.models import assemble, backbones, count_parameters
from rfbench.models.hrnet import FusionModule, OperatorHRNet

EMBEDDED = backbones.configuration("hrnetv2_embedded")


@pytest.mark.parametrize("size", [(64, 64), (97, 75), (96, 160)])
@pytest.mark.parametrize("training", [False, True])
def test_the_baseline_equals_mmsegs_bit_by_bit(size, training):
    theirs, ours = HRNet(EMBEDDED), OperatorHRNet(EMBEDDED, "strideconv_bilinear")
    theirs.init_weights()
    assert list(ours.state_dict()) == list(theirs.state_dict())
    ours.load_state_dict(theirs.state_dict())
    theirs.train(training), ours.train(training)
    x = torch.randn(2, 3, *size)
    for a, b in zip(ours(x), theirs(x), strict=True):
        assert torch.equal(a, b)


def test_w48_has_mmsegs_keys():
    extra = backbones.configuration("hrnetv2_w48")
    with torch.device("meta"):
        assert OperatorHRNet(extra, "strideconv_bilinear").state_dict().keys() == HRNet(extra).state_dict().keys()


def test_w48_has_31_down_paths_of_47_steps_and_8_modules():
    with torch.device("meta"):
        network = OperatorHRNet(backbones.configuration("hrnetv2_w48"), "strideconv_bilinear")
    modules = [module for module in network.modules() if isinstance(module, FusionModule)]
    steps = [i - j for module in modules for i, j in module.paths() if i > j]
    assert (len(modules), len(steps), sum(steps)) == (8, 31, 47)


@pytest.mark.parametrize(
    ("pair", "sites"),
    [
        ("strideconv_bilinear", 0),
        ("maxpool_bilinear", 3 + 10),
        ("strideconv_deconv", 10),
        ("m2mrf_a", 3 + 20),
        ("a2u", 3 + 20),
        ("strideconv_fade", 10),
    ],
)
def test_replaced_sites_are_those_the_pair_changes(pair, sites):
    assert len(OperatorHRNet(EMBEDDED, pair).replaced_sites()) == sites


def test_stem_stage_one_and_the_first_transition_stay_mmsegs():
    theirs, ours = HRNet(EMBEDDED).state_dict(), OperatorHRNet(EMBEDDED, "m2mrf_d").state_dict()
    untouched = ("conv", "bn", "layer1.", "transition1.0.")
    assert {k for k in ours if k.startswith(untouched)} == {k for k in theirs if k.startswith(untouched)}
    assert {k for k in ours if ".branches." in k} == {k for k in theirs if ".branches." in k}


def test_operators_keep_their_own_initialisation():
    model = rfbench.build_model("m2mrf_d", "hrnetv2_embedded")
    found = [module for module in model.modules() if isinstance(module, M2MRF)]
    assert found
    for operator in found:
        weight = operator.gather.weight.flatten(1)
        assert weight.abs().max() <= (6 / sum(weight.shape)) ** 0.5  # Kaiming's normal would exceed it
        assert not operator.gather.bias.any()
    options = {"m2mrf": {"init": "gaussian"}}
    model = rfbench.build_model("m2mrf_d", "hrnetv2_embedded", operator_options=options)
    operator = model.backbone.transition1[1][0][0]
    assert operator.gather.weight.abs().max() < 0.06


def test_the_head_starts_at_a_hundredth():
    conv = rfbench.build_model("strideconv_bilinear", "hrnetv2_reduced").decode_head.conv_seg
    assert conv.weight.std().item() == pytest.approx(0.01, rel=0.2)
    assert not conv.bias.any()


@pytest.mark.parametrize(("name", "params"), [("hrnetv2_embedded", 285_028), ("hrnetv2_reduced", 1_554_756)])
def test_the_small_backbones_have_their_size(name, params):
    with torch.device("meta"):
        assert count_parameters(assemble("strideconv_bilinear", name)) == params


def test_an_unknown_backbone_is_answered_with_the_nearest():
    with pytest.raises(RFBenchError, match=r"'hrnetv2_w84'.*Did you mean 'hrnetv2_w48'\?.*hrnetv2_embedded"):
        rfbench.build_model("strideconv_bilinear", "hrnetv2_w84")


def test_a_setting_that_does_not_fit_names_pair_and_backbone():
    with pytest.raises(RFBenchError, match=r"'m2mrf_a' on 'hrnetv2_embedded': M2MRF: .*f = 0 hidden"):
        rfbench.build_model("m2mrf_a", "hrnetv2_embedded", operator_options={"m2mrf": {"patch_size": 4}})


def test_small_patches_work_on_small_maps():
    options = {"m2mrf": {"patch_size": 4, "alpha": 16}}
    for pair in (pair for pair in operators.available() if "m2mrf" in operators.operators_of(pair)):
        model = rfbench.build_model(pair, "hrnetv2_embedded", operator_options=options).eval()
        assert model(torch.randn(1, 3, 64, 80)).shape == (1, 4, 64, 80)
