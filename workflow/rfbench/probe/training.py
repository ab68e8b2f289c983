"""One run of the probe: its images, its network, the updates, the scores. On the CPU; the same bits each time."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

import operators
from rfbench.probe import controls, data, network, scoring
from rfbench.probe.groups import LOSS, Group, ProbeRun, swept
from rfbench.probe.protocol import Protocol
from rfbench.profiling import flops

EPS = 1e-5
_BATCH_OF_TEST = 25  # images at a time


def build(protocol: Protocol, group: Group, width: int | None = None) -> nn.Module:
    """The untrained network of a group, drawn from torch's generator.

    Args:
        width: of the low branch's mixers, to match parameters.

    Raises:
        RFBenchError: no such pair, or options that it does not know.
    """
    shape = protocol.network
    if group.pair:
        (down, up), guide = operators.builders(group.pair, _options(protocol, group)), operators.get(group.pair).guide
    else:
        (down, up), guide = controls.builders(group.network, group.arm, protocol.analysis.reference), ""
    if group.arm == "serial":
        built = network.Serial(down, up, guide, shape.channels)
    else:
        built = network.Fusion(down, up, guide, shape.channels, width or shape.width)
    return network.initialise(built).to(memory_format=torch.channels_last)


def _options(protocol: Protocol, group: Group) -> dict[str, dict]:
    """Options of the pair's operators."""
    given, own = protocol.network.operator_options, operators.operators_of(group.pair)
    options = {operator: dict(given[operator]) for operator in own if operator in given}
    for operator, changed in swept(protocol, group.pair).get(group.copy, {}).items():
        options[operator] = options.get(operator, {}) | changed
    return options


def train(protocol: Protocol, run: ProbeRun, width: int | None = None) -> dict:
    """Train and score one run.

    Returns:
        state (done, diverged), reason, loss of the last update, scores (`scoring.by_size`; none if diverged),
        parameters, flops of one image.
    """
    planted = {split: data.draw(protocol.images, run.group.arm, split, run.seed) for split in data.SPLITS}
    torch.manual_seed(run.seed)
    model = build(protocol, run.group, width)
    rng = np.random.default_rng([run.seed, len(data.SPLITS)])  # a stream of its own beside those of the images
    size = planted["train"].size
    if run.group.copy == controls.PERMUTED:
        size = size[derangement(rng, len(size))]
    loss = protocol.copies.loss if run.group.copy == LOSS else protocol.training.loss
    x, y = torch.from_numpy(planted["train"].images), torch.from_numpy(size)
    reached, last = fit(model, x, y, run.lr, protocol, loss, rng)
    about = {"loss": last, "parameters": reached, "flops": count_flops(model, x[:1])}
    if not np.isfinite(last):
        return about | {"state": "diverged", "reason": "the loss was no longer finite", "scores": [], "loss": None}
    logits = predict(model, torch.from_numpy(planted["test"].images))
    if not np.isfinite(logits).all():
        return about | {"state": "diverged", "reason": "logits of test images are not finite", "scores": []}
    return about | {"state": "done", "reason": "", "scores": scoring.by_size(logits, planted["test"])}


def derangement(rng: np.random.Generator, n: int) -> np.ndarray:
    """A cyclic order of n images: none keeps its own place."""
    order = rng.permutation(n)
    moved = np.empty(n, int)
    moved[order] = np.roll(order, 1)
    return moved


