"""PSPNet: a pyramid of pooled contexts on a dilated ResNet.

Zhao et al., "Pyramid Scene Parsing Network", arXiv:1612.01105. The network is mmsegmentation's (PSPHead on ResNet at
stride 8), which the M2MRF papers are built on; without its auxiliary head, since the benchmark's loss knows one output.
"""

from mmseg.models.decode_heads import PSPHead

from rfbench.competitors.method import Method
from rfbench.methods.parts.heads import outputs, segmentor
from rfbench.methods.parts.resnet import DEPTH_UNKNOWN, OPTIONS, dilated_resnet, resnet_weights, widths
from rfbench.methods.parts.sizes import divisor
from rfbench.models.segmentor import LesionSegmentor


def build(num_lesions: int, *, size: str = "published", depth: int = 101, deep_stem: bool = True) -> LesionSegmentor:
    """The network. Arguments as `dilated_resnet` takes them."""
    backbone = dilated_resnet(size, depth=depth, deep_stem=deep_stem)
    head = PSPHead(
        in_channels=widths(size)[-1],
        in_index=3,
        channels=512 // divisor(size),
        pool_scales=(1, 2, 3, 6),
        dropout_ratio=0.1,
        **outputs(num_lesions),
    )
    return segmentor(backbone, head)


METHOD = Method(
    label="PSPNet",
    paper="Zhao et al., Pyramid Scene Parsing Network, CVPR 2017, arXiv:1612.01105",
    build=build,
    confidence=f"{DEPTH_UNKNOWN}; network of mmsegmentation without auxiliary head.",
    options=OPTIONS,
    parameters=65_595_236,
    weights=resnet_weights(r"decode_head\..*"),
    published="PSPNet",
)
