"""LIP: local importance-based pooling.

Gao, Wang, Wu, "LIP: Local Importance-Based Pooling", arXiv:1908.04156, Eq. 3–4 with the logit modules of section 3.3.
Compared in Liu, Liu, Liang, arXiv:2111.00193, Table 2; its placement in HRNet is not released.

    y = Σ x·e^l / Σ e^l    over 3x3 windows of stride 2, only cells inside the map counting,

with the logit l = 12·sigmoid(…) of the pooled map x itself ("bottleneck": conv1x1 C→128, IN, ReLU, conv3x3, IN, ReLU,
conv1x1 128→C, IN; "simplified": conv3x3 C→C, IN). Weights reach e^12 = 162,755, above half precision's
maximum, so they are taken and summed in float32.

Placement: each step is a conv3x3 (stride 1, no bias) with the baseline's channels, BN, a ReLU where the baseline has
one, then LIP. This order is ours. IN uses the map's own statistics in evaluation too; on a 1x1 map it yields its bias.
Confidence: high (the parameter count agrees exactly).
Initialisation: HRNet's (Kaiming), but the bottleneck's last conv1x1 starts at zero, as the authors' does: all logits
are then equal, and the operator starts as an average.
"""

from collections import OrderedDict

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from operators import Pair, options_of

KINDS = ("bottleneck", "simplified")
SCALE = 12  # of the sigmoid


class InstanceNorm(nn.InstanceNorm2d):
    """Affine instance norm that takes 1x1 maps, too: there it yields its bias."""

    def __init__(self, channels: int):
        super().__init__(channels, eps=1e-5, affine=True)

    def forward(self, x: Tensor) -> Tensor:
        # One group a channel is the same norm, without the refusal.
        return torch.group_norm(x, self.num_features, self.weight, self.bias, self.eps)


class LIP(nn.Module):
    """(N, C, H, W) -> (N, C, ⌈H/2⌉, ⌈W/2⌉)

    Args:
        channels: C.
        kind: "bottleneck" or "simplified".
        width: channels inside the bottleneck.
    """

    def __init__(self, channels: int, kind: str = "bottleneck", width: int = 128):
        super().__init__()
        if kind not in KINDS:
            raise ValueError(f"LIP: kind must be one of {', '.join(KINDS)}, not {kind!r}.")
        self.kind = kind
        self.logit = _bottleneck(channels, width) if kind == "bottleneck" else _simplified(channels)
        self.split = 4 if kind == "bottleneck" else 1  # after the spatial convolution
        self.init_operator()

    def forward(self, x: Tensor) -> Tensor:
        # The logit net's maps at full resolution would outweigh the rest of the network. Only x and the spatial
        # convolution's output are kept for backward; as the last one of its segment it is not run again.
        return _recomputed(self._pool, x, _recomputed(self.logit[: self.split], x))

    def _pool(self, x: Tensor, hidden: Tensor) -> Tensor:
        logit = SCALE * torch.sigmoid(self.logit[self.split :](hidden))  # (N, C, H, W)
        wide = torch.promote_types(x.dtype, torch.float32)
        weight = logit.to(wide).exp()
        # Means over 9 cells, zeros outside the map: the 9 cancels, the outside weighs nothing.
        total, norm = (F.avg_pool2d(cells, 3, stride=2, padding=1) for cells in (weight * x.to(wide), weight))
        return (total / norm).to(x.dtype)

    @torch.no_grad()
    def init_operator(self) -> None:
        if self.kind == "bottleneck":
            nn.init.zeros_(self.logit.conv3.weight)

    def load_official(self, state_dict: dict[str, Tensor]) -> None:
        """Load the authors' tensors, `logit.conv1.weight`, `logit.bn1.weight`, …, strictly."""
        self.load_state_dict(state_dict, strict=True)

    def extra_repr(self) -> str:
        return f"kind={self.kind}"


def _bottleneck(channels: int, width: int) -> nn.Sequential:
    layers = OrderedDict(
        conv1=nn.Conv2d(channels, width, kernel_size=1, bias=False),
        bn1=InstanceNorm(width),
        relu1=nn.ReLU(inplace=True),
        conv2=nn.Conv2d(width, width, kernel_size=3, padding=1, bias=False),
        bn2=InstanceNorm(width),
        relu2=nn.ReLU(inplace=True),
        conv3=nn.Conv2d(width, channels, kernel_size=1, bias=False),
        bn3=InstanceNorm(channels),
    )
    return nn.Sequential(layers)


def _simplified(channels: int) -> nn.Sequential:
    conv = nn.Conv2d(channels, channels, kernel_size=3, padding=1, bias=False)
    return nn.Sequential(OrderedDict(conv=conv, bn=InstanceNorm(channels)))


def _recomputed(function, *inputs: Tensor) -> Tensor:
    """function(*inputs), of which only the inputs are kept for backward. Exact: nothing in here is random."""
    return checkpoint(function, *inputs, use_reentrant=False, preserve_rng_state=False)


def down(in_channels: int, out_channels: int, steps: int, relu: bool, **options) -> nn.Sequential:
    """t × [conv3x3 + BN + ReLU + LIP], the last to C_out. (N, C_in, H, W) -> (N, C_out, ⌈H/2^t⌉, ⌈W/2^t⌉)"""
    inner = [_step(in_channels, in_channels, True, options) for _ in range(steps - 1)]
    return nn.Sequential(*inner, _step(in_channels, out_channels, relu, options))


def _step(in_channels: int, out_channels: int, relu: bool, options: dict) -> nn.Sequential:
    layers = OrderedDict(
        conv=nn.Conv2d(in_channels, out_channels, kernel_size=3, padding=1, bias=False),
        norm=nn.BatchNorm2d(out_channels),
        relu=nn.ReLU() if relu else nn.Identity(),
        lip=LIP(out_channels, **options),
    )
    return nn.Sequential(layers)


OPTIONS = options_of(LIP)
DOWN = {"LIP": down}
PAIRS = (Pair("lip_bilinear", "LIP", "Bilinear", params=75_438_212, confidence="high"),)
