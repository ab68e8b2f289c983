"""FPT: four maps of one resolution that attend to themselves and to each other.

Zhang et al., "Feature Pyramid Transformer", arXiv:2007.09451, the form for segmentation. A pyramid of global
convolutions (kernels 1, 7, 15, 31) stands on a dilated ResNet; small kernels count as fine, large as coarse. Every map
attends to itself (ST), to a window of each coarser one (LGT), and is rendered by each finer one (RT). Attention is
weighed by a mixture of softmaxes over N parts of the channels (Yang et al., arXiv:1711.03953):

    w_ij = Σ_n π_n softmax_j(s^n_ij),    π = softmax_n(w_nᵀ k̄),    k̄ the mean of all keys
    ST: N = 2, s = q_n · k_n of all cells;    LGT: N = 4, s = −‖q_n − k_n‖² of 5x5 cells, zeros beyond the map

Confidence: low. The text gives no widths of queries and keys, no temperature and not which kernels are fine; its
parameter counts (71.3 M without attention, 127.2 M with all) are not reproduced by any reading of it that we found, and
its own differences do not add up. Ours: 128 channels for queries and keys, scores divided by √d, 66.1 and 90.9 M. ST
compares all cells: its time grows with the square of the image's area.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rfbench.errors import RFBenchError
from rfbench.methods.base import Method
from rfbench.methods.parts.heads import segmentor
from rfbench.methods.parts.layers import conv_norm, conv_norm_relu, initialise
from rfbench.methods.parts.resnet import OPTIONS, dilated_resnet, resnet_weights, widths
from rfbench.methods.parts.sizes import divisor
from rfbench.models.segmentor import LesionSegmentor

KERNELS = (1, 7, 15, 31)  # fine to coarse
TRANSFORMERS = ("ST", "LGT", "RT")
WINDOW = 5


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


class FPTHead(nn.Module):
    """The last of four maps -> logits of its size.

    Args:
        inputs: channels of that map.
        channels: of the pyramid, 256.
        transformers: which of ST, LGT and RT take part.
        temperature: see `Mixture`.
        keep: of DropBlock.
    """

    def __init__(
        self,
        inputs: int,
        channels: int,
        num_lesions: int,
        *,
        transformers: tuple[str, ...],
        temperature: float | None,
        keep: float,
    ):
        super().__init__()
        levels = range(len(KERNELS))
        self.reduce = conv_norm_relu(inputs, channels, 3)
        self.pyramid = nn.ModuleList(GlobalConv(channels, kernel) for kernel in KERNELS)
        self.st, self.lgt, self.rt = nn.ModuleDict(), nn.ModuleDict(), nn.ModuleDict()
        for level in levels:
            if "ST" in transformers:
                self.st[str(level)] = SelfTransformer(channels, 2, temperature)
            for other in levels:
                if "LGT" in transformers and other > level:
                    self.lgt[f"{level}_{other}"] = GroundingTransformer(channels, 4, temperature)
                if "RT" in transformers and other < level:
                    self.rt[f"{level}_{other}"] = RenderingTransformer(channels)
        self.join = nn.ModuleDict()
        for level in levels:
            if extra := len(self.of(level)):
                self.join[str(level)] = conv_norm_relu((1 + extra) * channels, channels, 3)
        self.drop = DropBlock(keep)
        self.last = nn.Sequential(conv_norm_relu(len(KERNELS) * channels, 2 * channels, 3), nn.Dropout(0.1))
        self.conv_seg = nn.Conv2d(2 * channels, num_lesions, kernel_size=1)
        initialise(self)
        nn.init.normal_(self.conv_seg.weight, std=0.01)

    def of(self, level: int) -> list[tuple[nn.Module, tuple[int, ...]]]:
        """The transformers whose result goes to a level, and the levels that they take."""
        found = [(self.st[str(level)], (level,))] if str(level) in self.st else []
        for pairs in (self.lgt, self.rt):
            names = [name for name in pairs if name.startswith(f"{level}_")]
            found += [(pairs[name], tuple(map(int, name.split("_")))) for name in names]
        return found

    def forward(self, maps: tuple[Tensor, ...]) -> Tensor:
        x = self.reduce(maps[-1])
        pyramid = [convolution(x) for convolution in self.pyramid]  # four (N, C, H/8, W/8)
        joined = []
        for level, x in enumerate(pyramid):
            others = [transformer(*(pyramid[i] for i in taken)) for transformer, taken in self.of(level)]
            if others:
                x = self.join[str(level)](torch.cat([x, *others], dim=1))
            joined.append(self.drop(x))
        return self.conv_seg(self.last(torch.cat(joined, dim=1)))


def build(
    num_lesions: int,
    *,
    size: str = "published",
    depth: int = 101,
    deep_stem: bool = True,
    transformers: tuple[str, ...] = TRANSFORMERS,
    temperature: float | None = None,
    keep: float = 0.9,
) -> LesionSegmentor:
    """The network.

    Args:
        depth, deep_stem: as `dilated_resnet` takes them.
        transformers: which of ST, LGT and RT take part; none leaves the pyramid.
        temperature: what the scores of attention are divided by; None for the square root of their channels.
        keep: share of cells that DropBlock keeps.
    """
    if unknown := set(transformers) - set(TRANSFORMERS):
        raise RFBenchError(f"transformers: expected some of {', '.join(TRANSFORMERS)}, found {', '.join(unknown)}.")
    if (temperature is not None and temperature <= 0) or not 0 < keep <= 1:
        raise RFBenchError(f"expected temperature > 0 and 0 < keep <= 1, found {temperature} and {keep}.")
    head = FPTHead(
        widths(size)[-1],
        256 // divisor(size),
        num_lesions,
        transformers=tuple(transformers),
        temperature=temperature,
        keep=keep,
    )
    return segmentor(dilated_resnet(size, depth=depth, deep_stem=deep_stem), head)


METHOD = Method(
    label="FPT",
    paper="Zhang et al., Feature Pyramid Transformer, ECCV 2020, arXiv:2007.09451",
    build=build,
    confidence="Low: the text leaves widths and temperature open, and its parameters (127.2 M with all) are not "
    "reproduced; ours are 90.9 M.",
    options=OPTIONS | {"transformers": TRANSFORMERS, "temperature": None, "keep": 0.9},
    parameters=90_920_292,
    weights=resnet_weights(r"decode_head\..*"),
)
