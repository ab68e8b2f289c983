"""Mask R-CNN on lesion instances: boxes are proposed, classified and filled with masks.

He et al., "Mask R-CNN", arXiv:1703.06870, with ResNet-50 and the feature pyramid of Lin et al., arXiv:1612.03144. An
instance is an 8-connected component of a lesion. To be scored like the others, a lesion's map is the largest score ·
mask of its instances at each pixel, 0 where there is none.

Confidence: network and losses as published (parameters as torchvision counts them at COCO's 90 classes). Ours are:
anchors of 4 to 64 px instead of 32 to 512, for tiny lesions, and levels chosen by them; batch norm is trained; 300
detections instead of 100; the same numbers of proposals in training and test. `forward` finds instances and has no
gradient; `loss` trains.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from mmengine.model import BaseModule
from mmseg.models.necks import FPN
from torch import Tensor

from rfbench.competitors.method import Method
from rfbench.errors import RFBenchError
from rfbench.methods.parts import boxes as box
from rfbench.methods.parts.heads import check_size
from rfbench.methods.parts.instances import Instances, instances
from rfbench.methods.parts.regions import BoxHead, MaskHead, ProposalHead
from rfbench.methods.parts.resnet import dilated_resnet, resnet_weights, widths
from rfbench.methods.parts.sizes import divisor

STRIDES = (4, 8, 16, 32, 64)
STEPS = (10, 5)  # weights of a region's steps to its box
LEAST = 1e-6  # probability where no instance is, so that its logit is finite


@dataclass(frozen=True)
class Counts:
    """How many of each: proposals a level before suppression and in all after it; anchors and regions to learn from."""

    before: int
    after: int
    anchors: int
    regions: int


COUNTS = {"published": Counts(2000, 1000, 256, 512), "embedded": Counts(200, 50, 64, 32)}


class MaskRCNN(BaseModule):
    """Normalised images (N, 3, H, W) -> logits (N, L, H, W) in float32, without a gradient; `loss` is what trains.

    Args:
        size: "published" or "embedded", an eighth of the widths and fewer regions.
        depth, deep_stem: of the ResNet.
        smallest: side of the finest level's anchors in px; each level doubles it.
        detections: instances of an image at most.
    """

    not_exportable = "how many regions it looks at depends on what it finds in an image"

    def __init__(self, num_lesions: int, size: str, depth: int, deep_stem: bool, smallest: float, detections: int):
        super().__init__()
        channels = 256 // divisor(size)
        self.num_lesions, self.smallest, self.detections = num_lesions, smallest, detections
        self.counts = COUNTS[size]
        self.backbone = dilated_resnet(size, depth=depth, deep_stem=deep_stem, dilated=False)
        self.neck = FPN(in_channels=list(widths(size)), out_channels=channels, num_outs=len(STRIDES))
        self.proposal_head = ProposalHead(channels)
        self.box_head = BoxHead(channels, 1024 // divisor(size), num_lesions)
        self.mask_head = MaskHead(channels, num_lesions)

    def features(self, images: Tensor) -> list[Tensor]:
        """Five maps of strides 4 to 64, (N, C, H/stride, W/stride) each."""
        check_size(images)
        return [x.float() for x in self.neck(self.backbone(images))]  # bfloat16 has 8 bits to place a region with

    @torch.no_grad()
    def forward(self, images: Tensor) -> Tensor:
        maps, size = self.features(images), images.shape[2:]
        proposed = self.proposals(self.candidates(maps), size)
        canvas = torch.full((len(images), self.num_lesions, *size), LEAST, device=images.device)
        for n, regions in enumerate(proposed):
            boxes, classes, scores = self.detected([x[n] for x in maps], regions, size)
            if len(boxes):
                logits = self.mask_head(self.pooled([x[n] for x in maps], boxes, 14))
                masks = logits[torch.arange(len(boxes)), classes].sigmoid()
                box.painted(canvas[n], masks, boxes, classes, scores)
        return canvas.clamp(max=1 - LEAST).logit()

    def candidates(self, maps: list[Tensor]) -> list[tuple[Tensor, Tensor, Tensor]]:
        """(anchors, objectness, steps) of each level."""
        places = [
            box.anchors(*x.shape[2:], stride, self.smallest * stride / STRIDES[0], x.device)
            for x, stride in zip(maps, STRIDES, strict=True)
        ]
        return [(anchors, *self.proposal_head(x)) for anchors, x in zip(places, maps, strict=True)]

    @torch.no_grad()
    def proposals(self, candidates: list[tuple[Tensor, Tensor, Tensor]], size: tuple[int, int]) -> list[Tensor]:
        """The best regions of each image after suppression within their level, (R, 4) each."""
        result = []
        for n in range(len(candidates[0][1])):
            boxes, scores = [], []
            for anchors, objectness, steps in candidates:
                top = objectness[n].topk(min(self.counts.before, len(anchors)))
                found = box.clipped(box.decoded(steps[n, top.indices], anchors[top.indices]), *size)
                kept = box.suppressed(found, top.values, most=0.7)
                kept = kept[(found[kept, 2:] - found[kept, :2]).amin(1) > 0.1]
                boxes.append(found[kept])
                scores.append(top.values[kept])
            best = torch.cat(scores).argsort(descending=True, stable=True)[: self.counts.after]
            result.append(torch.cat(boxes)[best])
        return result

    def pooled(self, maps: list[Tensor], boxes: Tensor, side: int) -> Tensor:
        """RoIAlign of an image's boxes on the level of their size. (C, H, W) each, (R, 4) -> (R, C, side, side)

        A box of 7 anchors' sides takes the third level, as 224 px do where the smallest anchors have 32.
        """
        area = (boxes[:, 2:] - boxes[:, :2]).prod(1)
        level = ((area.sqrt() / (7 * self.smallest)).clamp(min=1e-9).log2().floor() + 2).clamp(0, 3).long()
        result = maps[0].new_zeros(len(boxes), len(maps[0]), side, side)
        for n in level.unique().tolist():
            here = (level == n).nonzero().flatten()
            regions = box.roi_align(maps[n], boxes[here], side, STRIDES[n])
            result = result.index_copy(0, here, regions.to(result.dtype))
        return result

    def detected(self, maps: list[Tensor], regions: Tensor, size: tuple[int, int]) -> tuple[Tensor, Tensor, Tensor]:
        """Boxes (D, 4), classes and scores (D,) of an image's instances: scores above 0.05, suppressed by class."""
        logits, steps = self.box_head(self.pooled(maps, regions, 7))
        scores, found = logits.softmax(1)[:, 1:], ([], [], [])
        for c in range(self.num_lesions):
            likely = (scores[:, c] > 0.05).nonzero().flatten()
            boxes = box.clipped(box.decoded(steps[likely, c], regions[likely], STEPS), *size)
            kept = box.suppressed(boxes, scores[likely, c], most=0.5)
            parts = (boxes[kept], torch.full_like(kept, c), scores[likely, c][kept])
            for values, part in zip(found, parts, strict=True):
                values.append(part)
        boxes, classes, scores = map(torch.cat, found)
        best = scores.argsort(descending=True, stable=True)[: self.detections]
        return boxes[best], classes[best], scores[best]

    def loss(self, images: Tensor, labels: Tensor) -> Tensor:
        """L_proposal + L_class + L_box + L_mask. (N, 3, H, W), (N, H, W) -> scalar"""
        maps, size = self.features(images), images.shape[2:]
        candidates = self.candidates(maps)
        truth = [instances(label, self.num_lesions) for label in labels]
        regions = self.proposals(candidates, size)
        samples = [self.sampled(each, true) for each, true in zip(regions, truth, strict=True)]
        return self.proposal_loss(candidates, truth) + self.region_loss(maps, samples, truth)

    def proposal_loss(self, candidates: list[tuple[Tensor, Tensor, Tensor]], truth: list[Instances]) -> Tensor:
        """Cross-entropy of objectness and smooth L1 of steps, over sampled anchors of all levels."""
        anchors = torch.cat([each[0] for each in candidates])
        objectness, steps = (torch.cat([each[n] for each in candidates], dim=1) for n in (1, 2))
        total = objectness.new_zeros(())
        for n, true in enumerate(truth):
            match = box.matched(box.overlap(true.boxes, anchors), 0.7, 0.3, best=True)
            hits, rest = box.drawn(match, self.counts.anchors, 0.5)
            both = torch.cat([hits, rest])
            target = (match[both] >= 0).float()
            total = total + F.binary_cross_entropy_with_logits(objectness[n, both], target)
            wanted = box.encoded(true.boxes[match[hits]], anchors[hits])
            misses = F.smooth_l1_loss(steps[n, hits], wanted, beta=1 / 9, reduction="sum")
            total = total + misses / max(len(both), 1)
        return total / len(truth)

    @torch.no_grad()
    def sampled(self, regions: Tensor, true: Instances) -> tuple[Tensor, Tensor]:
        """Regions to learn from, the true boxes among them, and the instance of each, −1 for background."""
        regions = torch.cat([regions, true.boxes])
        match = box.matched(box.overlap(true.boxes, regions), 0.5, 0.5, best=False)
        both = torch.cat(box.drawn(match, self.counts.regions, 0.25))
        return regions[both], match[both]

    def region_loss(self, maps: list[Tensor], samples: list[tuple[Tensor, Tensor]], truth: list[Instances]) -> Tensor:
        """Cross-entropy of classes, smooth L1 of the true class's steps, cross-entropy of its mask alone."""
        total = maps[0].new_zeros((), dtype=torch.float32)
        for n, ((regions, match), true) in enumerate(zip(samples, truth, strict=True)):
            own = [x[n] for x in maps]
            logits, steps = self.box_head(self.pooled(own, regions, 7))
            hits = (match >= 0).nonzero().flatten()
            which, boxes = match[hits], regions[hits]
            classes = true.classes[which]
            target = torch.zeros_like(match).index_copy(0, hits, classes + 1)
            total = total + F.cross_entropy(logits, target)
            wanted = box.encoded(true.boxes[which], boxes, STEPS)
            total = total + F.smooth_l1_loss(steps[hits, classes], wanted, reduction="sum") / len(regions)
            masks = self.mask_head(self.pooled(own, boxes, 14))[torch.arange(len(hits)), classes]
            covered = true.masks(which, boxes, 28)
            pixels = F.binary_cross_entropy_with_logits(masks, covered, reduction="sum")
            total = total + pixels / max(covered.numel(), 1)  # 0 where the image has no lesion
        return total / len(truth)

    def _dump_init_info(self) -> None:
        """Deliberately nothing: mmengine's own would log several lines for every tensor."""


