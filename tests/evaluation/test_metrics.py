"""LesionMetrics against scikit-learn, torchmetrics and the papers' formula written as a plain loop."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import (
    auc,
    average_precision_score,
    f1_score,
    jaccard_score,
    precision_score,
    recall_score,
)
from torchmetrics.classification import BinaryPrecisionRecallCurve

from rfbench.evaluation.pixels import BINS, score_bin
from rfbench.lesions.counts import THRESHOLDS, ap_bounds
from rfbench.metrics import LesionMetrics
from rfbench.names import LESIONS, METRICS

SCALARS = {"f": f1_score, "iou": jaccard_score, "precision": precision_score, "recall": recall_score}


def images(seed=0, count=3, prevalence=0.05, spread=2.0, shift=-2.0, separation=3.0, size=(48, 64)):
    """Random images: scores (4, H, W) that favour the labelled pixels, labels (H, W)."""
    rng = np.random.default_rng(seed)
    for _ in range(count):
        label = rng.choice(5, size, p=[1 - 4 * prevalence, *[prevalence] * 4])
        own = label == np.arange(1, 5)[:, None, None]
        logit = shift + spread * rng.standard_normal((4, *size)) + separation * own
        yield torch.from_numpy(logit).float().sigmoid(), torch.from_numpy(label.astype(np.uint8))


def measured(pairs, lesions=LESIONS):
    metrics = LesionMetrics(lesions)
    for prob, label in pairs:
        metrics.update(prob, label)
    return metrics


def one_lesion(scores, truth):
    """Metrics of one image with one lesion, from flat arrays."""
    prob = torch.as_tensor(np.asarray(scores, np.float32)).reshape(1, 1, -1)
    return measured([(prob, torch.as_tensor(np.asarray(truth)).long().reshape(1, -1))], ("X",))


def flat(pairs, c):
    """Lesion c of all images: scores (n,) and truth (n,)."""
    pairs = list(pairs)
    scores = np.concatenate([p[c].numpy().ravel() for p, _ in pairs])
    return scores, np.concatenate([(y == c + 1).numpy().ravel() for _, y in pairs])


def papers_aupr(pairs, c):
    """The protocol's text, line by line."""
    recall, precision = [], []
    for threshold in np.linspace(0, 1, 11):
        tp = predicted = positives = 0
        for prob, label in pairs:
            above, truth = prob[c].numpy() > np.float32(threshold), label.numpy() == c + 1
            tp += int((above & truth).sum())
            predicted += int(above.sum())
            positives += int(truth.sum())
        precision.append(tp / predicted if predicted else 1.0)
        recall.append(tp / positives if positives else 0.0)
    return auc(recall, precision)


# -- the papers' AUPR --


@pytest.mark.parametrize(
    "style",
    [{}, {"spread": 30.0}, {"shift": -6.0, "spread": 0.5}, {"prevalence": 0.001}, {"prevalence": 0.0}],
    ids=["plain", "saturated", "low", "rare", "absent"],
)
def test_aupr11_is_the_papers_loop(style):
    pairs = list(images(**style))
    result = measured(pairs).compute()["aupr11"]
    expected = [papers_aupr(pairs, c) for c in range(4)]
    assert [result[lesion] for lesion in LESIONS] == pytest.approx(expected, abs=1e-12)
    assert result["mean"] == pytest.approx(np.mean(expected), abs=1e-12)


@pytest.mark.parametrize("spread", [1.0, 3.0, 30.0])
def test_aupr11_is_torchmetrics_at_the_next_float(spread):
    pairs = list(images(seed=1, spread=spread))
    result = measured(pairs)
    above = torch.nextafter(torch.linspace(0, 1, 11), torch.tensor(2.0))  # its >= becomes our >
    for c, lesion in enumerate(LESIONS):
        oracle = BinaryPrecisionRecallCurve(thresholds=above)
        for prob, label in pairs:
            oracle.update(prob[c], (label == c + 1).int())
        precision, recall, _ = (v[:11].double().numpy() for v in oracle.compute())  # the last point is its own
        empty = result.curve11()[lesion]["predicted"] == 0
        assert empty[-1]
        precision[empty] = 1.0  # torchmetrics: 0
        assert result.compute()["aupr11"][lesion] == pytest.approx(auc(recall, precision), abs=1e-6)


