"""The Haar transform of 2x2 blocks and its inverse.

    block  a b      LL = (a + b + c + d)/2    H1 = (a + b - c - d)/2    H2 = (a - b + c - d)/2    H3 = (a - b - c + d)/2
           c d

It is orthonormal: the sum of squares is kept, and the inverse is the transpose. A constant's LL is twice the constant.
"""

import torch
import torch.nn.functional as F
from torch import Tensor


def haar_down(x: Tensor) -> tuple[Tensor, Tensor]:
    """(N, C, H, W) -> LL (N, C, ⌈H/2⌉, ⌈W/2⌉) and the details H1, H2, H3 of all channels (N, 3C, ⌈H/2⌉, ⌈W/2⌉).

    An odd side is padded with zeros right or bottom.
    """
    x = F.pad(x, (0, x.shape[3] % 2, 0, x.shape[2] % 2))
    a, b, c, d = (x[:, :, row::2, column::2] for row in (0, 1) for column in (0, 1))
    top, bottom, left, right = a + b, c + d, a - b, c - d
    details = torch.cat([top - bottom, left + right, left - right], dim=1)
    return (top + bottom) / 2, details / 2


def haar_up(ll: Tensor, details: Tensor, size: tuple[int, int]) -> Tensor:
    """The inverse of `haar_down`: LL (N, C, h, w) and details (N, 3C, h, w) -> (N, C, H, W).

    Args:
        ll: LL.
        details: H1, H2 and H3 of all channels.
        size: H and W of the map before the transform; h = ⌈H/2⌉ and w = ⌈W/2⌉.
    """
    h1, h2, h3 = details.chunk(3, dim=1)
    top, bottom, left, right = ll + h1, ll - h1, h2 + h3, h2 - h3
    cells = torch.stack([top + left, top - left, bottom + right, bottom - right], dim=2) / 2  # (N, C, 4, h, w)
    return F.pixel_shuffle(cells.flatten(1, 2), 2)[:, :, : size[0], : size[1]].to(ll.dtype)
