"""IndexNet: learned indices guide pooling and unpooling.

Lu, Dai, Shen, Xu, "Indices Matter: Learning to Index for Deep Image Matting", arXiv:1908.00672, section 4, and
"Index Networks", arXiv:1908.09895. Compared in Liu, Liu, Liang, arXiv:2111.00193, Table 2; its setting and placement
are not released.

    a = sigmoid(index block(x)) at half the resolution, four numbers a cell, one for each of its 2x2 sub-positions
    down: y = Σ over the 2x2 block of x · softmax(a over the block)        up: y = nearest ×2 of the low map · a

Placement: down, t steps on C_j, then conv3x3 (no bias) + BN; up, conv3x3 C_j→C_i (no bias) + BN, then t steps. Ours
are: the decoder map multiplies after the convolution (authors: before theirs); the map that goes on at its own
resolution stays unmodulated (authors: modulated); an odd map is padded with zeros right and bottom, and cut again
after upsampling; an up path takes the decoder maps of the previous module's mirrored down path, else those of the
transitions (arXiv:2111.00193v1, section 4.2, pairs a stage's downsampling with the next one's upsampling). A depthwise
transition's maps have another number of channels than the path: their mean over channels is taken.
Confidence: consistent with the published row, not identified: the depthwise one-to-one block has the same
count (docs/operators.md).
Initialisation, the authors': convolutions N(0, √(2 / (k²·C_out))).
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from operators import Pair, options_of

KINDS = ("holistic", "o2o", "m2o")


class IndexNetDownsample(nn.Module):
    """(N, C, H, W) -> y (N, C, ⌈H/2⌉, ⌈W/2⌉) and the decoder map (N, M, H, W); M = 1 (holistic) or C.

    Args:
        channels: C.
        kind: "holistic", one index map for all channels; depthwise index maps "o2o" (each channel from itself) or
            "m2o" (each channel from all).
        nonlinear: BN, ReLU6 and a conv1x1 after the strided convolution.
        context: a 4x4 instead of a 2x2 window.
    """

    def __init__(self, channels: int, kind: str = "holistic", nonlinear: bool = False, context: bool = False):
        super().__init__()
        if kind not in KINDS:
            raise ValueError(f"IndexNet: kind must be one of {', '.join(KINDS)}, not {kind!r}.")
        if kind == "holistic":
            self.indexnet = _block(channels, 2 * channels, 4, 1, nonlinear, context)
        else:
            groups = channels if kind == "o2o" else 1
            for q in (1, 2, 3, 4):  # the sub-positions (0, 0), (0, 1), (1, 0), (1, 1)
                block = _block(channels, channels, channels, groups, nonlinear, context)
                self.add_module(f"indexnet{q}", block if nonlinear else nn.Sequential(block))
        self.init_operator()

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        height, width = x.shape[2:]
        x = F.pad(x, (0, width % 2, 0, height % 2))
        a = torch.sigmoid(self._logits(x)).unflatten(1, (-1, 4))  # (N, M, 4, h, w)
        encoder_map, decoder_map = (F.pixel_shuffle(m.flatten(1, 2), 2) for m in (a.softmax(2), a))
        y = 4 * F.avg_pool2d(x * encoder_map, 2)
        return y, decoder_map[:, :, :height, :width]

    def _logits(self, x: Tensor) -> Tensor:
        """(N, M·4, h, w), channel = map·4 + sub-position."""
        if hasattr(self, "indexnet"):
            return self.indexnet(x)
        return torch.stack([self.get_submodule(f"indexnet{q}")(x) for q in (1, 2, 3, 4)], dim=2).flatten(1, 2)

    @torch.no_grad()
    def init_operator(self) -> None:
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.normal_(module.weight, std=(2 / (module.kernel_size[0] ** 2 * module.out_channels)) ** 0.5)

    def load_official(self, state_dict: dict[str, Tensor]) -> None:
        """Load the authors' tensors strictly: `indexnet.weight`, `indexnet.{0,1,3}.*` or `indexnet{1..4}.{0,1,3}.*`."""
        self.load_state_dict(state_dict, strict=True)


def _block(
    channels: int, hidden: int, maps: int, groups: int, nonlinear: bool, context: bool
) -> nn.Conv2d | nn.Sequential:
    """An index block: (N, channels, H, W) -> (N, maps, H/2, W/2)."""

    def strided(outputs: int) -> nn.Conv2d:
        kernel, padding = (4, 1) if context else (2, 0)
        return nn.Conv2d(channels, outputs, kernel, stride=2, padding=padding, groups=groups, bias=False)

    if not nonlinear:
        return strided(maps)
    last = nn.Conv2d(hidden, maps, kernel_size=1, groups=groups, bias=False)
    return nn.Sequential(strided(hidden), nn.BatchNorm2d(hidden), nn.ReLU6(), last)


def index_upsample(low: Tensor, decoder_map: Tensor) -> Tensor:
    """Nearest ×2 of the low map, cut to the decoder map's size, times it: (N, C, h, w) -> (N, C, H, W)."""
    height, width = decoder_map.shape[2:]
    if decoder_map.shape[1] not in (1, low.shape[1]):  # a depthwise transition's
        decoder_map = decoder_map.mean(1, keepdim=True)
    return F.interpolate(low, scale_factor=2, mode="nearest")[:, :, :height, :width] * decoder_map


class IndexNetDownPath(nn.Module):
    """(N, C_in, H, W) -> (N, C_out, ⌈H/2^t⌉, ⌈W/2^t⌉) and a step's record: its decoder map."""

    def __init__(self, in_channels: int, out_channels: int, steps: int, relu: bool, **options):
        super().__init__()
        self.index = nn.ModuleList(IndexNetDownsample(in_channels, **options) for _ in range(steps))
        self.conv = nn.Conv2d(in_channels, out_channels, kernel_size=3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(out_channels)
        self.relu = nn.ReLU() if relu else nn.Identity()

    def forward(self, x: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
        records = ()
        for step in self.index:
            x, decoder_map = step(x)
            records += (decoder_map,)
        return self.relu(self.norm(self.conv(x))), records


class IndexNetUpPath(nn.Module):
    """(N, C_in, h, w) and t decoder maps, highest resolution first -> (N, C_out, H, W) of the first map."""

    def __init__(self, in_channels: int, out_channels: int, steps: int, **options):
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, kernel_size=3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(out_channels)

    def forward(self, x: Tensor, records: tuple[Tensor, ...]) -> Tensor:
        x = self.norm(self.conv(x))
        for decoder_map in reversed(records):
            x = index_upsample(x, decoder_map)
        return x


OPTIONS = options_of(IndexNetDownsample)
DOWN = {"IndexNet": IndexNetDownPath}
UP = {"IndexNet": IndexNetUpPath}
PAIRS = (
    Pair(
        "indexnet",
        "IndexNet",
        "IndexNet",
        params=70_329_092,
        confidence="consistent with, not identified",
        guide="previous",
    ),
)
