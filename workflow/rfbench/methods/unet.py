"""U-Net of 2015: unpadded convolutions, each level of the way down cropped and joined to the way up.

Ronneberger, Fischer and Brox, "U-Net: Convolutional Networks for Biomedical Image Segmentation", arXiv:1505.04597. The
image is continued by mirroring where the convolutions need context, as the paper's overlap-tile strategy has it; so the
logits cover it whole. The loss weighs pixels by the paper's map (Eq. 2), for every lesion by itself:

    w = w_c + 10 · exp(−(d₁ + d₂)² / (2 · 5²)),    d₁, d₂: px to the nearest and second nearest instance

Confidence: 23 convolutions and 31.03 M parameters, as published. Ours are: w_c makes a lesion and its background weigh
alike; the second term stands on background alone; instances are 8-connected; dropout behind the deepest level, of which
the paper gives neither rate nor exact place.
"""

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from scipy import ndimage
from torch import Tensor, nn

from rfbench.competitors.method import Method
from rfbench.losses import lesion_maps
from rfbench.methods.parts.heads import check_size
from rfbench.methods.parts.sizes import divisor

CONTEXTS = {"published": 184, "embedded": 0}  # px that a map loses in height and width; context is nine times the crop
LARGEST, SPREAD = 10.0, 5.0  # w₀ and σ px
REACH = 32  # px, beyond which the second term is below 2e-8


class UNet(nn.Module):
    """Normalised images (N, 3, H, W) -> logits (N, L, H, W) in float32. He initialisation, as the paper says.

    Args:
        size: "published" (64 to 1024 channels) or "embedded" (8 to 128, the convolutions padded with zeros).
        dropout: behind the deepest level.
        context: px that unpadded convolutions take, 184, or 0 for padded ones; by default the size's.
    """

    def __init__(self, num_lesions: int, size: str, dropout: float, context: int | None = None):
        super().__init__()
        widths = [64 * 2**level // divisor(size) for level in range(5)]
        self.context = CONTEXTS[size] if context is None else context
        padding = 0 if self.context else 1
        self.down = nn.ModuleList(pair(*both, padding) for both in zip([3, *widths[:-1]], widths, strict=True))
        self.dropout = nn.Dropout(dropout)
        ups = [nn.ConvTranspose2d(2 * width, width, kernel_size=2, stride=2) for width in reversed(widths[:-1])]
        self.up = nn.ModuleList(ups)
        self.joined = nn.ModuleList(pair(2 * width, width, padding) for width in reversed(widths[:-1]))
        self.last = nn.Conv2d(widths[0], num_lesions, kernel_size=1)
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
                nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
                nn.init.zeros_(layer.bias)

    def forward(self, images: Tensor) -> Tensor:
        check_size(images)
        height, width = images.shape[2:]
        return self.levels(continued(images, self.context))[:, :, :height, :width].float()

    def levels(self, x: Tensor) -> Tensor:
        """(N, 3, H, W) of a size that `continued` makes -> (N, L, H − context, W − context)"""
        maps = []
        for level in self.down:
            x = level(F.max_pool2d(x, 2) if maps else x)
            maps.append(x)
        x = self.dropout(x)
        for up, joined, kept in zip(self.up, self.joined, reversed(maps[:-1]), strict=True):
            x = up(x)
            x = joined(torch.cat([centre(kept, x), x], dim=1))
        return self.last(x)


def pair(inputs: int, outputs: int, padding: int) -> nn.Sequential:
    """Two 3x3 convolutions with ReLU; without padding (N, C_in, H, W) -> (N, C_out, H − 4, W − 4)"""
    first = nn.Conv2d(inputs, outputs, kernel_size=3, padding=padding)
    second = nn.Conv2d(outputs, outputs, kernel_size=3, padding=padding)
    return nn.Sequential(first, nn.ReLU(), second, nn.ReLU())


def centre(x: Tensor, like: Tensor) -> Tensor:
    """The middle of x, as large as `like`."""
    height, width = like.shape[2:]
    top, left = (x.shape[2] - height) // 2, (x.shape[3] - width) // 2
    return x[:, :, top : top + height, left : left + width]


def continued(images: Tensor, context: int) -> Tensor:
    """Images mirrored at their borders, the border itself not repeated, to a size that all pools halve.

    Half the context lies above and left, at least the other half below and right.
    """
    for axis in (2, 3):
        length = images.shape[axis]
        rest = (12 if context else 0) - length - context  # of a valid size modulo 16
        places = torch.arange(length + context + rest % 16, device=images.device) - context // 2
        places = places % (2 * length - 2)
        images = images.index_select(axis, torch.minimum(places, 2 * length - 2 - places))
    return images


def border_weight(lesion: np.ndarray) -> np.ndarray:
    """The map's second term: 10 · exp(−(d₁ + d₂)² / 50) on background between instances, else 0.

    Args:
        lesion: bool (H, W).

    Returns:
        float32 (H, W).
    """
    instances, count = ndimage.label(lesion, np.ones((3, 3)))
    weight = np.zeros(lesion.shape, np.float32)
    if count < 2:
        return weight
    nearest, second = (np.full(lesion.shape, np.inf, np.float32) for _ in range(2))
    for n, box in enumerate(ndimage.find_objects(instances), 1):
        around = tuple(slice(max(side.start - REACH, 0), side.stop + REACH) for side in box)
        others = (instances[around] != n).astype(np.uint8)
        distance = cv2.distanceTransform(others, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)  # exact, as SciPy's, in less time
        second[around] = np.minimum(second[around], np.maximum(nearest[around], distance))
        nearest[around] = np.minimum(nearest[around], distance)
    between = ~lesion & np.isfinite(second)
    total = nearest[between] + second[between]
    weight[between] = LARGEST * np.exp(-(total**2) / (2 * SPREAD**2))
    return weight


def weight_map(target: Tensor) -> Tensor:
    """The whole map, w_c = pixels / (2 · pixels of the class), 1 where the image has only one class.

    Args:
        target: bool (N, L, H, W), where each lesion is.

    Returns:
        float32 of that shape.
    """
    share = target.float().mean((2, 3), keepdim=True)
    balance = torch.where(target, 0.5 / share, 0.5 / (1 - share))
    balance = torch.where((share == 0) | (share == 1), 1.0, balance)
    borders = [border_weight(lesion) for lesion in target.flatten(0, 1).cpu().numpy()]
    return balance + torch.from_numpy(np.stack(borders)).to(balance).view_as(balance)


def loss(network: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
    """Cross-entropy of each lesion under its weight map, mean over pixels, lesions and images."""
    logits = network(images)
    target = lesion_maps(labels, logits.shape[1])
    return F.binary_cross_entropy_with_logits(logits, target.float(), weight_map(target))


def build(num_lesions: int, *, size: str = "published", dropout: float = 0.5) -> UNet:
    """The network. Arguments as `UNet` takes them."""
    return UNet(num_lesions, size, dropout)


METHOD = Method(
    label="U-Net",
    paper="Ronneberger, Fischer and Brox, U-Net, MICCAI 2015, arXiv:1505.04597",
    build=build,
    confidence="Network as published (23 convolutions, 31.03 M), the image continued by mirroring. The map's w_c "
    "and instances and the dropout are chosen here; the benchmark's recipe stands for the paper's.",
    options={"dropout": 0.5},
    parameters=31_031_940,
    loss=loss,
)
