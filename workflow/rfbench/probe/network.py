"""The probe's networks: an operator pair between two resolutions, in HRNet's way or in a row.

- "fusion": a stem, two branches – the image's own resolution and a quarter of it – and two exchanges, with HRNet's
  transitions, sums and ReLUs. What is tiny can go past the operators.
- "serial": a stem, down by 4, up by 4. Everything goes through the operators.

The operators are built and called as `operators` lays down: the same modules as in HRNetV2. The second module of
"fusion" has one output, the high branch, as HRNet's last module without `multiscale_output`.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

STEPS = 2  # between the two branches: a quarter of the resolution, where one-step and cascade operators differ
MODULES = 2


class Block(nn.Module):
    """Residual conv3x3 + BN. (N, C, H, W) -> the same."""

    def __init__(self, channels: int):
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(x + self.norm(self.conv(x)))


class Mixer(nn.Module):
    """Residual conv1x1 to `width` + BN + ReLU + conv1x1 + BN: where parameters are added to match another network's."""

    def __init__(self, channels: int, width: int):
        super().__init__()
        self.widen = nn.Conv2d(channels, width, 1, bias=False)
        self.norm = nn.BatchNorm2d(width)
        self.narrow = nn.Conv2d(width, channels, 1, bias=False)
        self.last_norm = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.norm(self.widen(x)))
        return F.relu(x + self.last_norm(self.narrow(y)))


class Stem(nn.Sequential):
    """conv3x3 + BN + ReLU. (N, 1, H, W) -> (N, C, H, W)"""

    def __init__(self, channels: int):
        super().__init__(nn.Conv2d(1, channels, 3, padding=1, bias=False), nn.BatchNorm2d(channels), nn.ReLU())


class Fusion(nn.Module):
    """Two branches, two exchanges. (N, 1, H, W) -> logits (N, 1, H, W)

    Args:
        down, up: builders of the pair's paths, options bound; up may be None for a network without its low branch.
        guide: whose records the up paths take (`operators.Pair.guide`).
        channels: of both branches.
        width: of the low branch's mixers.
    """

    def __init__(self, down: Callable, up: Callable | None, guide: str, channels: int, width: int):
        super().__init__()
        self.guide, self.low_branch = guide, up is not None
        self.stem = Stem(channels)
        self.high = nn.ModuleList(Block(channels) for _ in range(MODULES))
        self.head = nn.Conv2d(channels, 1, 1)
        if not self.low_branch:
            return
        self.transitions = nn.ModuleList(down(channels, channels, steps=1, relu=True) for _ in range(STEPS))
        self.low = nn.ModuleList(nn.Sequential(Block(channels), Mixer(channels, width)) for _ in range(MODULES))
        # The records of the last module's down path guide its mirrored up path; its map is nobody's input.
        downs = MODULES if guide == "mirror" else MODULES - 1
        self.down = nn.ModuleList(down(channels, channels, steps=STEPS, relu=False) for _ in range(downs))
        self.up = nn.ModuleList(up(channels, channels, steps=STEPS) for _ in range(MODULES))

    def forward(self, x: Tensor) -> Tensor:
        high = self.stem(x)
        if not self.low_branch:
            for block in self.high:
                high = block(high)
            return self.head(high)
        low, created = high, ()
        for transition in self.transitions:
            low, record = recorded(transition(low))
            created += record
        previous = created
        for k in range(MODULES):
            high, low = self.high[k](high), self.low[k](low)
            y, records = recorded(self.down[k](high)) if k < len(self.down) else (None, ())
            guides = [records if self.guide == "mirror" else previous] if self.guide else []
            raised = fit(self.up[k](low, *guides), high)
            low = low if y is None else F.relu(low + fit(y, low))
            high, previous = F.relu(high + raised), records
        return self.head(high)


class Serial(nn.Module):
    """Stem, the pair's down and up path over two steps, 1x1. (N, 1, H, W) -> logits (N, 1, H, W)

    Arguments as in Fusion; both kinds of guided up paths take the records of the one down path.
    """

    def __init__(self, down: Callable, up: Callable, guide: str, channels: int):
        super().__init__()
        self.guide = guide
        self.stem = Stem(channels)
        self.down = down(channels, channels, steps=STEPS, relu=False)
        self.up = up(channels, channels, steps=STEPS)
        self.head = nn.Conv2d(channels, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        low, records = recorded(self.down(x))
        return self.head(F.relu(fit(self.up(low, *([records] if self.guide else [])), x)))


def recorded(output: Tensor | tuple) -> tuple[Tensor, tuple]:
    """A down path's output as (map, records)."""
    return output if isinstance(output, tuple) else (output, ())


def fit(x: Tensor, target: Tensor) -> Tensor:
    """Resize to the target's height and width where an operator's rounding left them apart."""
    if x.shape[2:] == target.shape[2:]:
        return x
    return F.interpolate(x, target.shape[2:], mode="bilinear", align_corners=False)


@torch.no_grad()
def initialise(network: nn.Module) -> nn.Module:
    """HRNet's initialisation – Kaiming (fan out) for every Conv2d, norms 1 and 0 – then the operators' own."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, nn.BatchNorm2d):
            nn.init.ones_(module.weight)
            nn.init.zeros_(module.bias)
    for module in network.modules():
        if hasattr(module, "init_operator"):
            module.init_operator()
    return network


def parameters(network: nn.Module) -> int:
    """Learnable parameters."""
    return sum(parameter.numel() for parameter in network.parameters() if parameter.requires_grad)
