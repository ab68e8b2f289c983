"""VGG16 without its classifier, the trunk of HED, L-Seg and the FCNs, and its ImageNet file.

Simonyan and Zisserman, "Very Deep Convolutional Networks for Large-Scale Image Recognition", arXiv:1409.1556,
configuration D: thirteen 3x3 convolutions in five blocks, no batch norm. (mmcv's VGG returns what its pools leave, HED
needs what enters them.)
"""

import torch.nn.functional as F
from torch import Tensor, nn

from rfbench.methods.parts.naming import renamer
from rfbench.methods.parts.sizes import divisor

CONVOLUTIONS = (2, 2, 3, 3, 3)  # of each block
WHERE = "torchvision, https://download.pytorch.org/models/"
FILE = "vgg16-397923af.pth"


def widths(size: str) -> tuple[int, ...]:
    """Channels of the five maps."""
    return tuple(channels // divisor(size) for channels in (64, 128, 256, 512, 512))


class VGG16(nn.Module):
    """(N, 3, H, W) -> five maps of strides 1, 2, 4, 8, 16, each what its block's last ReLU gives.

    He initialisation (the paper's own was from shallower networks); biases 0.

    Args:
        size: "published" or "embedded", an eighth of the widths.
        margin: px of zeros around the image, which the first convolution pads with.
        ceil: whether a pool keeps a last odd row and column, as Caffe's do.
    """

    def __init__(self, size: str, *, margin: int = 1, ceil: bool = False):
        super().__init__()
        self.ceil = ceil
        inputs = 3
        for block, (count, outputs) in enumerate(zip(CONVOLUTIONS, widths(size), strict=True), 1):
            for n in range(1, count + 1):
                conv = nn.Conv2d(inputs, outputs, kernel_size=3, padding=margin if block == n == 1 else 1)
                nn.init.kaiming_normal_(conv.weight, nonlinearity="relu")
                nn.init.zeros_(conv.bias)
                self.add_module(f"conv{block}_{n}", conv)
                inputs = outputs

    def forward(self, x: Tensor) -> list[Tensor]:
        maps = []
        for block, count in enumerate(CONVOLUTIONS, 1):
            x = self.pool(maps[-1]) if maps else x
            for n in range(1, count + 1):
                x = F.relu(getattr(self, f"conv{block}_{n}")(x))
            maps.append(x)
        return maps

    def pool(self, x: Tensor) -> Tensor:
        """The largest of 2x2 cells. (N, C, H, W) -> (N, C, H/2, W/2)"""
        return F.max_pool2d(x, kernel_size=2, ceil_mode=self.ceil)


def _rules(prefix: str) -> list[tuple[str, str]]:
    """torchvision's places in its `features`, where ReLUs and pools count -> names of the convolutions."""
    rules, place = [], 0
    for block, count in enumerate(CONVOLUTIONS, 1):
        for n in range(1, count + 1):
            rules.append((rf"features\.{place}\.(weight|bias)", rf"{prefix}conv{block}_{n}.\1"))
            place += 2
        place += 1
    return rules


CLASSIFIER = (r"classifier\..*",)
TRUNK = _rules("backbone.")
rename_trunk = renamer(TRUNK)
