"""A2U: affinity-aware upsampling, with the downsampling it comes with.

Dai, Lu, Shen, "Learning Affinity-Aware Upsampling for Deep Image Matting", arXiv:2011.14288, section 3 (second-order
features by a low-rank bilinear form). Compared in Liu, Liu, Liang, arXiv:2111.00193, Table 2; its placement in HRNet
is not released.

On x, padded with zeros right and bottom to even sides, with filters predicted from x itself:

    U, V = LeakyReLU(GroupNorm(x * u)), LeakyReLU(GroupNorm(x * v))      u, v: 6x6, stride 2, on every channel
    affinity = Σ_c U·V / √C                                              (N, 1, H/2, W/2)
    down: y = Σ over 6x6 windows of x · softmax(affinity · P_d)          P_d: 36 numbers from x
    up:   y = Σ over 3x3 windows of the low map · softmax(sigmoid(pixel shuffle(affinity · P_u)))

Cells outside the map count as zero, and nothing is renormalised.

Placement: down, each step is a conv3x3 (no bias) with the baseline's channels, BN, a ReLU where the baseline has one
(authors: LeakyReLU), then A2U; up, conv1x1 (no bias) + BN, then t steps (authors: a lateral is added first). Ours, too:
an up path takes the masks of the previous module's mirrored down path, else those of the transitions; masks of odd
maps are cut to the map (arXiv:2111.00193v1, section 4.2, pairs a stage's downsampling with the next one's upsampling).
Confidence: medium-high (the parameter count agrees exactly).
Initialisation, the authors': Xavier-normal with the gain of leaky_relu(0.01), biases 0.
"""

from math import gcd

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from operators import Pair, options_of
from rfbench import reassembly

SIDE = 6  # of the down window and of the filters
OFFICIAL_NAMES = {  # ours: the authors'
    "norm_u": "bnu.0",
    "norm_v": "bnv.0",
    "up_weights": "bconv_UP.1",
    "down_weights": "bconv_DP.1",
    "filter_u": "bconv_U.1",
    "filter_v": "bconv_V.1",
}


class GroupNorm(nn.GroupNorm):
    """Group norm that takes groups of a single value, too (one image, map of 2x2 or less): there it yields its bias."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.group_norm(x, self.num_groups, self.weight, self.bias, self.eps)


class A2UDownsample(nn.Module):
    """(N, C, H, W) -> y (N, C, ⌈H/2⌉, ⌈W/2⌉) and the up mask (N, up_kernel², H, W).

    Args:
        channels: C.
        up_kernel: side of the window that upsampling reassembles, odd.
        shared: one filter pair u, v for all channels, or one a channel.
    """

    def __init__(self, channels: int, up_kernel: int = 3, shared: bool = True):
        super().__init__()
        if up_kernel < 1 or up_kernel % 2 == 0:
            raise ValueError(f"A2U: up_kernel must be odd, not {up_kernel}, for its window to have a centre.")
        filters, groups = 1 if shared else channels, gcd(32, channels)
        self.filter_u = nn.Conv2d(channels, filters, kernel_size=1)
        self.filter_v = nn.Conv2d(channels, filters, kernel_size=1)
        self.norm_u = GroupNorm(groups, channels)
        self.norm_v = GroupNorm(groups, channels)
        self.up_weights = nn.Conv2d(channels, 4 * up_kernel**2, kernel_size=1)
        self.down_weights = nn.Conv2d(channels, SIDE**2, kernel_size=1)
        self.init_operator()

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        height, width = x.shape[2:]
        x = F.pad(x, (0, width % 2, 0, height % 2))
        # U and V need memory like x each; they are computed again in backward.
        affinity = checkpoint(self._affinity, x, use_reentrant=False, preserve_rng_state=False)
        mean = x.mean((2, 3), keepdim=True)
        down_mask = F.softmax(affinity * self.down_weights(mean), dim=1)  # (N, 36, h, w)
        y = reassembly.window_sum(x, down_mask.unsqueeze(2), stride=2).squeeze(2).to(x.dtype)
        up_mask = F.pixel_shuffle(affinity * self.up_weights(mean), 2)  # (N, k², 2h, 2w), channel = tap·4 + sub-pixel
        return y, F.softmax(torch.sigmoid(up_mask), dim=1)[:, :, :height, :width]

    def _affinity(self, x: Tensor) -> Tensor:
        """Σ_c U·V / √C: (N, C, H, W) -> (N, 1, H/2, W/2)"""
        pooled = F.adaptive_avg_pool2d(x, SIDE)
        filters = torch.stack([self.filter_u(pooled), self.filter_v(pooled)], dim=2)  # (N, 1 or C, 2, 6, 6)
        u, v = _filter(x, filters).unbind(2)
        u, v = (F.leaky_relu(part, 0.01) for part in (self.norm_u(u), self.norm_v(v)))
        return (u * v).sum(1, keepdim=True) / x.shape[1] ** 0.5

    @torch.no_grad()
    def init_operator(self) -> None:
        for conv in (self.filter_u, self.filter_v, self.up_weights, self.down_weights):
            nn.init.xavier_normal_(conv.weight, gain=nn.init.calculate_gain("leaky_relu", 0.01))
            nn.init.zeros_(conv.bias)

    def load_official(self, state_dict: dict[str, Tensor]) -> None:
        """Load the authors' tensors (names as in OFFICIAL_NAMES), strictly."""
        ours = {theirs: name for name, theirs in OFFICIAL_NAMES.items()}
        parts = [(key.rpartition("."), tensor) for key, tensor in state_dict.items()]
        self.load_state_dict({f"{ours.get(name, name)}.{kind}": t for (name, _, kind), t in parts}, strict=True)


