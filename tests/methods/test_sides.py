"""HED and L-Seg: trunk, side outputs and losses against loops in NumPy."""

import math

import pytest
import torch
import torch.nn.functional as F

from rfbench.errors import RFBenchError
from rfbench.methods import hed, lseg
from rfbench.methods.parts.vgg import VGG16

from . import files


def sigmoid(x):
    return 1 / (1 + math.exp(-x))


def slow_balanced(logits, labels):
    total = 0
    for image, label in zip(logits, labels, strict=True):
        for c, scores in enumerate(image):
            positive = int((label == c + 1).sum())
            beta = 1 - positive / label.size
            for score, value in zip(scores.ravel(), label.ravel(), strict=True):
                p = sigmoid(score)
                total -= beta * math.log(p) if value == c + 1 else (1 - beta) * math.log(1 - p)
    return total / len(logits)


def slow_bins(logits, labels, key=10, quarter=4):
    """The text's recipe: five lists a lesion, taken from the top until there are ten for each pixel of the lesion."""
    total = 0
    for image, label in zip(logits, labels, strict=True):
        lesions, kept = [], []
        for c, scores in enumerate(image):
            lists = [[] for _ in range(5)]
            lesions.append([sigmoid(s) for s, v in zip(scores.ravel(), label.ravel(), strict=True) if v == c + 1])
            for score, value in zip(scores.ravel(), label.ravel(), strict=True):
                if value != c + 1:
                    lists[min(int(sigmoid(score) / 0.2), 4)].append(sigmoid(score))
            taken = []
            while lists and (not lesions[c] or len(taken) < key * len(lesions[c])):
                taken += lists.pop()
            kept.append(taken)
        plus, minus = sum(map(len, lesions)), sum(len(taken) // quarter for taken in kept)
        for found, taken in zip(lesions, kept, strict=True):
            if plus + minus:
                total += minus / (plus + minus) * sum(-math.log(p) for p in found)
                total += plus / (plus + minus) * sum(-math.log(1 - p) for p in taken)
    return total / len(logits)


def drawn(size=(24, 20), spread=2.0):
    """Logits of three lesions and labels: few, many, none of the third; an image without any."""
    logits = spread * torch.randn(3, 3, *size) - 1
    labels = torch.zeros(3, *size, dtype=torch.int64)
    labels[0, 2:5, 2:6], labels[0, 10, 10] = 1, 2
    labels[1, :20], labels[1, 21, 3] = 2, 3
    return logits, labels


@pytest.mark.parametrize(
    ("fast", "slow"), [(hed.balanced_cross_entropy, slow_balanced), (lseg.multichannel_bin_loss, slow_bins)]
)
@pytest.mark.parametrize("spread", [0.0, 0.5, 2.0, 6.0])
def test_the_losses_equal_the_loops(fast, slow, spread):
    logits, labels = drawn(spread=spread)
    expected = slow(logits.double().numpy(), labels.numpy())
    torch.testing.assert_close(fast(logits, labels).item(), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("loss", [hed.balanced_cross_entropy, lseg.multichannel_bin_loss])
def test_the_losses_gradients_are_right(loss):
    """Away from the bins' edges, where the kept set changes; the losses compute in float32, so loosely."""
    logits, labels = drawn((24, 12))
    logits = (logits * 2).round() / 2 + 0.15
    logits.requires_grad_()
    loss(logits, labels).backward()
    for _ in range(20):
        place = tuple(int(torch.randint(side, ())) for side in logits.shape)
        ends = []
        for step in (1e-2, -1e-2):
            moved = logits.detach().clone()
            moved[place] += step
            slow = slow_balanced if loss is hed.balanced_cross_entropy else slow_bins
            ends.append(slow(moved.double().numpy(), labels.numpy()))
        torch.testing.assert_close(logits.grad[place].item(), (ends[0] - ends[1]) / 2e-2, rtol=2e-3, atol=1e-4)


def test_bins_are_taken_from_the_top():
    """Two lesion pixels ask for twenty of the background: bins 4 and 3 have 18, bin 2 brings them to 24."""
    probability = torch.tensor([0.9] * 2 + [0.95] * 10 + [0.7] * 8 + [0.5] * 6 + [0.3] * 50 + [0.1] * 24)
    target = torch.zeros(1, 1, 10, 10, dtype=torch.bool)
    target.view(-1)[:2] = True
    kept = lseg.kept_background(probability.view(1, 1, 10, 10), target)
    assert kept.view(-1).tolist() == [False] * 2 + [True] * 24 + [False] * 74


def test_the_trunk_is_vgg16():
    """torchvision's layers one after the other (their file's places), maps taken before each pool."""
    file = files.vgg16(8, fully=8)
    network = hed.build(4, size="embedded")
    network.load_state_dict(hed.METHOD.weights["torchvision"].named(file), strict=False)
    x, place, expected = torch.randn(2, 3, 67, 96), 0, []
    maps = network.backbone(x)
    for count in (2, 2, 3, 3, 3):
        for _ in range(count):
            x = F.relu(F.conv2d(x, file[f"features.{place}.weight"], file[f"features.{place}.bias"], padding=1))
            place += 2
        expected.append(x)
        x, place = F.max_pool2d(x, 2, 2), place + 1
    assert [tuple(map_.shape[1:]) for map_ in maps] == [
        (8, 67, 96),
        (16, 33, 48),
        (32, 16, 24),
        (64, 8, 12),
        (64, 4, 6),
    ]
    for got, wanted in zip(maps, expected, strict=True):
        torch.testing.assert_close(got, wanted, rtol=1e-4, atol=1e-4 * float(wanted.abs().max()))


def test_the_trunk_has_vgg16s_parameters():
    """3·64·9 + 64 + …: 14.715 million, as published."""
    with torch.device("meta"):
        trunk = VGG16("published")
    assert sum(weight.numel() for weight in trunk.parameters()) == 14_714_688


@pytest.mark.parametrize("lesions", [1, 4])
def test_results_come_from_the_sides(lesions):
    """Fusion: Σ w_i side_i + b for each lesion by itself; mean: of six probabilities."""
    torch.manual_seed(1)
    network = hed.build(lesions, size="embedded").eval()
    head = network.decode_head
    torch.nn.init.normal_(head.fusion.weight)
    for side in head.sides:
        torch.nn.init.normal_(side.weight)
    image = torch.randn(1, 3, 64, 80)
    maps = network.backbone(image)
    *sides, fusion = head.outputs(maps)
    for scale, side, convolution, x in zip((1, 2, 4, 8, 16), sides, head.sides, maps, strict=True):
        small = F.conv2d(x, convolution.weight, convolution.bias)
        expected = F.interpolate(small, scale_factor=scale, mode="bilinear", align_corners=False)
        torch.testing.assert_close(side, expected, rtol=1e-5, atol=1e-5)
    weight, bias = head.fusion.weight.view(lesions, 5), head.fusion.bias
    for c in range(lesions):
        expected = sum(w * side[:, c] for w, side in zip(weight[c], sides, strict=True)) + bias[c]
        torch.testing.assert_close(fusion[:, c], expected, rtol=1e-4, atol=1e-4)
    mean = torch.stack([output.sigmoid() for output in (*sides, fusion)]).double().mean(0)
    torch.testing.assert_close(network(image).double().sigmoid(), mean, rtol=1e-4, atol=1e-5)
    head.result = "fusion"
    assert torch.equal(network(image), head.outputs(network.backbone(image))[-1])


@pytest.mark.parametrize("module", [hed, lseg])
def test_every_side_is_supervised(module):
    """The loss is the sum of six."""
    network = module.build(4, size="embedded")
    labels = torch.randint(0, 5, (2, 64, 64))
    module.loss(network, torch.randn(2, 3, 64, 64), labels).backward()
    assert all(side.weight.grad.abs().sum() > 0 for side in network.decode_head.sides)
    by_hand = {hed: hed.balanced_cross_entropy, lseg: lseg.multichannel_bin_loss}[module]
    images = torch.randn(2, 3, 64, 64)
    outputs = network.decode_head.outputs(network.backbone(images))
    assert len(outputs) == 6
    expected = 1e-4 * sum(by_hand(output, labels) for output in outputs)
    torch.testing.assert_close(module.loss(network, images, labels), expected)


def test_an_unknown_result_is_refused():
    with pytest.raises(RFBenchError, match="result: expected mean or fusion, found 'best'"):
        hed.build(4, size="embedded", result="best")
