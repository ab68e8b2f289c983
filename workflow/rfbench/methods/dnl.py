"""DNL: a non-local block whose pairwise term is whitened and whose unary term stands for itself.

Yin et al., "Disentangled Non-Local Neural Networks", arXiv:2006.06668. The network is mmsegmentation's (DNLHead on
ResNet at stride 8), without its auxiliary head. The block compares every cell with every other: memory grows with the
square of the image's area.
"""

from mmseg.models.decode_heads import DNLHead

from rfbench.competitors.method import Method
from rfbench.methods.parts.heads import outputs, segmentor
from rfbench.methods.parts.resnet import DEPTH_UNKNOWN, OPTIONS, dilated_resnet, resnet_weights, widths
from rfbench.methods.parts.sizes import divisor
from rfbench.models.segmentor import LesionSegmentor


def build(num_lesions: int, *, size: str = "published", depth: int = 101, deep_stem: bool = True) -> LesionSegmentor:
    """The network. Arguments as `dilated_resnet` takes them."""
    backbone = dilated_resnet(size, depth=depth, deep_stem=deep_stem)
    head = DNLHead(
        in_channels=widths(size)[-1],
        in_index=3,
        channels=512 // divisor(size),
        reduction=2,
        use_scale=True,
        mode="embedded_gaussian",
        dropout_ratio=0.1,
        **outputs(num_lesions),
    )
    return segmentor(backbone, head)


METHOD = Method(
    label="DNL",
    paper="Yin et al., Disentangled Non-Local Neural Networks, ECCV 2020, arXiv:2006.06668",
    build=build,
    confidence=f"{DEPTH_UNKNOWN}; network of mmsegmentation without auxiliary head.",
    options=OPTIONS,
    parameters=66_644_069,
    weights=resnet_weights(r"decode_head\..*"),
    published="DNL",
)