def test_thresholds_are_float32_and_strict():
    """A score equal to a threshold in float32 does not pass it, although float32(0.3) > 0.3 in float64."""
    assert float(np.float32(0.3)) > 0.3
    for t, threshold in enumerate(THRESHOLDS):
        assert threshold == np.float32(t / 10)
        at = one_lesion([threshold], [1]).curve11()["X"]["predicted"]
        assert at.tolist() == [1] * t + [0] * (11 - t)
        if t < 10:
            next_up = np.nextafter(threshold, np.float32(2))
            assert one_lesion([next_up], [1]).curve11()["X"]["predicted"].tolist() == [1] * (t + 1) + [0] * (10 - t)


def test_curve11_holds_counts_and_their_ratios():
    curve = one_lesion([0.0, 0.05, 0.55, 0.95], [1, 0, 1, 0]).curve11()["X"]
    assert curve["predicted"].tolist() == [3, 2, 2, 2, 2, 2, 1, 1, 1, 1, 0]
    assert curve["tp"].tolist() == [1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0]
    assert curve["recall"].tolist() == [0.5] * 6 + [0.0] * 5  # 0 is not above threshold 0
    assert curve["precision"] == pytest.approx([1 / 3, *[0.5] * 5, 0, 0, 0, 0, 1])


def test_saturated_maps_have_an_inflated_aupr11():
    """What the benchmark reports exact average precision for: a line from (1, prevalence) to (0, 1)."""
    rng = np.random.default_rng(0)
    truth = rng.random(40_000) < 0.05
    scores = np.where(rng.random(40_000) < 0.9, rng.uniform(1e-7, 1e-4, 40_000), 1.0)
    result = one_lesion(scores, truth).compute()
    assert result["aupr11"]["X"] > result["ap"]["X"] + 0.02
    assert one_lesion(scores.clip(0, 1e-4), truth).compute()["aupr11"]["X"] == pytest.approx(0.525, abs=0.01)


@pytest.mark.parametrize(("highest", "flag"), [(0.0, True), (0.05, True), (0.1, True), (0.100001, False), (1.0, False)])
def test_artefact_flag(highest, flag):
    detail = one_lesion([0.0, 0.01, highest], [0, 1, 1]).details()["X"]
    assert detail["aupr11_artefact"] is flag
    assert detail["max_score"] == pytest.approx(max(highest, 0.01))


# -- average precision --

SCORES = {
    "uniform": lambda rng, truth: rng.random(truth.size),
    "separated": lambda rng, truth: sigmoid(3 * rng.standard_normal(truth.size) + 4 * truth - 4),
    "saturated": lambda rng, truth: sigmoid(rng.choice([-30.0, 30.0], truth.size) + rng.standard_normal(truth.size)),
    "wide": lambda rng, truth: sigmoid(10 * rng.standard_normal(truth.size) + 10 * truth),
    "near-one": lambda rng, truth: sigmoid(12 + 2 * rng.standard_normal(truth.size) + truth),
    "quantised": lambda rng, truth: rng.binomial(255, 0.3 + 0.2 * truth) / 255,
    "binary": lambda rng, truth: rng.random(truth.size) < 0.2 + 0.5 * truth,
}


def sigmoid(x):
    return torch.from_numpy(x).float().sigmoid().numpy()


@pytest.mark.parametrize("prevalence", [1e-4, 0.01, 0.5, 0.999])
@pytest.mark.parametrize("kind", SCORES)
def test_ap_is_sklearns_within_its_error(kind, prevalence):
    rng = np.random.default_rng(7)
    truth = rng.random(100_000) < prevalence
    scores = SCORES[kind](rng, truth).astype(np.float32)
    metrics = one_lesion(scores, truth)
    error = metrics.details()["X"]["ap_error"]
    assert error <= 1e-4
    if kind in ("quantised", "binary"):
        assert error == 0
    assert abs(metrics.compute()["ap"]["X"] - average_precision_score(truth, scores)) <= error + 1e-12


@pytest.mark.parametrize("value", [0.0, 1e-42, 1e-30, 0.1, 0.3, 0.5, 1 - 2**-24, 1.0])
def test_constant_map_has_the_prevalence_exactly(value):
    metrics = measured([(torch.full((1, 5, 8), value), torch.eye(5, 8).int())] * 2, ("X",))
    assert metrics.compute()["ap"]["X"] == 5 / 40
    assert metrics.details()["X"]["ap_error"] == 0


def test_scores_below_the_range_widen_the_bound_and_stay_within_it():
    truth = np.arange(1000) % 3 == 0
    scores = (1e-30 * (1 + np.arange(1000))).astype(np.float32)  # all in bin 1
    metrics = one_lesion(scores, truth)
    error = metrics.details()["X"]["ap_error"]
    assert error > 0.1
    assert abs(metrics.compute()["ap"]["X"] - average_precision_score(truth, scores.astype(float))) <= error


