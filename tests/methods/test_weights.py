"""ImageNet files into the published networks: every tensor of the file has its place, of its shape."""

import re

import pytest
import torch
from mmseg.models.backbones import HRNet

from rfbench.errors import RFBenchError
from rfbench.models import backbones

from . import files
from .conftest import METHODS

RESNETS = ("deeplabv3plus", "dnl", "fpt", "maskrcnn", "pspnet", "spnet")


def fit(weights, file, network):
    """Number of tensors that a file brings, after checking that they and what is declared untouched are the network."""
    renamed, own = weights.named(file), network.state_dict()
    assert {name for name in renamed if name not in own} == set()
    assert {name for name in renamed if renamed[name].shape != own[name].shape} == set()
    assert own.keys() - renamed.keys() == set(filter(weights.leaves, own))
    return len(renamed)


def published(name, **options):
    with torch.device("meta"):
        return METHODS[name].build(4, size="published", **(METHODS[name].options | options))


def on_meta(make, *arguments, **options):
    with torch.device("meta"):
        return make(*arguments, **options)


@pytest.mark.parametrize(("depth", "count"), [(50, 318), (101, 624)])
@pytest.mark.parametrize("name", RESNETS)
def test_torchvisions_resnets_fit(name, depth, count):
    """53 and 104 convolutions with six tensors each."""
    network = published(name, depth=depth, deep_stem=False)
    assert fit(METHODS[name].weights["torchvision"], on_meta(files.resnet, depth), network) == count


@pytest.mark.parametrize(("depth", "count"), [(50, 330), (101, 636)])
@pytest.mark.parametrize("name", RESNETS)
def test_openmmlabs_resnets_fit(name, depth, count):
    network = published(name, depth=depth, deep_stem=True)
    assert fit(METHODS[name].weights["openmmlab"], on_meta(files.resnet, depth, deep_stem=True), network) == count


@pytest.mark.parametrize("name", ["hed", "lseg"])
def test_torchvisions_vgg16_fits(name):
    """Thirteen convolutions with biases; the classifier is ignored."""
    assert fit(METHODS[name].weights["torchvision"], on_meta(files.vgg16), published(name)) == 26


@pytest.mark.parametrize("name", ["fcn8s", "fcn16s", "fcn32s"])
def test_torchvisions_vgg16_fits_with_its_fully_connected_layers(name):
    assert fit(METHODS[name].weights["torchvision"], on_meta(files.vgg16), published(name)) == 26 + 4


@pytest.mark.parametrize(("name", "before", "count"), [("fcn16s", "fcn32s", 32), ("fcn8s", "fcn16s", 35)])
def test_the_fcn_before_fits(name, before, count):
    assert fit(METHODS[name].weights[before], published(before).state_dict(), published(name)) == count


@pytest.mark.parametrize("timm", [False, True])
def test_the_authors_swin_fits(timm):
    """Patches 4, 24 blocks of 13, three downsamplings of 3."""
    file = on_meta(files.swin, timm=timm)
    assert fit(METHODS["swin_upernet"].weights["authors"], file, published("swin_upernet")) == 4 + 24 * 13 + 3 * 3


def test_the_authors_twins_fits():
    """Patches 4 × 4, positions 4 × 2; 12 local blocks of 12, 12 global ones of 12, all but the last with 4 more."""
    count = fit(METHODS["twins_upernet"].weights["authors"], on_meta(files.twins), published("twins_upernet"))
    assert count == 16 + 8 + 12 * 12 + 12 * 12 + 11 * 4


@pytest.mark.parametrize(("name", "takes_all"), [("hrnetv2p", True), ("hrnetv1", False)])
def test_hrnets_file_fits(name, takes_all):
    """mmseg's own HRNetV2-W48 with a classifier; V1 has no use for the last module's three lower results."""
    with torch.device("meta"):
        file = HRNet(backbones.configuration("hrnetv2_w48")).state_dict()
        file |= {f"{part}.0.weight": torch.ones(1) for part in ("incre_modules.0", "downsamp_modules.1", "final_layer")}
        file |= {"classifier.weight": torch.ones(1)}
    lower = [key for key in file if re.match(r"stage4\.2\.fuse_layers\.[123]\.", key)]
    expected = len(file) - 4 - (0 if takes_all else len(lower))
    assert fit(METHODS[name].weights["openmmlab"], file, published(name)) == expected


