"""FreqFusion: adaptive low-pass kernels for the low map, high-pass ones for the encoder's, and similarity-led sampling.

Chen, Fu, Gu, Yan, Harada, Huang, "Frequency-aware Feature Fusion for Dense Image Prediction", TPAMI 2024,
arXiv:2408.12879. h: guide at twice the size, l: low map. P(z, w): weighted sum over the 3x3 window of a
cell; ↑(z, w): over the 5x5 window around the target's low cell; cells outside count as zero.

    H = conv1x1(h), L = conv1x1(l)    m channels each; E9, E25: conv3x3 to 9 and 25 channels, shared by H and L
    A = E9(H),   H⁺ = 2H - P(H, softmax A),   B = E25(H⁺)
    low = softmax(B + ↑(E25(L), softmax B)),   high = softmax(A + ↑(E9(L), low))
    l' = ↑(l, low),   h' = h + (h - P(h, high))
    l'' = l' read at the positions of bilinear ×2 moved by o, in g groups of channels, in low cells:
    o = (C_o(L~) + C_ho(H~)) · sigmoid(C_s(L~) + C_hs(H~)), C: conv3x3; L~ = [GN(L), cosine similarities of each cell
        with its 8 neighbours at distance 2], H~ likewise of H⁺; the result is (l'', h')

Cells outside count as zero, as in the compiled operator of the published models; the authors' form in plain PyTorch
reflects the map instead. Settings are those of their segmentation models: sampling on, 4 groups, Hamming window off.

Placement (ours): `rfbench.guided`. The fusion adds x_i itself, so that a path of one step returns l'' + x_i - P(x_i,
high): the sum is the authors' l'' + h'. Longer paths return l'' alone, and each branch gets one high-pass residual.
Initialisation: convolutions Xavier-uniform, but E9, E25, C_o, C_ho N(0, 0.001) and C_s, C_hs 0; biases 0. (The authors'
class initialises the four C so and then draws them again, Xavier-uniform.)
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from operators import Pair
from rfbench import official, reassembly
from rfbench.guided import GuidedStep, GuidedUpPath

OPTIONS = {"compressed": 64, "hamming": False}  # see FreqFusion
GROUPS = 4


class OffsetGenerator(nn.Module):
    """L (N, m, h, w) and H⁺ (N, m, 2h, 2w) -> offsets o for `reassembly.sample`, (N, 8g, h, w)."""

    def __init__(self, compressed: int):
        super().__init__()
        self.norm_lr = nn.GroupNorm(compressed // 8, compressed)
        self.norm_hr = nn.GroupNorm(compressed // 8, compressed)
        for name, maps in (("offset", 8), ("direct_scale", 8), ("hr_offset", 2), ("hr_direct_scale", 2)):
            self.add_module(name, nn.Conv2d(compressed + 8, maps * GROUPS, kernel_size=3, padding=1))

    def forward(self, low: Tensor, high: Tensor) -> Tensor:
        low, high = _with_similarities(self.norm_lr(low)), _with_similarities(self.norm_hr(high))
        wide = torch.promote_types(low.dtype, torch.float32)  # half precision would move the positions
        offset = self.offset(low).to(wide) + F.pixel_unshuffle(self.hr_offset(high), 2)
        scale = self.direct_scale(low).to(wide) + F.pixel_unshuffle(self.hr_direct_scale(high), 2)
        return offset * torch.sigmoid(scale)


def _with_similarities(x: Tensor) -> Tensor:
    """x and each cell's cosine similarities with its 8 neighbours at distance 2: (N, C + 8, H, W)."""
    unit = F.normalize(x, dim=1, eps=1e-8)
    similarities = reassembly.window_dot(unit, unit, 3, dilation=2).squeeze(2)
    return torch.cat([x, similarities[:, :4], similarities[:, 5:]], dim=1)


