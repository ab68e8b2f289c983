"""HRNetV1 and V2p: the branches that they take, the pyramid by its definition."""

import pytest
import torch
import torch.nn.functional as F

import rfbench
from rfbench.methods import hrnetv1, hrnetv2p
from rfbench.methods.hrnetv2p import Pyramid


@torch.no_grad()
def test_v1_is_the_baseline_without_lower_branches():
    """The baseline's own trunk, its first map alone: conv1x1, norm, ReLU, conv1x1, enlarged."""
    baseline = rfbench.build_model("strideconv_bilinear", "hrnetv2_embedded").eval()
    network = hrnetv1.build(4, size="embedded").eval()
    weights = hrnetv1.METHOD.weights["openmmlab"]
    network.load_state_dict(weights.named(baseline.backbone.state_dict()), strict=False)
    image, head = torch.randn(1, 3, 64, 96), network.decode_head
    first = baseline.backbone(image)[0]
    (own,) = network.backbone(image)
    assert torch.equal(own, first)
    hidden = F.conv2d(first, head.convs[0].conv.weight)
    norm = head.convs[0].bn
    hidden = F.batch_norm(hidden, norm.running_mean, norm.running_var, norm.weight, norm.bias, eps=norm.eps).relu()
    logits = F.conv2d(hidden, head.conv_seg.weight, head.conv_seg.bias)
    expected = F.interpolate(logits, (64, 96), mode="bilinear", align_corners=False)
    torch.testing.assert_close(network(image), expected)


@torch.no_grad()
def test_the_pyramid_pools_the_mixed_branches():
    """Level n is conv3x3 of the mean over 2^n x 2^n cells of conv1x1 of all branches; cells by loops."""
    pyramid = Pyramid((2, 3, 4, 5), 6).double()
    branches = [torch.randn(1, 2 + n, 16 // 2**n, 24 // 2**n, dtype=torch.float64) for n in range(4)]
    large = [F.interpolate(x, scale_factor=2**n, mode="bilinear") if n else x for n, x in enumerate(branches)]
    mixed = torch.einsum("oc,nchw->nohw", pyramid.mix.weight[:, :, 0, 0], torch.cat(large, 1))
    mixed += pyramid.mix.bias[:, None, None]
    for n, (got, conv) in enumerate(zip(pyramid(branches), pyramid.levels, strict=True)):
        side = 2**n
        means = torch.zeros(1, 6, 16 // side, 24 // side, dtype=torch.float64)
        for row in range(16 // side):
            for column in range(24 // side):
                cells = mixed[:, :, row * side : (row + 1) * side, column * side : (column + 1) * side]
                means[:, :, row, column] = cells.mean((2, 3))
        torch.testing.assert_close(got, F.conv2d(means, conv.weight, conv.bias, padding=1))


def test_gradients_of_the_pyramid_are_right():
    pyramid = Pyramid((1, 1, 1, 1), 2).double()
    branches = [torch.randn(1, 1, 8 // 2**n, 8 // 2**n, dtype=torch.float64, requires_grad=True) for n in range(4)]
    assert torch.autograd.gradcheck(lambda *xs: tuple(pyramid(list(xs))), branches)


@pytest.mark.parametrize("module", [hrnetv1, hrnetv2p])
def test_every_path_is_used(module):
    """No weight without a gradient: V1 has dropped the paths to branches that nobody asks for."""
    network = module.build(4, size="embedded")
    network(torch.randn(2, 3, 64, 64)).sum().backward()
    assert not [name for name, weight in network.named_parameters() if weight.grad is None]
