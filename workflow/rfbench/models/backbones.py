"""HRNetV2 widths by name, as mmseg's `extra` configuration."""

from rfbench.errors import RFBenchError
from rfbench.registry import unknown


def stages(channels: tuple[int, ...], modules: tuple[int, ...], blocks: int, first: dict) -> dict:
    """mmseg's `extra`: stage n has n branches (channels[:n]), modules[n-2] modules, `blocks` per branch."""
    extra = {"stage1": {"num_modules": 1, "num_branches": 1, "block": "BOTTLENECK", **first}}
    for branches, num_modules in zip((2, 3, 4), modules, strict=True):
        extra[f"stage{branches}"] = {
            "num_modules": num_modules,
            "num_branches": branches,
            "block": "BASIC",
            "num_blocks": (blocks,) * branches,
            "num_channels": channels[:branches],
        }
    return extra


BACKBONES = {
    # The papers' network.
    "hrnetv2_w48": stages((48, 96, 192, 384), (1, 4, 3), 4, {"num_blocks": (4,), "num_channels": (64,)}),
    # Same topology, small enough for a CPU: 1.55 M and 0.285 M parameters with head (StrideConv / Bilinear).
    "hrnetv2_reduced": stages((16, 32, 64, 128), (1, 1, 1), 2, {"num_blocks": (2,), "num_channels": (32,)}),
    "hrnetv2_embedded": stages((8, 16, 32, 64), (1, 1, 1), 1, {"num_blocks": (1,), "num_channels": (16,)}),
}


def configuration(name: str) -> dict:
    """mmseg's `extra` of the backbone of that name."""
    if name not in BACKBONES:
        raise RFBenchError(unknown("backbone", name, BACKBONES))
    return BACKBONES[name]


def widths(name: str) -> tuple[int, ...]:
    """Channels of the four output branches, highest resolution first."""
    return configuration(name)["stage4"]["num_channels"]
