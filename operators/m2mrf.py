"""M2MRF: many-to-many reassembly of features.

Liu, Liu, Liang, "M2MRF: Many-to-Many Reassembly of Features for Tiny Lesion Segmentation in Fundus Images",
arXiv:2111.00193v2: the operator in section "Many-to-Many Reassembly of Features" (Fig. 3, Eq. 6), its paths
in section "M2MRF for Tiny Lesion Segmentation" (Fig. 4). What the paper leaves open (biases, padding before
the compression, where BN and ReLU stand) follows the authors' code,
https://github.com/CVIU-CSU/M2MRF-Lesion-Segmentation.

    y = conv1x1(fold(W2·(W1·p + b1) + b2))    p: each S×S patch of conv1x1(x) as a vector; fold: to patches of side S·δ

Confidence: certain (the parameter counts agree exactly, and the names and shapes of the authors' code load).

Placement in HRNet: one-step down = M2MRF(2^-t) + BN; cascade down = t × [M2MRF(1/2) + BN + ReLU], the last
without ReLU; transitions = M2MRF(1/2) + BN + ReLU; up = conv1x1 + BN, then M2MRF(2^t) or t × M2MRF(2).
Initialisation: Xavier-uniform as in the authors' code, or ``init="gaussian"``, N(0, 0.01), as in the paper's
text (section "Implementation Details"); biases 0.
"""

from collections import OrderedDict

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from operators import Pair, options_of

INITS = ("xavier", "gaussian")
OFFICIAL_NAMES = {  # ours: the authors'
    "compress": "sample_encode_conv",
    "gather": "sample.sample_fc",
    "scatter": "sample.sample_fc1",
    "recover": "sample_decode_conv",
}


class M2MRF(nn.Module):
    """Reassemble S×S patches jointly: (N, C_in, H, W) -> (N, C_out, max(⌊H·scale⌋, 1), max(⌊W·scale⌋, 1)).

    The paper's unfold–linear–linear–fold, written as convolutions (equal up to rounding, and much faster).

    Args:
        scale: sampling rate δ; patch_size · scale must be a whole number.
        patch_size: side S of a patch.
        reduction: channel compression r, e = ⌊C_in / r⌋.
        alpha: bottleneck of the linear pair, f = ⌊S²·e / alpha⌋.
        init: "xavier" or "gaussian".
    """

    def __init__(
        self,
        scale: float,
        in_channels: int,
        out_channels: int,
        patch_size: int = 8,
        reduction: int = 4,
        alpha: float = 64,
        *,
        init: str = "xavier",
    ):
        super().__init__()
        if init not in INITS:
            raise ValueError(f"M2MRF: init must be one of {', '.join(INITS)}, not {init!r}.")
        self.scale, self.patch_size, self.init = scale, patch_size, init
        self.out_patch_size = _out_patch_size(scale, patch_size)
        compressed = int(in_channels / reduction)  # e
        hidden = int(patch_size**2 * compressed / alpha)  # f
        if hidden < 1:
            raise ValueError(
                f"M2MRF: {in_channels} channels with patch_size {patch_size}, reduction {reduction} and "
                f"alpha {alpha} leave e = {compressed} compressed channels and f = {hidden} hidden features; "
                "both must be at least 1. Lower reduction or alpha, or raise patch_size."
            )
        self.compress = nn.Conv2d(in_channels, compressed, kernel_size=1)
        self.gather = nn.Conv2d(compressed, hidden, kernel_size=patch_size, stride=patch_size)
        self.scatter = nn.Conv2d(hidden, self.out_patch_size**2 * compressed, kernel_size=1)
        self.recover = nn.Conv2d(compressed, out_channels, kernel_size=1)
        self.register_load_state_dict_pre_hook(_accept_official)
        self.init_operator()

    def forward(self, x: Tensor) -> Tensor:
        height, width = x.shape[2:]
        # Before the compression, so that padded cells carry its bias, as in the authors' code.
        x = F.pad(x, (0, -width % self.patch_size, 0, -height % self.patch_size))
        x = self.compress(x)  # (N, e, S·a, S·b)
        x = self.gather(x)  # (N, f, a, b): one vector a patch
        x = self.scatter(x)  # (N, e·(S·s)², a, b): channel, row, column, the order pixel_shuffle expects
        x = F.pixel_shuffle(x, self.out_patch_size)  # (N, e, S·s·a, S·s·b)
        x = self.recover(x)  # (N, C_out, S·s·a, S·s·b)
        return x[:, :, : max(int(height * self.scale), 1), : max(int(width * self.scale), 1)]

    @torch.no_grad()
    def init_operator(self) -> None:
        for conv in (self.compress, self.gather, self.scatter, self.recover):
            if self.init == "gaussian":
                nn.init.normal_(conv.weight, std=0.01)
            else:
                # As the matrix of the linear layer it is; the fans of an S×S convolution would differ.
                nn.init.xavier_uniform_(conv.weight.view(conv.out_channels, -1))
            nn.init.zeros_(conv.bias)

    def fused(self) -> "FusedM2MRF":
        """The shorter form for inference."""
        return FusedM2MRF(self)

    def load_official(self, state_dict: dict[str, Tensor]) -> None:
        """Load the authors' tensors of one operator (names as in OFFICIAL_NAMES), strictly."""
        self.load_state_dict(state_dict, strict=True)

    def extra_repr(self) -> str:
        return f"scale={self.scale}, patch_size={self.patch_size}, init={self.init}"


