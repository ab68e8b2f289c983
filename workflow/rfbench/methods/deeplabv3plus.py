"""DeepLabV3+: separable atrous pyramid pooling and a decoder that takes up the first stage.

Chen et al., "Encoder-Decoder with Atrous Separable Convolution for Semantic Image Segmentation", arXiv:1802.02611. The
network is mmsegmentation's (rates 12, 24, 36 at stride 8), without its auxiliary head.
"""

from mmseg.models.decode_heads import DepthwiseSeparableASPPHead

from rfbench.competitors.method import Method
from rfbench.methods.parts.heads import outputs, segmentor
from rfbench.methods.parts.resnet import DEPTH_UNKNOWN, OPTIONS, dilated_resnet, resnet_weights, widths
from rfbench.methods.parts.sizes import divisor
from rfbench.models.segmentor import LesionSegmentor


def build(num_lesions: int, *, size: str = "published", depth: int = 101, deep_stem: bool = True) -> LesionSegmentor:
    """The network. Arguments as `dilated_resnet` takes them."""
    first, *_, last = widths(size)
    backbone = dilated_resnet(size, depth=depth, deep_stem=deep_stem)
    head = DepthwiseSeparableASPPHead(
        in_channels=last,
        in_index=3,
        channels=512 // divisor(size),
        dilations=(1, 12, 24, 36),
        c1_in_channels=first,
        c1_channels=48 // divisor(size),
        dropout_ratio=0.1,
        **outputs(num_lesions),
    )
    return segmentor(backbone, head)


METHOD = Method(
    label="DeepLabV3+",
    paper="Chen et al., Encoder-Decoder with Atrous Separable Convolution, ECCV 2018, arXiv:1802.02611",
    build=build,
    confidence=f"{DEPTH_UNKNOWN}; network of mmsegmentation without auxiliary head.",
    options=OPTIONS,
    parameters=60_209_620,
    weights=resnet_weights(r"decode_head\..*"),
    published="DeepLabV3+",
)