def fit(
    model: nn.Module, x: Tensor, y: Tensor, lr: float, protocol: Protocol, loss: str, rng: np.random.Generator
) -> tuple[int, float]:
    """Update the model in place; Adam, the rate falling linearly to zero. Ends early where the loss is not finite.

    Args:
        x: float32 (N, 1, side, side).
        y: uint8 (N, side, side), cells of the lesion of each cell.
        rng: draws the batches: whole passes over the images, each in an order of its own.

    Returns:
        Parameters that a gradient reached, loss of the last update.
    """
    steps, batch = protocol.training.steps, protocol.training.batch
    passes = -(-steps * batch // len(x))
    order = np.concatenate([rng.permutation(len(x)) for _ in range(passes)])[: steps * batch].reshape(steps, batch)
    optimizer = torch.optim.Adam(model.parameters(), lr=lr, fused=True)
    criterion = dice_by_size if loss == "sizes" else dice_of_pixels
    model.train()
    for step, images in enumerate(order):
        for group in optimizer.param_groups:
            group["lr"] = lr * (1 - step / steps)
        value = criterion(model(x[images].contiguous(memory_format=torch.channels_last))[:, 0], y[images],
                          protocol.images.sizes)  # fmt: skip
        if not torch.isfinite(value):
            break
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
    return sum(p.numel() for p in model.parameters() if p.grad is not None), value.item()


def dice_by_size(logits: Tensor, size: Tensor, sizes: Sequence[int]) -> Tensor:
    """Mean over sizes of 1 − (2Σpy + ε) / (Σp + Σy + ε), p = sigmoid(logits), sums over the batch's cells of that
    size and of background: a lesion of another size is neither right nor wrong.

    Args:
        logits: (N, H, W).
        size: (N, H, W), 0 background.
        sizes: to be averaged.
    """
    p = logits.sigmoid()
    false = (p * (size == 0)).sum()
    terms = []
    for cells in sizes:
        y = size == cells
        hit = (p * y).sum()
        terms.append(1 - (2 * hit + EPS) / (hit + false + y.sum() + EPS))
    return torch.stack(terms).mean()


def dice_of_pixels(logits: Tensor, size: Tensor, sizes: Sequence[int]) -> Tensor:
    """1 − (2Σpy + ε) / (Σp + Σy + ε) over all cells: a 50-cell lesion counts 50 times as much as a 1-cell one."""
    p, y = logits.sigmoid(), size > 0
    return 1 - (2 * (p * y).sum() + EPS) / (p.sum() + y.sum() + EPS)


@torch.no_grad()
def predict(model: nn.Module, x: Tensor) -> np.ndarray:
    """Logits (N, side, side) in evaluation mode."""
    model.eval()
    parts = x.contiguous(memory_format=torch.channels_last).split(_BATCH_OF_TEST)
    return torch.cat([model(part)[:, 0] for part in parts]).numpy()


@torch.no_grad()
def count_flops(model: nn.Module, image: Tensor) -> int:
    """Of one image's forward pass in evaluation mode, a multiply-add as two."""
    model.eval()
    with flops.counter() as counted:
        model(image)
    return counted.get_total_flops()


def parameters(protocol: Protocol, group: Group, width: int | None = None) -> int:
    """Parameters of a group's network that a gradient reaches."""
    with torch.random.fork_rng(devices=[]):
        model = build(protocol, group, width)
        side = protocol.images.side
        model(torch.randn(2, 1, side, side)).sum().backward()
    return sum(p.numel() for p in model.parameters() if p.grad is not None)


def matching(protocol: Protocol, pair: str) -> tuple[Group, int]:
    """Which network of a pair and the reference is widened, and how far, for both to have equally many parameters.

    It is the one with fewer; parameters grow linearly with the width of the low branch's mixers.

    Returns:
        The group whose network is widened, and the width (the registered one if they match already).
    """
    reference, own = Group("fusion", protocol.analysis.reference), Group("fusion", pair)
    counts = {group: parameters(protocol, group) for group in (reference, own)}
    fewer, more = sorted(counts, key=counts.get)
    width = protocol.network.width
    if counts[more] - counts[fewer] <= protocol.copies.matched_within * counts[more]:
        return fewer, width
    slope = parameters(protocol, fewer, width + 1) - counts[fewer]
    return fewer, width + round((counts[more] - counts[fewer]) / slope)
