"""The benchmark's loss, sigmoid Dice per image and lesion; what a recipe may change of it, and add."""

import torch
import torch.nn.functional as F
from mmseg.models.losses.dice_loss import dice_loss as naive_dice
from torch import Tensor

EPS = 1e-5


def dice_loss(logits: Tensor, label: Tensor, *, over_batch: bool = False) -> Tensor:
    """Mean over lesions, then images, of 1 − (2Σpy + ε) / (Σp + Σy + ε), p = sigmoid(logits), ε = 1e-5.

    Computed in float32 whatever the logits' type.

    Args:
        logits: (N, L, H, W); channel c belongs to label c + 1.
        label: int64 (N, H, W); 0 background, 1…L the lesions.
        over_batch: sum over the pixels of all images, so that the mean is over lesions alone.

    Returns:
        A scalar in [0, 1].
    """
    _check(logits, label)
    target = lesion_maps(label, logits.shape[1])
    probability = logits.float().sigmoid()  # (N, L, H, W)
    # mmseg's Dice sums over all but the first dimension: one row a map makes it "per image and lesion".
    if over_batch:
        rows = probability.transpose(0, 1), target.transpose(0, 1)  # (L, N, H, W)
    else:
        rows = probability.flatten(0, 1), target.flatten(0, 1)  # (N·L, H, W)
    return naive_dice(*rows, weight=None, eps=EPS, naive_dice=True, ignore_index=None)


def cross_entropy(logits: Tensor, label: Tensor, *, positive_weight: float = 1.0) -> Tensor:
    """Mean over pixels, lesions and images of −y ln p − (1 − y) ln(1 − p), p = sigmoid(logits), in float32.

    Args:
        logits, label: as `dice_loss` takes them.
        positive_weight: above 1 the mean is weighted: a lesion's pixels weigh as many times a pixel without it as
            those outnumber them in the batch, so that both sides weigh the same (class-balanced as in Xie and Tu's
            HED, 2015), yet at most so many times.
    """
    _check(logits, label)
    target = lesion_maps(label, logits.shape[1]).float()
    if positive_weight == 1:
        return F.binary_cross_entropy_with_logits(logits.float(), target)
    count = target.sum((0, 2, 3), keepdim=True)  # (1, L, 1, 1)
    others = target[:, :1].numel() - count
    weight = 1 + target * ((others / count.clamp(min=1)).clamp(1, positive_weight) - 1)  # (N, L, H, W)
    weight = weight / weight.mean((0, 2, 3), keepdim=True)
    return F.binary_cross_entropy_with_logits(logits.float(), target, weight)


def lesion_maps(label: Tensor, num_lesions: int) -> Tensor:
    """Label (N, H, W) -> where each lesion is, bool (N, L, H, W)."""
    return label[:, None] == torch.arange(1, num_lesions + 1, device=label.device)[:, None, None]


def _check(logits: Tensor, label: Tensor) -> None:
    if logits.dim() != 4 or label.shape != (logits.shape[0], *logits.shape[2:]):
        raise ValueError(
            "expected logits (N, L, H, W) and a label (N, H, W) of the same N, H, W; "
            f"got {tuple(logits.shape)} and {tuple(label.shape)}."
        )
    if label.dtype != torch.int64:
        raise ValueError(f"expected an int64 label, got {label.dtype}.")
