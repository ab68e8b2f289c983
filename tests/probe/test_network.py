"""The networks: every registered pair fits both arms, controls are what they claim to be."""

import numpy as np
import pytest
import torch

import operators
from rfbench.probe import controls, network, training
from rfbench.probe.groups import Group
from rfbench.probe.protocol import registered

PROTOCOL = registered()


@pytest.mark.parametrize("arm", ["fusion", "serial"])
@pytest.mark.parametrize("pair", operators.available())
def test_every_registered_pair_gives_a_logit_a_cell_and_learns(pair, arm):
    torch.manual_seed(0)
    model = training.build(PROTOCOL, Group(arm, pair))
    x = torch.randn(2, 1, 48, 48)
    y = model(x)
    assert y.shape == (2, 1, 48, 48)
    y.square().mean().backward()
    sites = [*model.up, *model.transitions, model.down[0]] if arm == "fusion" else [model.down, model.up]
    for site in sites:
        assert all(p.grad is not None and p.grad.isfinite().all() for p in site.parameters())


def test_the_operators_sit_where_hrnet_has_them():
    """Two one-step transitions with ReLU, one path down and two up over two steps."""
    built = []

    def down(*channels, steps, relu):
        built.append(("down", channels, steps, relu))
        return operators.builders("strideconv_bilinear")[0](*channels, steps, relu)

    def up(*channels, steps):
        built.append(("up", channels, steps))
        return operators.builders("strideconv_bilinear")[1](*channels, steps)

    network.Fusion(down, up, "", 16, 16)
    c = (16, 16)
    assert built == [("down", c, 1, True), ("down", c, 1, True), ("down", c, 2, False), ("up", c, 2), ("up", c, 2)]


@pytest.mark.parametrize("guide", ["mirror", "previous"])
def test_up_paths_are_guided_by_the_records_that_the_guide_names(guide):
    """Records count the down steps that ran before: two of transitions, then the module's own paths."""
    seen, made = [], iter(range(100))

    class Down(torch.nn.Module):
        def __init__(self, steps):
            super().__init__()
            self.steps, self.name = steps, next(made)

        def forward(self, x):
            records = tuple((self.name, step) for step in range(self.steps))
            return torch.nn.functional.avg_pool2d(x, 2**self.steps), records

    class Up(torch.nn.Module):
        def forward(self, x, records):
            seen.append(records)
            return torch.nn.functional.interpolate(x, scale_factor=4)

    model = network.Fusion(lambda i, o, steps, relu: Down(steps), lambda i, o, steps: Up(), guide, 4, 4)
    model(torch.zeros(1, 1, 16, 16))
    transitions, first, second = ((0, 0), (1, 0)), ((2, 0), (2, 1)), ((3, 0), (3, 1))
    assert seen == ([first, second] if guide == "mirror" else [transitions, first])


def test_the_shuffle_of_the_serial_arm_loses_nothing():
    down, up = controls.builders(controls.SHUFFLE, "serial", "strideconv_bilinear")
    x = torch.randn(2, 16, 48, 48)
    assert torch.equal(up(16, 16, steps=2)(down(16, 16, steps=2, relu=False)(x)), x)


def test_every_fourth_cell_is_all_that_is_left():
    down, _ = controls.builders(controls.EVERY_FOURTH, "serial", "strideconv_bilinear")
    path = down(4, 4, steps=2, relu=False).eval()
    x, other = torch.randn(1, 4, 48, 48), torch.randn(1, 4, 48, 48)
    other[:, :, ::4, ::4] = x[:, :, ::4, ::4]
    assert torch.equal(path(x), path(other))
    other[:, :, 4, 4] += 1
    assert not torch.equal(path(x), path(other))


def test_without_the_low_branch_a_cell_sees_seven_by_seven():
    model = training.build(PROTOCOL, Group("fusion", controls.NO_LOW_BRANCH)).eval()
    x = torch.randn(1, 1, 48, 48, requires_grad=True)
    model(x)[0, 0, 24, 24].backward()
    rows, columns = np.nonzero(x.grad[0, 0].numpy())
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (21, 27, 21, 27)


def test_norms_and_convolutions_start_as_hrnet_s_and_operators_as_their_own():
    torch.manual_seed(0)
    model = training.build(PROTOCOL, Group("fusion", "m2mrf_c"))
    wide = network.initialise(torch.nn.Conv2d(64, 256, 3, bias=False))
    assert wide.weight.std().item() == pytest.approx((2 / (256 * 9)) ** 0.5, rel=0.01)  # Kaiming, fan out
    gather = next(module.gather for module in model.modules() if hasattr(module, "gather"))
    limit = (6 / (gather.out_channels + gather.weight[0].numel())) ** 0.5  # Xavier-uniform, as its file declares
    assert 0.9 * limit < gather.weight.abs().max().item() <= limit


@pytest.mark.parametrize("pair", ["maxpool_bilinear", "m2mrf_c", "strideconv_deconv", "m2mrf_onestep_bilinear"])
def test_a_matched_copy_has_equally_many_parameters(pair):
    widened, width = training.matching(PROTOCOL, pair)
    (other,) = {Group("fusion", pair), Group("fusion", PROTOCOL.analysis.reference)} - {widened}
    a, b = training.parameters(PROTOCOL, widened, width), training.parameters(PROTOCOL, other)
    assert abs(a - b) <= PROTOCOL.copies.matched_within * max(a, b)
    assert training.parameters(PROTOCOL, widened) <= b


def test_parameters_count_what_a_gradient_reaches():
    model = training.build(PROTOCOL, Group("fusion", "strideconv_bilinear"))
    assert training.parameters(PROTOCOL, Group("fusion", "strideconv_bilinear")) == sum(
        p.numel() for p in model.parameters()
    )
    mirrored = training.build(PROTOCOL, Group("fusion", "maxpool_maxunpool"))
    unused = mirrored.down[-1]  # its records are used, its map is not
    assert training.parameters(PROTOCOL, Group("fusion", "maxpool_maxunpool")) == sum(
        p.numel() for p in mirrored.parameters()
    ) - sum(p.numel() for p in unused.parameters())