def crowded():
    """Scores a few units in the last place apart, so that bins hold several, and the ends of every range."""
    bases = [0.0, 2.0**-140, 2.0**-56, 2.0**-55, 0.01, 0.3, 0.5 - 2**-20, 0.5, 0.7, 1 - 2**-8, 1 - 2**-13]
    codes = [int(np.float32(b).view(np.int32)) for b in bases]
    near = st.builds(lambda b, k: b + k, st.sampled_from(codes), st.integers(0, 1100))
    return st.one_of(near, st.just(int(np.float32(1).view(np.int32))))


@pytest.mark.slow
@settings(max_examples=150, deadline=None)
@given(st.lists(st.lists(st.tuples(crowded(), st.booleans()), min_size=1, max_size=25), min_size=1, max_size=3))
def test_bounds_contain_sklearns_ap(data):
    pairs = []
    for image in data:
        codes, truth = zip(*image, strict=True)
        prob = torch.tensor(codes, dtype=torch.int32).view(torch.float32).reshape(1, 1, -1)
        pairs.append((prob, torch.tensor(truth).long().reshape(1, -1)))
    metrics = measured(pairs, ("X",))
    ap, error = metrics.compute()["ap"]["X"], metrics.details()["X"]["ap_error"]
    scores, truth = flat(pairs, 0)
    expected = average_precision_score(truth, scores.astype(float)) if truth.any() else 0.0
    assert abs(ap - expected) <= error + 1e-12
    assert ap - error + 1e-12 >= 0
    assert ap + error <= 1 + 1e-12
    single = score_bin(scores)
    if all(len(set(scores[single == b])) == 1 for b in set(single)):
        assert error == 0


def test_bounds_of_one_bin():
    total, positive = np.array([4]), np.array([2])
    assert ap_bounds(total, positive, np.array([True])) == (0.5, 0.5)
    assert ap_bounds(total, positive, np.array([False])) == ((1 / 3 + 2 / 4) / 2, 1.0)  # --++ and ++--
    assert ap_bounds(total, np.array([0]), np.array([False])) == (0.0, 0.0)


def test_bins_keep_the_order_of_scores():
    rng = np.random.default_rng(0)
    top = int(np.float32(1).view(np.int32))
    edges = np.arange(0, 127)[:, None] * 2**23 + np.arange(-600, 600)  # around every power of two
    ulps = np.concatenate([edges.ravel(), rng.integers(0, top, 500_000), top - np.arange(100_000)])
    p = np.unique(ulps[(ulps >= 0) & (ulps <= top)]).astype(np.int32).view(np.float32)
    bins = score_bin(p)
    assert (np.diff(bins) >= 0).all()
    assert bins[0] == 0
    assert bins[1] == 1
    assert bins[-1] == BINS - 1 > bins[-2]
    assert score_bin(np.float32([-0.0])) == [0]
    logit = torch.from_numpy(p).double().logit().numpy()
    width = np.diff(logit[1:-1])[(np.diff(bins[1:-1]) == 0) & (p[1:-2] > 1e-16)]
    assert width.max() < 1.3e-4
    below, half = score_bin(np.float32([0.5 - 2**-25, 0.5])).tolist()
    assert half == below + 1


@pytest.mark.slow
@pytest.mark.parametrize("prevalence", [1e-4, 0.01])
def test_error_at_the_size_of_a_native_image(prevalence):
    rng = np.random.default_rng(0)
    n = 2848 * 4288
    truth = rng.random(n, np.float32) < prevalence
    scores = sigmoid(rng.standard_normal(n, np.float32) + 3 * truth - 4)
    metrics = one_lesion(scores, truth)
    error = metrics.details()["X"]["ap_error"]
    assert error <= 1e-4
    assert abs(metrics.compute()["ap"]["X"] - average_precision_score(truth, scores)) <= error


# -- the metrics at 0.5 --


@pytest.mark.parametrize("metric", SCALARS)
def test_metrics_at_half_are_sklearns_over_all_images(metric):
    pairs = list(images(seed=2, count=4))
    result = measured(pairs).compute()[metric]
    expected = []
    for c, lesion in enumerate(LESIONS):
        scores, truth = flat(pairs, c)
        expected.append(SCALARS[metric](truth, scores > 0.5, zero_division=0))
        assert result[lesion] == pytest.approx(expected[-1], abs=1e-12)
    assert result["mean"] == pytest.approx(np.mean(expected), abs=1e-12)


