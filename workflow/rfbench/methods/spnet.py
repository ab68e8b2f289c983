"""SPNet: averages over whole rows and whole columns, inside the trunk and in the head.

Hou et al., "Strip Pooling: Rethinking Spatial Pooling for Scene Parsing", arXiv:2003.13328. Strip pooling modules stand
behind the 3x3 convolution of the last block of each stage and of every block of stage 4; two mixed pooling modules make
the head.

Confidence: parameters agree with the paper's 15.62 M (head) and 6.12 M (strips, ResNet-50). The auxiliary head is left
out, the upsampling takes cells (align_corners false); the M2MRF papers do not print the backbone's depth.
"""

import torch
import torch.nn.functional as F
from mmseg.models.backbones import ResNet
from torch import Tensor, nn

from rfbench.competitors.method import Method
from rfbench.methods.parts.heads import segmentor
from rfbench.methods.parts.layers import conv_norm, conv_norm_relu, initialise
from rfbench.methods.parts.resnet import DEPTH_UNKNOWN, OPTIONS, dilated_resnet, resnet_weights, widths
from rfbench.models.segmentor import LesionSegmentor

POOLS = (20, 12)  # rows and columns of a mixed pooling module's square pools


class Strips(nn.Module):
    """What rows and columns of a map are on average, and their neighbours. (N, C, H, W) -> (N, C, H, W)"""

    def __init__(self, channels: int):
        super().__init__()
        rows = nn.Conv2d(channels, channels, kernel_size=(3, 1), padding=(1, 0), bias=False)
        columns = nn.Conv2d(channels, channels, kernel_size=(1, 3), padding=(0, 1), bias=False)
        self.rows = nn.Sequential(rows, nn.BatchNorm2d(channels))
        self.columns = nn.Sequential(columns, nn.BatchNorm2d(channels))

    def forward(self, x: Tensor) -> Tensor:
        rows = self.rows(x.mean(3, keepdim=True))  # (N, C, H, 1)
        columns = self.columns(x.mean(2, keepdim=True))  # (N, C, 1, W)
        return F.relu(rows + columns)


class StripPooling(nn.Module):
    """x · sigmoid(conv1x1(strips of x)). (N, C, H, W) -> (N, C, H, W)"""

    def __init__(self, channels: int):
        super().__init__()
        self.strips = Strips(channels)
        self.gate = nn.Conv2d(channels, channels, kernel_size=1)

    def forward(self, x: Tensor) -> Tensor:
        return x * self.gate(self.strips(x)).sigmoid()


class MixedPooling(nn.Module):
    """Squares of two sizes and strips, each on a quarter of the channels. (N, C, H, W) -> (N, C, H, W)"""

    def __init__(self, channels: int):
        super().__init__()
        quarter = channels // 4
        self.to_squares, self.to_strips = conv_norm_relu(channels, quarter, 1), conv_norm_relu(channels, quarter, 1)
        self.as_it_is = conv_norm(quarter, quarter, 3)
        self.pooled = nn.ModuleList(conv_norm(quarter, quarter, 3) for _ in POOLS)
        self.squares = conv_norm_relu(quarter, quarter, 3)
        self.strips = nn.Sequential(Strips(quarter), *conv_norm_relu(quarter, quarter, 3))
        self.out = conv_norm(2 * quarter, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        y = self.to_squares(x)
        total = self.as_it_is(y)
        for side, conv in zip(POOLS, self.pooled, strict=True):
            small = conv(F.adaptive_avg_pool2d(y, side))
            total = total + F.interpolate(small, y.shape[2:], mode="bilinear", align_corners=False)
        both = torch.cat([self.squares(F.relu(total)), self.strips(self.to_strips(x))], dim=1)
        return F.relu(x + self.out(both))


class SPHead(nn.Module):
    """The last of four maps -> logits of its size. He initialisation, the last layer N(0, 0.01)."""

    def __init__(self, channels: int, num_lesions: int):
        super().__init__()
        half, quarter = channels // 2, channels // 4
        self.pooling = nn.Sequential(conv_norm_relu(channels, half, 1), MixedPooling(half), MixedPooling(half))
        self.last = nn.Sequential(conv_norm_relu(half, quarter, 3), nn.Dropout2d(0.1))
        self.conv_seg = nn.Conv2d(quarter, num_lesions, kernel_size=1)
        initialise(self)
        nn.init.normal_(self.conv_seg.weight, std=0.01)

    def forward(self, maps: tuple[Tensor, ...]) -> Tensor:
        return self.conv_seg(self.last(self.pooling(maps[-1])))


def add_strips(backbone: ResNet) -> None:
    """Strip pooling behind conv2, batch norm and ReLU of the blocks that the paper names."""
    for name in backbone.res_layers:
        layer = getattr(backbone, name)
        for block in list(layer)[0 if name == "layer4" else -1 :]:
            # mmseg's blocks run plugins by name; its registry would build them in all blocks of a stage.
            block.strips = StripPooling(block.planes)
            block.with_plugins = True
            block.after_conv1_plugin_names = block.after_conv3_plugin_names = []
            block.after_conv2_plugin_names = ["strips"]


def build(num_lesions: int, *, size: str = "published", depth: int = 101, deep_stem: bool = True) -> LesionSegmentor:
    """The network. Arguments as `dilated_resnet` takes them."""
    backbone = dilated_resnet(size, depth=depth, deep_stem=deep_stem)
    add_strips(backbone)
    return segmentor(backbone, SPHead(widths(size)[-1], num_lesions))


METHOD = Method(
    label="SPNet",
    paper="Hou et al., Strip Pooling, CVPR 2020, arXiv:2003.13328",
    build=build,
    confidence=f"{DEPTH_UNKNOWN}. Own code after the paper, with its parameters in head and strips; no auxiliary head.",
    options=OPTIONS,
    parameters=64_252_452,
    weights=resnet_weights(r"decode_head\..*", r"backbone\..*\.strips\..*"),
    published="SPNet",
)
