"""Average precision from binned scores against scikit-learn, and the bins of evidence.npz against their definition."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score

from rfbench.evaluation import pixels
from rfbench.lesions import counts, histogram

ONE = int(np.float32(1).view(np.int32))


def floats(codes) -> np.ndarray:
    return np.asarray(codes, np.int32).view(np.float32)


def defined_bin(p: float) -> int:
    """The bins' definition in words, with exact binary fractions."""
    if p in (0.0, 0.5, 1.0):
        return {0.0: 0, 0.5: 1729, 1.0: 2466}[p]
    if p < 0.5:
        mantissa, exponent = math.frexp(max(p, 2.0**-55))  # mantissa in [0.5, 1)
        return 1 + 32 * (exponent + 54) + int(64 * mantissa) - 32
    mantissa, exponent = math.frexp(1 - p)
    return 1729 - 32 * exponent - (int(64 * mantissa) - 32)


def around_edges() -> np.ndarray:
    edges = floats(np.arange(127 * 32 + 1) << 18)
    edges = np.concatenate([edges, 1 - edges[edges <= 0.5]])
    codes = edges.view(np.int32).astype(np.int64)[:, None] + np.arange(-2, 3)
    return floats(np.unique(codes[(codes >= 0) & (codes <= ONE)]))


def test_bins_are_as_defined():
    assert histogram.BINS == 2467
    p = np.concatenate([around_edges(), floats(ONE - np.arange(3000))])
    bins = histogram.score_bin(p)
    assert bins.tolist() == [defined_bin(float(v)) for v in p]
    order = np.argsort(p, kind="stable")
    assert (np.diff(bins[order]) >= 0).all()


def test_bins_that_hold_one_score_are_known():
    near = floats(np.arange(ONE - 2**12, ONE + 1))
    held = np.bincount(histogram.score_bin(near), minlength=histogram.BINS)
    for b in np.flatnonzero(histogram.SINGLE):
        assert held[b] <= 1 or b in (0, 1729)
    first = histogram.score_bin(floats([ONE - 2**6]))[0]  # 1 - p = 2^-18, the first with two of them to a bin
    assert not histogram.SINGLE[first]
    assert histogram.SINGLE[first + 1 :].all()


def test_lowest_scores_begin_their_bins():
    bins = histogram.score_bin(histogram.LOWEST)
    full = np.isin(np.arange(histogram.BINS), histogram.score_bin(floats(np.arange(ONE - 2**12, ONE + 1))))
    full[: 1729 + 32 * 8] = True  # from 1 - 2^-9 down, every bin holds a score
    assert (bins[full] == np.arange(histogram.BINS)[full]).all()
    below = floats(histogram.LOWEST.view(np.int32)[2:] - 1)
    assert (histogram.score_bin(below) < np.arange(2, histogram.BINS)).all()


def test_fine_bins_add_up_to_the_coarse_ones():
    rng = np.random.default_rng(0)
    p = np.concatenate([around_edges(), floats(ONE - np.arange(5000)), floats(rng.integers(0, ONE + 1, 100_000))])
    fine = np.bincount(pixels.score_bin(p), minlength=pixels.BINS)
    expected = np.bincount(histogram.score_bin(p), minlength=histogram.BINS)
    assert (pixels.coarse(fine) == expected).all()
    assert (pixels.coarse(np.stack([fine, 2 * fine])) == np.stack([expected, 2 * expected])).all()


def binned(scores: np.ndarray, truth: np.ndarray):
    """Histograms of all pixels and of the positives, highest scores first, and which bins hold one score."""
    bins = histogram.score_bin(scores)
    return [np.bincount(bins[which], minlength=histogram.BINS)[::-1] for which in (..., truth)]


SCORES = {
    "uniform": lambda rng, truth: rng.random(truth.size),
    "separated": lambda rng, truth: sigmoid(3 * rng.standard_normal(truth.size) + 4 * truth - 4),
    "saturated": lambda rng, truth: sigmoid(rng.choice([-40, 18], truth.size) + 4 * rng.standard_normal(truth.size)),
    "near-one": lambda rng, truth: sigmoid(14 + 2 * rng.standard_normal(truth.size) + truth),
    "near-nought": lambda rng, truth: sigmoid(-20 + 3 * rng.standard_normal(truth.size) + truth),
    "binary": lambda rng, truth: rng.random(truth.size) < 0.2 + 0.5 * truth,
    "nearly constant": lambda rng, truth: 0.3 + 1e-5 * rng.random(truth.size),
}  # fmt: skip


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


