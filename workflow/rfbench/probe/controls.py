"""Networks of known worth, which decide whether the probe measures anything.

They are built as operator pairs are: a down and an up path each.
"""

from torch import Tensor, nn

import operators

SHUFFLE, EVERY_FOURTH, NO_LOW_BRANCH = "shuffle", "every_fourth", "no_low_branch"
NETWORKS = {"fusion": (SHUFFLE, NO_LOW_BRANCH), "serial": (SHUFFLE, EVERY_FOURTH)}  # by arm, in place of a pair
PERMUTED, AGAIN = "permuted", "again"  # runs of the reference, its truth or its seeds changed


class EveryNth(nn.Module):
    """Keep one cell of each n x n. (N, C, H, W) -> (N, C, ⌈H/n⌉, ⌈W/n⌉)"""

    def __init__(self, n: int):
        super().__init__()
        self.n = n

    def forward(self, x: Tensor) -> Tensor:
        return x[:, :, :: self.n, :: self.n]


def builders(control: str, arm: str, reference: str) -> tuple:
    """(down, up) of a control in place of a pair's builders; up is None for a network without its low branch.

    Args:
        control: one of NETWORKS[arm].
        reference: the pair whose up path "every_fourth" takes.
    """
    if control == NO_LOW_BRANCH:
        return None, None
    if control == EVERY_FOURTH:
        return _every_down, operators.builders(reference)[1]
    return (_unshuffle, _shuffle) if arm == "fusion" else (_lossless_unshuffle, _lossless_shuffle)


def _to(in_channels: int, out_channels: int) -> list[nn.Module]:
    return [nn.Conv2d(in_channels, out_channels, 1, bias=False), nn.BatchNorm2d(out_channels)]


def _every_down(in_channels: int, out_channels: int, steps: int, relu: bool) -> nn.Sequential:
    """One cell in 2^t x 2^t, then conv1x1 + BN."""
    return nn.Sequential(EveryNth(2**steps), *_to(in_channels, out_channels), *([nn.ReLU()] if relu else []))


def _unshuffle(in_channels: int, out_channels: int, steps: int, relu: bool) -> nn.Sequential:
    """Space to depth, then conv1x1 + BN. (N, C_in, H, W) -> (N, C_out, H/2^t, W/2^t)"""
    path = [nn.PixelUnshuffle(2**steps), *_to(in_channels * 4**steps, out_channels)]
    return nn.Sequential(*path, *([nn.ReLU()] if relu else []))


def _shuffle(in_channels: int, out_channels: int, steps: int) -> nn.Sequential:
    """Conv1x1 + BN, then depth to space. (N, C_in, h, w) -> (N, C_out, 2^t·h, 2^t·w)"""
    return nn.Sequential(*_to(in_channels, out_channels * 4**steps), nn.PixelShuffle(2**steps))


def _lossless_unshuffle(in_channels: int, out_channels: int, steps: int, relu: bool) -> nn.Module:
    """Space to depth alone: 4^t times the channels, nothing lost."""
    return nn.PixelUnshuffle(2**steps)


def _lossless_shuffle(in_channels: int, out_channels: int, steps: int) -> nn.Module:
    """Its inverse."""
    return nn.PixelShuffle(2**steps)
