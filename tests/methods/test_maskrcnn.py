"""Mask R-CNN: boxes, RoIAlign, instances and losses against loops; where regions are pooled; the published count."""

import math

import numpy as np
import pytest
import torch

from rfbench.errors import RFBenchError
from rfbench.methods import maskrcnn
from rfbench.methods.parts import boxes as box
from rfbench.methods.parts.instances import instances
from rfbench.models import count_parameters

from .test_networks import toy


def random_boxes(count, size=20, whole=False):
    corners = torch.rand(count, 2, 2) * size
    boxes = torch.cat([corners.amin(1), corners.amax(1) + 0.5], 1)
    return boxes.floor() + torch.tensor([0, 0, 1, 1]) if whole else boxes


def test_anchors_are_those_of_the_loops():
    """Rows, columns, ratios; area side², centred on the cell."""
    expected = []
    for row in range(3):
        for column in range(2):
            for ratio in (0.5, 1, 2):
                width, height = 6 / math.sqrt(ratio), 6 * math.sqrt(ratio)
                x, y = (column + 0.5) * 8, (row + 0.5) * 8
                expected.append([x - width / 2, y - height / 2, x + width / 2, y + height / 2])
    torch.testing.assert_close(box.anchors(3, 2, 8, 6.0, torch.device("cpu")), torch.tensor(expected))


def test_overlap_counts_pixels():
    """Boxes of whole pixels, painted."""
    first, second = random_boxes(6, whole=True).int(), random_boxes(5, whole=True).int()

    def painted(one):
        canvas = np.zeros((24, 24), bool)
        canvas[one[1] : one[3], one[0] : one[2]] = True
        return canvas

    expected = [[(painted(a) & painted(b)).sum() / (painted(a) | painted(b)).sum() for b in second] for a in first]
    got = box.overlap(first.float(), second.float())
    np.testing.assert_allclose(got.numpy(), expected, rtol=1e-6)
    assert 0 < got.max() < 1


