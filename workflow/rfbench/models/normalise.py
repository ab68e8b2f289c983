"""Photographs as the network takes them: RGB, normalised, one batch."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class Normalise(nn.Module):
    """(image − mean) / std by channel, as mmseg's SegDataPreProcessor computes it, bit for bit.

    Args:
        mean, std: of red, green and blue, 0 to 255.
    """

    def __init__(self, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        for name, values in (("mean", mean), ("std", std)):  # no weights: a checkpoint's meta holds them
            self.register_buffer(name, torch.tensor(values, dtype=torch.float32).view(3, 1, 1), persistent=False)

    def forward(self, images: Sequence[Tensor], size: tuple[int, int] | None = None) -> Tensor:
        """Images -> float32 (N, 3, height, width) on the device of this module.

        Args:
            images: uint8 (3, h, w) each, in BGR order.
            size: (height, width) of the batch; a smaller image is padded with zeros right and below, after it is
                normalised. Without, all images have the size of the first.
        """
        height, width = size or images[0].shape[1:]
        batch = torch.zeros(len(images), 3, height, width, device=self.mean.device)
        for row, image in zip(batch, images, strict=True):
            rgb = image.to(batch.device, non_blocking=True).flip(0).float()
            row[:, : image.shape[1], : image.shape[2]] = (rgb - self.mean) / self.std
        return batch


def pad_labels(labels: Sequence[Tensor], size: tuple[int, int], device: torch.device) -> Tensor:
    """Label maps (h, w) each -> int64 (N, height, width) on the device; what is padded is background."""
    batch = torch.zeros(len(labels), *size, dtype=torch.int64, device=device)
    for row, label in zip(batch, labels, strict=True):
        row[: label.shape[0], : label.shape[1]] = label.to(device, non_blocking=True)
    return batch
