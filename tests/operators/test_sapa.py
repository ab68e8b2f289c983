"""SAPA against plain loops, and what similarity does to edges, constants and scale."""

import math

import pytest
import torch
import torch.nn.functional as F

from operators import sapa
from operators.sapa import SAPA


def nearest(x):
    return x.repeat_interleave(2, 2).repeat_interleave(2, 3)


def official_tensors(channels, dim=32):
    return {
        **{f"norm_{map_}.{kind}": torch.randn(channels) for map_ in "yx" for kind in ("weight", "bias")},
        **{f"{map_}.weight": torch.randn(dim, channels) / channels**0.5 for map_ in "qk"},
        **{f"{map_}.bias": torch.randn(dim) for map_ in "qk"},
    }


def embedded(x, tensors, norm, linear):
    mean, variance = x.mean(1, keepdim=True), x.var(1, unbiased=False, keepdim=True)
    x = (x - mean) / (variance + 1e-5).sqrt()
    x = x * tensors[f"norm_{norm}.weight"][:, None, None] + tensors[f"norm_{norm}.bias"][:, None, None]
    return torch.einsum("dc,nchw->ndhw", tensors[f"{linear}.weight"], x) + tensors[f"{linear}.bias"][:, None, None]


def slow(low, guide, tensors):
    n, channels, height, width = low.shape
    query, key = embedded(guide, tensors, "y", "q"), embedded(low, tensors, "x", "k")
    y = torch.zeros(n, channels, 2 * height, 2 * width)
    for b in range(n):
        for row in range(2 * height):
            for column in range(2 * width):
                cells = [(row // 2 + i, column // 2 + j) for i in range(-2, 3) for j in range(-2, 3)]
                inside = [0 <= i < height and 0 <= j < width for i, j in cells]
                exponentials = [
                    math.exp((query[b, :, row, column] @ key[b, :, i, j]).item()) if within else 1.0
                    for (i, j), within in zip(cells, inside, strict=True)
                ]
                for (i, j), within, exponential in zip(cells, inside, exponentials, strict=True):
                    if within:
                        y[b, :, row, column] += exponential / sum(exponentials) * low[b, :, i, j]
    return y


@pytest.mark.parametrize("dim", [32, 5])
@pytest.mark.parametrize("size", [(4, 5), (1, 1), (2, 7)])
def test_it_equals_the_loops(dim, size):
    operator, tensors = SAPA(6, dim), official_tensors(6, dim)
    operator.load_official(tensors)
    low, guide = torch.randn(2, 6, *size), torch.randn(2, 6, *(2 * side for side in size))
    torch.testing.assert_close(operator(low, guide), slow(low, guide, tensors), rtol=1e-4, atol=1e-5)


def loaded(channels=6, dim=32):
    operator = SAPA(channels, dim)
    operator.load_official(official_tensors(channels, dim))
    return operator


def test_without_a_query_a_uniform_kernel_averages_25_cells():
    operator, low = loaded(), torch.randn(2, 6, 4, 5)
    torch.nn.init.zeros_(operator.q.weight), torch.nn.init.zeros_(operator.q.bias)
    expected = nearest(F.avg_pool2d(low, 5, stride=1, padding=2, count_include_pad=True))
    torch.testing.assert_close(operator(low, torch.randn(2, 6, 8, 10)), expected)


def test_a_constant_stays_in_the_interior_and_not_in_the_corners():
    """Outside taps have score 0 and value 0, and take part in the softmax."""
    y = loaded()(torch.full((1, 6, 7, 7), 3.0), torch.randn(1, 6, 14, 14))
    torch.testing.assert_close(y[:, :, 4:10, 4:10], torch.full((1, 6, 6, 6), 3.0))
    assert (y[:, :, 0, 0] < 2.999).all()


def test_the_result_is_linear_in_the_map_while_query_and_key_stand_still():
    operator, guide = loaded(), torch.randn(1, 6, 8, 10)
    low = torch.randn(1, 6, 4, 5)
    shifted = 2 * low + 5  # layer norm takes scale and shift off, so that the keys stay
    y, changed = operator(low, guide), operator(shifted, guide)
    inside = (changed - 2 * y) / 5  # the kernel's share inside the map, which multiplies the 5
    assert (inside <= 1 + 1e-3).all()
    assert inside.min() < 0.99
    torch.testing.assert_close(inside, inside[:, :1].expand_as(inside), rtol=0, atol=1e-3)


def test_a_scaled_guide_changes_nothing():
    operator, low, guide = loaded(), torch.randn(1, 6, 4, 5), torch.randn(1, 6, 8, 10)
    torch.testing.assert_close(operator(low, 7 * guide), operator(low, guide), rtol=1e-3, atol=1e-3)


def test_an_edge_is_as_sharp_as_the_guides():
    """The guide's edge lies within a low cell; copies of the low map could only place it at a cell's border."""
    operator = SAPA(2, dim=2)
    for linear in (operator.q, operator.k):
        linear.weight.data, linear.bias.data = 6 * torch.eye(2), torch.zeros(2)
    left, right = torch.tensor([1.0, -1.0]), torch.tensor([-1.0, 1.0])

    def step(side, edge):
        return torch.where(torch.arange(side)[None, :] < edge, left[:, None], right[:, None])[None, :, None].expand(
            1, 2, side, side
        )

    low, guide = step(12, 6), step(24, 13)
    y = operator(low, guide)[:, :, 6:-6, 6:-6]
    torch.testing.assert_close(y, guide[:, :, 6:-6, 6:-6].contiguous(), rtol=0, atol=1e-4)
    assert not torch.equal(nearest(low), guide)


def test_initialisation_is_the_authors():
    operator = SAPA(192)
    for linear in (operator.q, operator.k):
        assert linear.weight.std().item() == pytest.approx(0.02, rel=0.03)
        assert not linear.bias.any()


def test_options_reach_every_step():
    _, _, *steps = sapa.up(8, 6, 3, dim=7)
    assert [step.q.out_features for step in steps] == [7] * 3


def test_foreign_weights_are_refused():
    tensors = official_tensors(6)
    with pytest.raises(RuntimeError, match="Unexpected key"):
        SAPA(6).load_official({**tensors, "other": torch.zeros(1)})
    del tensors["norm_x.bias"]
    with pytest.raises(RuntimeError, match="Missing key"):
        SAPA(6).load_official(tensors)