def test_half_is_not_above_half():
    above = np.nextafter(np.float32(0.5), np.float32(1))
    assert one_lesion([0.5, 0.5], [1, 0]).details()["X"]["predicted"] == 0
    assert one_lesion([above, 0.5], [1, 0]).compute()["f"]["X"] == 1


@pytest.mark.parametrize("score", [0.2, 0.9])
def test_nothing_over_nothing_is_zero_in_lesions_and_means(score):
    """No positive of SE; nothing predicted where the score is 0.2."""
    prob = torch.full((4, 2, 4), score)
    label = torch.tensor([[0, 0, 0, 0], [1, 2, 4, 0]])
    metrics = measured([(prob, label)])
    result = metrics.compute()
    assert [result[m]["SE"] for m in METRICS] == [0] * 6
    assert result["precision"]["EX"] == (0 if score < 0.5 else 1 / 8)
    for metric in METRICS:
        assert result[metric]["mean"] == pytest.approx(3 * result[metric]["EX"] / 4)
    assert [d["absent"] for d in metrics.details().values()] == [False, False, True, False]
    assert metrics.pr_curve()["SE"]["recall"].size == 0


def test_compute_and_details_have_the_promised_keys():
    metrics = measured(images(count=2))
    result, details = metrics.compute(), metrics.details()
    assert tuple(result) == METRICS
    assert all(tuple(v) == (*LESIONS, "mean") for v in result.values())
    assert all(type(x) is float and 0 <= x <= 1 for v in result.values() for x in v.values())
    assert tuple(details) == LESIONS
    expected = {
        "ap_error",
        "aupr11_artefact",
        "absent",
        "max_score",
        "positives",
        "pixels",
        "tp",
        "predicted",
    }
    assert set(details["EX"]) == expected
    assert details["EX"]["pixels"] == 2 * 48 * 64


# -- streaming --


def test_update_returns_the_counts_of_its_own_image():
    pairs = list(images(seed=3))
    metrics = LesionMetrics()
    for prob, label in pairs:
        counts = metrics.update(prob, label)
        for c, lesion in enumerate(LESIONS):
            above, truth = prob[c] > 0.5, label == c + 1
            assert counts[lesion] == {
                "tp": (above & truth).sum().item(),
                "predicted": above.sum().item(),
                "positives": truth.sum().item(),
            }
    assert metrics.images == 3


def test_results_do_not_follow_later_updates():
    first, second = images(seed=9, count=2)
    metrics = measured([first])
    curve = metrics.curve11()["EX"]
    before = curve["predicted"].tolist()
    metrics.update(*second)
    assert curve["predicted"].tolist() == before != metrics.curve11()["EX"]["predicted"].tolist()


def test_images_may_come_one_by_one_in_any_order_or_as_one():
    pairs = list(images(seed=4, count=4))
    whole = [(torch.cat([p for p, _ in pairs], 1), torch.cat([y for _, y in pairs]))]
    for other in (pairs[::-1], whole, [(p.transpose(1, 2), y.T) for p, y in pairs]):  # also not contiguous
        a, b = measured(pairs), measured(other)
        assert a.compute() == b.compute()
        assert a.details() == b.details()


def test_chunks_do_not_show(monkeypatch):
    pairs = list(images(seed=5))
    expected = measured(pairs)
    monkeypatch.setattr("rfbench.evaluation.pixels._CHUNK", 1000)
    assert measured(pairs).compute() == expected.compute()
    assert measured(pairs).details() == expected.details()


def test_state_does_not_grow():
    metrics = LesionMetrics()
    assert metrics.nbytes == 0
    sizes = set()
    for prob, label in images(count=4, size=(16, 16)):
        metrics.update(prob, label)
        tensors = [v for v in vars(metrics).values() if isinstance(v, torch.Tensor)]
        assert metrics.nbytes == sum(t.nbytes for t in tensors)
        assert not any(isinstance(v, list | dict) and len(v) > 4 for v in vars(metrics).values())
        sizes.add(metrics.nbytes)
    assert len(sizes) == 1
    assert sizes.pop() < 100e6


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_gpu_counts_as_the_cpu():
    pairs = list(images(seed=6))
    gpu = measured([(p.cuda(), y.cuda()) for p, y in pairs])
    assert gpu.compute() == measured(pairs).compute()
    assert gpu.details() == measured(pairs).details()


# -- curves --


