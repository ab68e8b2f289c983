"""HED: an output behind every block of VGG16, each trained by itself.

Xie and Tu, "Holistically-Nested Edge Detection", arXiv:1504.06375. The loss is theirs (Eq. 2), class-balanced
cross-entropy, for every lesion as for edges; an image's result is the mean of the sides and the fusion.

Confidence: network and loss after the paper, whose upsampling is fixed; its margin of 35 px around the image, cropped
away again, is left out. The M2MRF papers say neither which loss nor which output they took.
"""

import torch.nn.functional as F
from torch import Tensor

from rfbench.competitors.method import Method
from rfbench.losses import lesion_maps
from rfbench.methods.parts.sides import WEIGHTS, side_logits, side_network
from rfbench.models.segmentor import LesionSegmentor

SCALE = 1e-4  # the paper's rate is 1e-6 for sums over pixels, the benchmark's 0.01: their steps become alike


def build(num_lesions: int, *, size: str = "published", result: str = "mean") -> LesionSegmentor:
    """The network.

    Args:
        result: "mean" of the probabilities of sides and fusion, the paper's best, or "fusion" alone.
    """
    return side_network(num_lesions, size, result)


def balanced_cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """−β Σ₊ ln p − (1 − β) Σ₋ ln(1 − p), β the share of pixels without the lesion; Σ over lesions, mean over images.

    Args:
        logits: (N, L, H, W).
        labels: (N, H, W), 0 background, i + 1 lesion i.
    """
    target = lesion_maps(labels, logits.shape[1]).float()
    beta = 1 - target.mean((2, 3), keepdim=True)  # (N, L, 1, 1); a lesion that an image lacks adds nothing
    weight = beta * target + (1 - beta) * (1 - target)
    return F.binary_cross_entropy_with_logits(logits.float(), target, weight, reduction="sum") / len(logits)


def loss(network: LesionSegmentor, images: Tensor, labels: Tensor) -> Tensor:
    """The six outputs' losses, summed and scaled to the benchmark's learning rate."""
    return SCALE * sum(balanced_cross_entropy(logits, labels) for logits in side_logits(network, images))


METHOD = Method(
    label="HED",
    paper="Xie and Tu, Holistically-Nested Edge Detection, ICCV 2015, arXiv:1504.06375",
    build=build,
    confidence="Network and loss after the paper, one output a lesion; which loss and output the M2MRF papers took is "
    "not printed. The loss is scaled by 1e-4 so that the benchmark's learning rate stands for the paper's 1e-6.",
    options={"result": "mean"},
    recipe={"initial_probability": None},  # the prior would have to pass five sides and their fusion
    parameters=14_720_620,
    loss=loss,
    weights=WEIGHTS,
    published="HED",
)
