"""Boxes: (left, top, right, bottom) in px of the image, right and bottom exclusive, so that a pixel is one px wide.

What Mask R-CNN needs of them, in plain PyTorch: torchvision and compiled operators are not among the dependencies.
"""

import math

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

RATIOS = (0.5, 1.0, 2.0)  # height to width of anchors
LARGEST_STEP = math.log(1000 / 16)  # of a predicted logarithm, as in the authors' code


def anchors(height: int, width: int, stride: int, side: float, device: torch.device) -> Tensor:
    """Three boxes of area side² around the centre of every cell of a map. (H·W·3, 4)"""
    y, x = ((torch.arange(cells, device=device) + 0.5) * stride for cells in (height, width))
    centres = torch.stack(torch.meshgrid(y, x, indexing="ij"), dim=-1).flip(-1)[:, :, None]  # (H, W, 1, 2)
    half = torch.tensor([[ratio**-0.5, ratio**0.5] for ratio in RATIOS], device=device) * side / 2  # (3, 2)
    return torch.cat([centres - half, centres + half], dim=-1).flatten(0, 2)


def overlap(first: Tensor, second: Tensor) -> Tensor:
    """Intersection over union of all pairs. (A, 4), (B, 4) -> (A, B)"""
    shared = torch.minimum(first[:, None, 2:], second[:, 2:]) - torch.maximum(first[:, None, :2], second[:, :2])
    shared = shared.clamp(min=0).prod(2)
    areas = [(boxes[:, 2:] - boxes[:, :2]).prod(1) for boxes in (first, second)]
    return shared / (areas[0][:, None] + areas[1] - shared).clamp(min=1e-9)


def encoded(boxes: Tensor, around: Tensor, weights: tuple[float, float] = (1, 1)) -> Tensor:
    """Steps from the boxes `around` to `boxes`: of the centre in sides, of the sides' logarithms. (A, 4) each -> (A, 4)

    Args:
        weights: factors of both.
    """
    sides = [(each[:, 2:] - each[:, :2]).clamp(min=1e-3) for each in (boxes, around)]
    centres = [(each[:, 2:] + each[:, :2]) / 2 for each in (boxes, around)]
    shift = (centres[0] - centres[1]) / sides[1]
    return torch.cat([weights[0] * shift, weights[1] * (sides[0] / sides[1]).log()], dim=1)


def decoded(steps: Tensor, around: Tensor, weights: tuple[float, float] = (1, 1)) -> Tensor:
    """The boxes that steps lead to, `encoded` undone."""
    sides = around[:, 2:] - around[:, :2]
    centres = (around[:, 2:] + around[:, :2]) / 2 + steps[:, :2] / weights[0] * sides
    half = sides * (steps[:, 2:] / weights[1]).clamp(max=LARGEST_STEP).exp() / 2
    return torch.cat([centres - half, centres + half], dim=1)


def clipped(boxes: Tensor, height: int, width: int) -> Tensor:
    """Boxes within an image."""
    return torch.minimum(boxes.clamp(min=0), boxes.new_tensor([width, height, width, height]))


def suppressed(boxes: Tensor, scores: Tensor, most: float) -> Tensor:
    """Places of the boxes that no better one overlaps by more than `most`, best first (greedy suppression)."""
    order = scores.argsort(descending=True, stable=True)
    covers = (overlap(boxes[order], boxes[order]) > most).cpu().numpy()
    alive, kept = np.ones(len(order), dtype=bool), []
    for place in range(len(order)):
        if alive[place]:
            kept.append(place)
            alive &= ~covers[place]
    return order[torch.tensor(kept, dtype=torch.int64, device=order.device)]


