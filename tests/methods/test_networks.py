"""What every method's network must do, whatever it is made of."""

import pytest
import torch

from rfbench.errors import RFBenchError
from rfbench.losses import cross_entropy, dice_loss
from rfbench.models import count_parameters
from rfbench.models.fuse import fuse


@pytest.fixture(scope="module")
def network(method):
    """The embedded network, every parameter a little moved: some outputs are zero at first, and would show nothing."""
    torch.manual_seed(0)
    network = method.build(4, size="embedded", **method.options)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.02 * torch.randn_like(parameter))
    return network


def loss_of(method, network, images, labels):
    if method.loss:
        return method.loss(network, images, labels)
    logits = network(images)
    return dice_loss(logits, labels) + cross_entropy(logits, labels)


def toy(images=2, side=64):
    """Discs of four colours on noise: (images, labels)."""
    torch.manual_seed(1)
    rows, columns = torch.meshgrid(torch.arange(side), torch.arange(side), indexing="ij")
    labels = torch.zeros(images, side, side, dtype=torch.int64)
    for n in range(images):
        for lesion in (1, 2, 3, 4) * 3:
            row, column = torch.randint(8, side - 8, (2,)).tolist()
            labels[n][(rows - row) ** 2 + (columns - column) ** 2 < 40] = lesion
    colours = torch.tensor([[0, 0, 0], [2, 2, 0], [-2, 0, 0], [2, 2, 2], [-2, -2, 2.0]])
    return colours[labels].permute(0, 3, 1, 2) + 0.2 * torch.randn(images, 3, side, side), labels


def test_the_published_size_has_the_declared_parameters(method):
    with torch.device("meta"):
        network = method.build(4, size="published", **method.options)
    assert count_parameters(network) == method.parameters


@pytest.mark.slow
def test_the_published_size_computes(method):
    """Shapes alone, on the meta device: what the embedded widths hide. Mask R-CNN's later steps depend on values."""
    with torch.device("meta"):
        network = method.build(4, size="published", **method.options).eval()
        images = torch.randn(1, 3, 224, 320)
        if method.label == "Mask R-CNN":
            maps = network.features(images)
            assert network.box_head(maps[0][:, :, :7, :7])[1].shape == (1, 4, 4)
            assert network.mask_head(maps[0][:, :, :14, :14]).shape == (1, 4, 28, 28)
            sizes = [(56, 80), (28, 40), (14, 20), (7, 10), (4, 5)]
            assert [tuple(x.shape[1:]) for x in maps] == [(256, *size) for size in sizes]
        else:
            assert network(images).shape == (1, 4, 224, 320)


@pytest.mark.parametrize("size", [None, (96, 64), (77, 101), (65, 130)])
def test_logits_have_the_images_size(method, network, size):
    height, width = size or (method.minimum, method.minimum)
    with torch.no_grad():
        logits = network.eval()(torch.randn(1, 3, height, width))
    assert logits.shape == (1, 4, height, width)
    assert logits.dtype == torch.float32
    assert logits.isfinite().all()


def test_smaller_images_are_refused(method, network):
    with pytest.raises(RFBenchError, match=f"at least {method.minimum} px"):
        network(torch.randn(1, 3, method.minimum - 1, method.minimum))


@pytest.mark.parametrize("lesions", [1, 6])
def test_the_number_of_lesions_is_free(method, lesions):
    network = method.build(lesions, size="embedded", **method.options).eval()
    with torch.no_grad():
        assert network(torch.randn(1, 3, 64, 64)).shape == (1, lesions, 64, 64)


def test_an_image_is_predicted_alike_alone_and_among_others(method, network):
    images = torch.randn(3, 3, 64, 96)
    with torch.no_grad():
        together = network.eval()(images)
        alone = torch.cat([network(image[None]) for image in images])
    torch.testing.assert_close(together, alone, rtol=1e-3, atol=1e-4)


def test_weights_go_into_another_of_the_same_kind(method, network):
    """After an update, so that running statistics are no defaults."""
    network.train()(torch.randn(2, 3, 64, 64))
    torch.manual_seed(7)
    other = method.build(4, size="embedded", **method.options)
    image = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        expected = network.eval()(image)
        assert not torch.equal(other.eval()(image), expected)
        other.load_state_dict(network.state_dict())
        assert torch.equal(other(image), expected)


def test_the_seed_determines_the_weights(method):
    torch.manual_seed(3)
    first = method.build(4, size="embedded", **method.options)
    torch.manual_seed(3)
    second = method.build(4, size="embedded", **method.options)
    pairs = zip(first.state_dict().values(), second.state_dict().values(), strict=True)
    assert all(torch.equal(*pair) for pair in pairs)


def test_bfloat16_gives_finite_float32_logits(method, network):
    images = torch.randn(2, 3, 64, 64)
    with torch.autocast("cpu", torch.bfloat16):
        logits = network.train()(images)
    assert logits.dtype == torch.float32
    assert logits.isfinite().all()


def test_building_prints_nothing(method, capfd, caplog, recwarn):
    method.build(4, size="embedded", **method.options)
    assert capfd.readouterr() == ("", "")
    assert not caplog.records
    assert not list(recwarn)


def test_the_fused_network_is_the_same_function(method, network):
    """Batch norms fold into the convolution registered before them: it must be the one that runs before them."""
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(std=0.1)
            module.running_var.uniform_(0.8, 1.2)
    image = torch.randn(1, 3, 64, 96)
    with torch.no_grad():
        torch.testing.assert_close(fuse(network)(image), network.eval()(image), rtol=1e-3, atol=1e-4)


def test_an_unknown_size_is_refused(method):
    with pytest.raises(RFBenchError, match=r"Unknown size 'tiny'.*published, embedded"):
        method.build(4, size="tiny", **method.options)


@pytest.mark.slow
def test_it_learns(method):
    """Forty updates on two images of discs; every parameter takes part."""
    torch.manual_seed(0)
    network = method.build(4, size="embedded", **method.options).train()
    images, labels = toy()
    rate = 1e-2 if method.label == "HRNetV1" else 3e-3  # its head has eight channels
    optimizer = torch.optim.AdamW(network.parameters(), lr=rate)
    losses = []
    for _ in range(40):
        optimizer.zero_grad()
        loss = loss_of(method, network, images, labels)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    idle = [name for name, weight in network.named_parameters() if weight.grad is None]
    assert not idle
    assert losses[-1] < 0.7 * losses[0], losses
