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
from torch import Tensor, nn

from rfbench.competitors.method import Method
from rfbench.errors import RFBenchError
from rfbench.methods.parts.fpt import DropBlock, GlobalConv, GroundingTransformer, RenderingTransformer, SelfTransformer
from rfbench.methods.parts.heads import segmentor
from rfbench.methods.parts.layers import conv_norm_relu, initialise
from rfbench.methods.parts.resnet import OPTIONS, dilated_resnet, resnet_weights, widths
from rfbench.methods.parts.sizes import divisor
from rfbench.models.segmentor import LesionSegmentor

KERNELS = (1, 7, 15, 31)  # fine to coarse
TRANSFORMERS = ("ST", "LGT", "RT")


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
