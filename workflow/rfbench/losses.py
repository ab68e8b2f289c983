"""The benchmark's loss: sigmoid Dice per image and lesion, or per lesion of a batch."""

import torch
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
    if logits.dim() != 4 or label.shape != (logits.shape[0], *logits.shape[2:]):
        raise ValueError(
            "dice_loss: expected logits (N, L, H, W) and a label (N, H, W) of the same N, H, W; "
            f"got {tuple(logits.shape)} and {tuple(label.shape)}."
        )
    if label.dtype != torch.int64:
        raise ValueError(f"dice_loss: expected an int64 label, got {label.dtype}.")
    lesions = torch.arange(1, logits.shape[1] + 1, device=label.device)
    target = label[:, None] == lesions[:, None, None]  # (N, L, H, W)
    probability = logits.float().sigmoid()  # (N, L, H, W)
    # mmseg's Dice sums over all but the first dimension: one row a map makes it "per image and lesion".
    if over_batch:
        rows = probability.transpose(0, 1), target.transpose(0, 1)  # (L, N, H, W)
    else:
        rows = probability.flatten(0, 1), target.flatten(0, 1)  # (N·L, H, W)
    return naive_dice(*rows, weight=None, eps=EPS, naive_dice=True, ignore_index=None)
