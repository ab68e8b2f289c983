"""Learnable parameters of HRNetV2-W48 with the operators that came after the paper, to the unit.

No paper prints them for HRNet: each was added up by hand from a step's own count over the 31 paths of 47 steps.
"""

import pytest
import torch

import operators
from rfbench.models import assemble, count_parameters

COUNTS = {  # (pair, options of its operators) -> parameters with head
    ("blur_bilinear", ""): 65_847_844,
    ("maxblur_bilinear", ""): 59_453_956,
    ("flc_bilinear", ""): 65_847_844,
    ("spd_bilinear", ""): 87_226_660,
    ("spd_bilinear", "kernel 1"): 61_888_804,
    ("hwd_bilinear", ""): 61_888_804,
    ("haar_haar", ""): 59_453_956,
    ("adown_bilinear", ""): 60_701_092,
    ("avgpool_bilinear", ""): 59_453_956,
    ("strideconv_nearest", ""): 65_847_844,
    ("strideconv_pixelshuffle", ""): 76_726_756,
    ("strideconv_dysample", ""): 65_955_332,
    ("strideconv_dysample", "dynamic"): 66_061_316,
    ("strideconv_eucb", ""): 65_990_020,
    ("strideconv_fade", ""): 66_956_122,
    ("strideconv_fade", "no gate"): 66_952_763,
    ("strideconv_fade", "lite"): 66_029_728,
    ("strideconv_sapa", ""): 66_076_068,
    ("strideconv_freqfusion", ""): 69_652_114,
    ("strideconv_freqfusion", "C/4"): 67_129_330,
    ("strideconv_freqfusion", "C/2"): 68_134_738,
}
OPTIONS = {
    "": {},
    "dynamic": {"dysample": {"dynamic": True}},
    "no gate": {"fade": {"gate": False}},
    "lite": {"fade": {"lite": True}},
    "C/4": {"freqfusion": {"compressed": 0.25}},
    "C/2": {"freqfusion": {"compressed": 0.5}},
    "kernel 1": {"spdconv": {"kernel": 1}},
}


@pytest.mark.parametrize(("pair", "options"), COUNTS)
def test_the_network_has_exactly_the_parameters_added_up_by_hand(pair, options):
    with torch.device("meta"):
        assert count_parameters(assemble(pair, operator_options=OPTIONS[options])) == COUNTS[pair, options]


def test_every_pair_since_the_paper_is_counted():
    own = set(operators.available()) - set(operators.published())
    assert own == {pair for pair, _ in COUNTS}
    assert all(operators.get(pair).params is None for pair in own), "no paper prints them"