@pytest.mark.parametrize("weights", [(1, 1), (10, 5)])
def test_steps_follow_the_papers_formula(weights):
    """(x − xₐ)/wₐ, (y − yₐ)/hₐ, ln w/wₐ, ln h/hₐ (R-CNN's); decoding leads back."""
    boxes, around = random_boxes(7), random_boxes(7)
    for true, anchor, steps in zip(boxes, around, box.encoded(boxes, around, weights), strict=True):
        (left, top, right, bottom), (la, ta, ra, ba) = true, anchor
        expected = [
            weights[0] * ((left + right) / 2 - (la + ra) / 2) / (ra - la),
            weights[0] * ((top + bottom) / 2 - (ta + ba) / 2) / (ba - ta),
            weights[1] * torch.log((right - left) / (ra - la)),
            weights[1] * torch.log((bottom - top) / (ba - ta)),
        ]
        torch.testing.assert_close(steps, torch.stack(expected))
    back = box.decoded(box.encoded(boxes, around, weights), around, weights)
    torch.testing.assert_close(back, boxes, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("most", [0.1, 0.5, 0.7])
def test_suppression_is_greedy(most):
    boxes, scores = random_boxes(60, 12), torch.rand(60)
    rest, kept = sorted(range(60), key=lambda n: -scores[n]), []
    while rest:
        best = rest.pop(0)
        kept.append(best)
        rest = [n for n in rest if box.overlap(boxes[best][None], boxes[n][None]) <= most]
    assert box.suppressed(boxes, scores, most).tolist() == kept
    assert 1 < len(kept) < 60
    assert box.suppressed(boxes[:0], scores[:0], most).tolist() == []


@pytest.mark.parametrize("best", [True, False])
def test_matches_are_those_of_the_loops(best):
    overlaps = torch.rand(3, 40).square()
    overlaps[1] *= 0.2  # a true box that nothing overlaps much
    expected = []
    for n in range(40):
        column = overlaps[:, n].tolist()
        which = max(range(3), key=column.__getitem__)
        match = which if column[which] >= 0.7 else -1 if column[which] < 0.3 else -2
        if best and any(column[g] == overlaps[g].max() for g in range(3)):
            match = which
        expected.append(match)
    assert box.matched(overlaps, 0.7, 0.3, best=best).tolist() == expected
    assert box.matched(overlaps[:0], 0.7, 0.3, best=best).tolist() == [-1] * 40


def test_samples_hold_their_shares():
    match = torch.tensor([0] * 10 + [-2] * 20 + [-1] * 100)
    true, background = box.drawn(match, 32, 0.25)
    assert (len(true), len(background)) == (8, 24)
    assert set(true.tolist()) <= set(range(10))
    assert set(background.tolist()) <= set(range(30, 130))
    true, background = box.drawn(match, 64, 0.5)
    assert (len(true), len(background)) == (10, 54)


def interpolated(x, row, column):
    """Bilinear value of one map (H, W) at a point in cells; clamped to the outer cells, zero a cell beyond them."""
    height, width = x.shape
    if not (-1 <= row <= height and -1 <= column <= width):
        return 0.0
    row, column = min(max(row, 0), height - 1), min(max(column, 0), width - 1)
    top, left = min(int(row), height - 2), min(int(column), width - 2)
    v, u = row - top, column - left
    upper = (1 - u) * x[top, left] + u * x[top, left + 1]
    lower = (1 - u) * x[top + 1, left] + u * x[top + 1, left + 1]
    return float((1 - v) * upper + v * lower)


@pytest.mark.parametrize(("side", "stride"), [(7, 4), (2, 8), (3, 1)])
def test_roi_align_equals_the_loops(side, stride):
    x = torch.randn(2, 6, 9, dtype=torch.float64)
    boxes = torch.tensor([[1.5, 2, 20, 18.5], [0, 0, 9, 6], [-30, -9, 60, 40], [5, 5, 5.5, 5.25]]).double()
    expected = torch.zeros(len(boxes), 2, side, side, dtype=torch.float64)
    for r, (left, top, right, bottom) in enumerate((boxes / stride).tolist()):
        high, wide = (bottom - top) / side, (right - left) / side
        for row in range(side):
            for column in range(side):
                for v in (0.25, 0.75):
                    for u in (0.25, 0.75):
                        point = top + (row + v) * high - 0.5, left + (column + u) * wide - 0.5
                        for c in range(2):
                            expected[r, c, row, column] += interpolated(x[c], *point) / 4
    torch.testing.assert_close(box.roi_align(x, boxes, side, stride), expected)


def test_roi_aligns_gradient_is_right():
    x = torch.randn(1, 4, 5, dtype=torch.float64, requires_grad=True)
    boxes = torch.tensor([[1.3, 0.2, 9.1, 6.7], [4, 4, 5, 5.5]], dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda x: box.roi_align(x, boxes, 3, 2), (x,))


def test_masks_are_painted_where_their_boxes_lie():
    """Every pixel by itself: its centre in the box, the mask interpolated there, the largest score · mask."""
    masks, scores = torch.rand(4, 5, 5), torch.tensor([0.9, 0.3, 0.8, 0.5])
    boxes = torch.tensor([[2.2, 3.7, 9.9, 8.1], [4, 4, 12, 12], [0, 0, 3, 2], [7.6, 7.6, 8.4, 8.4]])
    classes = torch.tensor([0, 0, 1, 1])
    canvas = torch.full((2, 12, 14), 0.01)
    expected = canvas.clone()
    for mask, (left, top, right, bottom), c, score in zip(masks, boxes.tolist(), classes, scores, strict=True):
        for row in range(12):
            for column in range(14):
                y, x = row + 0.5, column + 0.5
                if left <= x < right and top <= y < bottom:
                    point = (y - top) / (bottom - top) * 5 - 0.5, (x - left) / (right - left) * 5 - 0.5
                    value = score * interpolated(mask, *point)
                    expected[c, row, column] = max(expected[c, row, column], value)
    box.painted(canvas, masks, boxes, classes, scores)
    torch.testing.assert_close(canvas, expected)
    assert (canvas[1, 7:9, 7:9] == 0.01).all(), "the last box holds no pixel's centre"


def flooded(label, num_lesions):
    """Instances by walking from pixel to pixel: (class, set of pixels)."""
    found, seen = [], set()
    for value in range(1, num_lesions + 1):
        for start in map(tuple, (label == value).nonzero().tolist()):
            if start in seen:
                continue
            pixels, waiting = set(), [start]
            while waiting:
                row, column = waiting.pop()
                there = 0 <= row < label.shape[0] and 0 <= column < label.shape[1] and label[row, column] == value
                if not there or (row, column) in pixels:
                    continue
                pixels.add((row, column))
                waiting += [(row + r, column + c) for r in (-1, 0, 1) for c in (-1, 0, 1)]
            seen |= pixels
            found.append((value - 1, pixels))
    return found


def test_instances_are_connected_components():
    """Diagonal neighbours belong together; right and bottom edges are exclusive."""
    label = (torch.rand(12, 15) < 0.2).long() * torch.randint(1, 4, (12, 15))
    expected = flooded(label, 3)
    found = instances(label, 3)
    assert len(expected) > 5
    assert found.classes.tolist() == [lesion for lesion, _ in expected]
    for n, (_, pixels) in enumerate(expected):
        rows, columns = zip(*pixels, strict=True)
        assert found.boxes[n].tolist() == [min(columns), min(rows), max(columns) + 1, max(rows) + 1]
        assert set(map(tuple, (found.numbers == n + 1).nonzero().tolist())) == pixels
    nothing = instances(torch.zeros(9, 9, dtype=torch.int64), 3)
    assert (nothing.boxes.shape, nothing.classes.shape) == ((0, 4), (0,))


def test_mask_targets_are_the_instances_parts():
    """Bins of one pixel each: the target is the instance itself; of another instance nothing."""
    label = torch.zeros(10, 12, dtype=torch.int64)
    label[2:5, 3:7], label[4, 7], label[6:9, 3:5] = 1, 1, 1
    found = instances(label, 2)
    whole = torch.tensor([[3.0, 2, 10, 9]] * 2)
    masks = found.masks(torch.tensor([0, 1]), whole, 7)
    assert torch.equal(masks.bool(), torch.stack([(found.numbers == n)[2:9, 3:10] for n in (1, 2)]))
    half = found.masks(torch.tensor([0]), torch.tensor([[1.0, 2, 5, 4]]), 2)  # bins of 2x1 px; from column 3 on
    assert half.tolist() == [[[0, 1], [0, 1]]]


def test_the_published_network_is_counted_like_torchvisions():
    """44,401,393 at COCO's 90 classes and background. It counts no affine norms (53,120), but a box (4 · 1,025) and a
    mask (257) of the background."""
    with torch.device("meta"):
        network = maskrcnn.build(90)
    assert count_parameters(network) == 44_401_393 + 53_120 - 4_100 - 257


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    return maskrcnn.build(4, size="embedded").eval()


@pytest.mark.parametrize("smallest", [4.0, 32.0])
def test_regions_are_pooled_on_the_level_of_their_size(network, smallest):
    """Equation 1 of the pyramid's paper where anchors begin with 32 px, ⌊4 + log₂(√(wh)/224)⌋; else in proportion."""
    network.smallest = smallest
    maps = [torch.full((1, 512 >> n, 512 >> n), float(n)) for n in range(4)]
    sides = torch.tensor([3.0, 80, 111, 113, 223, 225, 447, 449, 2000]) * smallest / 32
    boxes = torch.stack([torch.zeros(9), torch.zeros(9), sides, sides], 1)
    expected = [min(max(math.floor(4 + math.log2(s / 224)), 2), 5) - 2 for s in (sides * 32 / smallest).tolist()]
    got = network.pooled(maps, boxes, 2).flatten(1).amax(1)
    network.smallest = 4.0
    assert got.tolist() == expected
    assert set(expected) == {0, 1, 2, 3}


def test_the_proposal_loss_equals_its_formula(network):
    """All anchors sampled: mean cross-entropy and smooth L1 (β 1/9) per anchor, image by image."""
    _, labels = toy()
    truth = [instances(label, 4) for label in labels]
    anchors = torch.cat([box.anchors(8, 8, 8, 16.0, torch.device("cpu")), box.anchors(4, 4, 16, 32.0, "cpu")])
    objectness, steps = torch.randn(2, len(anchors)), torch.randn(2, len(anchors), 4)
    parts = [(anchors[a:b], objectness[:, a:b], steps[:, a:b]) for a, b in ((0, 192), (192, len(anchors)))]
    network.counts = maskrcnn.Counts(1, 1, 100_000, 1)
    expected = 0
    for n, true in enumerate(truth):
        match = box.matched(box.overlap(true.boxes, anchors), 0.7, 0.3, best=True)
        wanted, entropy, misses = 0, [], 0.0
        for a, which in enumerate(match.tolist()):
            p = torch.sigmoid(objectness[n, a].double())
            if which >= -1:
                entropy.append(-torch.log(p if which >= 0 else 1 - p))
            if which >= 0:
                wanted = box.encoded(true.boxes[which][None], anchors[a][None])[0]
                for miss in (steps[n, a] - wanted).abs().double().tolist():
                    misses += 0.5 * miss**2 * 9 if miss < 1 / 9 else miss - 0.5 / 9
        assert (match >= 0).any()
        expected += (sum(entropy) / len(entropy) + misses / len(entropy)) / 2
    got = network.proposal_loss(parts, truth)
    network.counts = maskrcnn.COUNTS["embedded"]
    torch.testing.assert_close(got.double(), torch.as_tensor(expected), rtol=1e-5, atol=1e-6)


def test_masks_learn_from_their_own_class_alone(network):
    """L_mask of a region of class c has a gradient in the c-th mask and in no other; likewise the steps."""
    label = torch.zeros(64, 64, dtype=torch.int64)
    label[10:30, 20:44] = 3
    true = instances(label, 4)
    maps = [torch.randn(1, 32, 64 // stride, 64 // stride) for stride in (4, 8, 16, 32)]
    network.zero_grad()
    samples = (torch.tensor([[20.0, 10, 44, 30], [0, 40, 20, 60]]), torch.tensor([0, -1]))
    network.region_loss(maps, [samples], [true]).backward()
    masks = network.mask_head.masks.weight.grad.abs().sum((1, 2, 3))
    steps = network.box_head.steps.weight.grad.unflatten(0, (4, 4)).abs().sum((1, 2))
    network.zero_grad(set_to_none=True)
    assert (masks > 0).tolist() == (steps > 0).tolist() == [False, False, True, False]


def test_images_without_lesions_have_a_loss(network):
    """Of objectness and class alone; every weight still has a gradient, be it zero."""
    network.train()
    loss = network.loss(torch.randn(2, 3, 64, 64), torch.zeros(2, 64, 64, dtype=torch.int64))
    loss.backward()
    assert loss.isfinite()
    assert all(weight.grad is not None for weight in network.parameters())
    network.zero_grad(set_to_none=True)
    network.eval()


def test_detections_are_painted_into_the_logits(network, monkeypatch):
    """The whole way behind the heads: one detection with a full mask becomes its score in its box."""
    found = torch.tensor([[8.0, 16, 24, 40]]), torch.tensor([2]), torch.tensor([0.7])
    monkeypatch.setattr(network, "detected", lambda *given: found)
    monkeypatch.setattr(network.mask_head, "forward", lambda x: torch.full((len(x), 4, 28, 28), 30.0))
    with torch.no_grad():
        probability = network(torch.randn(1, 3, 64, 64)).sigmoid()[0]
    expected = torch.full((4, 64, 64), 1e-6)
    expected[2, 16:40, 8:24] = 0.7
    torch.testing.assert_close(probability, expected, rtol=1e-4, atol=1e-7)


@pytest.mark.slow
def test_trained_it_finds_the_lesions():
    torch.manual_seed(0)
    network = maskrcnn.build(4, size="embedded")
    images, labels = toy()
    optimizer = torch.optim.AdamW(network.parameters(), lr=3e-3)
    for _ in range(80):
        optimizer.zero_grad()
        network.loss(images, labels).backward()
        optimizer.step()
    probability = network(images).sigmoid()  # in training mode: statistics of these two images
    for c in range(4):
        lesion = labels == c + 1
        assert probability[:, c][lesion].mean() > 5 * probability[:, c][~lesion].mean()


@pytest.mark.parametrize("options", [{"smallest": 0.0}, {"detections": 0}])
def test_wrong_options_are_refused(options):
    with pytest.raises(RFBenchError, match="expected smallest > 0 and detections >= 1"):
        maskrcnn.build(4, size="embedded", **options)
