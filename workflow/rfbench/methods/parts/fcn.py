"""The fully convolutional VGG16 that FCN-32s, -16s and -8s are.

Long, Shelhamer and Darrell, "Fully Convolutional Networks for Semantic Segmentation", arXiv:1411.4038. A margin of 100
px lets the 7x7 layer work on any image; every map is then cropped to the next one's cells. With m the margin less one,
cell i of pool k lies at 2^k i + (2^k − 1)/2 − m px of the image, one of a doubled map half-way between two of the map's
cells; whence the offsets below.
"""

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rfbench.competitors.method import Weights
from rfbench.errors import RFBenchError
from rfbench.methods.parts.heads import check_size
from rfbench.methods.parts.naming import renamer
from rfbench.methods.parts.sizes import divisor
from rfbench.methods.parts.vgg import FILE, TRUNK, VGG16, WHERE, widths

MARGINS = {"published": 100, "embedded": 1}  # the margin is three times the crop of a small network
SKIPS = {100: (5, 9), 1: (-1, -1)}  # cells of pool 4 and pool 3 before the first of the doubled map; margin -> both
CROPS = {100: {32: 19, 16: 27, 8: 31}, 1: {32: 16, 16: 8, 8: 4}}  # px before the image in the last map
STAGES = "fcn32s", "fcn16s", "fcn8s"


class FCN(nn.Module):
    """Normalised images (N, 3, H, W) -> logits (N, L, H, W) in float32.

    Scores start at 0, deconvolutions as bilinear interpolation, the trunk and fc6, fc7 by He's initialisation.

    Args:
        stride: of the finest map that is scored, 32, 16 or 8.
        size: "published" or "embedded", an eighth of the widths and without the margin.
        margin: px of zeros around the image, 100 or 1; by default the size's.
    """

    def __init__(self, num_lesions: int, stride: int, size: str, margin: int | None = None):
        super().__init__()
        wide = 4096 // divisor(size)
        self.stride, self.margin = stride, MARGINS[size] if margin is None else margin
        *_, third, fourth, fifth = widths(size)
        self.backbone = VGG16(size, margin=self.margin, ceil=True)
        self.fc6 = nn.Conv2d(fifth, wide, kernel_size=7, padding=0 if self.margin == 100 else 3)
        self.fc7 = nn.Conv2d(wide, wide, kernel_size=1)
        self.score = zero_score(wide, num_lesions)
        if stride <= 16:
            self.double16, self.score_pool4 = bilinear(num_lesions, 2), zero_score(fourth, num_lesions)
        if stride == 8:
            self.double8, self.score_pool3 = bilinear(num_lesions, 2), zero_score(third, num_lesions)
        self.add_module(f"up{stride}", bilinear(num_lesions, stride))
        for layer in (self.fc6, self.fc7):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            nn.init.zeros_(layer.bias)

    def forward(self, images: Tensor) -> Tensor:
        check_size(images)
        _, _, *maps = self.backbone(images)
        pool3, pool4, y = map(self.backbone.pool, maps)
        for layer in (self.fc6, self.fc7):
            y = F.dropout(F.relu(layer(y)), p=0.5, training=self.training)
        y = self.score(y)
        if self.stride <= 16:
            y = added(self.double16(y), self.score_pool4(pool4), SKIPS[self.margin][0])
        if self.stride == 8:
            y = added(self.double8(y), self.score_pool3(pool3), SKIPS[self.margin][1])
        y = getattr(self, f"up{self.stride}")(y)
        return cropped(y, CROPS[self.margin][self.stride], images).float()


def added(y: Tensor, skip: Tensor, offset: int) -> Tensor:
    """Their sum where both lie, the skip's cells `offset` ahead."""
    if offset < 0:
        return cropped(y, -offset, skip) + skip
    return y + cropped(skip, offset, y)


def cropped(x: Tensor, offset: int, like: Tensor) -> Tensor:
    """x from row and column `offset` on, as large as `like`."""
    height, width = like.shape[2:]
    return x[:, :, offset : offset + height, offset : offset + width]


def zero_score(channels: int, num_lesions: int) -> nn.Conv2d:
    """A score of a map's cells that says nothing yet."""
    conv = nn.Conv2d(channels, num_lesions, kernel_size=1)
    nn.init.zeros_(conv.weight)
    nn.init.zeros_(conv.bias)
    return conv


def bilinear(channels: int, scale: int) -> nn.ConvTranspose2d:
    """A deconvolution, 2·scale wide, that interpolates each channel linearly at first."""
    conv = nn.ConvTranspose2d(channels, channels, kernel_size=2 * scale, stride=scale, bias=False)
    tent = 1 - (torch.arange(2 * scale) - scale + 0.5).abs() / scale
    with torch.no_grad():
        conv.weight.zero_()
        for c in range(channels):
            conv.weight[c, c] = torch.outer(tent, tent)
    return conv


_FULLY = renamer([*TRUNK, (r"classifier\.0\.(weight|bias)", r"fc6.\1"), (r"classifier\.3\.(weight|bias)", r"fc7.\1")])


def rename_vgg16(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """torchvision's names and shapes -> the network's; its two fully connected layers become convolutions."""
    named = _FULLY(state)
    for name, side in (("fc6.weight", 7), ("fc7.weight", 1)):
        if name not in named or named[name].dim() != 2 or named[name].shape[1] % side**2:
            raise RFBenchError(f"The file lacks the fully connected layer of {name}; give torchvision's whole VGG16.")
        named[name] = named[name].unflatten(1, (-1, side, side))
    return named


def _stage_before(stride: int) -> dict[str, Weights]:
    """Weights of the network with twice the stride, a checkpoint of this benchmark."""
    if stride == 32:
        return {}
    own = r"((?:backbone\.conv\d_\d|fc6|fc7|score|score_pool4|double16)\.(?:weight|bias))"
    before = f"fcn{2 * stride}s"
    new = {16: r"(?:double16|score_pool4|up16)\..*", 8: r"(?:double8|score_pool3|up8)\..*"}
    return {
        before: Weights(
            file=f"model.pth of a run of {before}",
            where=f"the results of this benchmark: train {before} first",
            rename=renamer([(own, r"\1")]),
            ignored=(rf"up{2 * stride}\..*",),
            untouched=(new[stride],),
        )
    }


def fcn_weights(stride: int) -> dict[str, Weights]:
    """What an FCN of this stride can start from: ImageNet's VGG16, or the FCN before it."""
    vgg16 = Weights(
        file=FILE,
        where=WHERE,
        rename=rename_vgg16,
        ignored=(r"classifier\.6\..*",),
        untouched=(r"(?:score|score_pool\d|double\d+|up\d+)\..*",),
    )
    return {"torchvision": vgg16} | _stage_before(stride)


CONFIDENCE = (
    "Geometry (margin 100, offsets) as in the authors' released networks; parameters agree with their 134 M. The "
    "benchmark's loss and recipe stand for their sum over pixels with rates of 1e-10 to 1e-14"
)