class FusedM2MRF(nn.Module):
    """M2MRF with both 1x1 convolutions absorbed: one strided convolution, one 1x1, a pixel shuffle.

    The compression is absorbed with its bias, whole patches at a time, padded cells included. That is exact because
    M2MRF pads with zeros before it compresses: a padded cell becomes the bias there, and here, too.
    (N, C_in, H, W) -> (N, C_out, max(⌊H·scale⌋, 1), max(⌊W·scale⌋, 1))
    """

    def __init__(self, operator: M2MRF):
        super().__init__()
        self.scale, self.patch_size, self.out_patch_size = operator.scale, operator.patch_size, operator.out_patch_size
        compress, recover = (conv.weight.double()[:, :, 0, 0] for conv in (operator.compress, operator.recover))
        gather = operator.gather.weight.double()  # (f, e, S, S)
        cells = self.out_patch_size**2
        scatter = operator.scatter.weight.double()[:, :, 0, 0].unflatten(0, (-1, cells))  # (e, (S·s)², f)
        self.gather = _conv(
            torch.einsum("feij,ec->fcij", gather, compress),
            operator.gather.bias + torch.einsum("feij,e->f", gather, operator.compress.bias.double()),
            operator.gather,
        )
        bias = recover @ operator.scatter.bias.double().unflatten(0, (-1, cells)) + operator.recover.bias[:, None]
        self.scatter = _conv(
            torch.einsum("oe,epf->opf", recover, scatter).flatten(0, 1)[:, :, None, None],
            bias.flatten(),
            operator.scatter,
        )

    def forward(self, x: Tensor) -> Tensor:
        height, width = x.shape[2:]
        x = F.pad(x, (0, -width % self.patch_size, 0, -height % self.patch_size))
        x = self.scatter(self.gather(x))  # (N, C_out·(S·s)², a, b)
        x = F.pixel_shuffle(x, self.out_patch_size)
        return x[:, :, : max(int(height * self.scale), 1), : max(int(width * self.scale), 1)]

    @torch.no_grad()
    def fold(self, norm: nn.BatchNorm2d) -> None:
        """Absorb the batch norm that follows."""
        scale = norm.weight.double() / (norm.running_var.double() + norm.eps).sqrt()
        shift = norm.bias - norm.running_mean * scale
        scale, shift = (value.repeat_interleave(self.out_patch_size**2) for value in (scale, shift))
        self.scatter.weight.copy_(self.scatter.weight * scale[:, None, None, None])
        self.scatter.bias.copy_(self.scatter.bias * scale + shift)


def _conv(weight: Tensor, bias: Tensor, like: nn.Conv2d) -> nn.Conv2d:
    """A convolution of this weight and bias, with the other's kernel, stride, type and device."""
    conv = nn.Conv2d(weight.shape[1], weight.shape[0], like.kernel_size, like.stride)
    conv.weight, conv.bias = (nn.Parameter(value.detach().to(like.weight)) for value in (weight, bias))
    return conv


def _out_patch_size(scale: float, patch_size: int) -> int:
    side = patch_size * scale
    if side < 1 or side != int(side):
        raise ValueError(f"M2MRF: patch_size · scale must be a whole number ≥ 1, not {patch_size} · {scale} = {side}.")
    return int(side)


