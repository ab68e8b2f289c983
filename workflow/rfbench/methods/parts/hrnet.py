"""HRNet as mmsegmentation has it, W48 or embedded, and its ImageNet file."""

from mmseg.models.backbones import HRNet

from rfbench.competitors.method import Weights
from rfbench.methods.parts.naming import TENSOR, renamer
from rfbench.methods.parts.sizes import divisor
from rfbench.models import backbones
from rfbench.models.checkpoint import CLASSIFIER

NAMES = {"published": "hrnetv2_w48", "embedded": "hrnetv2_embedded"}


def hrnet(size: str, *, multiscale: bool = True) -> HRNet:
    """(N, 3, H, W) -> four maps of strides 4 to 32; without `multiscale` the first alone, and no path to the others."""
    divisor(size)  # refuses other sizes
    return HRNet(backbones.configuration(NAMES[size]), multiscale_output=multiscale)


def widths(size: str) -> tuple[int, ...]:
    """Channels of the four maps."""
    return backbones.widths(NAMES[size])


def hrnet_weights(*, multiscale: bool = True) -> dict[str, Weights]:
    """The ImageNet file of HRNetV2-W48, less what a network of the first map alone lacks."""
    ignored = tuple(f"{name.replace('.', '')}\\..*" for name in CLASSIFIER)
    if not multiscale:
        ignored += (r"stage4\.2\.fuse_layers\.[123]\..*",)
    own = rf"((?:conv[12]|bn[12]|layer1\..*|transition[123]\..*|stage[234]\..*)\.{TENSOR})"
    return {
        "openmmlab": Weights(
            file="hrnetv2_w48-d2186c55.pth",
            where="OpenMMLab, https://mmassets.onedl.ai/pretrain/third_party/",
            rename=renamer([(own, r"backbone.\1")]),
            ignored=ignored,
            untouched=(r"decode_head\..*",),
        )
    }
