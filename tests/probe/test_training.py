"""One run: the losses, the score, batches, the same bits twice."""

import numpy as np
import pytest
import torch
from sklearn.metrics import average_precision_score

from rfbench.probe import data, scoring, training
from rfbench.probe.groups import Group, ProbeRun
from rfbench.probe.protocol import departing

from .conftest import CHANGES

PROTOCOL = departing(CHANGES, "test")


@pytest.mark.parametrize("levels", [3, 1000])
def test_average_precision_is_scikit_learn_s_with_ties_too(levels):
    rng = np.random.default_rng(levels)
    scores, positive = rng.integers(levels, size=500) / levels, rng.random(500) < 0.1
    expected = average_precision_score(positive, scores)
    assert scoring.average_precision(scores, positive) == pytest.approx(expected, abs=1e-12)


def test_average_precision_without_a_positive_is_unknown():
    assert np.isnan(scoring.average_precision(np.arange(3.0), np.zeros(3, bool)))


def test_each_size_is_scored_against_background_alone():
    truth = data.draw(PROTOCOL.images, "fusion", "test", 5)
    logits = np.random.default_rng(0).normal(size=truth.size.shape) + (truth.size == 4) * 50  # others must not count
    rows = {(r["cells"], r["contrast"], r["coexisting"]): r for r in scoring.by_size(logits, truth)}
    assert rows[4, "all", "all"]["ap"] == 1
    for (cells, contrast, coexisting), row in rows.items():
        if cells == 4:
            continue
        chosen = {"all": truth.coexisting | True, "yes": truth.coexisting, "no": ~truth.coexisting}[coexisting]
        size, level = truth.size[chosen].ravel(), truth.contrast[chosen].ravel()
        positive = (size == cells) & ((contrast == "all") | (level == contrast))
        keep = positive | (size == 0)
        expected = average_precision_score(positive[keep], logits[chosen].ravel()[keep])
        assert row["ap"] == pytest.approx(expected, abs=1e-12)
        assert row["prevalence"] == pytest.approx(positive.sum() / keep.sum())
    assert (50, "all", "no") not in rows
    assert {(1, 3, "all"), (1, 5, "all"), (1, "all", "yes"), (1, "all", "no")} <= rows.keys()


def dice_by_hand(p: np.ndarray, size: np.ndarray, sizes: list[int]) -> float:
    """The mean over sizes, cell by cell."""
    terms = []
    for cells in sizes:
        hit = total = true = 0.0
        for probability, own in zip(p.ravel(), size.ravel(), strict=True):
            if own in (0, cells):
                total += probability
                hit += probability * (own == cells)
                true += own == cells
        terms.append(1 - (2 * hit + 1e-5) / (total + true + 1e-5))
    return sum(terms) / len(terms)


def test_the_losses_are_those_of_slow_loops():
    rng = np.random.default_rng(1)
    logits, size = rng.normal(size=(2, 6, 6)), rng.choice([0, 0, 0, 1, 4, 50], (2, 6, 6))
    p = 1 / (1 + np.exp(-logits))
    got = training.dice_by_size(torch.tensor(logits), torch.tensor(size), [1, 4, 50]).item()
    assert got == pytest.approx(dice_by_hand(p, size, [1, 4, 50]), rel=1e-9)
    pixels = training.dice_of_pixels(torch.tensor(logits), torch.tensor(size), []).item()
    expected = 1 - (2 * (p * (size > 0)).sum() + 1e-5) / (p.sum() + (size > 0).sum() + 1e-5)
    assert pixels == pytest.approx(expected, rel=1e-9)


def test_the_loss_of_sizes_sees_tiny_lesions_and_that_of_pixels_does_not():
    size = torch.zeros(1, 20, 20, dtype=torch.long)
    size[0, :5, :10], size[0, 15, 15] = 50, 1
    right = torch.where(size > 0, 20.0, -20.0)
    missed = torch.where(size == 50, 20.0, -20.0)
    by_size, of_pixels = (
        loss(missed, size, [1, 50]).item() - loss(right, size, [1, 50]).item()
        for loss in (training.dice_by_size, training.dice_of_pixels)
    )
    assert by_size == pytest.approx(0.5, abs=0.01)
    assert of_pixels < 0.011


def test_a_derangement_moves_every_image():
    for seed in range(20):
        order = training.derangement(np.random.default_rng(seed), 9)
        assert sorted(order) == list(range(9))
        assert (order != np.arange(9)).all()


def test_the_same_run_gives_the_same_bits_and_another_seed_others():
    run = ProbeRun(Group("fusion", "m2mrf_c"), 0.01, 0, "test")
    a, b = (training.train(PROTOCOL, run) for _ in range(2))
    assert a == b
    assert a["state"] == "done"
    assert training.train(PROTOCOL, ProbeRun(run.group, 0.01, 1, "test"))["scores"] != a["scores"]


def test_permuted_labels_reach_the_loss_alone():
    own, permuted = (
        training.train(PROTOCOL, ProbeRun(Group("fusion", "strideconv_bilinear", copy), 0.01, 0, "test"))
        for copy in ("", "permuted")
    )
    assert own["loss"] != permuted["loss"]
    assert [row["positives"] for row in own["scores"]] == [row["positives"] for row in permuted["scores"]]


def test_a_loss_that_is_not_finite_is_a_state_not_an_error(monkeypatch):
    monkeypatch.setattr(training, "dice_by_size", lambda p, size, sizes: (p * float("nan")).mean())
    record = training.train(PROTOCOL, ProbeRun(Group("fusion", "strideconv_bilinear"), 0.01, 0, "test"))
    assert (record["state"], record["scores"], record["loss"]) == ("diverged", [], None)
    assert "finite" in record["reason"]


def test_batches_pass_over_all_images_before_any_comes_again(monkeypatch):
    drawn = []

    class Spy(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.gain = torch.nn.Parameter(torch.ones(()))

        def forward(self, x):
            drawn.extend(x[:, 0, 0, 0].int().tolist())
            return x * self.gain

    changes = {**CHANGES, "training": {"steps": 4, "batch": 3, "learning_rates": [0.01]}}
    x = torch.arange(6.0).view(6, 1, 1, 1).expand(6, 1, 4, 4)
    training.fit(Spy(), x, torch.ones(6, 4, 4), 0.01, departing(changes, "test"), "sizes", np.random.default_rng(0))
    assert sorted(drawn[:6]) == sorted(drawn[6:]) == list(range(6))
    assert drawn[:6] != drawn[6:]


def test_flops_of_the_plain_networks_by_hand():
    """StrideConv / Bilinear, multiply-adds as two: convolutions, and bilinear's four a cell."""
    model = training.build(PROTOCOL, Group("serial", "strideconv_bilinear"))
    convolutions = 48**2 * 9 * 16 + 24**2 * 9 * 256 + 12**2 * 9 * 256 + 12**2 * 256 + 48**2 * 16
    bilinear = 4 * 48**2 * 16
    assert training.count_flops(model, torch.zeros(1, 1, 48, 48)) == 2 * (convolutions + bilinear)
