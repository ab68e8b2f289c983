"""ResNet-50 and -101 at stride 8, the trunk of most methods, and their ImageNet files.

He et al., arXiv:1512.03385; dilated as in Chen et al., arXiv:1706.05587: stages 3 and 4 keep stride 8 and dilate by 2
and 4. The deep stem (three 3x3 convolutions for the 7x7 one, "ResNet V1c") is that of mmsegmentation's models.
"""

from mmseg.models.backbones import ResNet

from rfbench.competitors.method import Weights
from rfbench.methods.parts.naming import TENSOR, renamer
from rfbench.methods.parts.sizes import divisor, one_of

DEPTHS = (50, 101)
OPTIONS = {"depth": 101, "deep_stem": True}
DEPTH_UNKNOWN = "The papers do not print the backbone: depth not identified, ResNet-101 with mmsegmentation's stem here"
IGNORED = (r"fc\..*",)


def dilated_resnet(size: str, *, depth: int = 101, deep_stem: bool = True, dilated: bool = True) -> ResNet:
    """mmseg's ResNet. (N, 3, H, W) -> four maps of strides 4, 8, 8, 8 and `widths(size)` channels.

    Args:
        size: "published" or "embedded", an eighth of the widths.
        depth: 50 or 101.
        deep_stem: three 3x3 convolutions (V1c) instead of one 7x7, as torchvision's files have it.
        dilated: otherwise the strides are 4, 8, 16, 32.
    """
    one_of(depth, DEPTHS, "depth")
    one_of(deep_stem, (True, False), "deep_stem")
    width = 64 // divisor(size)
    return ResNet(
        depth=depth,
        stem_channels=width,
        base_channels=width,
        strides=(1, 2, 1, 1) if dilated else (1, 2, 2, 2),
        dilations=(1, 1, 2, 4) if dilated else (1, 1, 1, 1),
        deep_stem=deep_stem,
        contract_dilation=True,
    )


def widths(size: str) -> tuple[int, ...]:
    """Channels of the four maps."""
    return tuple(channels // divisor(size) for channels in (256, 512, 1024, 2048))


_BLOCK = r"layer[1-4]\.\d+\.(?:conv[1-3]|bn[1-3]|downsample\.[01])"


def resnet_weights(*untouched: str, prefix: str = "backbone.") -> dict[str, Weights]:
    """The ImageNet files of ResNet, for networks whose trunk is called `prefix`.

    Args:
        untouched: names of the network, as regular expressions, that no such file holds.
    """
    rules = [(rf"((?:stem\.\d|conv1|bn1|{_BLOCK})\.{TENSOR})", rf"{prefix}\1")]
    rename = renamer(rules)
    return {
        "openmmlab": Weights(
            file="resnet101_v1c-e67eebb6.pth (depth 101) or resnet50_v1c-2cccc1ad.pth (depth 50)",
            where="OpenMMLab, https://mmassets.onedl.ai/pretrain/third_party/",
            rename=rename,
            ignored=IGNORED,
            untouched=untouched,
        ),
        "torchvision": Weights(
            file="resnet101-63fe2227.pth (depth 101) or resnet50-0676ba61.pth (depth 50), with deep_stem: false",
            where="torchvision, https://download.pytorch.org/models/",
            rename=rename,
            ignored=IGNORED,
            untouched=untouched,
        ),
    }
