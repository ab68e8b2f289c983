"""CARAFE and CARAFE++: content-aware reassembly of features, up and down.

Wang et al., "CARAFE: Content-Aware ReAssembly of FEatures", arXiv:1905.02188 (up: Eq. 1–4), and "CARAFE++: Unified
Content-Aware ReAssembly of FEatures", arXiv:2012.04733 (up and down). No authors' code exists for the downsampling:
it is our reading of the paper. Compared in Liu, Liu, Liang, arXiv:2111.00193, whose placement is not released.

    W = softmax over the k² taps of encoder(compressor(x)),    y(target) = Σ_tap W(target, tap) · x(cell of the tap)

The window lies around the source cell (up) or around (2v, 2u) (down); cells outside the map count as zero, and nothing
is renormalised.

Placement (ours): down, t steps of 2 on C_j, then one conv3x3 (no bias) + BN; transitions likewise with a ReLU at the
end; up, conv1x1 (no bias) + BN, then one step of 2^t on C_i.
Confidence: medium-high for CARAFE++ / Bilinear, high for the other two rows (the parameter counts agree exactly).
Initialisation, the authors': compressor Xavier-uniform, encoder N(0, 0.001), biases 0.
"""

from collections import OrderedDict

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from operators import Pair, options_of
from rfbench import reassembly


class _CARAFE(nn.Module):
    """The kernel prediction that both directions share.

    Args:
        channels: C of the map to reassemble.
        scale: width of the block of cells that one cell becomes (up; down predicts one kernel a window, scale 1).
        stride: of the encoder, 1 (up) or 2 (down).
        compressed: channels after the compressor.
        kernel: side k of the reassembled window, odd.
        encoder_kernel: side of the encoder's convolution, odd.
    """

    def __init__(
        self, channels: int, scale: int, stride: int, compressed: int = 64, kernel: int = 5, encoder_kernel: int = 3
    ):
        super().__init__()
        for name, side in (("kernel", kernel), ("encoder_kernel", encoder_kernel)):
            if side < 1 or side % 2 == 0:
                raise ValueError(f"CARAFE: {name} must be odd, not {side}, for its window to have a centre.")
        self.scale, self.taps = scale, kernel**2
        self.channel_compressor = nn.Conv2d(channels, compressed, kernel_size=1)
        self.content_encoder = nn.Conv2d(
            compressed, self.taps * scale**2, encoder_kernel, stride=stride, padding=encoder_kernel // 2
        )
        self.init_operator()

    def weights(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, k², scale², h, w), summing to one over the taps."""
        logits = self.content_encoder(self.channel_compressor(x))  # channel = tap·scale² + sub-pixel
        return F.softmax(logits.unflatten(1, (self.taps, self.scale**2)), dim=1)

    @torch.no_grad()
    def init_operator(self) -> None:
        nn.init.xavier_uniform_(self.channel_compressor.weight)
        nn.init.normal_(self.content_encoder.weight, std=0.001)
        nn.init.zeros_(self.channel_compressor.bias)
        nn.init.zeros_(self.content_encoder.bias)

    def load_official(self, state_dict: dict[str, Tensor]) -> None:
        """Load the authors' tensors `channel_compressor.*` and `content_encoder.*`, strictly."""
        self.load_state_dict(state_dict, strict=True)


class CARAFEUpsample(_CARAFE):
    """(N, C, H, W) -> (N, C, scale·H, scale·W). Options as in _CARAFE."""

    def __init__(self, channels: int, scale: int, **options: int):
        super().__init__(channels, scale, 1, **options)

    def forward(self, x: Tensor) -> Tensor:
        return reassembly.upsample(x, self.weights(x), self.scale).to(x.dtype)


class CARAFEDownsample(_CARAFE):
    """(N, C, H, W) -> (N, C, ⌈H/2⌉, ⌈W/2⌉). Options as in _CARAFE."""

    def __init__(self, channels: int, **options: int):
        super().__init__(channels, 1, 2, **options)

    def forward(self, x: Tensor) -> Tensor:
        return reassembly.window_sum(x, self.weights(x), stride=2).squeeze(2).to(x.dtype)


def down(in_channels: int, out_channels: int, steps: int, relu: bool, **options) -> nn.Sequential:
    """t × CARAFE++ + conv3x3 + BN. (N, C_in, H, W) -> (N, C_out, ⌈H/2^t⌉, ⌈W/2^t⌉)"""
    path = OrderedDict(
        carafe=nn.Sequential(*(CARAFEDownsample(in_channels, **options) for _ in range(steps))),
        conv=nn.Conv2d(in_channels, out_channels, kernel_size=3, padding=1, bias=False),
        norm=nn.BatchNorm2d(out_channels),
    )
    if relu:
        path["relu"] = nn.ReLU()
    return nn.Sequential(path)


def up(in_channels: int, out_channels: int, steps: int, **options) -> nn.Sequential:
    """conv1x1 + BN + CARAFE. (N, C_in, H, W) -> (N, C_out, 2^t·H, 2^t·W)"""
    return nn.Sequential(
        nn.Conv2d(in_channels, out_channels, kernel_size=1, bias=False),
        nn.BatchNorm2d(out_channels),
        CARAFEUpsample(out_channels, 2**steps, **options),
    )


OPTIONS = options_of(_CARAFE)
DOWN = {"CARAFE++": down}
UP = {"CARAFE++": up}
PAIRS = (
    Pair("carafe_bilinear", "CARAFE++", "Bilinear", params=66_298_854, confidence="medium-high"),
    Pair("strideconv_carafe", "StrideConv", "CARAFE++", params=72_119_628, confidence="high"),
    Pair("carafe_carafe", "CARAFE++", "CARAFE++", params=72_570_638, confidence="high"),
)
