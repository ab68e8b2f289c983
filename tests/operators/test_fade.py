"""FADE against plain loops, and what its gate and its two sources of kernels do."""

import math

import pytest
import torch
import torch.nn.functional as F

from operators import fade
from operators.fade import FADE


def nearest(x):
    return x.repeat_interleave(2, 2).repeat_interleave(2, 3)


def official_tensors(channels, gate=True, lite=False):
    m, inner = (25, 1) if lite else (64, 64)
    shapes = {
        "ker_generator.compressor_en.weight": (m, channels, 1, 1),
        "ker_generator.compressor_en.bias": (m,),
        "ker_generator.compressor_de.weight": (m, channels, 1, 1),
        "ker_generator.content_encoder.weight": (25, inner, 3, 3),
        "ker_generator.content_encoder.bias": (25,),
        **({"gate_generator.conv.weight": (1, channels, 1, 1), "gate_generator.conv.bias": (1,)} if gate else {}),
    }
    return {name: torch.randn(shape) / math.prod(shape[1:]) ** 0.5 for name, shape in shapes.items()}


def encoded(x, tensors, name, lite):
    """Logits of one source: its conv1x1, then the encoder that both share."""
    compressed = F.conv2d(
        x, tensors[f"ker_generator.compressor_{name}.weight"], tensors.get(f"ker_generator.compressor_{name}.bias")
    )
    weight, bias = (tensors[f"ker_generator.content_encoder.{kind}"] for kind in ("weight", "bias"))
    return F.conv2d(compressed, weight, bias, padding=1, groups=25 if lite else 1)


def slow(low, guide, tensors, lite=False):
    """For guides of even sides."""
    n, channels, height, width = low.shape
    fine, coarse = encoded(guide, tensors, "en", lite), encoded(low, tensors, "de", lite)
    y = torch.zeros(n, channels, 2 * height, 2 * width)
    for b in range(n):
        for row in range(2 * height):
            for column in range(2 * width):
                v, u = row // 2, column // 2
                exponentials = [math.exp(logit) for logit in (fine[b, :, row, column] + coarse[b, :, v, u]).tolist()]
                for tap, exponential in enumerate(exponentials):
                    i, j = v + tap // 5 - 2, u + tap % 5 - 2
                    if 0 <= i < height and 0 <= j < width:
                        y[b, :, row, column] += exponential / sum(exponentials) * low[b, :, i, j]
    if "gate_generator.conv.weight" not in tensors:
        return y
    weight, bias = tensors["gate_generator.conv.weight"][0, :, 0, 0], tensors["gate_generator.conv.bias"]
    gate = nearest(1 / (1 + torch.exp(-torch.einsum("c,nchw->nhw", weight, low)[:, None] - bias)))
    return gate * guide + (1 - gate) * y


@pytest.mark.parametrize("options", [{}, {"gate": False}, {"lite": True}])
@pytest.mark.parametrize("size", [(4, 5), (1, 1), (2, 7)])
def test_it_equals_the_loops(options, size):
    operator, tensors = FADE(6, **options), official_tensors(6, **options)
    operator.load_official(tensors)
    low, guide = torch.randn(2, 6, *size), torch.randn(2, 6, *(2 * side for side in size))
    expected = slow(low, guide, tensors, options.get("lite", False))
    torch.testing.assert_close(operator(low, guide), expected, rtol=1e-4, atol=1e-5)


def test_an_odd_guide_is_continued_and_the_result_cut():
    operator, tensors = FADE(6), official_tensors(6)
    operator.load_official(tensors)
    low, guide = torch.randn(1, 6, 3, 4), torch.randn(1, 6, 5, 7)
    full = F.pad(guide, (0, 1, 0, 1), mode="replicate")
    torch.testing.assert_close(operator(low, guide), slow(low, full, tensors)[:, :, :5, :7], rtol=1e-4, atol=1e-5)


def loaded(channels=6, **options):
    operator = FADE(channels, **options)
    operator.load_official(official_tensors(channels, **options))
    return operator


