"""FCN-32s: VGG16 made convolutional; one score of the last map, enlarged 32 times.

Long, Shelhamer and Darrell, "Fully Convolutional Networks for Semantic Segmentation", arXiv:1411.4038.
"""

from rfbench.competitors.method import Method
from rfbench.methods.parts.fcn import CONFIDENCE, FCN, fcn_weights

STRIDE = 32


def build(num_lesions: int, *, size: str = "published") -> FCN:
    """The network; its embedded size has no margin around the image."""
    return FCN(num_lesions, STRIDE, size)


METHOD = Method(
    label="FCN-32s",
    paper="Long, Shelhamer and Darrell, Fully Convolutional Networks, CVPR 2015, arXiv:1411.4038",
    build=build,
    confidence=f"{CONFIDENCE}.",
    parameters=134_342_468,
    weights=fcn_weights(STRIDE),
)
