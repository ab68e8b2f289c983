"""Instances of lesions in a label map, which knows only pixels."""

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from scipy import ndimage
from torch import Tensor

from rfbench.methods.parts.boxes import samples


@dataclass(frozen=True)
class Instances:
    """The lesions of one image, each an 8-connected component of a class.

    Args:
        boxes: (G, 4).
        classes: (G,), 0 … L − 1.
        numbers: (H, W), n + 1 where instance n lies, 0 elsewhere.
    """

    boxes: Tensor
    classes: Tensor
    numbers: Tensor

    def masks(self, which: Tensor, boxes: Tensor, side: int) -> Tensor:
        """What of instances lies in boxes: 1 where they cover half a bin or more. (R,), (R, 4) -> (R, side, side)"""
        height, width = self.numbers.shape
        x, y = samples(boxes, side).floor().long().unbind(-1)  # (R, 2·side, 2·side) each
        hit = self.numbers[y.clamp(0, height - 1), x.clamp(0, width - 1)] == which[:, None, None] + 1
        return (F.avg_pool2d(hit[:, None].float(), 2)[:, 0] >= 0.5).float()


def instances(label: Tensor, num_lesions: int) -> Instances:
    """The instances of a label map (H, W), 0 background, i + 1 lesion i."""
    values = label.cpu().numpy()
    numbers, boxes, classes = np.zeros(values.shape, np.int64), [], []
    for lesion in range(num_lesions):
        found, _ = ndimage.label(values == lesion + 1, np.ones((3, 3)))
        numbers += np.where(found, found + len(boxes), 0)
        for rows, columns in ndimage.find_objects(found):
            boxes.append((columns.start, rows.start, columns.stop, rows.stop))
            classes.append(lesion)
    return Instances(
        torch.tensor(boxes, dtype=torch.float32).view(-1, 4).to(label.device),
        torch.tensor(classes, dtype=torch.int64).to(label.device),
        torch.from_numpy(numbers).to(label.device),
    )
