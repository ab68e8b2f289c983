"""Guided up paths: which guide a step is given, how an odd one is filled up; weights under their authors' names."""

import pytest
import torch
from torch import nn

from rfbench.guided import GuidedStep, GuidedUpPath
from rfbench.official import load_official


class Spy(GuidedStep):
    """Keeps what it is given; nearest ×2 of the low map plus the guide."""

    def __init__(self, channels: int):
        super().__init__()
        self.channels = channels

    def reassemble(self, low, guide):
        self.given = low, guide
        return low.repeat_interleave(2, 2).repeat_interleave(2, 3) + guide


def test_steps_go_from_coarse_to_fine_each_with_its_own_guide():
    path = GuidedUpPath(6, 4, 3, Spy).eval()
    records = tuple(torch.randn(2, 4, *size) for size in [(16, 24), (8, 12), (4, 6)])
    x = torch.randn(2, 6, 2, 3)
    conv, norm, *steps = path
    y = expected = norm(conv(x))
    for step, guide in zip(steps, records[::-1], strict=True):
        assert step.channels == 4
        expected = expected.repeat_interleave(2, 2).repeat_interleave(2, 3) + guide
    y = path(x, records)
    assert torch.equal(y, expected)
    assert [step.given[1] is guide for step, guide in zip(steps, records[::-1], strict=True)] == [True] * 3


def test_a_path_with_too_few_records_is_refused():
    with pytest.raises(ValueError, match="shorter"):
        GuidedUpPath(6, 4, 2, Spy)(torch.randn(2, 6, 2, 3), (torch.randn(2, 4, 4, 6),))


@pytest.mark.parametrize("size", [(6, 8), (5, 8), (6, 7), (5, 7), (1, 1)])
def test_an_odd_guide_is_continued_by_its_last_row_and_column_and_the_result_cut(size):
    step, guide = Spy(3), torch.randn(2, 3, *size)
    height, width = size
    low = torch.randn(2, 3, -(-height // 2), -(-width // 2))
    y = step(low, guide)
    given = step.given[1]
    assert torch.equal(given[:, :, :height, :width], guide)
    assert torch.equal(given[:, :, height:], given[:, :, height - 1 : height].expand_as(given[:, :, height:]))
    assert torch.equal(given[..., width:], given[..., width - 1 : width].expand_as(given[..., width:]))
    assert all(side % 2 == 0 for side in given.shape[2:])
    assert torch.equal(y, (low.repeat_interleave(2, 2).repeat_interleave(2, 3) + given)[:, :, :height, :width])


def test_a_low_map_of_another_size_is_refused():
    with pytest.raises(ValueError, match="Spy: expected a low map of half the guide's size, 3x4 cells, found 4x4"):
        Spy(3)(torch.randn(1, 3, 4, 4), torch.randn(1, 3, 6, 7))


def module() -> nn.Module:
    return nn.ModuleDict({"conv": nn.Conv2d(3, 3, 1), "norm": nn.BatchNorm2d(3)})


def theirs(operator: nn.Module) -> dict[str, torch.Tensor]:
    names = {"conv": "block.0", "norm": "block.1"}
    tensors = {f"{names[key.split('.')[0]]}.{key.split('.')[1]}": value for key, value in operator.state_dict().items()}
    return tensors | {"taps": torch.ones(1, 1, 2)}


NAMES, CONSTANTS = {"block.0": "conv", "block.1": "norm"}, {"taps": (1, 1, 2)}


def test_official_weights_load_with_their_constants_and_counters_or_without():
    source, target = module(), module()
    source["norm"].running_mean.uniform_(), source["norm"].num_batches_tracked.add_(7)
    load_official(target, theirs(source), NAMES, CONSTANTS)
    assert all(
        torch.equal(a, b) for a, b in zip(target.state_dict().values(), source.state_dict().values(), strict=True)
    )
    without = {key: value for key, value in theirs(source).items() if "num_batches" not in key and key != "taps"}
    load_official(target, without, NAMES, CONSTANTS)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda tensors: tensors.pop("block.0.bias"), "Missing key.*conv.bias"),
        (lambda tensors: tensors.update(other=torch.zeros(1)), "Unexpected key.*other"),
        (lambda tensors: tensors.update({"block.0.bias": torch.zeros(4)}), "size mismatch for conv.bias"),
        (lambda tensors: tensors.update(taps=torch.ones(1, 1, 4)), r"constant taps of shape \(1, 1, 2\).*\(1, 1, 4\)"),
    ],
)
def test_official_weights_that_do_not_fit_are_refused(change, message):
    tensors = theirs(module())
    change(tensors)
    with pytest.raises(RuntimeError, match=message):
        load_official(module(), tensors, NAMES, CONSTANTS)
