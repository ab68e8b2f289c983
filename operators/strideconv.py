"""Strided convolution, the downsampling of HRNet.

Wang et al., "Deep High-Resolution Representation Learning for Visual Recognition", arXiv:1908.07919.
Placement: as in mmseg, module for module: state_dict keys and outputs equal mmseg's, ImageNet weights load.
Confidence: certain. Initialisation: HRNet's (Kaiming).

"StrideConv*" is the same path, module for module and name for name, that also records what each step received: the
guides of up paths that look at the map of the resolution they go to.
"""

from torch import Tensor, nn

from operators import Pair


def down(in_channels: int, out_channels: int, steps: int, relu: bool) -> nn.Sequential:
    """t × conv3x3 stride 2, the last to C_out. (N, C_in, H, W) -> (N, C_out, ⌈H/2^t⌉, ⌈W/2^t⌉)"""
    inner = [_step(in_channels, in_channels, relu=True) for _ in range(steps - 1)]
    return nn.Sequential(*inner, _step(in_channels, out_channels, relu))


class RecordingPath(nn.Sequential):
    """The strided steps of `down`, and a step's record: its input, (N, C_in, ⌈H/2^s⌉, ⌈W/2^s⌉), s = 0 … t-1.

    The records keep no memory: autograd needs those maps anyway.
    """

    def forward(self, x: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
        records = ()
        for step in self:
            records += (x,)
            x = step(x)
        return x, records


def recording_down(in_channels: int, out_channels: int, steps: int, relu: bool) -> RecordingPath:
    """`down` with records. (N, C_in, H, W) -> (N, C_out, ⌈H/2^t⌉, ⌈W/2^t⌉) and t maps of C_in channels"""
    return RecordingPath(*down(in_channels, out_channels, steps, relu))


def _step(in_channels: int, out_channels: int, relu: bool) -> nn.Sequential:
    conv = nn.Conv2d(in_channels, out_channels, kernel_size=3, stride=2, padding=1, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(out_channels), *([nn.ReLU()] if relu else []))


OF_HRNET = ("StrideConv", "StrideConv*")
DOWN = {"StrideConv": down, "StrideConv*": recording_down}
PAIRS = (Pair("strideconv_bilinear", "StrideConv", "Bilinear", params=65_847_844, confidence="certain"),)