@pytest.mark.parametrize("prevalence", [1e-3, 0.02, 0.5])
@pytest.mark.parametrize("kind", SCORES)
def test_even_average_precision_is_near_sklearns(kind, prevalence):
    rng = np.random.default_rng(3)
    truth = rng.random(300_000) < prevalence
    scores = SCORES[kind](rng, truth).astype(np.float32)
    total, positive = binned(scores, truth)
    found = counts.average_precision(total, positive, histogram.SINGLE[::-1])
    low, high = counts.ap_bounds(total, positive, histogram.SINGLE[::-1])
    expected = average_precision_score(truth, scores)
    assert low - 1e-12 <= expected <= high + 1e-12
    assert low - 1e-12 <= found <= high + 1e-12
    assert found == pytest.approx(expected, abs=1e-3 if kind != "nearly constant" else 3e-3)
    if kind == "binary":
        assert found == pytest.approx(expected, abs=1e-12)


BINS = st.lists(st.tuples(st.integers(0, 40), st.integers(0, 12), st.booleans()), min_size=1, max_size=8)


def one_by_one(total, positive, tied, above=(0, 0)) -> float:
    """Each positive at its place among the bin's pixels, below `above` pixels and positives of a first bin."""
    predicted, tp = above
    gained, first = 0.0, tp
    for n, k, same in zip(total.tolist(), positive.tolist(), tied, strict=True):
        for i in range(1, k + 1):
            place = (i - 0.5) * n / k + 0.5
            gained += (tp + k) / (predicted + n) if same else (tp + i) / (predicted + place)
        tp, predicted = tp + k, predicted + n
    return gained / (tp - first) if tp > first else 0.0


@settings(max_examples=200, deadline=None)
@given(BINS)
def test_even_average_precision_is_its_definition(bins):
    """Positive by positive; where some hundred pixels lie above, the sum is the integral."""
    total = np.array([n for n, _, _ in bins])
    positive = np.array([min(k, n) for n, k, _ in bins])
    tied = np.array([same for _, _, same in bins])
    found = counts.average_precision(total, positive, tied)
    assert found == pytest.approx(one_by_one(total, positive, tied), abs=0.06)
    below = [np.append(first, rest) for first, rest in ((400, total), (100, positive), (True, tied))]
    whole = counts.average_precision(*below)
    own = one_by_one(total, positive, tied, (400, 100))
    assert whole * (100 + positive.sum()) - 25 == pytest.approx(own * positive.sum(), abs=1e-3)
    low, high = counts.ap_bounds(*below)
    assert low - 1e-6 <= whole <= high + 1e-6
    twice = counts.average_precision(np.stack([total, 0 * total]), np.stack([positive, 0 * positive]), tied)
    assert twice.tolist() == [found, 0]


def test_bins_of_one_pixel_are_exact():
    """But for the curve's bend within it."""
    rng = np.random.default_rng(5)
    positive = (rng.random(300) < 0.2).astype(int)
    expected = average_precision_score(positive, np.arange(300, 0, -1))
    found = counts.average_precision(np.ones(300, int), positive, np.zeros(300, bool))
    assert found == pytest.approx(expected, abs=2e-4)
    assert counts.average_precision(np.ones(300, int), positive, np.ones(300, bool)) == pytest.approx(expected)


def test_froc_thresholds():
    expected = [0.01, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.99, 0.999, 0.9999, 0.99999]
    assert counts.FROC_THRESHOLDS.dtype == np.float32
    assert counts.FROC_THRESHOLDS.tolist() == [float(np.float32(t)) for t in expected]


def test_levels_count_the_thresholds_that_a_score_is_above():
    codes = counts.FROC_THRESHOLDS.view(np.int32)[:, None] + np.arange(-1, 2)
    p = np.append(floats(codes.ravel()), np.float32([0, 2**-140, 1]))
    counter = pixels.Counter(p.size)
    truth = np.arange(p.size) % 3 == 0
    known = pixels.OneScore(pixels.OneScore.empty(1)[0])
    channel = counter.count(p[None], truth[None], known)
    assert channel.levels.tolist() == [[sum(float(v) > float(t) for t in counts.FROC_THRESHOLDS) for v in p]]
    assert channel.where.tolist() == np.flatnonzero(truth).tolist()
    for row, chosen in ((0, p), (1, p[truth])):
        assert channel.above[row].tolist() == [sum(v > t for v in chosen) for t in counts.THRESHOLDS]
        assert channel.histogram[row].sum() == chosen.size
