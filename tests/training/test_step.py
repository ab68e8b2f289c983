"""One update: the types that are computed in, scaling, memory layout, settings of the process."""

import copy

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from rfbench import losses, models, precision
from rfbench.models import segmentor
from rfbench.settings import Training
from rfbench.training import compiling, step
from rfbench.training.step import Update

CPU = torch.device("cpu")


def network() -> nn.Module:
    """The smallest one, the same at every call."""
    torch.manual_seed(0)
    return models.build_model("strideconv_bilinear", "hrnetv2_embedded").train()


def batch(size: int = 2) -> tuple[torch.Tensor, torch.Tensor]:
    """Noise and labels of every lesion."""
    generator = torch.Generator().manual_seed(1)
    images = torch.randn(size, 3, 64, 64, generator=generator)
    return images, torch.randint(0, 5, (size, 64, 64), generator=generator)


@pytest.fixture
def seen(monkeypatch) -> dict:
    """Types by name: what the head's last convolution gives, what the logits are interpolated in, what Dice gets."""
    types: dict = {}
    interpolate, dice = F.interpolate, losses.dice_loss

    def interpolating(logits, *args, **options):
        types["interpolation"] = logits.dtype
        return interpolate(logits, *args, **options)

    def judging(logits, label, **options):
        types["loss"] = logits.dtype
        return dice(logits, label, **options)

    monkeypatch.setattr(segmentor.F, "interpolate", interpolating)  # the last call counts: that of the logits
    monkeypatch.setattr(step, "dice_loss", judging)
    return types


@pytest.mark.parametrize(
    ("amp", "computed"), [("none", torch.float32), ("bfloat16", torch.bfloat16), ("float16", torch.float16)]
)
def test_convolutions_compute_in_the_type_and_logits_and_loss_in_float32(seen, amp, computed):
    model = network()
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            module.register_forward_hook(
                lambda _module, _inputs, y: seen.setdefault("convolutions", set()).add(y.dtype)
            )
    loss = Update(model, Training(amp=amp))(*batch(), rate=0.01)
    assert seen["convolutions"] == {computed}
    assert (seen["interpolation"], seen["loss"], loss.dtype) == (torch.float32,) * 3
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}, "weights stay float32"


def test_only_float16_scales_its_loss_and_the_update_is_the_unscaled_one():
    """With the first scale, 65536, the step would be thousands of times too long."""
    moved = {}
    for amp in ("none", "bfloat16", "float16"):
        model = network()
        before = model.decode_head.conv_seg.weight.detach().clone()
        update = Update(model, Training(amp=amp))
        assert update.scaler.is_enabled() == (amp == "float16")
        if amp == "float16":
            assert update.scaler.get_scale() == 65536
        update(*batch(), rate=0.01)
        moved[amp] = (model.decode_head.conv_seg.weight - before).detach()
    for amp in ("bfloat16", "float16"):
        torch.testing.assert_close(moved[amp], moved["none"], rtol=0.1, atol=0.02 * moved["none"].abs().max().item())


def test_gradients_below_float16_survive_by_scaling():
    """Gradients around 1e-9 in a network of one convolution; float16's smallest number is 6e-8."""

    class Tiny(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.full((4, 3, 1, 1), 1e-3))

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return F.conv2d(images * 1e-5, self.weight)

    gradients = []
    for amp, scaled in (("none", False), ("float16", False), ("float16", True)):
        model = Tiny()
        update = Update(model, Training(amp=amp))
        update.scaler = torch.amp.GradScaler("cpu", enabled=scaled)
        update.backward(*batch())
        gradients.append(model.weight.grad / update.scaler.get_scale())
    expected, lost, kept = gradients
    assert 0 < expected.abs().max() < 6e-8
    assert not lost.any()
    torch.testing.assert_close(kept, expected, rtol=0.05, atol=1e-10)


def test_an_overflowing_step_is_skipped_and_the_scale_halved():
    model = network()
    update = Update(model, Training(amp="float16"))
    images, label = batch()
    before = {name: value.clone() for name, value in model.named_parameters()}
    update.scaler.scale(torch.zeros(1))  # it begins when it is first used
    model.decode_head.conv_seg.bias.register_hook(lambda gradient: gradient * float("inf"))
    update(images, label, rate=0.01)
    assert all(torch.equal(before[name], value) for name, value in model.named_parameters())
    assert update.scaler.get_scale() == 32768


@pytest.mark.parametrize("amp", ["none", "float16"])
def test_state_is_all_that_the_next_update_depends_on(amp):
    recipe = Training(amp=amp, optimizer={"type": "SGD", "lr": 0.01, "momentum": 0.9})
    whole, cut = network(), network()
    update = Update(whole, recipe)
    update(*batch(), rate=0.01)
    other = Update(cut, recipe)
    cut.load_state_dict(whole.state_dict())
    other.load_state(copy.deepcopy(update.state()))  # as by a file
    for running in (update, other):
        running(*batch(), rate=0.005)
    assert all(torch.equal(a, b) for a, b in zip(whole.state_dict().values(), cut.state_dict().values(), strict=True))


