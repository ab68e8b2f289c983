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
GUIDES = {"", "mirror", "previous"}

# Together they hold every kind of path; all pairs would take a quarter of an hour to compile.
COMPILED = ["a2u", "carafe_carafe", "indexnet", "lip_bilinear", "m2mrf_c", "maxpool_maxunpool", "strideconv_deconv"]


@pytest.fixture(scope="module", params=PAIRS)
def model(request):
    torch.manual_seed(0)
    return rfbench.build_model(request.param, "hrnetv2_embedded")


@pytest.mark.parametrize("pair", PAIRS)
def test_w48_has_exactly_the_declared_parameters(pair):
    with torch.device("meta"):
        assert count_parameters(assemble(pair)) == operators.get(pair).params


@pytest.mark.parametrize("pair", PAIRS)
def test_the_pair_says_who_guides_it(pair):
    assert operators.get(pair).guide in GUIDES
    assert operators.get(pair).confidence


@pytest.mark.slow
@pytest.mark.parametrize("pair", PAIRS)
def test_every_size_from_64_to_128(pair):
    model = rfbench.build_model(pair, "hrnetv2_embedded").eval()
    with torch.no_grad():
        for side in range(64, 129):
            assert model(torch.randn(1, 3, side, 192 - side)).shape == (1, 4, side, 192 - side)


@pytest.mark.parametrize("size", SIZES)
def test_logits_have_the_input_size(model, size):
    model.eval()
    with torch.no_grad():
        logits = model(torch.randn(1, 3, *size))
    assert logits.shape == (1, 4, *size)
    assert logits.isfinite().all()


def test_images_of_a_batch_do_not_mix(model):
    model.eval()
    x = torch.randn(3, 3, 75, 66)
    with torch.no_grad():
        torch.testing.assert_close(model(x), torch.cat([model(image[None]) for image in x]), rtol=1e-3, atol=1e-4)


def test_channels_last_gives_the_same(model):
    model.eval()
    x = torch.randn(2, 3, 75, 66)
    last = copy.deepcopy(model).to(memory_format=torch.channels_last)
    with torch.no_grad():
        logits = last(x.to(memory_format=torch.channels_last))
        torch.testing.assert_close(model(x), logits, rtol=1e-3, atol=1e-4)


def test_a_training_step_in_mixed_precision_stays_finite(model):
    model = copy.deepcopy(model).train()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = model(torch.randn(2, 3, 64, 80)).float().square().mean()
    loss.backward()
    assert loss.isfinite()
    assert all(p.grad.isfinite().all() for p in model.parameters() if p.grad is not None)


def test_forward_and_backward_are_deterministic(model):
    x, runs = torch.randn(2, 3, 65, 72), []
    torch.use_deterministic_algorithms(True)
    try:
        for _ in range(2):
            network = copy.deepcopy(model).train()
            logits = network(x)
            logits.square().mean().backward()
            runs.append([logits, *(p.grad for p in network.parameters() if p.grad is not None)])
    finally:
        torch.use_deterministic_algorithms(False)
    assert all(torch.equal(a, b) for a, b in zip(*runs, strict=True))


@pytest.mark.slow
def test_the_network_exports(model):
    model.eval()
    x = torch.randn(1, 3, 65, 72)
    with torch.no_grad():
        exported = torch.export.export(model, (x,)).module()
        torch.testing.assert_close(exported(x), model(x), rtol=1e-4, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("pair", COMPILED)
def test_the_network_compiles_whole(pair):
    model = rfbench.build_model(pair, "hrnetv2_embedded").train()
    x, results = torch.randn(1, 3, 65, 72), []
    # The backward is traced, too, but no code generated for it, which takes minutes.
    for network in (model, torch.compile(copy.deepcopy(model), fullgraph=True, backend="aot_eager")):
        logits = network(x)
        logits.square().mean().backward()
        results.append([logits.detach(), *(p.grad for p in network.parameters() if p.grad is not None)])
    for a, b in zip(*results, strict=True):
        # Rounding is amplified by norms over nearly constant maps: measured by the tensor's largest entry.
        assert (a - b).abs().max() <= 2e-3 * b.abs().max() + 1e-6


def test_no_branch_ignores_the_input(model):
    """A path that lost its signal (an empty crop, a dead resize) would leave the far corner without influence."""
    model.eval()
    x = torch.randn(1, 3, 97, 97, requires_grad=True)
    for feature in model.backbone(x):
        (gradient,) = torch.autograd.grad(feature.square().sum(), x, retain_graph=True)
        assert gradient[..., -8:, -8:].abs().sum() > 0


def test_gradient_reaches_every_parameter(model):
    model = copy.deepcopy(model).train()
    for parameter in model.parameters():
        if not parameter.any():  # a layer that starts at zero lets no gradient past it
            torch.nn.init.normal_(parameter, std=0.1)
    x = torch.randn(2, 3, 96, 96)
    model(x).square().mean().backward()
    unguided_up_paths(model, x)
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        # A bias in front of a batch norm is cancelled by it.
        assert parameter.grad.abs().sum() > 0 or name.endswith("bias"), name


def unguided_up_paths(model, x):
    """Reach what only makes the last module's records: no up path follows that would take them."""
    if model.backbone.pair.guide == "previous":
        last = model.backbone.stage4[-1]
        kept = []
        handle = last.register_forward_hook(lambda module, inputs, outputs: kept.append(outputs[1]))
        model.backbone(x)
        handle.remove()
        sum(record.square().sum() for records in kept[0].values() for record in records).backward()


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
