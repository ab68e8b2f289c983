"""Haar pair: the low band goes down, the detail bands go across and put the map together again.

Li, Shen, "WaveSNet: Wavelet Integrated Deep Networks for Image Segmentation", arXiv:2005.14461, which replaces max
pooling by the discrete wavelet transform and unpooling by its inverse.

    down: y = LL, record H1, H2, H3 (rfbench.wavelets)    up: the inverse transform of (low map, recorded details)

Placement, as in `maxpool.py`: down, t transforms on C_in, then conv1x1 (no bias) + BN; up, conv1x1 (no bias) + BN, then
t inverse transforms. Ours, as there: the path j -> i takes the details of the same module's mirrored path i -> j, whose
channels and sizes always match. Odd maps are padded with zeros right and bottom and cut again (the authors' transform
refuses them). LL doubles a constant at each step; the BN that follows takes it back. No parameters.
Initialisation: HRNet's (Kaiming).
"""

from torch import Tensor, nn

from operators import Pair
from rfbench.wavelets import haar_down, haar_up


class HaarDownPath(nn.Module):
    """(N, C_in, H, W) -> (N, C_out, ⌈H/2^t⌉, ⌈W/2^t⌉) and a step's record: (details, size of the transformed map)."""

    def __init__(self, in_channels: int, out_channels: int, steps: int, relu: bool):
        super().__init__()
        self.steps = steps
        self.conv = nn.Conv2d(in_channels, out_channels, kernel_size=1, bias=False)
        self.norm = nn.BatchNorm2d(out_channels)
        self.relu = nn.ReLU() if relu else nn.Identity()

    def forward(self, x: Tensor) -> tuple[Tensor, tuple]:
        records = ()
        for _ in range(self.steps):
            size = x.shape[2:]
            x, details = haar_down(x)
            records += ((details, size),)
        return self.relu(self.norm(self.conv(x))), records


class HaarUpPath(nn.Module):
    """(N, C_in, h, w) and the records of a HaarDownPath with C_out inputs -> (N, C_out, H, W) of its map."""

    def __init__(self, in_channels: int, out_channels: int, steps: int):
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, kernel_size=1, bias=False)
        self.norm = nn.BatchNorm2d(out_channels)

    def forward(self, x: Tensor, records: tuple) -> Tensor:
        x = self.norm(self.conv(x))
        for details, size in reversed(records):
            x = haar_up(x, details, size)
        return x


DOWN = {"Haar": HaarDownPath}
UP = {"Haar": HaarUpPath}
PAIRS = (Pair("haar_haar", "Haar", "Haar", guide="mirror", since="WaveSNet, arXiv 2020"),)
