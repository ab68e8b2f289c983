"""The FCNs: where a cell lies in the image, bilinear starts, published counts, training in stages."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from rfbench.errors import RFBenchError
from rfbench.methods import fcn8s, fcn16s, fcn32s
from rfbench.methods.parts import fcn
from rfbench.methods.parts.fcn import FCN
from rfbench.models import count_parameters

from . import files

METHOD = {32: fcn32s.METHOD, 16: fcn16s.METHOD, 8: fcn8s.METHOD}


def linear(network, spread):
    """The network as a linear map: means for maxima, no ReLU to feel; kernels even, or their middle alone."""
    network.backbone.pool = lambda x: F.avg_pool2d(x, 2, ceil_mode=True)
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d):
            weight = torch.zeros_like(layer.weight)
            side = weight.shape[2] // 2
            weight[:, :, side, side] = 1 / weight.shape[1]
            layer.weight.data = torch.full_like(weight, 1 / weight[0].numel()) if spread else weight
            layer.bias.data.zero_()
    return network.double().eval()


@pytest.mark.parametrize("margin", [100, 1])
@pytest.mark.parametrize("stride", [32, 16, 8])
def test_logits_lie_where_their_pixels_do(stride, margin):
    """What a logit depends on has its centre of mass at that pixel: the offsets of all crops together are right."""
    network = linear(FCN(1, stride, "embedded", margin), spread=False)
    image = torch.rand(1, 3, 170, 203, dtype=torch.float64, requires_grad=True)
    for row, column in [(80, 100), (91, 88), (77, 111)]:
        (gradient,) = torch.autograd.grad(network(image)[0, 0, row, column], image)
        mass = gradient.sum((0, 1)).abs()
        rows, columns = (torch.arange(length, dtype=torch.float64) for length in mass.shape)
        centre = (mass.sum(1) @ rows / mass.sum()).item(), (mass.sum(0) @ columns / mass.sum()).item()
        assert centre == pytest.approx((row, column), abs=1e-9)


@pytest.mark.slow
def test_a_score_sees_404_px():
    """The published receptive field of fc7 and the score, at stride 32."""
    network = linear(FCN(1, 32, "embedded", 100), spread=True)
    image = torch.rand(1, 3, 440, 440, dtype=torch.float64, requires_grad=True)
    scores = []
    network.score.register_forward_hook(lambda module, given, y: scores.append(y))
    network(image)
    first, next_ = (torch.autograd.grad(scores[0][0, 0, 6, n], image, retain_graph=True)[0] for n in (6, 7))
    seen = [gradient.abs().sum((0, 1, 2)).nonzero().flatten() for gradient in (first, next_)]
    assert [len(columns) for columns in seen] == [404, 404]
    assert seen[1][0] - seen[0][0] == 32


@pytest.mark.parametrize("scale", [2, 8, 16, 32])
def test_deconvolutions_start_as_bilinear_interpolation(scale):
    x = torch.randn(1, 3, 5, 6)
    enlarged = fcn.bilinear(3, scale)(x)
    inner = (slice(None), slice(None), slice(scale // 2, -(scale // 2)), slice(scale // 2, -(scale // 2)))
    expected = F.interpolate(x, scale_factor=scale, mode="bilinear", align_corners=False)
    edge = slice(scale, -scale)  # beyond the outer cells' centres the one falls to zero, the other stays
    torch.testing.assert_close(enlarged[inner][:, :, edge, edge], expected[:, :, edge, edge], rtol=1e-5, atol=1e-5)


def test_counts_are_the_published():
    """134 M for PASCAL VOC's 21 classes (without the last deconvolution); ours for four lesions."""
    with torch.device("meta"):
        networks = {stride: METHOD[stride].build(21) for stride in METHOD}
    last = sum(weight.numel() for weight in networks[32].up32.parameters())
    counts = [count_parameters(networks[32]) - last, count_parameters(networks[8])]
    assert [round(count / 1e6, 2) for count in counts] == [134.35, 134.49]
    assert sum(isinstance(layer, nn.Conv2d) for layer in networks[32].modules()) == 16


@pytest.mark.parametrize("stride", [16, 8])
def test_a_network_goes_on_from_the_one_before(stride):
    """Its scores are the trained ones, the new skips add nothing yet."""
    before, method = METHOD[2 * stride].build(4, size="embedded"), METHOD[stride]
    for weight in before.parameters():
        nn.init.normal_(weight, std=0.05)
    network = method.build(4, size="embedded").eval()
    weights = method.weights[f"fcn{2 * stride}s"]
    loaded = network.load_state_dict(weights.named(before.state_dict()), strict=False)
    assert not loaded.unexpected_keys
    new = {
        8: ["double8.weight", "score_pool3.weight", "score_pool3.bias", "up8.weight"],
        16: ["double16.weight", "score_pool4.weight", "score_pool4.bias", "up16.weight"],
    }
    assert sorted(loaded.missing_keys) == sorted(new[stride])
    image, scores = torch.randn(1, 3, 96, 96), {}
    for name, each in (("before", before.eval()), ("after", network)):
        each.score.register_forward_hook(lambda module, given, y, name=name: scores.update({name: y}))
        each(image)
    assert torch.equal(scores["before"], scores["after"])
    with pytest.raises(RFBenchError, match="no known name"):
        weights.named(network.state_dict())


def test_fully_connected_layers_become_convolutions():
    """fc6 on a 7x7 map is the linear layer on its flattened cells."""
    file = files.vgg16(8, fully=512)
    network = fcn32s.build(4, size="embedded")
    network.load_state_dict(fcn32s.METHOD.weights["torchvision"].named(file), strict=False)
    cells = torch.randn(2, 64, 7, 7)
    expected = F.linear(cells.flatten(1), file["classifier.0.weight"], file["classifier.0.bias"])
    torch.testing.assert_close(network.fc6(cells)[:, :, 3, 3], expected, rtol=1e-4, atol=1e-3)
    trunk = {name: tensor for name, tensor in file.items() if name.startswith("features")}
    with pytest.raises(RFBenchError, match=r"lacks the fully connected layer of fc6\.weight"):
        fcn32s.METHOD.weights["torchvision"].named(trunk)
