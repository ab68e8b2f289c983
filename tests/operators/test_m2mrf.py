"""M2MRF against the paper's unfold–linear–linear–fold, its initialisation, its sizes and the authors' tensors."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import operators.m2mrf as m2mrf
from operators.m2mrf import M2MRF

SCALES = [1 / 8, 1 / 4, 1 / 2, 2, 4, 8]


def official_tensors(scale, c_in, c_out, patch=8, reduction=4, alpha=64) -> dict[str, torch.Tensor]:
    """Random tensors under the names and shapes of the authors' code."""
    e = c_in // reduction
    f = int(patch * patch * e / alpha)
    out = int(patch * scale)
    shapes = {
        "sample_encode_conv.weight": (e, c_in, 1, 1),
        "sample_encode_conv.bias": (e,),
        "sample.sample_fc.weight": (f, patch * patch * e, 1),
        "sample.sample_fc.bias": (f,),
        "sample.sample_fc1.weight": (out * out * e, f, 1),
        "sample.sample_fc1.bias": (out * out * e,),
        "sample_decode_conv.weight": (c_out, e, 1, 1),
        "sample_decode_conv.bias": (c_out,),
    }
    return {name: torch.randn(shape) / shape[-1 if len(shape) == 1 else 1] ** 0.5 for name, shape in shapes.items()}


def slow_m2mrf(x: torch.Tensor, tensors: dict[str, torch.Tensor], scale: float, patch: int = 8) -> torch.Tensor:
    """The definition: pad, compress, unfold, two linear layers a patch, fold, recover, crop."""
    height, width = x.shape[2:]
    x = F.pad(x, (0, (patch - width % patch) % patch, 0, (patch - height % patch) % patch))
    x = F.conv2d(x, tensors["sample_encode_conv.weight"], tensors["sample_encode_conv.bias"])
    vectors = F.unfold(x, patch, stride=patch).transpose(1, 2)  # (N, patches, S²e)
    for name in ("sample.sample_fc", "sample.sample_fc1"):
        vectors = F.linear(vectors, tensors[f"{name}.weight"][..., 0], tensors[f"{name}.bias"])
    out = int(patch * scale)
    size = (x.shape[2] // patch * out, x.shape[3] // patch * out)
    x = F.fold(vectors.transpose(1, 2), size, out, stride=out)
    x = F.conv2d(x, tensors["sample_decode_conv.weight"], tensors["sample_decode_conv.bias"])
    return x[:, :, : max(int(height * scale), 1), : max(int(width * scale), 1)]


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("size", [(16, 24), (13, 21), (5, 3)])
def test_equals_unfold_linear_linear_fold(scale, size):
    tensors = official_tensors(scale, 16, 12)
    operator = M2MRF(scale, 16, 12)
    operator.load_official(tensors)
    x = torch.randn(2, 16, *size)
    expected = slow_m2mrf(x, tensors, scale)
    actual = operator(x)
    assert actual.shape == expected.shape == (2, 12, *(max(int(side * scale), 1) for side in size))
    torch.testing.assert_close(actual, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    "settings", [{"patch_size": 4, "alpha": 16}, {"reduction": 2, "alpha": 32}, {"patch_size": 16}]
)
def test_equals_the_definition_at_the_ablations_settings(settings):
    patch, scale = settings.get("patch_size", 8), 1 / 2
    tensors = official_tensors(scale, 16, 8, patch, settings.get("reduction", 4), settings.get("alpha", 64))
    operator = M2MRF(scale, 16, 8, **settings)
    operator.load_official(tensors)
    x = torch.randn(1, 16, 19, 30)
    torch.testing.assert_close(operator(x), slow_m2mrf(x, tensors, scale, patch), rtol=1e-5, atol=1e-5)


def test_gradients_equal_the_definitions():
    tensors = official_tensors(1 / 2, 16, 12)
    operator = M2MRF(1 / 2, 16, 12)
    operator.load_official(tensors)
    x = torch.randn(2, 16, 13, 21, requires_grad=True)
    grads = [torch.autograd.grad(y.square().sum(), x)[0] for y in (operator(x), slow_m2mrf(x, tensors, 1 / 2))]
    torch.testing.assert_close(*grads, rtol=1e-4, atol=1e-4)


def test_padded_cells_carry_the_compression_bias():
    operator = M2MRF(1 / 2, 4, 4, reduction=1)
    operator.compress.bias.data.fill_(1)
    padded_by_hand = F.pad(torch.ones(1, 4, 5, 5), (0, 3, 0, 3))
    torch.testing.assert_close(operator(torch.ones(1, 4, 5, 5)), operator(padded_by_hand)[:, :, :2, :2])
    nn.init.zeros_(operator.compress.weight)
    torch.testing.assert_close(operator(torch.randn(1, 4, 5, 5)), operator(torch.randn(1, 4, 8, 8))[:, :, :2, :2])


@pytest.mark.parametrize("drop", ["sample.sample_fc.bias", "sample_decode_conv.weight"])
def test_load_official_is_strict(drop):
    tensors = official_tensors(2, 16, 16)
    with pytest.raises(RuntimeError, match=r"Unexpected key.*sample\.other"):
        M2MRF(2, 16, 16).load_official({**tensors, "sample.other": torch.zeros(1)})
    del tensors[drop]
    with pytest.raises(RuntimeError, match="Missing key"):
        M2MRF(2, 16, 16).load_official(tensors)


def test_load_official_refuses_another_patch_size():
    with pytest.raises(RuntimeError, match="size mismatch"):
        M2MRF(2, 16, 16).load_official(official_tensors(2, 16, 16, patch=4, alpha=16))


def test_load_official_leaves_the_given_tensors_alone():
    tensors = official_tensors(2, 16, 16)
    names = list(tensors)
    M2MRF(2, 16, 16).load_official(tensors)
    assert list(tensors) == names


@pytest.mark.parametrize("layer", ["compress", "gather", "scatter", "recover"])
def test_xavier_uniform_has_the_fans_of_the_linear_layer(layer):
    conv = getattr(M2MRF(2, 64, 64), layer)
    fan_out, fan_in = conv.weight.flatten(1).shape
    bound = (6 / (fan_in + fan_out)) ** 0.5
    assert conv.weight.abs().max() <= bound
    assert conv.weight.std().item() == pytest.approx(bound / 3**0.5, rel=0.1)
    assert not conv.bias.any()


def test_gaussian_initialisation_is_the_papers_text():
    operator = M2MRF(2, 64, 64, init="gaussian")
    weights = torch.cat([p.flatten() for name, p in operator.named_parameters() if name.endswith("weight")])
    assert weights.std().item() == pytest.approx(0.01, rel=0.05)
    assert not operator.gather.bias.any()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"scale": 1 / 16}, "whole number ≥ 1, not 8 · 0.0625 = 0.5"),
        ({"scale": 1 / 3}, "whole number ≥ 1"),
        ({"alpha": 4096}, "f = 0 hidden features"),
        ({"in_channels": 2}, "e = 0 compressed channels"),
        ({"init": "kaiming"}, "one of xavier, gaussian"),
    ],
)
def test_impossible_settings_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        M2MRF(**{"scale": 1 / 2, "in_channels": 16, "out_channels": 16, **arguments})