@pytest.mark.parametrize("name", ["swin_upernet", "twins_upernet"])
def test_openmmlabs_transformers_fit(name):
    """Their files have the networks' own names; the head and what only segmentation has are not among them."""
    network, weights = published(name), METHODS[name].weights["openmmlab"]
    own = network.state_dict()
    held = [key for key in own if not any(re.fullmatch(pattern, key) for pattern in weights.untouched)]
    file = {key.removeprefix("backbone."): own[key] for key in held}
    file |= {f"head.{kind}": torch.ones(1) for kind in ("weight", "bias")}
    file |= {
        f"norm3.{kind}" if name == "swin_upernet" else f"norm.{kind}": torch.ones(1) for kind in ("weight", "bias")
    }
    assert fit(weights, file, network) == len(held)


@pytest.mark.parametrize("timm", [False, True])
def test_a_patch_of_swin_is_merged_as_the_authors_do(timm):
    """Their formula: concatenate cells (0, 0), (1, 0), (0, 1), (1, 1), layer norm, linear map."""
    method = METHODS["swin_upernet"]
    file = files.swin(16, (2, 2, 2, 2), (1, 2, 4, 8), timm)
    network = method.build(4, size="embedded")
    network.load_state_dict(method.weights["authors"].named(file), strict=False)
    x = torch.randn(2, 6, 8, 32)  # rows, columns, channels of stage 1's result
    cells = torch.cat([x[:, row::2, column::2] for column in (0, 1) for row in (0, 1)], dim=-1).flatten(1, 2)
    name = f"layers.{1 + timm}.downsample"
    normed = torch.layer_norm(cells, (128,), file[f"{name}.norm.weight"], file[f"{name}.norm.bias"])
    expected = normed @ file[f"{name}.reduction.weight"].T
    got, size = network.backbone.stages[1].downsample(x.flatten(1, 2), (6, 8))
    assert tuple(size) == (3, 4)
    torch.testing.assert_close(got, expected, rtol=1e-4, atol=1e-4)


def test_the_global_attention_of_twins_is_the_authors():
    """softmax(q kᵀ / √d) v over heads, keys and values from the strided summary, as their code computes it."""
    method = METHODS["twins_upernet"]
    file = files.twins((12, 24, 48, 96), (2, 2, 2, 2))
    file = {name: 0.2 * tensor for name, tensor in file.items()}
    network = method.build(4, size="embedded").eval()
    network.load_state_dict(method.weights["authors"].named(file), strict=False)
    x = torch.randn(2, 8 * 8, 24)
    part = {name.removeprefix("blocks.1.1.attn."): file[name] for name in file if name.startswith("blocks.1.1.attn.")}
    summary = torch.conv2d(x.mT.unflatten(2, (8, 8)), part["sr.weight"], part["sr.bias"], stride=4).flatten(2).mT
    summary = torch.layer_norm(summary, (24,), part["norm.weight"], part["norm.bias"])
    q = (x @ part["q.weight"].T + part["q.bias"]).unflatten(2, (2, 12))
    k, v = (summary @ part["kv.weight"].T + part["kv.bias"]).unflatten(2, (2, 2, 12)).unbind(2)
    attention = torch.einsum("bihd,bjhd->bhij", q, k).div(12**0.5).softmax(-1)
    mixed = torch.einsum("bhij,bjhd->bihd", attention, v).flatten(2)
    expected = x + mixed @ part["proj.weight"].T + part["proj.bias"]
    got = network.backbone.layers[1][1].attn(x, (8, 8), identity=x)
    torch.testing.assert_close(got, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("name", "option", "file", "wrong"),
    [
        ("pspnet", "torchvision", {"layer5.0.conv1.weight": 1}, "layer5"),
        ("pspnet", "openmmlab", files.vgg16(64, 8), "features.0.weight, features.0.bias, features.2.weight, …"),
        ("swin_upernet", "authors", {"layers.0.blocks.0.attn.q.weight": 1}, "attn.q"),
        ("twins_upernet", "authors", {"blocks.0.1.attn.q.weight": 1}, "without blocks.0.1.attn.kv.weight"),
        ("twins_upernet", "authors", {"blocks.0.0.attn.sr.weight": 1}, "attn.sr"),
    ],
)
def test_other_files_are_refused_by_name(name, option, file, wrong):
    with pytest.raises(RFBenchError, match=re.escape(wrong)):
        METHODS[name].weights[option].named(file)
