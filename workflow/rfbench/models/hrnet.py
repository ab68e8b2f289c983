"""mmseg's HRNetV2 with an operator pair at every fusion path and every strided transition.

Stem, stage 1 and the branches stay mmseg's; only the paths between resolutions are replaced. The names
(`branches`, `fuse_layers.i.j`, `transition1.1`) are mmseg's: with StrideConv / Bilinear, keys and
outputs equal mmseg's. What the down steps of guided pairs record (see `operators`) is passed from module to module.
"""

import torch.nn.functional as F
from mmengine.model import BaseModule
from mmseg.models.backbones.hrnet import HRModule, HRNet
from torch import Tensor, nn

import operators

OWN = {"StrideConv", "StrideConv*", "Bilinear"}  # paths that are HRNet's, module for module

Records = tuple  # what the steps of one down path recorded, highest resolution first
PathRecords = dict[tuple[int, int], Records]  # (j, i) -> what the down path j -> i recorded


class OperatorHRNet(HRNet):
    """HRNetV2 with an operator pair. (N, 3, H, W) -> four maps of strides 4, 8, 16, 32.

    Args:
        extra: the four stages, as in mmseg's HRNet.
        pair: name of a registered operator pair.
        operator_options: operator file -> its options.
    """

    def __init__(self, extra: dict, pair: str, operator_options: operators.Options | None = None):
        super().__init__(extra)
        self.pair = operators.get(pair)
        down, up = operators.builders(pair, operator_options)
        for n in (1, 2, 3):  # transition n creates branch n with one strided step
            transition = getattr(self, f"transition{n}")
            conv = transition[n][0][0]
            transition[n] = down(conv.in_channels, conv.out_channels, steps=1, relu=True)
        for n in (2, 3, 4):
            stage = getattr(self, f"stage{n}")
            for m, module in enumerate(stage):
                stage[m] = FusionModule(module, down, up, self.pair.guide)

    def forward(self, x: Tensor) -> list[Tensor]:
        for layer in (self.conv1, self.norm1, self.relu, self.conv2, self.norm2, self.relu, self.layer1):
            x = layer(x)
        xs, created, records = [x], (), {}  # created[l]: record of the transition that created branch l+1
        for n in (1, 2, 3):
            xs, record = self._create_branch(n, xs)
            created += record
            for module in getattr(self, f"stage{n + 1}"):
                xs, records = module(xs, created, records)
        return xs

    def _create_branch(self, n: int, xs: list[Tensor]) -> tuple[list[Tensor], Records]:
        """Transition n: n branches -> n + 1. Only the first one changes a branch that goes on, too."""
        *going_on, new = getattr(self, f"transition{n}")
        y, record = _recorded(new(xs[-1]))
        kept = [x if step is None else step(x) for step, x in zip(going_on, xs, strict=True)]
        return [*kept, y], record

    def init_weights(self) -> None:
        super().init_weights()
        # HRNet's Kaiming initialisation reached every Conv2d below it, those of the operators too.
        for module in self.modules():
            if hasattr(module, "init_operator"):
                module.init_operator()

    def replaced_sites(self) -> tuple[str, ...]:
        """Key prefixes of the paths that are not HRNet's own (strided convolutions down, bilinear up)."""
        sites = []
        if self.pair.down not in OWN:
            sites += [f"transition{n}.{n}." for n in (1, 2, 3)]
        for name, module in self.named_modules():
            if isinstance(module, FusionModule):
                sites += [f"{name}.fuse_layers.{i}.{j}." for i, j in module.paths() if self._replaces(i, j)]
        return tuple(sites)

    def _replaces(self, i: int, j: int) -> bool:
        return (self.pair.up if j > i else self.pair.down) not in OWN


class FusionModule(BaseModule):
    """One HRNet module: run the branches, then exchange between all resolutions through the pair's paths."""

    def __init__(self, module: HRModule, down, up, guide: str = ""):
        super().__init__()
        self.branches = module.branches
        self.guide = guide
        channels = module.in_channels
        outputs = len(channels) if module.multiscale_output else 1
        self.fuse_layers = nn.ModuleList()
        for i in range(outputs):
            row = [_path(i, j, channels, down, up) for j in range(len(channels))]
            self.fuse_layers.append(nn.ModuleList(row))
        self.relu = nn.ReLU()

    def forward(
        self, xs: list[Tensor], created: Records = (), previous: PathRecords | None = None
    ) -> tuple[list[Tensor], PathRecords]:
        """Maps of all branches -> the fused maps, and what this module's down paths recorded.

        Args:
            xs: one map a branch, highest resolution first, (N, C_i, H_i, W_i).
            created: [l] what the transition recorded that created branch l+1.
            previous: what the down paths of the previous module recorded.
        """
        xs = [branch(x) for branch, x in zip(self.branches, xs, strict=True)]
        downs, records = {}, {}
        for i, j in self.paths():
            if i > j:
                downs[j, i], records[j, i] = _recorded(self.fuse_layers[i][j](xs[j]))
        guides = records if self.guide == "mirror" else (previous or {})
        return [self._fuse(i, xs, downs, guides, created) for i in range(len(self.fuse_layers))], records

    def _fuse(self, i: int, xs: list[Tensor], downs: dict, guides: PathRecords, created: Records) -> Tensor:
        """Output i: the sum over all branches, brought to branch i's channels and size. (N, C_i, H_i, W_i)"""
        y = 0
        for j, (path, x) in enumerate(zip(self.fuse_layers[i], xs, strict=True)):
            if j < i:
                x = _fit(downs[j, i], xs[i])
            elif j > i:
                guide = [guides.get((i, j), created[i:j])] if self.guide else []
                x = _fit(path(x, *guide), xs[i])
            y = y + x
        return self.relu(y)

    def paths(self) -> list[tuple[int, int]]:
        """(i, j) of every path j -> i."""
        rows = enumerate(self.fuse_layers)
        return [(i, j) for i, row in rows for j, path in enumerate(row) if path is not None]


def _path(i: int, j: int, channels: list[int], down, up) -> nn.Module | None:
    """The path from branch j to branch i."""
    if j == i:
        return None
    if j > i:
        return up(channels[j], channels[i], steps=j - i)
    return down(channels[j], channels[i], steps=i - j, relu=False)


def _recorded(output: Tensor | tuple[Tensor, Records]) -> tuple[Tensor, Records]:
    """A down path's output as (y, records)."""
    return output if isinstance(output, tuple) else (output, ())


def _fit(x: Tensor, target: Tensor) -> Tensor:
    """Resize to the target's height and width where rounding at odd sizes left them apart."""
    if x.shape[2:] == target.shape[2:]:
        return x
    return F.interpolate(x, target.shape[2:], mode="bilinear", align_corners=False)