def _accept_official(module: M2MRF, state_dict: dict[str, Tensor], prefix: str, *_) -> None:
    """Before loading: turn the authors' names and matrix shapes [out, in, 1] at `prefix` into ours."""
    for ours, theirs in OFFICIAL_NAMES.items():
        for kind in ("weight", "bias"):
            tensor = state_dict.pop(f"{prefix}{theirs}.{kind}", None)
            if tensor is None:
                continue
            own = getattr(module.get_submodule(ours), kind)
            if tensor.dim() == 3 and tensor.shape == (*own.flatten(1).shape, 1):
                tensor = tensor.reshape(own.shape)
            state_dict[f"{prefix}{ours}.{kind}"] = tensor


def down_onestep(in_channels: int, out_channels: int, steps: int, relu: bool, **options) -> nn.Sequential:
    """M2MRF(2^-t) + BN. A patch must shrink to at least one cell: patches of max(patch_size, 2^t)."""
    options["patch_size"] = max({**OPTIONS, **options}["patch_size"], 2**steps)
    return nn.Sequential(_down_step(2**-steps, in_channels, out_channels, relu, options))


def down_cascade(in_channels: int, out_channels: int, steps: int, relu: bool, **options) -> nn.Sequential:
    """t × [M2MRF(1/2) + BN + ReLU]; the last one changes the channels and has a ReLU only if `relu`."""
    inner = [_down_step(0.5, in_channels, in_channels, True, options) for _ in range(steps - 1)]
    return nn.Sequential(*inner, _down_step(0.5, in_channels, out_channels, relu, options))


def _down_step(scale: float, in_channels: int, out_channels: int, relu: bool, options: dict) -> nn.Sequential:
    operator = M2MRF(scale, in_channels, out_channels, **options)
    return nn.Sequential(operator, nn.BatchNorm2d(out_channels), *([nn.ReLU()] if relu else []))


def up_onestep(in_channels: int, out_channels: int, steps: int, **options) -> nn.Sequential:
    """conv1x1 + BN + M2MRF(2^t). (N, C_in, H, W) -> (N, C_out, 2^t·H, 2^t·W)"""
    conv, norm = _lateral(in_channels, out_channels)
    return nn.Sequential(conv, norm, M2MRF(2**steps, out_channels, out_channels, **options))


def up_cascade(in_channels: int, out_channels: int, steps: int, **options) -> nn.Sequential:
    """conv1x1 + BN + t × M2MRF(2). (N, C_in, H, W) -> (N, C_out, 2^t·H, 2^t·W)"""
    conv, norm = _lateral(in_channels, out_channels)
    path = OrderedDict({"0": conv, "1": norm})  # the authors' names
    for step in range(steps):
        path[f"sample_{step}"] = M2MRF(2, out_channels, out_channels, **options)
    return nn.Sequential(path)


def _lateral(in_channels: int, out_channels: int) -> tuple[nn.Module, nn.Module]:
    return nn.Conv2d(in_channels, out_channels, kernel_size=1, bias=False), nn.BatchNorm2d(out_channels)


OPTIONS = options_of(M2MRF)
DOWN = {"M2MRF one-step": down_onestep, "M2MRF cascade": down_cascade}
UP = {"M2MRF one-step": up_onestep, "M2MRF cascade": up_cascade}

ONE, CASCADE = DOWN  # their names
PAIRS = (
    Pair("m2mrf_onestep_bilinear", ONE, "Bilinear", params=60_750_568, confidence="certain"),
    Pair("m2mrf_cascade_bilinear", CASCADE, "Bilinear", params=61_115_932, confidence="certain"),
    Pair("strideconv_m2mrf_onestep", "StrideConv", ONE, params=75_029_812, confidence="certain"),
    Pair("strideconv_m2mrf_cascade", "StrideConv", CASCADE, params=72_252_172, confidence="certain"),
    Pair("m2mrf_a", ONE, ONE, params=69_932_536, confidence="certain", label="M2MRF-A"),
    Pair("m2mrf_b", ONE, CASCADE, params=67_154_896, confidence="certain", label="M2MRF-B"),
    Pair("m2mrf_c", CASCADE, ONE, params=70_297_900, confidence="certain", label="M2MRF-C"),
    Pair("m2mrf_d", CASCADE, CASCADE, params=67_520_260, confidence="certain", label="M2MRF-D"),
)