def kinds(path: nn.Module) -> list[str]:
    leaves = (M2MRF, nn.Conv2d, nn.BatchNorm2d, nn.ReLU)
    found = []

    def visit(module):
        for child in module.children():
            if isinstance(child, leaves):
                scale = f"({child.scale:g})" if isinstance(child, M2MRF) else ""
                found.append(type(child).__name__ + scale)
            else:
                visit(child)

    visit(path)
    return found


def test_paths_are_built_as_in_the_authors_code():
    assert kinds(m2mrf.down_onestep(16, 32, 3, relu=False)) == ["M2MRF(0.125)", "BatchNorm2d"]
    assert kinds(m2mrf.down_onestep(16, 32, 1, relu=True)) == ["M2MRF(0.5)", "BatchNorm2d", "ReLU"]
    step = ["M2MRF(0.5)", "BatchNorm2d", "ReLU"]
    assert kinds(m2mrf.down_cascade(16, 32, 3, relu=False)) == [*step, *step, "M2MRF(0.5)", "BatchNorm2d"]
    assert kinds(m2mrf.down_cascade(16, 32, 1, relu=True)) == step
    assert kinds(m2mrf.up_onestep(32, 16, 3)) == ["Conv2d", "BatchNorm2d", "M2MRF(8)"]
    assert kinds(m2mrf.up_cascade(32, 16, 3)) == ["Conv2d", "BatchNorm2d", *["M2MRF(2)"] * 3]


def test_a_small_patch_grows_where_one_step_shrinks_further():
    small = m2mrf.down_onestep(16, 32, 3, relu=False, patch_size=4, alpha=16)
    assert small[0][0].patch_size == 8
    assert m2mrf.down_onestep(16, 32, 2, relu=False, patch_size=4, alpha=16)[0][0].patch_size == 4
