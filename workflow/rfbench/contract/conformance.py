"""What every operator pair must do, clause by clause: the contract of operators/README.md as checks.

A clause is a function of a `Subject`; its docstring's first sentence is the promise, and what it returns, if anything,
is what it measured, in words. `tests/operators` puts every
registered pair to every clause, `rfbench check` one pair, inside the repository or outside. All but the parameter
count run on the small network `hrnetv2_embedded`, on the CPU.
"""

import copy
import functools
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from mmseg.models.backbones import HRNet
from torch import Tensor, nn

import operators
from rfbench.contract.clauses import (
    Broken,
    Contract,
    deterministic,
    expect,
    expect_close,
    expect_finite,
    gradients,
    told,
)
from rfbench.models import assemble, backbones, build_model, count_parameters
from rfbench.models.checkpoint import load_checkpoint
from rfbench.models.fuse import fuse
from rfbench.names import BASELINE_PAIR
from rfbench.profiling.memory import saved_bytes

BACKBONE = "hrnetv2_embedded"
SIZES = ((64, 64), (65, 65), (97, 97), (96, 160), (100, 75), (64, 127))  # height, width in px
GUIDES = ("", "mirror", "previous")
MEMORY = 1.6  # times the baseline's
HUGE = 1e4  # a normalised image stays within ±10


CLAUSES = Contract()
clause = CLAUSES.clause


class Subject:
    """The pair under test. `model` is shared by the clauses, which leave it as it is and change `fresh` copies."""

    def __init__(self, name: str) -> None:
        self.pair = operators.get(name)
        self.name = name
        self.files = frozenset(map(str, operators.files(name)))

    @functools.cached_property
    def model(self) -> nn.Module:
        return self.build(seed=0).eval()

    def build(self, seed: int) -> nn.Module:
        """The small network, drawn from a seed."""
        torch.manual_seed(seed)
        return build_model(self.pair.name, BACKBONE)

    def fresh(self) -> nn.Module:
        """A copy of the model in training mode, without gradients."""
        return copy.deepcopy(self.model).train()


@clause
def declaration(subject: Subject) -> None:
    """The pair says who guides its up paths and how sure its setting is; OPTIONS holds the defaults of its paths."""
    pair = subject.pair
    expect(pair.guide in GUIDES, f"guide to be one of {', '.join(map(repr, GUIDES))}", repr(pair.guide))
    expect(bool(pair.confidence), "a confidence, 'own' for an operator of your own", "an empty one")
    options = {operator: dict(operators.defaults(operator)) for operator in operators.operators_of(pair.name)}
    with torch.device("meta"):
        plain, given = (
            {key: tuple(tensor.shape) for key, tensor in assemble(pair.name, BACKBONE, **kwargs).state_dict().items()}
            for kwargs in ({}, {"operator_options": options})
        )
    expect(plain == given, f"the same network without options and with the declared defaults {options}", "another")


@clause
def parameters(subject: Subject) -> str:
    """HRNetV2-W48 with the pair and head has exactly the declared parameters, where the pair declares a number."""
    with torch.device("meta"):
        counted = count_parameters(assemble(subject.pair.name))
    if subject.pair.params is None:
        return f"{counted:,}, none declared"
    expect(counted == subject.pair.params, f"{subject.pair.params:,} parameters in HRNetV2-W48 (params=…; leave it "
            "out where none is published)", f"{counted:,}")  # fmt: skip
    return f"{counted:,}, as declared"


@clause
def paths(subject: Subject) -> None:
    """Every path gives its branch's channels and, on sizes that divide, its branch's size."""
    model, side, faults = copy.deepcopy(subject.model), 128, []
    for site in _sites(model.backbone):
        cells = side // 2 ** (site.branch + 2)
        expected = (1, backbones.widths(BACKBONE)[site.branch], cells, cells)
        judge = functools.partial(_faults, site, expected, bool(subject.pair.guide))
        site.path.register_forward_hook(lambda _, inputs, output, judge=judge: faults.extend(judge(output)))
    with torch.no_grad():
        try:
            model(torch.randn(1, 3, side, side))
        except Exception:
            if not faults:  # else the first wrong path explains it
                raise
    if faults:
        raise faults[0]


