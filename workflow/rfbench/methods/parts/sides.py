"""The network of HED and L-Seg: VGG16, a side output a block, and their weighted sum."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rfbench.competitors.method import Weights
from rfbench.methods.parts.heads import segmentor
from rfbench.methods.parts.sizes import one_of
from rfbench.methods.parts.vgg import CLASSIFIER, FILE, VGG16, WHERE, rename_trunk, widths
from rfbench.models.segmentor import LesionSegmentor

RESULTS = ("mean", "fusion")


class SideOutputs(nn.Module):
    """Five maps -> logits at the first one's size; sides of N(0, 0.01), the sum a mean of them at first.

    Args:
        widths: channels of the maps.
        result: "fusion", the weighted sum, or "mean", the mean probability of sides and fusion.
    """

    def __init__(self, widths: tuple[int, ...], num_lesions: int, result: str):
        super().__init__()
        one_of(result, RESULTS, "result")
        self.result = result
        self.sides = nn.ModuleList(nn.Conv2d(channels, num_lesions, kernel_size=1) for channels in widths)
        self.fusion = nn.Conv2d(len(widths) * num_lesions, num_lesions, kernel_size=1, groups=num_lesions)
        for side in self.sides:
            nn.init.normal_(side.weight, std=0.01)
            nn.init.zeros_(side.bias)
        nn.init.constant_(self.fusion.weight, 1 / len(widths))
        nn.init.zeros_(self.fusion.bias)

    def outputs(self, maps: list[Tensor]) -> list[Tensor]:
        """Logits of the five sides and of their fusion, (N, L, H, W) float32 each."""
        size = maps[0].shape[2:]
        logits = [side(x).float() for side, x in zip(self.sides, maps, strict=True)]
        sides = [F.interpolate(x, size, mode="bilinear", align_corners=False) for x in logits]
        stacked = torch.stack(sides, dim=2).flatten(1, 2)  # (N, L·5, H, W): the sides of a lesion side by side
        return [*sides, self.fusion(stacked).float()]

    def forward(self, maps: list[Tensor]) -> Tensor:
        """(N, L, H, W)"""
        outputs = self.outputs(maps)
        if self.result == "fusion":
            return outputs[-1]
        # The logit of a mean of sigmoids: log Σ p − log Σ (1 − p).
        logits = torch.stack(outputs)
        return F.logsigmoid(logits).logsumexp(0) - F.logsigmoid(-logits).logsumexp(0)


def side_network(num_lesions: int, size: str, result: str) -> LesionSegmentor:
    """VGG16 with its side outputs. (N, 3, H, W) -> (N, L, H, W)"""
    return segmentor(VGG16(size), SideOutputs(widths(size), num_lesions, result))


def side_logits(network: LesionSegmentor, images: Tensor) -> list[Tensor]:
    """What deep supervision compares with the labels: five sides and the fusion, (N, L, H, W) each."""
    return network.decode_head.outputs(network.backbone(images))


WEIGHTS = {
    "torchvision": Weights(
        file=FILE, where=WHERE, rename=rename_trunk, ignored=CLASSIFIER, untouched=(r"decode_head\..*",)
    )
}
