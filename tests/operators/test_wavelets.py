"""The Haar transform, HWD and the Haar pair against loops over 2x2 blocks, and what becomes of a single lit cell."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from operators import haar, hwd
from operators.haar import HaarDownPath, HaarUpPath, haar_down, haar_up
from operators.hwd import HWD
from operators.spdconv import SPDConv

SIZES = [(4, 6), (5, 7), (1, 1), (2, 3), (8, 8)]


def slow_bands(x):
    """LL, H1, H2, H3, block by block; cells outside the map are zero."""
    n, channels, height, width = x.shape
    bands = torch.zeros(4, n, channels, -(-height // 2), -(-width // 2), dtype=x.dtype)
    for v in range(bands.shape[3]):
        for u in range(bands.shape[4]):
            block = torch.zeros(n, channels, 2, 2, dtype=x.dtype)
            cells = x[:, :, 2 * v : 2 * v + 2, 2 * u : 2 * u + 2]
            block[:, :, : cells.shape[2], : cells.shape[3]] = cells
            (a, b), (c, d) = block[..., 0, :].unbind(-1), block[..., 1, :].unbind(-1)
            for band, value in enumerate((a + b + c + d, a + b - c - d, a - b + c - d, a - b - c + d)):
                bands[band, :, :, v, u] = value / 2
    return bands


@pytest.mark.parametrize("size", SIZES)
def test_bands_equal_the_loops_and_are_put_together_again(size):
    x = torch.randn(2, 3, *size)
    ll, details = haar_down(x)
    expected = slow_bands(x)
    torch.testing.assert_close(ll, expected[0])
    torch.testing.assert_close(details, torch.cat(list(expected[1:]), dim=1))
    torch.testing.assert_close(haar_up(ll, details, size), x, rtol=0, atol=1e-6)


def test_the_transform_is_orthonormal():
    x = torch.randn(2, 3, 8, 6, dtype=torch.float64)
    ll, details = haar_down(x)
    torch.testing.assert_close(ll.square().sum() + details.square().sum(), x.square().sum())


def test_a_constant_doubles_in_the_low_band_and_leaves_no_detail():
    ll, details = haar_down(torch.full((1, 2, 4, 6), 3.0))
    assert torch.equal(ll, torch.full((1, 2, 2, 3), 6.0))
    assert not details.any()


def test_without_details_the_inverse_is_half_of_nearest_neighbours():
    low = torch.randn(2, 3, 4, 5)
    y = haar_up(low, torch.zeros(2, 9, 4, 5), (8, 10))
    torch.testing.assert_close(y, low.repeat_interleave(2, 2).repeat_interleave(2, 3) / 2)


@pytest.mark.parametrize("cell", [(2, 2), (2, 3), (3, 2), (3, 3)])
def test_a_lit_cell_shows_in_every_band_and_three_quarters_of_its_energy_in_the_details(cell):
    x = torch.zeros(1, 1, 6, 6)
    x[0, 0, *cell] = 2
    ll, details = haar_down(x)
    assert ll[0, 0, 1, 1] == 1
    assert details[0, :, 1, 1].abs().tolist() == [1, 1, 1]
    assert details.square().sum() / x.square().sum() == 0.75


@pytest.mark.parametrize("size", [(21, 34), (16, 16), (9, 8)])
def test_the_paths_put_a_map_together_again_if_nothing_stands_between(size):
    down, up = HaarDownPath(3, 3, 3, relu=False), HaarUpPath(3, 3, 3)
    for path in (down, up):
        path.conv, path.norm = nn.Identity(), nn.Identity()
    x = torch.randn(2, 3, *size)
    y, records = down(x)
    assert y.shape[2:] == tuple(-(-side // 8) for side in size)
    assert [tuple(shape) for _, shape in records] == [tuple(-(-side // 2**s) for side in size) for s in range(3)]
    torch.testing.assert_close(up(y, records), x, rtol=0, atol=1e-6)


def test_a_one_cell_lesion_comes_back_to_its_place_with_its_neighbours():
    """Max unpooling would bring back the cell alone, with zeros around it."""
    x = torch.rand(1, 2, 16, 16)
    x[:, :, 5, 9] = 40
    down, up = HaarDownPath(2, 4, 2, relu=False).eval(), HaarUpPath(4, 2, 2).eval()
    y, records = down(x)
    up.conv, up.norm = nn.Identity(), nn.Identity()
    low = F.avg_pool2d(x, 4) * 4  # what the lower branch would hold if it had changed nothing
    torch.testing.assert_close(up(low, records), x, rtol=0, atol=1e-5)
    assert y.shape == (1, 4, 4, 4)


@pytest.mark.parametrize("relu", [False, True])
def test_the_down_path_transforms_before_its_convolution(relu):
    path, x = HaarDownPath(3, 5, 2, relu).eval(), torch.randn(2, 3, 9, 6)
    y = path.norm(path.conv(slow_bands(slow_bands(x)[0])[0]))
    torch.testing.assert_close(path(x)[0], F.relu(y) if relu else y)
    assert haar.UP["Haar"] is HaarUpPath


def official_tensors(in_channels, out_channels):
    """Random weights under the authors' names, with the filters of their wavelet library."""
    root = 2**-0.5
    low, high = torch.tensor([root, root]), torch.tensor([root, -root])
    return {
        "wt.h0_col": low.view(1, 1, 2, 1),
        "wt.h1_col": high.view(1, 1, 2, 1),
        "wt.h0_row": low.view(1, 1, 1, 2),
        "wt.h1_row": high.view(1, 1, 1, 2),
        "conv_bn_relu.0.weight": torch.randn(out_channels, 4 * in_channels, 1, 1) / in_channels**0.5,
        "conv_bn_relu.0.bias": torch.randn(out_channels),
        "conv_bn_relu.1.weight": torch.randn(out_channels),
        "conv_bn_relu.1.bias": torch.randn(out_channels),
        "conv_bn_relu.1.running_mean": torch.randn(out_channels),
        "conv_bn_relu.1.running_var": torch.rand(out_channels) + 0.5,
        "conv_bn_relu.1.num_batches_tracked": torch.tensor(5),
    }


