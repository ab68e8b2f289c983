"""The blocks of FPT (Zhang et al., arXiv:2007.09451); fpt.py has their equations and puts them together."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rfbench.methods.parts.layers import conv_norm, conv_norm_relu

WINDOW = 5  # side of what a cell of a fine map sees of a coarse one


class Column(nn.Module):
    """A convolution of k rows and one column.

    It runs as one of k columns on the transposed map: torch's CPU backward of 31 rows corrupts the heap on small maps.
    """

    def __init__(self, inputs: int, outputs: int, rows: int):
        super().__init__()
        self.row = row(inputs, outputs, rows)

    def forward(self, x: Tensor) -> Tensor:
        return self.row(x.transpose(2, 3)).transpose(2, 3)


def row(inputs: int, outputs: int, columns: int) -> nn.Conv2d:
    """A convolution of one row and k columns."""
    return nn.Conv2d(inputs, outputs, kernel_size=(1, columns), padding=(0, columns // 2), bias=False)


class GlobalConv(nn.Module):
    """Columns, then rows, plus rows, then columns (Peng et al., arXiv:1703.02719). (N, C, H, W) -> (N, C, H, W)"""

    def __init__(self, channels: int, kernel: int):
        super().__init__()

        def step(convolution: nn.Module) -> list[nn.Module]:
            return [convolution, nn.BatchNorm2d(channels), nn.ReLU()]

        same = channels, channels, kernel
        self.down_first = nn.Sequential(*step(Column(*same)), *step(row(*same)))
        self.across_first = nn.Sequential(*step(row(*same)), *step(Column(*same)))

    def forward(self, x: Tensor) -> Tensor:
        return self.down_first(x) + self.across_first(x)


class Mixture(nn.Module):
    """What both attentions share: projections, the mixture's weights, the scores' scale.

    Args:
        channels: of the maps; queries and keys have half of them.
        parts: N, of the channels of queries and keys.
        temperature: what scores are divided by; None for √d, d the channels of a part.
    """

    def __init__(self, channels: int, parts: int, temperature: float | None):
        super().__init__()
        inner = channels // 2
        self.parts = parts
        self.scale = 1 / temperature if temperature else (inner // parts) ** -0.5
        self.query, self.key = (nn.Conv2d(channels, inner, kernel_size=1, bias=False) for _ in range(2))
        self.value = nn.Conv2d(channels, channels, kernel_size=1, bias=False)
        self.mix = nn.Linear(inner, parts, bias=False)
        self.out = conv_norm(channels, channels, 1)

    def weights(self, key: Tensor) -> Tensor:
        """π of the mixture. (N, C/2, H, W) -> (N, parts)"""
        return self.mix(key.mean((2, 3))).softmax(1)


class SelfTransformer(Mixture):
    """ST: every cell attends to all. (N, C, H, W) -> (N, C, H, W)"""

    def forward(self, x: Tensor) -> Tensor:
        key = self.key(x)
        q, k = (each.flatten(2).unflatten(1, (self.parts, -1)).mT for each in (self.query(x), key))  # (N, parts, HW, d)
        v = self.value(x).flatten(2).mT[:, None].expand(-1, self.parts, -1, -1)  # (N, parts, HW, C)
        y = F.scaled_dot_product_attention(q, k, v, scale=self.scale)
        y = torch.einsum("np,npic->nci", self.weights(key).to(y.dtype), y)
        return self.out(y.unflatten(2, x.shape[2:]))


class GroundingTransformer(Mixture):
    """LGT: every cell of a fine map attends to 5x5 of a coarse one. Two maps (N, C, H, W) -> one

    The keys and values of cells beyond the map are zero, and take part.
    """

    def forward(self, fine: Tensor, coarse: Tensor) -> Tensor:
        key = self.key(coarse)
        q = self.query(fine).flatten(2).unflatten(1, (self.parts, -1))[:, :, :, None]  # (N, parts, d, 1, HW)
        k = windows(key).unflatten(1, (self.parts, -1))  # (N, parts, d, 25, HW)
        scores = -(q - k).square().sum(2) * self.scale  # (N, parts, 25, HW)
        w = torch.einsum("np,npti->nti", self.weights(key).to(scores.dtype), scores.softmax(2))
        y = torch.einsum("nti,ncti->nci", w, windows(self.value(coarse)).to(w.dtype))
        return self.out(y.unflatten(2, fine.shape[2:]))


def windows(x: Tensor) -> Tensor:
    """The 5x5 cells around each, zeros beyond the map. (N, C, H, W) -> (N, C, 25, HW)"""
    return F.unfold(x, WINDOW, padding=WINDOW // 2).unflatten(1, (x.shape[1], -1))


class RenderingTransformer(nn.Module):
    """RT: a coarse map, its channels weighed by a fine one, plus that fine one. Two maps (N, C, H, W) -> one"""

    def __init__(self, channels: int):
        super().__init__()
        self.weight = conv_norm_relu(channels, channels, 1)
        self.query, self.value, self.out = (conv_norm_relu(channels, channels, 3) for _ in range(3))

    def forward(self, coarse: Tensor, fine: Tensor) -> Tensor:
        weight = self.weight(fine.mean((2, 3), keepdim=True))  # (N, C, 1, 1)
        return self.out(self.query(coarse * weight) + self.value(fine))


class DropBlock(nn.Module):
    """Zero whole 3x3 blocks while training (Ghiasi et al., arXiv:1810.12890), and scale what is left to its mean.

    Args:
        keep: share of cells that stay, about.
    """

    def __init__(self, keep: float, side: int = 3):
        super().__init__()
        self.keep, self.side = keep, side

    def forward(self, x: Tensor) -> Tensor:
        height, width = x.shape[2:]
        inner = height - self.side + 1, width - self.side + 1  # cells that a whole block has room around
        if not self.training or self.keep == 1 or min(inner) < 1:
            return x
        rate = (1 - self.keep) / self.side**2 * (height * width) / (inner[0] * inner[1])
        centres = (torch.rand(*x.shape[:2], *inner, device=x.device) < rate).to(x.dtype)
        dropped = F.max_pool2d(F.pad(centres, [self.side // 2] * 4), self.side, stride=1, padding=self.side // 2)
        kept = 1 - dropped
        return x * kept * (kept.numel() / kept.sum().clamp(min=1))
