"""Metrics without each image, against the metrics of the remaining images computed from their pixels."""

import numpy as np
import pytest
import torch
from sklearn.metrics import average_precision_score

from rfbench.metrics import LesionMetrics
from rfbench.names import LESIONS, METRICS
from rfbench.statistics import jackknife

from .drawn import IMAGES, draw_labels, draw_scores, evaluated


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
def test_metrics_are_those_of_the_remaining_images(seed):
    prob, label = draw(seed)
    got = jackknife.without_each(evaluated(prob, label))
    assert set(got) == set(METRICS)
    for image in range(IMAGES):
        expected = without(prob, label, image)
        for metric, values in got.items():
            lesions = [expected[metric][lesion] for lesion in LESIONS]
            np.testing.assert_allclose(values[image], lesions, atol=1e-3 if metric == "ap" else 1e-12, err_msg=metric)


def test_the_only_image_of_a_lesion_leaves_zeros_behind():
    prob, label = draw(2)
    label[1:][label[1:] == 3] = 0
    expected = without(prob, label, 0)
    for metric, values in jackknife.without_each(evaluated(prob, label)).items():
        assert values[0, 2] == expected[metric]["SE"] == 0


@pytest.mark.parametrize(("sharpness", "rare"), [(1.5, 0.1), (4.0, 0.02)])
def test_average_precision_is_scikit_learns_within_a_thousandth(sharpness, rare):
    prob, label = draw(3, sharpness, rare)
    got = jackknife.without_each(evaluated(prob, label))["ap"]
    assert got.shape == (IMAGES, 4)
    for image in range(IMAGES):
        rest = [k for k in range(IMAGES) if k != image]
        for c in range(4):
            expected = average_precision_score((label[rest] == c + 1).ravel(), prob[rest, c].ravel())
            assert got[image, c] == pytest.approx(expected, abs=1e-3)


def test_any_number_of_lesions():
    prob, label = draw(6)
    label[label > 2] = 0
    two = jackknife.without_each(evaluated(prob[:, :2], label, ("A", "B")))
    four = jackknife.without_each(evaluated(prob, label))
    for metric, values in two.items():
        np.testing.assert_array_equal(values, four[metric][:, :2])


def test_blocks_of_images_change_nothing(monkeypatch):
    run = evaluated(*draw(4))
    whole = jackknife.without_each(run)["ap"]
    monkeypatch.setattr(jackknife, "_BLOCK", 1)
    np.testing.assert_allclose(jackknife.without_each(run)["ap"], whole, atol=1e-14)
