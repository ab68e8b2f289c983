"""Metrics without each image, against the metrics of the remaining images computed from their pixels."""

import numpy as np
import pytest
import torch
from sklearn.metrics import average_precision_score

from rfbench.metrics import LesionMetrics
from rfbench.statistics import jackknife

from .drawn import IMAGES, draw_labels, draw_scores, histograms, per_image


def draw(seed: int, sharpness: float = 1.5, rare: float = 0.1) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities and labels."""
    label = draw_labels(seed, rare)
    return draw_scores(label, seed + 1, sharpness), label


def without(prob: np.ndarray, label: np.ndarray, image: int) -> dict[str, dict[str, float]]:
    """Metrics of all images but one."""
    metrics = LesionMetrics()
    for other in set(range(len(prob))) - {image}:
        metrics.update(torch.from_numpy(prob[other]), torch.from_numpy(label[other]))
    return metrics.compute()


@pytest.mark.parametrize("seed", [0, 1])
def test_counted_metrics_are_those_of_the_remaining_images(seed):
    prob, label = draw(seed)
    got = jackknife.without_each(*per_image(prob, label))
    assert set(got) == set(jackknife.COUNTED)
    for image in range(IMAGES):
        expected = without(prob, label, image)
        for metric, values in got.items():
            lesions = [expected[metric][lesion] for lesion in ("EX", "HE", "SE", "MA")]
            np.testing.assert_allclose(values[image], lesions, atol=1e-12, err_msg=metric)


def test_the_only_image_of_a_lesion_leaves_zeros_behind():
    prob, label = draw(2)
    label[1:][label[1:] == 3] = 0
    counts, positives = per_image(prob, label)
    got = jackknife.without_each(counts, positives)
    average = jackknife.average_precision_without_each(*histograms(prob, label), lesions=4)
    expected = without(prob, label, 0)
    for metric, values in (*got.items(), ("ap", average)):
        assert values[0, 2] == expected[metric]["SE"] == 0


@pytest.mark.parametrize(("sharpness", "rare"), [(1.5, 0.1), (4.0, 0.02)])
def test_average_precision_is_scikit_learns_within_a_thousandth(sharpness, rare):
    prob, label = draw(3, sharpness, rare)
    got = jackknife.average_precision_without_each(*histograms(prob, label), lesions=4)
    assert got.shape == (IMAGES, 4)
    for image in range(IMAGES):
        rest = [k for k in range(IMAGES) if k != image]
        for c in range(4):
            expected = average_precision_score((label[rest] == c + 1).ravel(), prob[rest, c].ravel())
            assert got[image, c] == pytest.approx(expected, abs=1e-3)


def test_blocks_of_images_change_nothing(monkeypatch):
    prob, label = draw(4)
    stored = histograms(prob, label)
    whole = jackknife.average_precision_without_each(*stored, lesions=4)
    monkeypatch.setattr(jackknife, "_BLOCK", 1)
    np.testing.assert_allclose(jackknife.average_precision_without_each(*stored, lesions=4), whole, atol=1e-14)


def test_average_precision_of_bins_of_one_pixel_is_exact():
    rng = np.random.default_rng(5)
    positive = (rng.random(300) < 0.2).astype(float)
    expected = average_precision_score(positive, np.arange(300, 0, -1))
    # The integral over a bin of one pixel, from ½ to 1½, is the value at 1 up to the curve's curvature.
    assert jackknife.average_precision(np.ones(300), positive) == pytest.approx(expected, abs=2e-4)


def test_positives_are_taken_to_lie_evenly_in_a_bin():
    """A single bin of 10,000 pixels, 100 of them positive in even steps, is the map's precision, 0.01."""
    truth = np.zeros(10_000, bool)
    truth[49::100] = True
    expected = average_precision_score(truth, np.arange(10_000, 0, -1))
    got = jackknife.average_precision(np.array([10_000.0]), np.array([100.0]))
    assert got == pytest.approx(expected, rel=0.02)


def test_without_a_positive_it_is_zero():
    assert jackknife.average_precision(np.array([5.0, 0, 3]), np.zeros(3)) == 0