class FreqFusion(GuidedStep):
    """(N, C, h, w) and a guide (N, C, H, W) -> l'' and h', both (N, C, H, W); h = ⌈H/2⌉, w = ⌈W/2⌉

    Args:
        channels: C, divisible by 4.
        compressed: m, at least 8 and divisible by ⌊m/8⌋; below 1 a share of the channels, and at least 8.
        hamming: multiply every kernel by a Hamming window, and let it sum to one again.
    """

    def __init__(self, channels: int, compressed: float = 64, hamming: bool = False):
        super().__init__()
        m = int(compressed) if compressed >= 1 else max(round(compressed * channels), 8)
        if m < 8 or m % (m // 8) or channels % GROUPS:
            raise ValueError(
                f"FreqFusion: expected channels divisible by {GROUPS}, and compressed at least 8 and divisible by its "
                f"eighth, rounded down; found {channels} and {compressed}."
            )
        self.hr_channel_compressor = nn.Conv2d(channels, m, kernel_size=1)
        self.lr_channel_compressor = nn.Conv2d(channels, m, kernel_size=1)
        self.content_encoder = nn.Conv2d(m, 25, kernel_size=3, padding=1)  # E25
        self.content_encoder2 = nn.Conv2d(m, 9, kernel_size=3, padding=1)  # E9
        self.dysampler = OffsetGenerator(m)
        for name, side in (("lowpass", 5), ("highpass", 3)):
            window = torch.hamming_window(side, periodic=False) if hamming else torch.ones(1)
            # Added to the logits: softmax(l + log w) is softmax(l)·w with a sum of one.
            self.register_buffer(f"log_{name}", torch.outer(window, window).log().flatten(), persistent=False)
        self.init_operator()

    def reassemble(self, low: Tensor, guide: Tensor) -> tuple[Tensor, Tensor]:
        upsampled, blurred = self.filtered(low, guide)
        return upsampled, (2 * guide - blurred).to(guide.dtype)

    def filtered(self, low: Tensor, guide: Tensor, high: bool = True) -> tuple[Tensor, Tensor | None]:
        """l'' and P(h, high), both (N, C, 2h, 2w); without `high` l'' alone."""
        # The generator's maps at full resolution would outweigh the rest of the network; backward computes them again.
        smooth, sharp, offsets = checkpoint(
            self._kernels, low, guide, high, use_reentrant=False, preserve_rng_state=False
        )
        y = reassembly.sample(reassembly.upsample(low, smooth, 2), offsets, GROUPS).to(low.dtype)
        return y, reassembly.window_sum(guide, sharp).squeeze(2) if high else None

    def _kernels(self, low: Tensor, guide: Tensor, high: bool) -> tuple[Tensor, Tensor | None, Tensor]:
        """The kernels low (N, 25, 4, h, w) and high (N, 9, 1, 2h, 2w), if wanted, and the offsets (N, 8g, h, w)."""
        fine, coarse = self.hr_channel_compressor(guide), self.lr_channel_compressor(low)
        sharp = self.content_encoder2(fine)
        fine = 2 * fine - reassembly.window_sum(fine, self._softmax(sharp, self.log_highpass).unsqueeze(2)).squeeze(2)
        smooth = self.content_encoder(fine)
        smooth = smooth + reassembly.upsample(self.content_encoder(coarse), self._low_kernels(smooth), 2)
        smooth = self._low_kernels(smooth)
        if high:
            sharp = sharp + reassembly.upsample(self.content_encoder2(coarse), smooth, 2)
            sharp = self._softmax(sharp, self.log_highpass).unsqueeze(2)
        return smooth, sharp if high else None, self.dysampler(coarse, fine)

    def _low_kernels(self, logits: Tensor) -> Tensor:
        """(N, 25, 2h, 2w) -> (N, 25, 4, h, w), as `reassembly.upsample` takes them."""
        return F.pixel_unshuffle(self._softmax(logits, self.log_lowpass), 2).unflatten(1, (25, 4))

    def _softmax(self, logits: Tensor, log_window: Tensor) -> Tensor:
        return F.softmax(logits + log_window[:, None, None], dim=1)

    @torch.no_grad()
    def init_operator(self) -> None:
        sampler = self.dysampler
        small = (self.content_encoder, self.content_encoder2, sampler.offset, sampler.hr_offset)
        for conv in self.modules():
            if isinstance(conv, nn.Conv2d):
                if conv in small:
                    nn.init.normal_(conv.weight, std=0.001)
                elif conv in (sampler.direct_scale, sampler.hr_direct_scale):
                    nn.init.zeros_(conv.weight)
                else:
                    nn.init.xavier_uniform_(conv.weight)
                nn.init.zeros_(conv.bias)

    def load_official(self, state_dict: dict[str, Tensor]) -> None:
        """Load the authors' tensors, whose names are these layers', strictly; sampling on, kernels of 5 and 3."""
        windowed = self.log_lowpass.numel() > 1
        constants = {
            "dysampler.init_pos": (1, 8 * GROUPS, 1, 1),
            "hamming_lowpass": (1, 1, 5, 5) if windowed else (1,),
            "hamming_highpass": (1, 1, 3, 3) if windowed else (1,),
        }
        official.load_official(self, state_dict, constants=constants)


class PathStep(FreqFusion):
    """A step inside HRNet: l'', plus h - P(h, high) where `residual`. (N, C, h, w) and a guide -> (N, C, H, W)"""

    def __init__(self, channels: int, residual: bool, **options):
        super().__init__(channels, **options)
        self.residual = residual

    def reassemble(self, low: Tensor, guide: Tensor) -> Tensor:
        y, blurred = self.filtered(low, guide, high=self.residual)
        return (y + guide - blurred).to(low.dtype) if self.residual else y


def up(in_channels: int, out_channels: int, steps: int, **options) -> GuidedUpPath:
    """conv1x1 + BN + t × FreqFusion. (N, C_in, h, w) and the records -> (N, C_out, H, W) of the first record"""
    return GuidedUpPath(in_channels, out_channels, steps, lambda channels: PathStep(channels, steps == 1, **options))


UP = {"FreqFusion": up}
PAIRS = (
    Pair(
        "strideconv_freqfusion",
        "StrideConv*",
        "FreqFusion",
        label="StrideConv/FreqFusion",
        guide="mirror",
        since="TPAMI 2024; padded with zeros as in the published models, not by reflection as in the code without mmcv",
    ),
)
