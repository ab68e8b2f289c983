"""HWD: Haar wavelet downsampling, whose four bands a convolution mixes.

Xu, Liao, Zhang, Li, He, Wu, "Haar wavelet downsampling: A simple but effective downsampling module for semantic
segmentation", Pattern Recognition 143 (2023) 109819, doi:10.1016/j.patcog.2023.109819.

    y = ReLU(BN(conv1x1([LL, H1, H2, H3])))    the bands of 2x2 blocks (rfbench.wavelets), 4C channels

Nothing of a lesion of one cell is lost before the convolution: it shows in all four bands. Odd maps are padded with
zeros right and bottom, as the authors' wavelet library does.

Placement (ours): each step replaces a strided convolution: Haar, conv1x1, BN, a ReLU where the baseline has one. The
convolution has no bias (the authors' has), since the BN removes it. Initialisation: HRNet's (Kaiming).
"""

import torch
from torch import Tensor, nn

from operators import Pair
from rfbench import official
from rfbench.wavelets import haar_down

OFFICIAL_NAMES = {"conv_bn_relu.0": "conv", "conv_bn_relu.1": "norm"}  # the authors': ours
# The filters of the authors' wavelet library -> their shapes
CONSTANTS = {f"wt.{band}_{axis}": shape for axis, shape in (("col", (1, 1, 2, 1)), ("row", (1, 1, 1, 2)))
             for band in ("h0", "h1")}  # fmt: skip


class HWD(nn.Module):
    """(N, C_in, H, W) -> (N, C_out, ⌈H/2⌉, ⌈W/2⌉)

    Args:
        in_channels: C_in.
        out_channels: C_out.
        act: class of the activation at the end; nn.Identity for none.
    """

    def __init__(self, in_channels: int, out_channels: int, act: type[nn.Module] = nn.ReLU):
        super().__init__()
        self.conv = nn.Conv2d(4 * in_channels, out_channels, kernel_size=1, bias=False)
        self.norm = nn.BatchNorm2d(out_channels)
        self.act = act()

    def forward(self, x: Tensor) -> Tensor:
        return self.act(self.norm(self.conv(torch.cat(haar_down(x), dim=1))))

    def load_official(self, state_dict: dict[str, Tensor]) -> None:
        """Load the authors' tensors (prefixes as in OFFICIAL_NAMES), strictly.

        Their convolution has a bias, which shifts what the BN subtracts: it is taken off the running mean.
        """
        bias, mean = "conv_bn_relu.0.bias", "conv_bn_relu.1.running_mean"
        tensors = dict(state_dict)
        if bias not in tensors:
            raise RuntimeError(f"HWD: Missing key in state_dict: {bias} (the authors' convolution has a bias).")
        shift = tensors.pop(bias)
        if mean in tensors:
            tensors[mean] = tensors[mean] - shift
        official.load_official(self, tensors, OFFICIAL_NAMES, CONSTANTS)


def down(in_channels: int, out_channels: int, steps: int, relu: bool) -> nn.Sequential:
    """t × HWD, the last to C_out. (N, C_in, H, W) -> (N, C_out, ⌈H/2^t⌉, ⌈W/2^t⌉)"""
    inner = [HWD(in_channels, in_channels) for _ in range(steps - 1)]
    return nn.Sequential(*inner, HWD(in_channels, out_channels, act=nn.ReLU if relu else nn.Identity))


DOWN = {"HWD": down}
PAIRS = (Pair("hwd_bilinear", "HWD", "Bilinear", since="Pattern Recognition 2023"),)
