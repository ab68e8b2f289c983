"""Pooling's indices and unpooling by them against plain loops."""

import pytest
import torch

from operators.maxpool import MaxPoolDownsample, MaxPoolPath, MaxUnpoolPath, max_unpool


def slow_pool(x):
    """Maxima and where they lie, the first in row-major order among equals."""
    n, channels, height, width = x.shape
    rows, columns = -(-height // 2), -(-width // 2)
    y, indices = torch.empty(n, channels, rows, columns), torch.empty(n, channels, rows, columns, dtype=torch.int64)
    for b in range(n):
        for c in range(channels):
            for v in range(rows):
                for u in range(columns):
                    window = [
                        (row, column)
                        for row in range(max(2 * v - 1, 0), min(2 * v + 2, height))
                        for column in range(max(2 * u - 1, 0), min(2 * u + 2, width))
                    ]
                    best = max(window, key=lambda cell: x[b, c, cell[0], cell[1]].item())  # the first one
                    y[b, c, v, u], indices[b, c, v, u] = x[b, c, best[0], best[1]], best[0] * width + best[1]
    return y, indices


def slow_unpool(low, indices, size):
    y = torch.zeros(*low.shape[:2], size[0] * size[1])
    for b in range(low.shape[0]):
        for c in range(low.shape[1]):
            for value, target in zip(low[b, c].flatten(), indices[b, c].flatten().tolist(), strict=True):
                y[b, c, target] = value  # a later one overwrites
    return y.unflatten(2, size)


@pytest.mark.parametrize("size", [(1, 1), (2, 3), (8, 8), (9, 12), (5, 1)])
@pytest.mark.parametrize("ties", [False, True])
def test_pooling_and_unpooling_equal_the_loops(size, ties):
    x = torch.randint(0, 3, (2, 3, *size)).float() if ties else torch.randn(2, 3, *size)
    y, indices = MaxPoolDownsample()(x)
    slow_y, slow_indices = slow_pool(x)
    assert torch.equal(y, slow_y)
    assert torch.equal(indices, slow_indices)
    low = torch.randn_like(y, requires_grad=True)
    up, expected = max_unpool(low, indices, size), slow_unpool(low, indices, size)
    assert torch.equal(up, expected)
    cotangent = torch.randn_like(up)
    grads = [torch.autograd.grad(map_, low, cotangent)[0] for map_ in (up, expected)]
    assert torch.equal(*grads)


def test_of_cells_with_one_target_the_last_is_written_and_alone_receives_gradient():
    x = torch.zeros(1, 1, 4, 4)
    x[0, 0, 1, 1] = 5  # the maximum of all four windows
    _, indices = MaxPoolDownsample()(x)
    low = torch.tensor([[[[1.0, 2.0], [3.0, 4.0]]]], requires_grad=True)
    y = max_unpool(low, indices, (4, 4))
    assert y[0, 0, 1, 1] == 4
    assert y.count_nonzero() == 1
    y.sum().backward()
    assert low.grad.flatten().tolist() == [0, 0, 0, 1]


def test_the_paths_unpool_in_reverse_to_the_recorded_sizes():
    down, up = MaxPoolPath(3, 6, 3, relu=False).eval(), MaxUnpoolPath(6, 3, 3).eval()
    x = torch.randn(2, 3, 21, 34)
    y, records = down(x)
    assert [tuple(size) for _, size in records] == [(21, 34), (11, 17), (6, 9)]
    expected = up.norm(up.conv(y))
    for indices, size in records[::-1]:
        expected = slow_unpool(expected, indices, tuple(size))
    assert torch.equal(up(y, records), expected)
