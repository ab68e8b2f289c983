"""The population interval: Obuchowski–Rockette against a formula written with loops, edge cases, coverage."""

import itertools
import math

import numpy as np
import pytest
from scipy import stats

from rfbench.statistics import population, retraining, spread
from rfbench.statistics.population import effective_images

from . import coverage as study


def by_hand(difference, sd, df, pair, reference, level=0.95):
    """The interval as the formulas stand, one covariance at a time."""
    runs = [("a", t) for t in pair] + [("b", t) for t in reference]
    n, images = len(pair), len(pair[0])

    def covariance(x, y):
        mean_x, mean_y = sum(x) / images, sum(y) / images
        return (images - 1) / images * sum((x[i] - mean_x) * (y[i] - mean_y) for i in range(images))

    within, across = [], []
    for (one, x), (other, y) in itertools.combinations(runs, 2):
        (within if one == other else across).append(covariance(x, y))
    of_images = 2 * max(0.0, np.mean(within) - np.mean(across))
    variance = 2 * sd**2 / n + of_images
    means = [np.mean([t[i] for t in pair]) - np.mean([t[i] for t in reference]) for i in range(images)]
    d = [mean - np.mean(means) for mean in means]
    n_eff = sum(x**2 for x in d) ** 2 / sum(x**4 for x in d)
    total_df = variance**2 / ((2 * sd**2 / n) ** 2 / df + of_images**2 / max(2, n_eff - 1))
    half = stats.t.ppf((1 + level) / 2, total_df) * math.sqrt(variance)
    return difference - half, difference + half, total_df, of_images, n_eff


@pytest.mark.parametrize(("seeds", "images"), [(2, 8), (3, 27), (5, 40)])
def test_is_the_formula(seeds, images):
    rng = np.random.default_rng(seeds)
    shared = rng.normal(0, 0.3, (2, 1, images))
    pair, reference = 50 + shared + rng.normal(0, 0.1, (2, seeds, images))
    got = population(1.2, 0.7, 34, pair, reference)
    expected = by_hand(1.2, 0.7, 34, pair.tolist(), reference.tolist())
    assert expected[3] > 0, "the case has variance from images"
    assert (got.low, got.high, got.df, got.image_variance, got.n_eff) == pytest.approx(expected)


def test_where_images_say_nothing_it_is_the_retraining_interval():
    scores = np.random.default_rng(1).normal(60, 1, (6, 3))
    retrained, (s, df) = retraining(scores), spread(scores)
    same = np.zeros((3, 20))
    got = population(retrained.difference[1], s, df, same, same)
    assert (got.low, got.high, got.df) == pytest.approx((retrained.low[1], retrained.high[1], df))
    assert (got.image_variance, math.isnan(got.n_eff)) == (0, True)


def test_covariance_across_the_pairs_that_exceeds_that_within_counts_as_none():
    rng = np.random.default_rng(2)
    noise = rng.normal(0, 1, (1, 30))
    pair, reference = np.vstack([noise, -noise]), np.vstack([noise, -noise])
    assert population(0.0, 1.0, 20, pair, reference).image_variance == 0


def test_unequal_seeds_use_their_own_numbers():
    rng = np.random.default_rng(3)
    pair, reference = rng.normal(0, 0, (4, 10)), rng.normal(0, 0, (3, 10))
    got = population(0.0, 1.0, 15, pair, reference)
    assert got.high == pytest.approx(stats.t.ppf(0.975, 15) * math.sqrt(1 / 4 + 1 / 3))


@pytest.mark.parametrize(("seeds", "df"), [((1, 3), 30), ((3, 1), 30), ((2, 2), 9), ((2, 3), 9)])
def test_none_where_the_retraining_interval_is_none(seeds, df):
    pair, reference = (np.random.default_rng(0).normal(0, 1, (n, 12)) for n in seeds)
    got = population(1.0, 0.5, df, pair, reference)
    assert np.isnan([got.low, got.high, got.df, got.image_variance, got.n_eff]).all()
    assert math.isnan(population(1.0, math.nan, 0, pair, reference).low)


@pytest.mark.parametrize("images", [(5, 6), (1, 1)])
def test_runs_on_other_images_are_refused(images):
    with pytest.raises(ValueError, match="same images, two or more; got"):
        population(0.0, 1.0, 20, *(np.ones((3, n)) for n in images))


