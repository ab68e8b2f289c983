"""HRNetV1: the high-resolution branch alone goes to the head.

Sun et al., "Deep High-Resolution Representation Learning for Human Pose Estimation", arXiv:1902.09212; compared with V2
in Wang et al., arXiv:1908.07919. The last module has no paths to the lower branches, whose maps nobody asks for.
"""

from rfbench.competitors.method import Method
from rfbench.methods.parts.heads import segmentor
from rfbench.methods.parts.hrnet import hrnet, hrnet_weights, widths
from rfbench.models.segmentor import LesionSegmentor, fcn_head


def build(num_lesions: int, *, size: str = "published") -> LesionSegmentor:
    """The network: W48, its head like the baseline's, a 1x1 convolution of as many channels as it takes."""
    return segmentor(hrnet(size, multiscale=False), fcn_head(widths(size)[:1], num_lesions))


METHOD = Method(
    label="HRNetV1",
    paper="Sun et al., Deep High-Resolution Representation Learning, CVPR 2019, arXiv:1902.09212",
    build=build,
    confidence="Backbone as published (W48); the head for segmentation is the baseline's, on one branch.",
    parameters=63_597_508,
    weights=hrnet_weights(multiscale=False),
)