def loss(network: MaskRCNN, images: Tensor, labels: Tensor) -> Tensor:
    """The network's own loss."""
    return network.loss(images, labels)


def build(
    num_lesions: int,
    *,
    size: str = "published",
    depth: int = 50,
    deep_stem: bool = False,
    smallest: float = 4.0,
    detections: int = 300,
) -> MaskRCNN:
    """The network. Arguments as `MaskRCNN` takes them."""
    if smallest <= 0 or detections < 1:
        raise RFBenchError(f"expected smallest > 0 and detections >= 1, found {smallest} and {detections}.")
    network = MaskRCNN(num_lesions, size, depth, deep_stem, smallest, detections)
    if not network.box_head.fc1.weight.is_meta:
        network.init_weights()  # of trunk and pyramid; the heads have drawn theirs
    return network


METHOD = Method(
    label="Mask R-CNN",
    paper="He et al., Mask R-CNN, ICCV 2017, arXiv:1703.06870",
    build=build,
    confidence="Network and losses as published, ResNet-50 with a feature pyramid; anchors from 4 px and 300 "
    "detections are chosen for tiny lesions. Its map of a lesion is the largest score x mask of its instances.",
    options={"depth": 50, "deep_stem": False, "smallest": 4.0, "detections": 300},
    recipe={"initial_probability": None},  # no layer gives the maps
    parameters=43_987_304,
    loss=loss,
    weights=resnet_weights(r"(?:neck|proposal_head|box_head|mask_head)\..*"),
)
