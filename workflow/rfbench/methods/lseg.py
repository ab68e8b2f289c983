"""L-Seg: HED's network for several lesions, trained on the hardest pixels of each.

Guo et al., "L-Seg: An end-to-end unified framework for multi-lesion segmentation of fundus images", Neurocomputing
2019, and the network and loss that its authors released. The multi-channel bin loss sorts the pixels without a lesion
by their probability into five bins and keeps the highest bins.

Confidence: network as released. The loss follows the released forward computation; its backward computation takes all
background in one case (four bins kept), which looks like a slip and is not followed. The authors' rates of single
layers (conv5 × 100, side outputs × 0.01) are left out: the benchmark has one rate.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from rfbench.competitors.method import Method
from rfbench.losses import lesion_maps
from rfbench.methods.parts.sides import WEIGHTS, side_logits, side_network
from rfbench.models.segmentor import LesionSegmentor

BINS = 5
MOST = 10  # background pixels that are kept for each of the lesion, at least
SCALE = 1e-4  # of sums over pixels, as for HED


def build(num_lesions: int, *, size: str = "published", result: str = "fusion") -> LesionSegmentor:
    """The network.

    Args:
        result: "fusion" of the sides, or the "mean" of the probabilities of sides and fusion.
    """
    return side_network(num_lesions, size, result)


def kept_background(probability: Tensor, target: Tensor) -> Tensor:
    """Which pixels without a lesion count: those of the highest bins that together hold ten for each of the lesion.

    Args:
        probability: (N, L, H, W) in 0 to 1.
        target: bool of that shape, where the lesion is.

    Returns:
        bool of that shape; all background where the image lacks the lesion, or has too much of it.
    """
    bins = (probability * BINS).long().clamp(max=BINS - 1).masked_fill(target, -1)  # (N, L, H, W); -1 the lesion's
    held = torch.stack([(bins >= lowest).sum((2, 3)) for lowest in range(BINS)])  # (5, N, L), falling
    positives = target.sum((2, 3))
    enough = (held >= MOST * positives) & (positives > 0)
    lowest = (enough.sum(0) - 1).clamp(min=0)  # (N, L), the highest bin from which upwards there are enough
    return (bins >= lowest[:, :, None, None]) & ~target


def multichannel_bin_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Σ_c [n₋/(n₊ + n₋) Σ₊ BCE + n₊/(n₊ + n₋) Σ_kept BCE], summed over pixels and lesions, mean over images.

    n₊ counts the pixels of all lesions, n₋ a quarter of each lesion's kept background, rounded down.

    Args:
        logits: (N, L, H, W).
        labels: (N, H, W), 0 background, i + 1 lesion i.
    """
    logits = logits.float()
    target = lesion_maps(labels, logits.shape[1])
    kept = kept_background(logits.detach().sigmoid(), target)
    positive = target.sum((1, 2, 3), keepdim=True).float()  # (N, 1, 1, 1)
    negative = (kept.sum((2, 3), keepdim=True) // 4).sum(1, keepdim=True).float()
    whole = (positive + negative).clamp(min=1)
    weight = target * (negative / whole) + kept * (positive / whole)
    return F.binary_cross_entropy_with_logits(logits, target.float(), weight, reduction="sum") / len(logits)


def loss(network: LesionSegmentor, images: Tensor, labels: Tensor) -> Tensor:
    """The six outputs' losses, summed and scaled to the benchmark's learning rate."""
    return SCALE * sum(multichannel_bin_loss(logits, labels) for logits in side_logits(network, images))


METHOD = Method(
    label="L-Seg",
    paper="Guo et al., L-Seg, Neurocomputing 349, 2019",
    build=build,
    confidence="Network and loss as released; one learning rate for all layers (the authors: conv5 x 100, sides x "
    "0.01). The loss is scaled by 1e-4, as HED's. The papers borrow its rows from its own paper.",
    options={"result": "fusion"},
    recipe={"initial_probability": None},  # as HED
    parameters=14_720_620,
    loss=loss,
    weights=WEIGHTS,
    published="L-Seg",
)