@dataclass(frozen=True)
class Site:
    """One replaced path: its name, target branch, steps down (0: up), and whether it ends in a ReLU."""

    name: str
    path: nn.Module
    branch: int
    steps: int
    relu: bool


def _sites(backbone: nn.Module) -> Iterator[Site]:
    """Every replaced path of a network."""
    for n in (1, 2, 3):
        yield Site(f"transition{n}", getattr(backbone, f"transition{n}")[n], n, 1, True)
    for stage in (2, 3, 4):
        for m, module in enumerate(getattr(backbone, f"stage{stage}")):
            for i, j in module.paths():
                name = f"stage {stage}, module {m}, path {j} -> {i}"
                yield Site(name, module.fuse_layers[i][j], i, max(i - j, 0), False)


def _faults(site: Site, expected: tuple[int, ...], guided: bool, output) -> list[Broken]:
    """What is wrong with a path's output, at most one thing; `expected` is the shape of its map."""
    y, records = output if isinstance(output, tuple) else (output, None)
    wanted = records is not None or (guided and site.steps > 0)
    if tuple(y.shape) != expected:
        return [Broken(f"{site.name}: an output {expected}", str(tuple(y.shape)))]
    if site.relu and y.min() < 0:
        return [Broken(f"{site.name}: no negative value behind relu=True", f"{y.min().item():.3g}")]
    if wanted and not (isinstance(records, tuple) and len(records) == site.steps):
        kind = "y alone" if records is None else f"a {type(records).__name__} of {len(records)}"
        return [Broken(f"{site.name}: (y, records), records a tuple of {site.steps}, one a step", kind)]
    return []


@clause
def sizes(subject: Subject) -> None:
    """Logits have the input's size and are finite, whatever its height and width."""
    _check_sizes(subject, SIZES)


@clause(slow=True)
def every_size(subject: Subject) -> None:
    """Logits have the input's size for every height from 64 to 128 px."""
    _check_sizes(subject, [(side, 192 - side) for side in range(64, 129)])


def _check_sizes(subject: Subject, sizes: list[tuple[int, int]]) -> None:
    with torch.no_grad():
        for height, width in sizes:
            try:
                logits = subject.model(torch.randn(1, 3, height, width))
            except Exception as error:
                raise Broken(f"logits of an image of {height}x{width} px", told(error, subject)) from error
            expect(logits.shape == (1, 4, height, width), f"logits (1, 4, {height}, {width})", tuple(logits.shape))
            expect_finite(logits, f"logits of an image of {height}x{width} px")


@clause
def batch(subject: Subject) -> None:
    """In evaluation, an image's logits do not depend on the others of its batch."""
    x = torch.randn(3, 3, 75, 66)
    with torch.no_grad():
        alone = torch.cat([subject.model(image[None]) for image in x])
        expect_close(subject.model(x), alone, "a batch to give what its images give alone", rtol=1e-3, atol=1e-4)


@clause
def channels_last(subject: Subject) -> None:
    """The memory format channels_last gives the same logits."""
    x = torch.randn(2, 3, 75, 66)
    last = copy.deepcopy(subject.model).to(memory_format=torch.channels_last)
    with torch.no_grad():
        got = last(x.to(memory_format=torch.channels_last))
        expect_close(got, subject.model(x), "the logits of the usual format", rtol=1e-3, atol=1e-4)


@clause
def half_precision(subject: Subject) -> None:
    """A training step under bfloat16 autocast, and logits under float16 autocast, stay finite."""
    model = subject.fresh()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = model(torch.randn(2, 3, 64, 80)).float().square().mean()
    loss.backward()
    expect_finite(loss.detach(), "loss in bfloat16")
    for name, gradient in gradients(model).items():
        expect_finite(gradient, f"gradient of {name} in bfloat16")
    with torch.no_grad(), torch.autocast("cpu", dtype=torch.float16):
        expect_finite(subject.model(torch.randn(1, 3, 64, 80)), "logits in float16")


