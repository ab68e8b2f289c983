"""What every whole method must do, clause by clause: the contract of docs/methods.md as checks.

`tests/methods` puts every method that is there to every clause, `rfbench check` one method, inside the project or
outside. All but the parameter count run on the method's embedded size, on the CPU.
"""

import copy
import functools
import tempfile
from pathlib import Path

import torch
from torch import Tensor, nn

from rfbench import competitors
from rfbench.competitors import methods
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
from rfbench.errors import RFBenchError
from rfbench.losses import dice_loss
from rfbench.models import build_model, count_parameters
from rfbench.models.checkpoint import load_checkpoint
from rfbench.models.method import MethodSegmentor
from rfbench.names import LESIONS, MIN_SIZE
from rfbench.published import METHOD_TABLES, SAME_ROW, published_methods

BACKBONE = "hrnetv2_embedded"  # beside which methods have their embedded size
SIZES = ((65, 65), (97, 97), (96, 160), (100, 75), (64, 127))  # height, width in px; none below the method's minimum
STEPS = 8  # in which a gradient must have reached every parameter: what drops paths or maps by chance misses some

CLAUSES = Contract()
clause = CLAUSES.clause


class MethodSubject:
    """The method under test. `model` is shared by the clauses, which leave it as it is and change `fresh` copies."""

    def __init__(self, name: str) -> None:
        self.method = methods.method(name)
        self.name = name
        self.files = frozenset(map(str, methods.files(name)))

    @functools.cached_property
    def model(self) -> MethodSegmentor:
        return self.build(seed=0).eval()

    def build(self, seed: int) -> MethodSegmentor:
        """The embedded network, drawn from a seed."""
        torch.manual_seed(seed)
        return build_model(self.name, BACKBONE)

    def fresh(self) -> MethodSegmentor:
        """A copy of the model in training mode, without gradients."""
        return copy.deepcopy(self.model).train()

    def images(self, count: int, height: int, width: int) -> Tensor:
        """Noise (N, 3, H, W), no side below the method's minimum."""
        least = self.method.minimum
        return torch.randn(count, 3, max(height, least), max(width, least))

    def loss(self, model: nn.Module, images: Tensor) -> Tensor:
        """That of a training step, on labels with a patch of each lesion: the method's own, or the benchmark's Dice."""
        labels = torch.zeros(len(images), *images.shape[2:], dtype=torch.int64)
        for k in range(len(LESIONS)):
            labels[:, 8 + 12 * k : 16 + 12 * k, 10 + 9 * k : 24 + 9 * k] = k + 1
        return model(images, labels) if model.own_loss else dice_loss(model(images), labels)


@clause
def declaration(subject: MethodSubject) -> None:
    """The method names its paper, how sure it is, and a row of its own; `published` only where the papers print it."""
    method = subject.method
    for key in ("label", "paper", "confidence"):
        expect(bool(getattr(method, key).strip()), f"{key} in words", "none")
    expect(not (found := competitors.clash(subject.name)), "a name and a row that nobody else has", found)
    printed = {row for table in METHOD_TABLES.values() for row in published_methods(table)} - SAME_ROW.keys()
    if method.published is not None:
        expect(method.published in printed, f"published to be None or one of {', '.join(sorted(printed))}",
               method.published)  # fmt: skip
    else:
        expect(method.label not in printed, "published for a label of the papers", f"None for {method.label}")
    expect(method.minimum >= MIN_SIZE, f"minimum of at least {MIN_SIZE} px", method.minimum)


@clause
def parameters(subject: MethodSubject) -> str:
    """The published size has exactly the declared parameters, with four lesions and default options."""
    with torch.device("meta"):
        counted = count_parameters(build_model(subject.name))
    expect(counted == subject.method.parameters, f"{subject.method.parameters:,} parameters", f"{counted:,}")
    return f"{counted:,}, as declared"


@clause
def lesions(subject: MethodSubject) -> None:
    """The network has as many outputs as there are lesions, one or five as well as four."""
    for count in (1, 5):
        with torch.no_grad():
            logits = build_model(subject.name, BACKBONE, count).eval()(subject.images(1, 64, 64))
        expect(logits.shape[1] == count, f"{count} maps for {count} lesions", f"{logits.shape[1]}")


@clause
def sizes(subject: MethodSubject) -> None:
    """Logits have the input's size, are float32 and finite, whatever its height and width."""
    with torch.no_grad():
        for height, width in SIZES:
            x = subject.images(1, height, width)
            try:
                logits = subject.model(x)
            except Exception as error:
                size = "x".join(map(str, x.shape[2:]))
                raise Broken(f"logits of an image of {size} px", told(error, subject)) from error
            wanted = (1, len(LESIONS), *x.shape[2:])
            expect(tuple(logits.shape) == wanted, f"logits {wanted}", tuple(logits.shape))
            expect(logits.dtype == torch.float32, "logits in float32", logits.dtype)
            expect_finite(logits, f"logits of an image of {height}x{width} px")