def _filter(x: Tensor, filters: Tensor) -> Tensor:
    """Each sample's own two filters on every channel, stride 2: (N, C, 2, H/2, W/2)."""
    n, channels = x.shape[:2]
    if filters.shape[1] == 1:  # channels as the batch: the fastest form on a CPU
        x, filters, groups = x.transpose(0, 1), filters.flatten(0, 2), n
        y = F.conv2d(x, filters.unsqueeze(1), stride=2, padding=2, groups=groups)  # (C, N·2, h, w)
        return y.unflatten(1, (n, 2)).transpose(0, 1)
    y = F.conv2d(x.flatten(0, 1)[None], filters.flatten(0, 2).unsqueeze(1), stride=2, padding=2, groups=n * channels)
    return y[0].unflatten(0, (n, channels, 2))


def a2u_upsample(low: Tensor, up_mask: Tensor) -> Tensor:
    """Each cell of the mask weights the window around its cell of the low map: (N, C, h, w) -> (N, C, H, W)."""
    height, width = up_mask.shape[2:]
    mask = F.pixel_unshuffle(F.pad(up_mask, (0, width % 2, 0, height % 2)), 2)
    y = reassembly.upsample(low, mask.unflatten(1, (-1, 4)), 2).to(low.dtype)
    return y[:, :, :height, :width]


class A2UStep(nn.Module):
    """conv3x3 + BN (+ ReLU) + A2U: (N, C_in, H, W) -> y (N, C_out, ⌈H/2⌉, ⌈W/2⌉) and the up mask."""

    def __init__(self, in_channels: int, out_channels: int, relu: bool, options: dict):
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, kernel_size=3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(out_channels)
        self.relu = nn.ReLU() if relu else nn.Identity()
        self.a2u = A2UDownsample(out_channels, **options)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return self.a2u(self.relu(self.norm(self.conv(x))))


class A2UDownPath(nn.Module):
    """(N, C_in, H, W) -> (N, C_out, ⌈H/2^t⌉, ⌈W/2^t⌉) and a step's record: its up mask."""

    def __init__(self, in_channels: int, out_channels: int, steps: int, relu: bool, **options):
        super().__init__()
        inner = [A2UStep(in_channels, in_channels, True, options) for _ in range(steps - 1)]
        self.steps = nn.ModuleList([*inner, A2UStep(in_channels, out_channels, relu, options)])

    def forward(self, x: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
        records = ()
        for step in self.steps:
            x, up_mask = step(x)
            records += (up_mask,)
        return x, records


class A2UUpPath(nn.Module):
    """(N, C_in, h, w) and t up masks, highest resolution first -> (N, C_out, H, W) of the first mask."""

    def __init__(self, in_channels: int, out_channels: int, steps: int, **options):
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, kernel_size=1, bias=False)
        self.norm = nn.BatchNorm2d(out_channels)

    def forward(self, x: Tensor, records: tuple[Tensor, ...]) -> Tensor:
        x = self.norm(self.conv(x))
        for up_mask in reversed(records):
            x = a2u_upsample(x, up_mask)
        return x


OPTIONS = options_of(A2UDownsample)
DOWN = {"A2U": A2UDownPath}
UP = {"A2U": A2UUpPath}
PAIRS = (Pair("a2u", "A2U", "A2U", params=66_514_232, confidence="medium-high", guide="previous"),)
