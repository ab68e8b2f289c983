"""FCN-8s: VGG16 made convolutional; scores of three maps, enlarged 8 times.

Long, Shelhamer and Darrell, "Fully Convolutional Networks for Semantic Segmentation", arXiv:1411.4038.
"""

from rfbench.competitors.method import Method
from rfbench.methods.parts.fcn import CONFIDENCE, FCN, fcn_weights

STRIDE = 8


def build(num_lesions: int, *, size: str = "published") -> FCN:
    """The network; its embedded size has no margin around the image."""
    return FCN(num_lesions, STRIDE, size)


METHOD = Method(
    label="FCN-8s",
    paper="Long, Shelhamer and Darrell, Fully Convolutional Networks, CVPR 2015, arXiv:1411.4038",
    build=build,
    confidence=f"{CONFIDENCE}; trained from FCN-16s by them, which weights fcn16s does here.",
    parameters=134_284_620,
    recipe={"initial_probability": None},  # its scores begin at zero, as published
    weights=fcn_weights(STRIDE),
)
