"""The dilated ResNet that most methods stand on: counts at both depths, strides, refusals."""

import pytest
import torch

from rfbench.errors import RFBenchError
from rfbench.methods.parts.resnet import dilated_resnet, widths
from rfbench.models import count_parameters

from .conftest import METHODS


@pytest.mark.parametrize(
    ("name", "depth", "millions"),
    [("pspnet", 50, 46.60), ("pspnet", 101, 65.60), ("deeplabv3plus", 50, 41.22), ("dnl", 50, 47.65)],
)
def test_counts_are_those_of_mmsegs_configurations(name, depth, millions):
    """Their models without auxiliary heads, four outputs."""
    with torch.device("meta"):
        network = METHODS[name].build(4, depth=depth)
    assert round(count_parameters(network) / 1e6, 2) == millions


@pytest.mark.parametrize(("dilated", "strides"), [(True, (4, 8, 8, 8)), (False, (4, 8, 16, 32))])
@torch.no_grad()
def test_maps_have_their_strides(dilated, strides):
    network = dilated_resnet("embedded", depth=50, dilated=dilated)
    network.eval()  # returns nothing in mmseg
    maps = network(torch.randn(1, 3, 64, 96))
    expected = [(c, 64 // s, 96 // s) for c, s in zip(widths("embedded"), strides, strict=True)]
    assert [tuple(x.shape[1:]) for x in maps] == expected


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"depth": 34}, "depth: expected 50 or 101, found 34"),
        ({"depth": "101"}, "depth: expected 50 or 101, found '101'"),
        ({"deep_stem": 1}, "deep_stem: expected True or False, found 1"),
    ],
)
def test_other_options_are_refused(options, message):
    with pytest.raises(RFBenchError, match=message):
        dilated_resnet("embedded", **options)
