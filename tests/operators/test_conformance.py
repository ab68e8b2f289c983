"""What every registered pair must do; a new operator file is tested here without an edit."""

import copy

import pytest
import torch
from mmseg.models.backbones import HRNet

import operators
import rfbench
from rfbench.models import assemble, backbones, count_parameters

PAIRS = operators.available()
SIZES = [(64, 64), (65, 65), (97, 97), (96, 160), (100, 75), (64, 127)]


@pytest.fixture(scope="module", params=PAIRS)
def model(request):
    torch.manual_seed(0)
    return rfbench.build_model(request.param, "hrnetv2_embedded")


@pytest.mark.parametrize("pair", PAIRS)
def test_w48_has_exactly_the_declared_parameters(pair):
    with torch.device("meta"):
        assert count_parameters(assemble(pair)) == operators.get(pair).params


@pytest.mark.parametrize("size", SIZES)
def test_logits_have_the_input_size(model, size):
    model.eval()
    with torch.no_grad():
        logits = model(torch.randn(1, 3, *size))
    assert logits.shape == (1, 4, *size)
    assert logits.isfinite().all()


def test_no_branch_ignores_the_input(model):
    """A path that lost its signal (an empty crop, a dead resize) would leave the far corner without influence."""
    model.eval()
    x = torch.randn(1, 3, 97, 97, requires_grad=True)
    for feature in model.backbone(x):
        (gradient,) = torch.autograd.grad(feature.square().sum(), x, retain_graph=True)
        assert gradient[..., -8:, -8:].abs().sum() > 0


def test_gradient_reaches_every_parameter(model):
    model.train()
    model.zero_grad()
    model(torch.randn(2, 3, 96, 96)).square().mean().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        # A bias in front of a batch norm is cancelled by it.
        assert parameter.grad.abs().sum() > 0 or name.endswith("bias"), name


@pytest.mark.parametrize("pair", PAIRS)
def test_same_seed_same_weights(pair):
    models = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        models.append(rfbench.build_model(pair, "hrnetv2_embedded").state_dict())
    first, same, other = models
    assert all(torch.equal(first[key], same[key]) for key in first)
    assert any(not torch.equal(first[key], other[key]) for key in first)


def test_a_checkpoint_of_ours_is_loaded_strictly(model, tmp_path):
    torch.save({"state_dict": model.state_dict(), "meta": {"pair": "x"}}, tmp_path / "model.pth")
    torch.manual_seed(9)
    other = copy.deepcopy(model)
    for parameter in other.parameters():
        torch.nn.init.zeros_(parameter)
    rfbench.load_checkpoint(other, tmp_path / "model.pth")
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), other.parameters(), strict=True))


def test_an_operators_own_tensors_cannot_be_mistaken_for_imagenet_ones(model):
    with torch.device("meta"):
        imagenet = HRNet(backbones.configuration("hrnetv2_embedded")).state_dict().keys()
    for name, module in model.backbone.named_modules():
        if hasattr(module, "init_operator"):
            assert not {f"{name}.{key}" for key in module.state_dict()} & imagenet
