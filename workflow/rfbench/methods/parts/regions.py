"""The three heads of Mask R-CNN (He et al., arXiv:1703.06870): proposals, boxes with classes, masks."""

import torch.nn.functional as F
from torch import Tensor, nn

from rfbench.methods.parts import boxes as box


class ProposalHead(nn.Module):
    """A map -> objectness (N, H·W·3) and steps (N, H·W·3, 4) of its anchors; all layers of N(0, 0.01)."""

    def __init__(self, channels: int):
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, kernel_size=3, padding=1)
        self.objectness = nn.Conv2d(channels, len(box.RATIOS), kernel_size=1)
        self.steps = nn.Conv2d(channels, 4 * len(box.RATIOS), kernel_size=1)
        for layer in self.children():
            nn.init.normal_(layer.weight, std=0.01)
            nn.init.zeros_(layer.bias)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        x = F.relu(self.conv(x))
        steps = self.steps(x).permute(0, 2, 3, 1).unflatten(3, (-1, 4)).flatten(1, 3)
        return self.objectness(x).permute(0, 2, 3, 1).flatten(1).float(), steps.float()


class BoxHead(nn.Module):
    """Regions (R, C, 7, 7) -> logits (R, 1 + L), background first, and steps of each lesion (R, L, 4)."""

    def __init__(self, channels: int, wide: int, num_lesions: int):
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(49 * channels, wide), nn.Linear(wide, wide)
        self.score, self.steps = nn.Linear(wide, 1 + num_lesions), nn.Linear(wide, 4 * num_lesions)
        for layer, std in ((self.fc1, None), (self.fc2, None), (self.score, 0.01), (self.steps, 0.001)):
            nn.init.normal_(layer.weight, std=std) if std else nn.init.kaiming_normal_(layer.weight)
            nn.init.zeros_(layer.bias)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        x = F.relu(self.fc2(F.relu(self.fc1(x.flatten(1)))))
        return self.score(x).float(), self.steps(x).float().unflatten(1, (-1, 4))


class MaskHead(nn.Module):
    """Regions (R, C, 14, 14) -> logits of each lesion's mask (R, L, 28, 28). He initialisation."""

    def __init__(self, channels: int, num_lesions: int):
        super().__init__()
        self.convs = nn.ModuleList(nn.Conv2d(channels, channels, kernel_size=3, padding=1) for _ in range(4))
        self.up = nn.ConvTranspose2d(channels, channels, kernel_size=2, stride=2)
        self.masks = nn.Conv2d(channels, num_lesions, kernel_size=1)
        for layer in (*self.convs, self.up, self.masks):
            nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
            nn.init.zeros_(layer.bias)

    def forward(self, x: Tensor) -> Tensor:
        for conv in self.convs:
            x = F.relu(conv(x))
        return self.masks(F.relu(self.up(x))).float()
