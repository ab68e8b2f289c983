"""FCN-16s: VGG16 made convolutional; scores of two maps, enlarged 16 times.

Long, Shelhamer and Darrell, "Fully Convolutional Networks for Semantic Segmentation", arXiv:1411.4038.
"""

from rfbench.competitors.method import Method
from rfbench.methods.parts.fcn import CONFIDENCE, FCN, fcn_weights

STRIDE = 16


def build(num_lesions: int, *, size: str = "published") -> FCN:
    """The network; its embedded size has no margin around the image."""
    return FCN(num_lesions, STRIDE, size)


METHOD = Method(
    label="FCN-16s",
    paper="Long, Shelhamer and Darrell, Fully Convolutional Networks, CVPR 2015, arXiv:1411.4038",
    build=build,
    confidence=f"{CONFIDENCE}; trained from FCN-32s by them, which weights fcn32s does here.",
    parameters=134_295_624,
    recipe={"initial_probability": None},  # its scores begin at zero, as published
    weights=fcn_weights(STRIDE),
)