@pytest.mark.parametrize("size", SIZES)
def test_hwd_equals_the_authors_layers_bias_included(size):
    operator, tensors = HWD(3, 5).eval(), official_tensors(3, 5)
    operator.load_official(tensors)
    x = torch.randn(2, 3, *size)
    conv = (tensors["conv_bn_relu.0.weight"], tensors["conv_bn_relu.0.bias"])
    y = F.conv2d(torch.cat(list(slow_bands(x)), dim=1), *conv)
    names = ("running_mean", "running_var", "weight", "bias")
    expected = F.relu(F.batch_norm(y, *(tensors[f"conv_bn_relu.1.{name}"] for name in names)))
    torch.testing.assert_close(operator(x), expected, rtol=1e-5, atol=1e-5)


def test_hwd_equals_one_strided_convolution_with_composed_weights():
    operator, tensors = HWD(3, 5, act=nn.Identity).eval(), official_tensors(3, 5)
    operator.load_official(tensors)
    basis = slow_bands(torch.eye(4).view(4, 1, 2, 2))[:, :, 0, 0, 0].T  # (cell, band)
    weight = torch.einsum("obc,pb->ocp", operator.conv.weight[:, :, 0, 0].unflatten(1, (4, 3)), basis)
    x = torch.randn(2, 3, 8, 10)
    expected = operator.norm(F.conv2d(x, weight.unflatten(2, (2, 2)), stride=2))
    torch.testing.assert_close(operator(x), expected, rtol=1e-5, atol=1e-5)


def test_spd_with_haars_weights_equals_hwd():
    """Kernel 1 mixes the four cells of a block; Haar's bands are one way to do it."""
    bands, cells = HWD(3, 5).eval(), SPDConv(3, 5, kernel=1).eval()
    basis = slow_bands(torch.eye(4).view(4, 1, 2, 2))[:, :, 0, 0, 0]  # (band, cell), cells row by row
    basis = basis[:, [0, 2, 1, 3]]  # in SPD's order, column by column
    weight = torch.einsum("obc,bp->opc", bands.conv.weight[:, :, 0, 0].unflatten(1, (4, 3)), basis)
    cells.conv.weight.data = weight.flatten(1)[:, :, None, None]
    x = torch.randn(2, 3, 9, 8)
    torch.testing.assert_close(cells(x), bands(x), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda tensors: tensors.pop("conv_bn_relu.0.bias"), "Missing key.*conv_bn_relu.0.bias"),
        (lambda tensors: tensors.pop("conv_bn_relu.1.running_mean"), "Missing key.*running_mean"),
        (lambda tensors: tensors.update(other=torch.zeros(1)), "Unexpected key.*other"),
        (lambda tensors: tensors.update({"wt.h0_col": torch.zeros(1, 1, 8, 1)}), "constant wt.h0_col"),
    ],
)
def test_hwd_refuses_weights_that_do_not_fit(change, message):
    tensors = official_tensors(3, 5)
    change(tensors)
    with pytest.raises(RuntimeError, match=message):
        HWD(3, 5).load_official(tensors)


def test_hwds_steps_keep_the_channels_until_the_last():
    path = hwd.down(4, 6, 3, relu=False)
    assert [(step.conv.in_channels, step.conv.out_channels) for step in path] == [(16, 4), (16, 4), (16, 6)]
    assert [type(step.act) for step in path] == [nn.ReLU, nn.ReLU, nn.Identity]
    assert isinstance(hwd.down(4, 6, 1, relu=True)[0].act, nn.ReLU)
