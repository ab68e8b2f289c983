"""U-Net of 2015: unpadded sizes, mirrored context, the weight map against distances measured one by one."""

import numpy as np
import pytest
import torch
from scipy import ndimage
from torch import nn

from rfbench.methods import unet
from rfbench.methods.unet import UNet, border_weight, continued, weight_map


@pytest.fixture(scope="module")
def valid():
    """An eighth of the published widths without padding."""
    torch.manual_seed(0)
    return UNet(2, "embedded", dropout=0.5, context=184).eval()


@torch.no_grad()
def test_an_image_of_572_px_gives_388(valid):
    """The sizes of the paper's Figure 1."""
    assert valid.levels(torch.randn(1, 3, 572, 572)).shape == (1, 2, 388, 388)


def test_it_has_23_convolutions():
    with torch.device("meta"):
        network = unet.build(4)
    assert sum(isinstance(layer, nn.Conv2d | nn.ConvTranspose2d) for layer in network.modules()) == 23
    assert all(layer.padding == (0, 0) for layer in network.modules() if isinstance(layer, nn.Conv2d))


@torch.no_grad()
def test_tiles_agree_where_they_overlap(valid):
    """No logit depends on where a tile ends: the promise of unpadded convolutions, on which overlap-tiling rests."""
    image = torch.randn(1, 3, 236, 252)
    whole = valid.levels(image)
    torch.testing.assert_close(valid.levels(image[:, :, 16:, 32:]), whole[:, :, 16:, 32:], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("size", [(64, 100), (300, 77), (388, 388)])
@pytest.mark.parametrize("context", [184, 0])
def test_images_are_continued_as_numpy_mirrors(size, context):
    image = torch.randn(2, 3, *size)
    got = continued(image, context)
    missing = [got.shape[2 + axis] - size[axis] - context // 2 for axis in (0, 1)]
    width = [(0, 0), (0, 0), *((context // 2, after) for after in missing)]
    assert np.array_equal(got.numpy(), np.pad(image.numpy(), width, mode="reflect"))
    assert all(context // 2 <= after < context // 2 + 16 for after in missing)


@pytest.mark.parametrize("size", [(65, 80), (131, 64)])
@torch.no_grad()
def test_logits_cover_the_image(valid, size):
    image = torch.randn(1, 3, *size)
    logits = valid(image)
    assert logits.shape == (1, 2, *size)
    larger = valid.levels(continued(image, 184))
    assert larger.shape[2] >= size[0]
    assert torch.equal(logits, larger[:, :, : size[0], : size[1]])


def slow_weight(lesion):
    """Distances to every pixel of every instance, the two smallest instances of each background pixel."""
    instances, count = ndimage.label(lesion, np.ones((3, 3)))
    weight = np.zeros(lesion.shape)
    for row, column in np.argwhere(~lesion):
        distances = []
        for n in range(1, count + 1):
            cells = np.argwhere(instances == n)
            distances.append(np.sqrt(((cells - (row, column)) ** 2).sum(1).min()))
        if count >= 2:
            first, second = sorted(distances)[:2]
            weight[row, column] = 10 * np.exp(-((first + second) ** 2) / (2 * 5**2))
    return weight


def lesions(seed, size=(30, 44), count=5):
    rng = np.random.default_rng(seed)
    lesion = np.zeros(size, bool)
    for _ in range(count):
        row, column = rng.integers(0, size[0] - 5), rng.integers(0, size[1] - 5)
        lesion[row : row + rng.integers(1, 6), column : column + rng.integers(1, 6)] = True
    return lesion


@pytest.mark.parametrize("seed", range(3))
def test_the_border_weight_equals_all_distances(seed):
    lesion = lesions(seed)
    weight = border_weight(lesion)
    assert weight.max() > 1
    np.testing.assert_allclose(weight, slow_weight(lesion), atol=1e-6)


def test_far_instances_and_single_ones_weigh_nothing():
    lesion = np.zeros((40, 200), bool)
    lesion[10, 5] = True
    assert not border_weight(lesion).any()
    lesion[10, 190] = True
    assert not border_weight(lesion).any()
    assert 10 * np.exp(-(185**2) / 50) < 1e-6, "by the formula, at any place between them"


def test_the_map_balances_a_lesion_and_its_background():
    """Without the second term both sums are half the pixels; an absent lesion weighs 1."""
    target = torch.zeros(2, 2, 30, 40, dtype=torch.bool)
    target[0, 0, 3:6, 4:9], target[1, 1] = True, True
    weight = weight_map(target)
    assert weight[0, 0][target[0, 0]].sum().item() == pytest.approx(600)
    assert weight[0, 0][~target[0, 0]].sum().item() == pytest.approx(600, rel=1e-5)
    assert (weight[0, 1] == 1).all()
    assert (weight[1] == 1).all()


def test_the_loss_equals_its_formula():
    torch.manual_seed(3)
    labels = torch.zeros(1, 64, 64, dtype=torch.int64)
    labels[0, 5:9, 5:12], labels[0, 14:16, 6:9], labels[0, 30:33, 50:60] = 1, 1, 2
    network = UNet(2, "embedded", dropout=0.0).eval()
    image = torch.randn(1, 3, 64, 64)
    p = network(image).detach().double().sigmoid().numpy()[0]
    expected = 0
    for c in range(2):
        lesion = labels[0].numpy() == c + 1
        share = lesion.mean()
        weight = np.where(lesion, 0.5 / share, 0.5 / (1 - share)) + slow_weight(lesion)
        expected -= (weight * np.where(lesion, np.log(p[c]), np.log1p(-p[c]))).mean() / 2
    assert unet.loss(network, image, labels).item() == pytest.approx(expected, rel=1e-4)
