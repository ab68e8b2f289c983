"""Metrics without each image, against the evaluation of the remaining images."""

import numpy as np
import pytest
from sklearn.metrics import average_precision_score

from rfbench.lesions.lesion_metrics import SIZES
from rfbench.names import LESIONS, METRICS
from rfbench.statistics import jackknife
from rfbench.statistics.scores import COMPARED

from .drawn import IMAGES, draw_labels, draw_scores, measure, record


@pytest.fixture(scope="module", params=[(0, 1.5, 0.1), (1, 4.0, 0.05)])
def case(request) -> tuple:
    """Labels, scores, metrics without each image by the jackknife, and by evaluating the others."""
    seed, sharpness, rare = request.param
    label = draw_labels(seed, rare)
    prob = draw_scores(label, seed + 1, sharpness)
    recorder = record(prob, label)
    expected = [measure(record(prob, label, without)) for without in range(IMAGES)]
    return label, prob, jackknife.without_each(recorder.evidence(), recorder.truth()), expected


def test_every_compared_metric_is_there(case):
    assert set(case[2]) == set(COMPARED)
    assert all(values.shape == (IMAGES, 4) for values in case[2].values())


@pytest.mark.parametrize("metric", [metric for metric in COMPARED if metric != "ap"])
def test_metrics_are_those_of_the_remaining_images(case, metric):
    _, _, got, expected = case
    for image in range(IMAGES):
        for c, lesion in enumerate(LESIONS):
            value = expected[image][metric][lesion]
            if value is not None:  # fewer than thirty lesions are given no share, but have one
                assert got[metric][image, c] == pytest.approx(value, abs=1e-12), (image, lesion)


def test_average_precision_is_scikit_learns_within_a_thousandth(case):
    label, prob, got, _ = case
    for image in range(IMAGES):
        rest = [k for k in range(IMAGES) if k != image]
        for c in range(4):
            expected = average_precision_score((label[rest] == c + 1).ravel(), prob[rest, c].ravel())
            assert got["ap"][image, c] == pytest.approx(expected, abs=1e-3)


def test_saturated_scores_are_ties():
    """All at one score: the average precision is the share of positives, without each image."""
    label = draw_labels(2)
    found = jackknife.without_each(record(np.ones((IMAGES, 4, *label.shape[1:]), np.float32), label).evidence())
    truth = label[:, None] == np.arange(1, 5)[:, None, None]
    for image in range(IMAGES):
        rest = np.delete(truth, image, axis=0)
        np.testing.assert_allclose(found["ap"][image], rest.mean((0, 2, 3)))


def test_the_only_image_of_a_lesion_leaves_zeros_behind():
    label = draw_labels(3)
    label[1:][label[1:] == 3] = 0
    recorder = record(draw_scores(label, 4), label)
    got = jackknife.without_each(recorder.evidence(), recorder.truth())
    for metric in (*METRICS, "lesion_recall"):
        assert got[metric][0, 2] == 0, metric
    assert np.isfinite(np.stack(list(got.values()))).all()


def test_blocks_of_images_change_nothing(monkeypatch):
    label = draw_labels(5)
    evidence = record(draw_scores(label, 6), label).evidence()
    whole = jackknife.without_each(evidence)["ap"]
    monkeypatch.setattr(jackknife, "_BLOCK", 1)
    np.testing.assert_allclose(jackknife.without_each(evidence)["ap"], whole, atol=1e-14)


def test_without_the_lesions_areas_there_is_no_recall_by_size():
    label = draw_labels(7)
    got = jackknife.without_each(record(draw_scores(label, 8), label).evidence())
    assert set(got) == set(COMPARED) - {f"lesion_recall_{size}" for size in SIZES}


def test_support_counts_images_with_something_to_find():
    label = draw_labels(9)
    label[:2][label[:2] == 4] = 0
    recorder = record(draw_scores(label, 10), label)
    found = jackknife.support(recorder.evidence(), recorder.truth())
    assert set(found) == set(COMPARED)
    assert found["ap"].tolist() == found["lesion_recall"].tolist() == [6, 6, 6, 4]
    truth = recorder.truth()
    large = truth.native_area > 1920
    for c in range(4):
        assert found["lesion_recall_gt1920"][c] == len(np.unique(truth.image[large & (truth.kind == c)]))