@pytest.mark.parametrize(
    ("deviations", "expected"),
    [([1, -1, 1, -1], 4), ([5, 0, 0], 1), ([2, -2, 0, 0], 2), ([1e-200, -1e-200], 2), ([3, 1], 100 / 82)],
)
def test_effective_number_of_images(deviations, expected):
    assert effective_images(np.array(deviations, float)) == pytest.approx(expected)
    assert math.isnan(effective_images(np.zeros(4)))


# Coverage: two pairs whose difference over all patients and trainings is 0 by symmetry


def simulated_iou(rng: np.random.Generator, seeds: int, images: int, areas: np.ndarray) -> tuple[np.ndarray, ...]:
    """IoU of pooled pixels in percent for two pairs of the same kind: (2, seeds), and without each image.

    Pixels hit and falsely painted per image follow a logit shared by all runs, one of the pair on the image (which
    another training repeats) and one of the run.
    """
    area = rng.choice(areas, images)
    difficulty = rng.normal(0.5, 1.0, images)
    of_pair = rng.normal(0, 0.5, (2, 1, images))
    of_run = rng.normal(0, 0.15, (2, seeds, 1)) + rng.normal(0, 0.25, (2, seeds, images))
    hit = area / (1 + np.exp(-(difficulty + of_pair + of_run)))
    false = 0.4 * area * np.exp(-0.5 * (difficulty + of_pair + of_run))
    total_hit, total_union = hit.sum(-1), (area + false).sum(-1)
    without = (total_hit[..., None] - hit) / (total_union[..., None] - area - false)
    return 100 * total_hit / total_union, 100 * without


def coverage(seeds: int, images: int, repetitions: int) -> tuple[float, float]:
    """Shares of population and of retraining intervals that hold 0, the SD pooled over 12 further pairs."""
    rng = np.random.default_rng(seeds + images)
    areas = np.random.default_rng(0).lognormal(8, 1.3, 2000)  # as skewed as IDRiD's lesion pixels per image
    held = np.zeros(2)
    for _ in range(repetitions):
        scores, without = simulated_iou(rng, seeds, images, areas)
        # Further pairs differ in mean only, which pooling takes out: their residuals are those of more seeds.
        others = [simulated_iou(rng, seeds, images, areas)[0] for _ in range(3)]
        s, df = spread(np.vstack([scores, *others]))
        difference = scores[1].mean() - scores[0].mean()
        got = population(difference, s, df, without[1], without[0])
        half = stats.t.ppf(0.975, df) * s * math.sqrt(2 / seeds)
        held += got.low <= 0 <= got.high, abs(difference) <= half
    return tuple(held / repetitions)


@pytest.mark.parametrize(("seeds", "images"), [(3, 27), (5, 27)])
def test_coverage_for_new_patients(seeds, images):
    of_population, of_retraining = coverage(seeds, images, 250)
    assert 0.90 <= of_population <= 0.99
    assert of_retraining < of_population - 0.05, "seeds alone forget that other patients would be drawn"


@pytest.mark.slow
@pytest.mark.parametrize(("seeds", "images"), [(3, 27), (10, 27), (3, 225), (10, 225)])
def test_coverage_is_93_to_97_percent(seeds, images):
    of_population, of_retraining = coverage(seeds, images, 1000)
    assert 0.92 <= of_population <= 0.98
    assert of_retraining < of_population


def test_the_study_of_real_runs_knows_right_from_wrong():
    """`tests.statistics.coverage` on drawn runs: the population interval is right far more often than seeds alone."""
    rng = np.random.default_rng(0)
    pairs, trainings, images = 8, 6, 20
    area = np.random.default_rng(1).lognormal(6, 1, (images, 4)).astype(int) + 20
    odds = (rng.normal(0.5, 1, (images, 4)) + rng.normal(0, 0.5, (pairs, 1, images, 4))
            + rng.normal(0, 0.1, (pairs, trainings, 1, 1)))  # fmt: skip
    hit = (area / (1 + np.exp(-odds))).astype(int)
    above = np.stack([2 * hit, hit], axis=-1)[..., None].repeat(11, axis=-1)
    shares = study.coverage(above, area, 3, 60, rng)
    for metric in ("f", "iou"):  # the area under the curve is the same everywhere: one threshold for all
        of_population, seeds_alone, of_retraining = shares[metric]
        assert 0.9 <= of_population <= 1, metric
        assert seeds_alone < of_population - 0.05, metric
        assert 0.9 <= of_retraining <= 1, metric