@clause
def minimum(subject: MethodSubject) -> None:
    """An image of the declared minimum gives logits and trains; a smaller one is refused in words."""
    least = subject.method.minimum
    with torch.no_grad():
        expect_finite(subject.model(torch.randn(1, 3, least, least)), f"logits of {least}x{least} px")
    model = subject.fresh()
    subject.loss(model, torch.randn(2, 3, least, least)).backward()
    try:
        subject.model(torch.randn(1, 3, least - 1, least))
    except RFBenchError:
        return
    raise Broken(f"a refusal of images below {least} px", "none")


@clause
def batch(subject: MethodSubject) -> None:
    """In evaluation, an image's logits do not depend on the others of its batch."""
    x = subject.images(3, 75, 66)
    with torch.no_grad():
        alone = torch.cat([subject.model(image[None]) for image in x])
        expect_close(subject.model(x), alone, "a batch to give what its images give alone", rtol=1e-3, atol=1e-4)


@clause
def half_precision(subject: MethodSubject) -> None:
    """A training step under bfloat16 autocast stays finite, and logits come back in float32."""
    model, x = subject.fresh(), subject.images(2, 64, 80)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = subject.loss(model, x)
        with torch.no_grad():
            logits = subject.model(x)
    expect(logits.dtype == torch.float32, "logits in float32 under autocast", logits.dtype)
    loss.float().backward()
    expect_finite(loss.detach(), "loss in bfloat16")
    for name, gradient in gradients(model).items():
        expect_finite(gradient, f"gradient of {name} in bfloat16")


@clause
def determinism(subject: MethodSubject) -> None:
    """A seed and an input give the same bits twice, forward and backward, under use_deterministic_algorithms."""
    x, steps = subject.images(2, 65, 72), []
    with deterministic():
        for _ in range(2):
            model = subject.fresh()
            torch.manual_seed(1)  # what drops maps by chance draws them from here
            loss = subject.loss(model, x)
            loss.backward()
            steps.append({"loss": loss.detach(), **gradients(model)})
    first, second = steps
    differing = [name for name in first if not torch.equal(first[name], second[name])]
    expect(not differing, "the same bits twice", f"others in {', '.join(differing[:3])}")


@clause
def initialisation(subject: MethodSubject) -> None:
    """The seed alone decides the weights: the same seed the same, another seed others."""
    first, same, other = (subject.build(seed).state_dict() for seed in (1, 1, 2))
    differing = [key for key in first if not torch.equal(first[key], same[key])]
    expect(not differing, "the same weights from the same seed", f"others in {', '.join(differing[:3])}")
    expect(any(not torch.equal(first[key], other[key]) for key in first), "other weights from another seed", "none")


@clause
def state_dict(subject: MethodSubject) -> None:
    """A checkpoint holds all that decides the logits: loaded into a network of another seed it gives the same bits."""
    other, x = subject.build(seed=9), subject.images(1, 65, 72)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.pth"
        torch.save({"state_dict": subject.model.state_dict(), "meta": {"pair": subject.name}}, path)
        load_checkpoint(other, path)
    with torch.no_grad():
        worst = (other.eval()(x) - subject.model(x)).abs().max().item()
    expect(worst == 0, "equal logits from a loaded checkpoint", f"a difference of {worst:.3g}: something that the "
           "network uses is neither parameter nor buffer")  # fmt: skip


@clause
def gradient(subject: MethodSubject) -> None:
    """The gradients of a few training steps reach every parameter."""
    model, reached, without = subject.fresh(), set(), set()
    for parameter in model.parameters():
        if not parameter.any():  # a layer that starts at zero lets no gradient past it
            nn.init.normal_(parameter, std=0.1)
    for _ in range(STEPS):
        model.zero_grad()
        subject.loss(model, subject.images(2, 96, 96)).backward()
        for name, grown in gradients(model).items():
            expect_finite(grown, f"gradient of {name}")
        # A bias in front of a norm, or of a softmax over places, is cancelled by it.
        reached |= {name for name, grown in gradients(model).items() if grown.any() or name.endswith("bias")}
        if not (without := {name for name, one in model.named_parameters() if one.requires_grad} - reached):
            return
    raise Broken("a gradient for every parameter", f"none for {', '.join(sorted(without)[:3])} ({len(without)} in all)")


@clause(slow=True)
def export(subject: MethodSubject) -> str | None:
    """torch.export takes the network whole, and its program gives the same logits.

    A network whose pass depends on what it finds in an image says so instead: `not_exportable`, a sentence.
    """
    if reason := getattr(subject.model.network, "not_exportable", ""):
        return f"not promised: {reason}"
    x = subject.images(1, 65, 72)
    with torch.no_grad():
        exported = torch.export.export(subject.model, (x,)).module()
        expect_close(exported(x), subject.model(x), "the network's logits", rtol=1e-4, atol=1e-5)
    return None