@clause
def determinism(subject: Subject) -> None:
    """The same input gives the same bits twice, forward and backward, under use_deterministic_algorithms."""
    x, runs = torch.randn(2, 3, 65, 72), []
    with deterministic():
        for _ in range(2):
            model = subject.fresh()
            logits = model(x)
            logits.square().mean().backward()
            runs.append({"logits": logits.detach(), **gradients(model)})
    first, second = runs
    differing = [name for name in first if not torch.equal(first[name], second[name])]
    expect(not differing, "the same bits twice", f"others in {', '.join(differing[:3])}")


@clause
def initialisation(subject: Subject) -> None:
    """The seed alone decides the weights: the same seed the same, another seed others."""
    first, same, other = (subject.build(seed).state_dict() for seed in (1, 1, 2))
    differing = [key for key in first if not torch.equal(first[key], same[key])]
    expect(not differing, "the same weights from the same seed", f"others in {', '.join(differing[:3])}")
    expect(any(not torch.equal(first[key], other[key]) for key in first), "other weights from another seed", "none")


@clause
def state_dict(subject: Subject) -> None:
    """A checkpoint holds all that decides the logits: loaded into a network of another seed it gives the same bits."""
    other, x = subject.build(seed=9), torch.randn(1, 3, 65, 72)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.pth"
        torch.save({"state_dict": subject.model.state_dict(), "meta": {"pair": subject.pair.name}}, path)
        load_checkpoint(other, path)
    with torch.no_grad():
        worst = (other.eval()(x) - subject.model(x)).abs().max().item()
    expect(worst == 0, "equal logits from a loaded checkpoint", f"a difference of {worst:.3g}: something that the "
            "operator uses is neither parameter nor buffer")  # fmt: skip


@clause
def gradient(subject: Subject) -> None:
    """A training step's gradient reaches every parameter."""
    model = subject.fresh()
    for parameter in model.parameters():
        if not parameter.any():  # a layer that starts at zero lets no gradient past it
            nn.init.normal_(parameter, std=0.1)
    x = torch.randn(2, 3, 96, 96)
    model(x).square().mean().backward()
    _reach_unguided(model, x)
    for name, parameter in model.named_parameters():
        expect(parameter.grad is not None, f"a gradient for {name}", "none")
        expect_finite(parameter.grad, f"gradient of {name}")
        # A bias in front of a batch norm is cancelled by it.
        expect(parameter.grad.any().item() or name.endswith("bias"), f"a gradient for {name}", "zero everywhere")


def _reach_unguided(model: nn.Module, x: Tensor) -> None:
    """Reach what only makes the last module's records: no up path follows that would take them."""
    if model.backbone.pair.guide == "previous":
        kept = []
        handle = model.backbone.stage4[-1].register_forward_hook(lambda module, inputs, outputs: kept.append(outputs))
        model.backbone(x)
        handle.remove()
        _, records = kept[0]
        sum(record.square().sum() for path in records.values() for record in path).backward()


@clause
def influence(subject: Subject) -> None:
    """Every branch sees the whole image: none has lost the far corner (an empty crop, a dead resize)."""
    x = torch.randn(1, 3, 97, 97, requires_grad=True)
    for n, feature in enumerate(subject.model.backbone(x)):
        (gradient,) = torch.autograd.grad(feature.square().sum(), x, retain_graph=True)
        reached = gradient[..., -8:, -8:].abs().sum() > 0
        expect(reached, f"branch {n} to depend on the lower right corner", "no influence")


@clause
def imagenet_names(subject: Subject) -> None:
    """Tensors that the operator initialises itself have names that no ImageNet tensor has."""
    with torch.device("meta"):
        imagenet = HRNet(backbones.configuration(BACKBONE)).state_dict().keys()
    for name, module in subject.model.backbone.named_modules():
        if hasattr(module, "init_operator"):
            taken = sorted({f"{name}.{key}" for key in module.state_dict()} & imagenet)
            expect(not taken, "names that no ImageNet tensor has (name your layers, do not number them)",
                    ", ".join(taken[:3]))  # fmt: skip


