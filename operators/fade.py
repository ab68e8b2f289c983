"""FADE: kernels from the map to upsample and from the encoder's map together, and a gate between both.

Lu, Liu, Fu, Cao, "FADE: Fusing the Assets of Decoder and Encoder for Task-Agnostic Upsampling", ECCV 2022,
arXiv:2207.10392, and "FADE: A Task-Agnostic Upsampling Operator for Encoder–Decoder Architectures",
arXiv:2407.13500. en: guide at twice the size, de: low map.

    L = E(conv1x1(en)) + nearest ×2 of E(conv1x1(de))    E: one conv3x3 for both, to 25 channels
    y = Σ over the 5x5 window around the target's low cell of softmax(L) · de, cells outside count as zero
    G = sigmoid(nearest ×2 of conv1x1(de));    result = G · en + (1 - G) · y

The authors publish two forms; this is the one that convolves before it upsamples (FADE_L2H), equal to their compiled
one.

Placement (ours): `rfbench.guided`; the authors' decoders match it step for step. x_i thus enters the fused sum as
HRNet's identity and once more through the gate; the authors' head, too, concatenates the map beside what was gated
with it.
Initialisation, the authors': convolutions Xavier-uniform, biases 0.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from operators import Pair
from rfbench import official, reassembly
from rfbench.guided import GuidedStep, GuidedUpPath

OPTIONS = {"gate": True, "lite": False}  # see FADE
TAPS = 25
OFFICIAL_NAMES = {  # the authors': ours
    "ker_generator.compressor_en": "compressor_en",
    "ker_generator.compressor_de": "compressor_de",
    "ker_generator.content_encoder": "content_encoder",
    "gate_generator.conv": "gate",
    # of their compiled form (FADE_H2L)
    "kernel_generator.conv1_en": "compressor_en",
    "kernel_generator.conv1_de": "compressor_de",
    "kernel_generator.conv2_kernels": "content_encoder.weight",
    "kernel_generator.conv2_bias": "content_encoder.bias",
}


class FADE(GuidedStep):
    """(N, C, h, w) and a guide (N, C, H, W) -> (N, C, H, W), h = ⌈H/2⌉, w = ⌈W/2⌉

    Args:
        channels: C.
        gate: mix the guide into the result; without, the result is y.
        lite: compress to 25 channels instead of 64, and encode each of them on its own ("FADE-Lite").
    """

    def __init__(self, channels: int, gate: bool = True, lite: bool = False):
        super().__init__()
        compressed = TAPS if lite else 64
        self.compressor_en = nn.Conv2d(channels, compressed, kernel_size=1)
        self.compressor_de = nn.Conv2d(channels, compressed, kernel_size=1, bias=False)
        self.content_encoder = nn.Conv2d(compressed, TAPS, kernel_size=3, padding=1, groups=TAPS if lite else 1)
        self.gate = nn.Conv2d(channels, 1, kernel_size=1) if gate else None
        self.init_operator()

    def reassemble(self, low: Tensor, guide: Tensor) -> Tensor:
        y = reassembly.upsample(low, self.weights(low, guide), 2)
        if self.gate is not None:
            gate = F.interpolate(torch.sigmoid(self.gate(low)), scale_factor=2, mode="nearest")
            y = gate * guide + (1 - gate) * y
        return y.to(low.dtype)

    def weights(self, low: Tensor, guide: Tensor) -> Tensor:
        """(N, 25, 4, h, w), summing to one over the taps."""
        fine = self.content_encoder(self.compressor_en(guide))  # (N, 25, 2h, 2w)
        coarse = self.content_encoder(self.compressor_de(low))
        return F.softmax(F.pixel_unshuffle(fine, 2).unflatten(1, (TAPS, 4)) + coarse.unsqueeze(2), dim=1)

    @torch.no_grad()
    def init_operator(self) -> None:
        for conv in (self.compressor_en, self.compressor_de, self.content_encoder, self.gate):
            if conv is not None:
                nn.init.xavier_uniform_(conv.weight)
            if conv is not None and conv.bias is not None:
                nn.init.zeros_(conv.bias)

    def load_official(self, state_dict: dict[str, Tensor]) -> None:
        """Load the authors' tensors of either form (names as in OFFICIAL_NAMES), strictly."""
        official.load_official(self, state_dict, OFFICIAL_NAMES)


def up(in_channels: int, out_channels: int, steps: int, **options) -> GuidedUpPath:
    """conv1x1 + BN + t × FADE. (N, C_in, h, w) and the records -> (N, C_out, H, W) of the first record"""
    return GuidedUpPath(in_channels, out_channels, steps, lambda channels: FADE(channels, **options))


UP = {"FADE": up}
PAIRS = (
    Pair(
        "strideconv_fade",
        "StrideConv*",
        "FADE",
        label="StrideConv/FADE",
        guide="mirror",
        since="ECCV 2022; of the authors' two forms the one that convolves first",
    ),
)