@pytest.mark.parametrize("points", [2, 50, 512])
def test_pr_curve_lies_on_the_exact_curve(points):
    pairs = list(images(seed=8))
    curve = measured(pairs).pr_curve(points)
    for c, lesion in enumerate(LESIONS):
        scores, truth = flat(pairs, c)
        order = np.argsort(-scores, kind="stable")
        tp = truth[order].cumsum()
        exact = {(t / tp[-1], t / n) for n, t in enumerate(tp, 1)}
        recall, precision = curve[lesion]["recall"], curve[lesion]["precision"]
        assert 2 <= len(recall) <= points
        assert (np.diff(recall) > 0).all()
        assert recall[-1] == 1
        assert exact.issuperset(zip(recall, precision, strict=True))
        assert np.interp(0.5, recall, precision) > truth.mean()


# -- errors --

PROB, LABEL = torch.rand(4, 3, 5), torch.zeros(3, 5, dtype=torch.int64)


def spoiled(lesion, value):
    prob = PROB.clone()
    prob[LESIONS.index(lesion), 1, 2] = value
    return prob


@pytest.mark.parametrize(
    ("prob", "label", "message"),
    [
        (PROB.half(), LABEL, r"prob must be a float32 tensor; got torch\.float16"),
        (PROB.bfloat16(), LABEL, r"prob must be a float32 tensor; got torch\.bfloat16"),
        (PROB.double(), LABEL, r"prob must be a float32 tensor; got torch\.float64"),
        (PROB.numpy(), LABEL, r"prob must be a float32 tensor; got ndarray"),
        (PROB[:3], LABEL, r"prob must have shape \(4, H, W\) with H, W >= 1; got \(3, 3, 5\)"),
        (PROB[None], LABEL, r"prob must have shape \(4, H, W\) with H, W >= 1; got \(1, 4, 3, 5\)"),
        (PROB[:, :0], LABEL[:0], r"prob must have shape \(4, H, W\) with H, W >= 1; got \(4, 0, 5\)"),
        (PROB, LABEL.float(), r"label must be an integer tensor; got torch\.float32"),
        (PROB, LABEL.bool(), r"label must be an integer tensor; got torch\.bool"),
        (PROB, LABEL.tolist(), r"label must be an integer tensor; got list"),
        (PROB, LABEL.T, r"label must have the shape of prob, \(3, 5\); got \(5, 3\)"),
        (PROB, LABEL[None], r"label must have the shape of prob, \(3, 5\); got \(1, 3, 5\)"),
        (PROB, LABEL + 5, r"label values must lie in 0…4 \(background, EX, HE, SE, MA\); got 5…5"),
        (PROB, (LABEL + 255).to(torch.uint8), r"label values must lie in 0…4 .*; got 255…255"),
        (PROB, LABEL - 1, r"label values must lie in 0…4 .*; got -1…-1"),
        (spoiled("SE", float("nan")), LABEL, r"prob of SE must lie in \[0, 1\]; got NaN"),
        (
            spoiled("MA", 1.5),
            LABEL,
            r"prob of MA must lie in \[0, 1\]; got .*…1\.5\. Was the sigmoid left out\?",
        ),
        (spoiled("EX", -0.25), LABEL, r"prob of EX must lie in \[0, 1\]; got -0\.25…"),
        (spoiled("HE", float("inf")), LABEL, r"prob of HE must lie in \[0, 1\]; got .*…inf"),
    ],
)
def test_bad_input_is_refused_and_leaves_no_trace(prob, label, message):
    metrics = measured([(PROB, LABEL)])
    before = metrics.details()
    with pytest.raises(ValueError, match=message):
        metrics.update(prob, label)
    assert metrics.details() == before
    assert metrics.images == 1


@pytest.mark.parametrize("ask", ["compute", "details", "curve11", "pr_curve"])
def test_results_need_an_image(ask):
    with pytest.raises(RuntimeError, match=r"no image has been given: call update\(prob, label\)"):
        getattr(LesionMetrics(), ask)()


@pytest.mark.parametrize("lesions", [(), ("EX", "EX"), ("EX", "mean")])
def test_lesion_names_must_be_distinct(lesions):
    with pytest.raises(ValueError, match="lesions must be distinct names other than 'mean'"):
        LesionMetrics(lesions)


def test_curve_needs_two_points():
    with pytest.raises(ValueError, match="at least 2 points; got points=1"):
        measured([(PROB, LABEL)]).pr_curve(1)


def test_any_number_of_lesions():
    result = measured([(PROB[:2], LABEL + 2)], ("A", "B")).compute()
    assert tuple(result["ap"]) == ("A", "B", "mean")
    assert result["ap"]["B"] == 1
    assert result["ap"]["mean"] == 0.5