def test_an_open_gate_gives_the_guide_and_a_closed_one_the_reassembled_map():
    operator, low, guide = loaded(), torch.randn(2, 6, 4, 5), torch.randn(2, 6, 8, 10)
    plain = FADE(6, gate=False)
    plain.load_state_dict({key: value for key, value in operator.state_dict().items() if "gate" not in key})
    operator.gate.bias.data.fill_(1e4)
    torch.testing.assert_close(operator(low, guide), guide)
    operator.gate.bias.data.fill_(-1e4)
    torch.testing.assert_close(operator(low, guide), plain(low, guide))


def test_without_the_encoders_a_uniform_kernel_averages_25_cells():
    operator, low = FADE(6, gate=False), torch.randn(2, 6, 4, 5)
    for parameter in operator.parameters():
        torch.nn.init.zeros_(parameter)
    expected = nearest(F.avg_pool2d(low, 5, stride=1, padding=2, count_include_pad=True))
    torch.testing.assert_close(operator(low, torch.randn(2, 6, 8, 10)), expected)


def test_kernels_without_the_guide_are_copied_from_the_low_resolution():
    operator, low = loaded(gate=False), torch.randn(2, 6, 4, 5)
    for parameter in operator.compressor_en.parameters():
        torch.nn.init.zeros_(parameter)
    torch.nn.init.zeros_(operator.content_encoder.bias)
    weights = operator.weights(low, torch.randn(2, 6, 8, 10))
    torch.testing.assert_close(weights, weights[:, :, :1].expand_as(weights))
    assert weights.std() > 1e-3


def test_kernels_differ_within_a_low_cell_and_follow_a_shifted_guide():
    operator, low, guide = loaded(gate=False), torch.randn(1, 6, 6, 6), torch.randn(1, 6, 12, 12)
    weights = operator.weights(low, guide)
    assert (weights[:, :, 0] - weights[:, :, 3]).abs().max() > 1e-3
    torch.nn.init.zeros_(operator.compressor_de.weight)
    fixed, shifted = (F.pixel_shuffle(operator.weights(low, g).flatten(1, 2), 2) for g in (guide, guide.roll(1, 3)))
    torch.testing.assert_close(shifted[..., 3:-2], fixed[..., 2:-3])


def test_a_constant_map_stays_in_the_interior_and_fades_at_the_border():
    operator = loaded(gate=False)
    y = operator(torch.full((1, 6, 7, 7), 3.0), torch.randn(1, 6, 14, 14))
    torch.testing.assert_close(y[:, :, 4:10, 4:10], torch.full((1, 6, 6, 6), 3.0))
    assert (y[:, :, 0] < 2.999).all()
    assert (y[..., -1] < 2.999).all()


def test_initialisation_is_xavier():
    operator = FADE(96)
    for conv in (operator.compressor_en, operator.compressor_de, operator.content_encoder, operator.gate):
        area = math.prod(conv.kernel_size)
        bound = (6 / (area * (conv.in_channels + conv.out_channels))) ** 0.5
        assert 0.9 * bound < conv.weight.abs().max() <= bound
        assert conv.bias is None or not conv.bias.any()
    assert operator.compressor_de.bias is None


def test_options_reach_every_step():
    _, _, *steps = fade.up(8, 6, 3, gate=False, lite=True)
    assert [(step.gate, step.compressor_en.out_channels) for step in steps] == [(None, 25)] * 3


def test_weights_of_the_authors_compiled_form_load_too():
    operator, tensors = FADE(6), official_tensors(6)
    operator.load_official(tensors)
    names = {"ker_generator.compressor_": "kernel_generator.conv1_",
             "ker_generator.content_encoder.weight": "kernel_generator.conv2_kernels",
             "ker_generator.content_encoder.bias": "kernel_generator.conv2_bias"}  # fmt: skip
    compiled = {}
    for key, tensor in tensors.items():
        for ours, theirs in names.items():
            key = key.replace(ours, theirs)
        compiled[key] = tensor
    assert compiled.keys().isdisjoint(names)
    other = FADE(6)
    other.load_official(compiled)
    for a, b in zip(operator.state_dict().values(), other.state_dict().values(), strict=True):
        assert torch.equal(a, b)


def test_foreign_weights_are_refused():
    tensors = official_tensors(6)
    with pytest.raises(RuntimeError, match="Unexpected key"):
        FADE(6, gate=False).load_official(tensors)
    del tensors["ker_generator.compressor_en.bias"]
    with pytest.raises(RuntimeError, match="Missing key"):
        FADE(6).load_official(tensors)
