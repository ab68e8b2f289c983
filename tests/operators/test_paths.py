"""The simple paths against their formulas."""

import numpy as np
import pytest
import torch
from torch import nn

from operators import avgpool, bilinear, deconv, maxpool, nearest, strideconv

from .test_maxpool import slow_pool


def run(path: nn.Module, x: torch.Tensor) -> torch.Tensor:
    """The path's output, without what it records."""
    y = path(x)
    return y[0] if isinstance(y, tuple) else y


@pytest.mark.parametrize("steps", [1, 2, 3])
@pytest.mark.parametrize("size", [(16, 24), (17, 9), (2, 5)])
@pytest.mark.parametrize("down", [strideconv.down, maxpool.MaxPoolPath, avgpool.down])
def test_down_paths_give_the_ceiling(down, size, steps):
    path = down(4, 6, steps, relu=False).eval()
    expected = tuple(-(-side // 2**steps) for side in size)
    assert run(path, torch.randn(2, 4, *size)).shape == (2, 6, *expected)


@pytest.mark.parametrize("steps", [1, 2, 3])
@pytest.mark.parametrize("up", [bilinear.up, deconv.up, nearest.up])
def test_up_paths_multiply_the_size(up, steps):
    assert up(6, 4, steps).eval()(torch.randn(2, 6, 3, 5)).shape == (2, 4, 3 * 2**steps, 5 * 2**steps)


@pytest.mark.parametrize("relu", [False, True])
@pytest.mark.parametrize("down", [strideconv.down, maxpool.MaxPoolPath, avgpool.down])
def test_a_down_path_ends_in_a_relu_only_where_asked(down, relu):
    path = down(4, 6, 2, relu)
    assert (run(path, torch.randn(2, 4, 16, 16)).min() >= 0) == relu


def test_strided_steps_keep_the_channels_until_the_last():
    convs = [module for module in strideconv.down(4, 6, 3, relu=False).modules() if isinstance(module, nn.Conv2d)]
    assert [(conv.in_channels, conv.out_channels) for conv in convs] == [(4, 4), (4, 4), (4, 6)]


def test_the_recording_path_is_the_strided_one_and_records_what_each_step_receives():
    path, plain = strideconv.recording_down(4, 6, 3, relu=True).eval(), strideconv.down(4, 6, 3, relu=True).eval()
    assert list(path.state_dict()) == list(plain.state_dict()), "ImageNet weights load by name"
    plain.load_state_dict(path.state_dict())
    x = torch.randn(2, 4, 21, 34)
    y, records = path(x)
    assert torch.equal(y, plain(x))
    assert [tuple(record.shape) for record in records] == [(2, 4, 21, 34), (2, 4, 11, 17), (2, 4, 6, 9)]
    assert records[0] is x
    for step, received, given in zip(plain, records, [*records[1:], y], strict=True):
        assert torch.equal(step(received), given)


def test_maxpool_is_a_chain_of_pools_then_conv_and_norm():
    path = maxpool.MaxPoolPath(4, 6, 2, relu=False)
    path.norm.running_mean.uniform_(), path.norm.running_var.uniform_(0.5, 2), path.eval()
    x = torch.randn(1, 4, 17, 10)
    pooled = slow_pool(slow_pool(x)[0])[0][0].numpy()  # (4, 5, 3)
    mixed = np.einsum("oc,chw->ohw", path.conv.weight.detach().numpy()[..., 0, 0], pooled)
    mean, variance = (buffer.numpy()[:, None, None] for buffer in (path.norm.running_mean, path.norm.running_var))
    expected = (mixed - mean) / np.sqrt(variance + path.norm.eps)
    np.testing.assert_allclose(run(path, x)[0].detach().numpy(), expected, rtol=1e-5, atol=1e-5)


def test_maxpool_gives_the_gradient_of_a_tie_to_the_first_cell():
    x = torch.zeros(1, 1, 4, 4, requires_grad=True)
    maxpool.MaxPoolPath(1, 1, 1, relu=False).pool[0](x)[0][0, 0, 1, 1].backward()  # window rows 1…3, columns 1…3
    assert x.grad.nonzero().tolist() == [[0, 0, 1, 1]]


@pytest.mark.parametrize("size", [(8, 8), (7, 5), (1, 2)])
def test_averages_are_over_cells_inside_the_map(size):
    path, x = avgpool.down(4, 6, 2, relu=False).eval(), torch.randn(2, 4, *size)
    y = x
    for _ in range(2):
        rows, columns = (range(0, side, 2) for side in y.shape[2:])
        means = [y[:, :, v : v + 2, u : u + 2].mean((2, 3)) for v in rows for u in columns]
        y = torch.stack(means, dim=2).unflatten(2, (len(rows), len(columns)))
    torch.testing.assert_close(path(x), path.norm(path.conv(y)))


@pytest.mark.parametrize("steps", [1, 2, 3])
def test_nearest_neighbours_are_copies(steps):
    path, x = nearest.up(6, 4, steps).eval(), torch.randn(2, 6, 3, 5)
    conv, norm, _ = path
    assert torch.equal(path(x), norm(conv(x)).repeat_interleave(2**steps, 2).repeat_interleave(2**steps, 3))


def test_deconvolution_spreads_each_cell_over_its_own_block():
    path = deconv.up(3, 2, 2).eval()
    x = torch.randn(1, 3, 2, 3)
    # kernel = stride: block (a, b) is the kernel weighted by cell (a, b).
    blocks = torch.einsum("ncab,coij->noaibj", x, path.deconv.weight)  # (1, 2, 2, 4, 3, 4)
    expected = path.norm(blocks.reshape(1, 2, 8, 12))
    torch.testing.assert_close(path(x), expected)