def matched(overlaps: Tensor, high: float, low: float, *, best: bool) -> Tensor:
    """To which true box each candidate belongs. (true, candidates) -> int64 (candidates,); −1 background, −2 neither

    Args:
        high: overlap from which on it is the true box.
        low: overlap below which it is background.
        best: whether every true box also gets the candidates that overlap it most, however little.
    """
    if not len(overlaps):
        return overlaps.new_full(overlaps.shape[1:], -1, dtype=torch.int64)
    most, which = overlaps.max(0)
    result = which.masked_fill(most < high, -2).masked_fill(most < low, -1)
    if best:
        top = overlaps.max(1, keepdim=True).values
        ties = ((overlaps == top) & (top > 0)).any(0)
        result = torch.where(ties, which, result)
    return result


def drawn(match: Tensor, count: int, share: float) -> tuple[Tensor, Tensor]:
    """A random sample of candidates: places of true ones, at most `share` of `count`, and of background."""
    true, background = ((match >= 0).nonzero().flatten(), (match == -1).nonzero().flatten())
    true = true[torch.randperm(len(true))[: int(count * share)].to(true.device)]
    background = background[torch.randperm(len(background))[: count - len(true)].to(true.device)]
    return true, background


def roi_align(x: Tensor, boxes: Tensor, side: int, stride: int) -> Tensor:
    """RoIAlign, means of 2x2 interpolated samples in side x side bins. (C, H, W), (R, 4) -> (R, C, side, side)

    As mmcv's `roi_align` with `aligned`: pixel centres lie at halves, a sample beyond the outer centres takes their
    value, one more than a cell beyond the map is zero.
    """
    height, width = x.shape[1:]
    points = samples(boxes, side) / stride - 0.5  # (R, 2·side, 2·side, 2) in cells
    inside = ((points >= -1) & (points <= points.new_tensor([width, height]))).all(-1)
    grid = (2 * points + 1) / points.new_tensor([width, height]) - 1
    grid = grid.flatten(0, 1)[None].to(x.dtype)
    values = F.grid_sample(x[None], grid, mode="bilinear", padding_mode="border", align_corners=False)[0]
    values = values.unflatten(1, inside.shape[:2]).transpose(0, 1) * inside[:, None]  # (R, C, 2·side, 2·side)
    return F.avg_pool2d(values, 2)


def samples(boxes: Tensor, side: int) -> Tensor:
    """Points, 2x2 in each of side x side bins, in px. (R, 4) -> (R, 2·side, 2·side, 2), x before y"""
    share = (torch.arange(2 * side, dtype=boxes.dtype, device=boxes.device) + 0.5) / (2 * side)
    x, y = (boxes[:, n, None] + (boxes[:, n + 2] - boxes[:, n])[:, None] * share for n in (0, 1))  # (R, 2·side)
    return torch.stack([x[:, None, :].expand(-1, 2 * side, -1), y[:, :, None].expand(-1, -1, 2 * side)], dim=-1)


def painted(canvas: Tensor, masks: Tensor, boxes: Tensor, classes: Tensor, scores: Tensor) -> None:
    """Raise each class's map to score · mask where an instance lies: pixels whose centre is in its box.

    Args:
        canvas: (L, H, W), changed in place.
        masks: probabilities (D, side, side), stretched over the boxes (D, 4).
        classes: 0 … L − 1, (D,).
        scores: (D,).
    """
    height, width = canvas.shape[1:]
    for mask, box, which, score in zip(masks, boxes.tolist(), classes.tolist(), scores, strict=True):
        (left, right), (top, bottom) = (
            (max(math.ceil(box[n] - 0.5), 0), min(math.ceil(box[n + 2] - 0.5), length))
            for n, length in ((0, width), (1, height))
        )
        if left >= right or top >= bottom:
            continue
        x, y = (
            2 * (torch.arange(first, last, device=canvas.device) + 0.5 - box[n]) / (box[n + 2] - box[n]) - 1
            for n, first, last in ((0, left, right), (1, top, bottom))
        )
        grid = torch.stack(torch.meshgrid(y, x, indexing="ij"), dim=-1).flip(-1)
        values = F.grid_sample(mask[None, None], grid[None], padding_mode="border", align_corners=False)[0, 0]
        part = canvas[which, top:bottom, left:right]
        torch.maximum(part, score * values, out=part)