@clause
def extreme_inputs(subject: Subject) -> None:
    """Logits and gradients stay finite on black, constant, huge and single-pixel images."""
    pixel = torch.zeros(2, 3, 64, 96)
    pixel[..., 31, 47] = HUGE
    signs = 1 - 2 * (torch.arange(64)[:, None] + torch.arange(96)).remainder(2)
    images = {
        "a black image": torch.zeros(2, 3, 64, 96),
        f"a constant of {HUGE:g}": torch.full((2, 3, 64, 96), HUGE),
        f"a chessboard of ±{HUGE:g}": (HUGE * signs).expand(2, 3, 64, 96).contiguous(),
        f"one pixel of {HUGE:g}": pixel,
    }
    for what, x in images.items():
        with torch.no_grad():
            expect_finite(subject.model(x), f"logits of {what}")
        model = subject.fresh()
        model(x).sigmoid().mean().backward()
        for name, gradient in gradients(model).items():
            expect_finite(gradient, f"gradient of {name} on {what}")


@clause
def memory(subject: Subject) -> str:
    """A training step of HRNetV2-W48 at 512x512 keeps at most 1.6 times what the baseline keeps for backward."""
    share = _w48_bytes(subject.pair.name) / _baseline_bytes()
    expect(share <= MEMORY, f"at most {MEMORY:g} times the baseline's memory in training", f"{share:.2f} times")
    return f"{share:.2f} times"


def _w48_bytes(pair: str) -> int:
    with torch.device("meta"):  # counted, not computed
        return saved_bytes(assemble(pair).train(), (1, 3, 512, 512))


@functools.cache
def _baseline_bytes() -> int:
    return _w48_bytes(BASELINE_PAIR)


@clause
def inference_form(subject: Subject) -> None:
    """The network that rfbench.fuse makes for inference gives the same logits."""
    model, x = lived_in(copy.deepcopy(subject.model).double()), torch.randn(2, 3, 97, 75, dtype=torch.float64)
    with torch.no_grad():
        expect_close(fuse(model)(x), model(x), "the network's logits (register layers in their order)", 1e-6, 1e-9)


def lived_in(model: nn.Module) -> nn.Module:
    """Biases and batch norms as after a training: none of them neutral. In evaluation mode."""
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.running_mean, std=0.3)
            nn.init.uniform_(module.running_var, 0.5, 2)
        if getattr(module, "bias", None) is not None:
            nn.init.normal_(module.bias, std=0.3)
    return model.eval()


@clause(slow=True)
def export(subject: Subject) -> None:
    """torch.export takes the network whole, and its program gives the same logits."""
    x = torch.randn(1, 3, 65, 72)
    with torch.no_grad():
        exported = torch.export.export(subject.model, (x,)).module()
        expect_close(exported(x), subject.model(x), "the network's logits", rtol=1e-4, atol=1e-5)


@clause(slow=True)
def compilation(subject: Subject) -> None:
    """torch.compile takes the network whole (fullgraph), and gives the same logits and gradients."""
    x, results = torch.randn(1, 3, 65, 72), []
    eager, compiled = subject.fresh(), subject.fresh()
    # The backward is traced, too, but no code generated for it, which takes minutes.
    for model, network in ((eager, eager), (compiled, torch.compile(compiled, fullgraph=True, backend="aot_eager"))):
        logits = network(x)
        logits.square().mean().backward()
        results.append({"logits": logits.detach(), **gradients(model)})
    for name, expected in results[0].items():
        # Rounding is amplified by norms over nearly constant maps: measured by the tensor's largest entry.
        worst, scale = (results[1][name] - expected).abs().max().item(), expected.abs().max().item()
        expect(worst <= 2e-3 * scale + 1e-6, f"{name} as without compilation", f"a difference of {worst:.3g}")