@pytest.fixture
def traced(monkeypatch) -> list:
    """The models given to torch.compile, which traces them but builds no kernels (minutes)."""
    compile_, models_ = torch.compile, []

    def tracing(model):
        models_.append(model)
        return compile_(model, backend="eager")

    monkeypatch.setattr(torch, "compile", tracing)
    return models_


@pytest.mark.slow
def test_a_compiled_update_is_the_eager_one_and_its_checkpoint_too(traced):
    models_ = [network(), network()]
    updates = [Update(model, Training(compile=wanted)) for model, wanted in zip(models_, (False, True), strict=True)]
    assert traced == [models_[1]]
    for _ in range(2):
        eager, compiled = (update(*batch(), rate=0.01) for update in updates)
        torch.testing.assert_close(compiled, eager, rtol=1e-5, atol=1e-6)
    assert models_[0].state_dict().keys() == models_[1].state_dict().keys()


def test_whether_compiling_works_is_found_by_trying(monkeypatch):
    def without_compiler(function):
        def raising(*_):
            raise RuntimeError("backend 'inductor' raised:\nmore") from FileNotFoundError("no g++ found")

        return raising

    monkeypatch.setattr(torch, "compile", lambda function: function)
    assert compiling.problem(CPU) is None
    monkeypatch.setattr(torch, "compile", without_compiler)
    assert compiling.problem(CPU) == "FileNotFoundError: no g++ found"


def test_the_recipe_says_what_dice_is_summed_over():
    images, label = batch()
    label[0][label[0] == 1] = 0
    found = [Update(network(), Training(dice=dice))(images, label, rate=0.01).item() for dice in ("image", "batch")]
    logits = network()(images)
    assert found == [losses.dice_loss(logits, label, over_batch=over).item() for over in (False, True)]
    assert found[0] != found[1]


def test_cross_entropy_is_added_by_its_weight():
    images, label = batch()
    logits = network()(images)
    for weight in (1, 30):
        loss = Update(network(), Training(cross_entropy=0.5, positive_weight=weight))(images, label, rate=0.01)
        entropy = losses.cross_entropy(logits, label, positive_weight=weight)
        assert loss.item() == (losses.dice_loss(logits, label) + 0.5 * entropy).item()


def test_channels_last_reaches_the_convolutions_and_leaves_the_loss():
    """Weights and images alike; up to rounding the update is the same."""
    layouts, losses_by_layout = [], []
    for channels_last in (False, True):
        model = network()
        model.backbone.conv1.register_forward_hook(
            lambda module, inputs, y: layouts.append(
                [value.is_contiguous(memory_format=torch.channels_last) for value in (inputs[0], module.weight, y)]
            )
        )
        losses_by_layout.append(Update(model, Training(channels_last=channels_last))(*batch(), rate=0.01))
    assert layouts == [[False] * 3, [True] * 3]
    torch.testing.assert_close(*losses_by_layout, rtol=1e-5, atol=1e-6)


def test_the_optimiser_is_fused_on_a_gpu_alone(monkeypatch):
    made = []
    monkeypatch.setattr(torch.optim, "SGD", lambda parameters, **options: made.append(options))
    for kind in ("cpu", "cuda"):
        with torch.device("meta"):
            model = nn.Conv2d(3, 4, 1)
        monkeypatch.setattr(step, "device_of", lambda model, kind=kind: torch.device(kind))
        Update(model, Training())
    assert [options.get("fused") for options in made] == [None, True]
    assert all(options["momentum"] == 0.9 for options in made)


@pytest.mark.parametrize("tf32", [False, True])
def test_tf32_and_cudnns_choice_are_what_is_set(monkeypatch, tf32):
    """Convolutions and matrix products alike; torch's own default lets convolutions round to TF32."""
    before = torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32, torch.backends.cudnn.benchmark
    try:
        precision.set_precision(tf32=tf32, cudnn_benchmark=not tf32)
        assert torch.backends.cuda.matmul.allow_tf32 is tf32
        assert torch.backends.cudnn.allow_tf32 is tf32
        assert torch.backends.cudnn.benchmark is not tf32
    finally:
        torch.set_float32_matmul_precision(before[0])
        torch.backends.cudnn.allow_tf32, torch.backends.cudnn.benchmark = before[1:]


def test_a_compiled_network_rounds_otherwise():
    assert precision.arithmetic(CPU, "none", tf32=False, compiled=True) == "cpu, float32, compiled"


@pytest.mark.parametrize(
    ("device", "amp", "tf32", "words"),
    [
        ("cpu", "none", False, "cpu, float32"),
        ("cuda", "none", False, "cuda, float32"),
        ("cuda", "none", True, "cuda, tf32"),
        ("cuda", "bfloat16", True, "cuda, bfloat16"),
        ("cuda", "float16", False, "cuda, float16"),
    ],
)
def test_arithmetic_in_words(device, amp, tf32, words):
    assert precision.arithmetic(torch.device(device), amp, tf32) == words
