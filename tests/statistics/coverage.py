"""Coverage of the intervals with what real runs left of real images: `python -m tests.statistics.coverage RESULTS`.

The images and the trainings of a results folder are taken for the population (of three trainings a pair, the column of
retraining is too low: three values are no normal distribution). A study draws as many images, and seeds for every pair,
with replacement; an interval is right if it holds the difference of the whole population (retraining:
of all trainings on the study's images). Run from the root of the project, with the runs of one data set evaluated.
"""

import argparse
from pathlib import Path

import numpy as np

from rfbench.lesions import counts, evidence
from rfbench.names import BASELINE_PAIR
from rfbench.statistics import population, retraining, spread

METRICS = ("aupr11", "f", "iou")
HEADINGS = ("population", "seeds alone, new images", "retraining, same images")


def read(results: Path, dataset: str) -> tuple[list[str], np.ndarray, np.ndarray]:
    """Pairs, and of each of their runs and images the counts (P, S, N, C, 2, 11) and positives (N, C)."""
    found: dict[str, list[np.ndarray]] = {}
    for path in sorted((results / "runs" / dataset).glob("*/seed*/evidence.npz")):
        own = evidence.read(path)
        found.setdefault(path.parts[-3], []).append(own.counts)
        positives = own.positives
    if BASELINE_PAIR not in found or len({len(runs) for runs in found.values()}) != 1:
        raise SystemExit(f"{results}: expected evaluated runs of {dataset}, every pair with the same seeds")
    pairs = sorted(found, key=lambda pair: pair != BASELINE_PAIR)  # the baseline first
    return pairs, np.stack([np.stack(found[pair]) for pair in pairs]), positives


def means(above: np.ndarray, positives: np.ndarray, metric: str) -> np.ndarray:
    """Mean over the lesions present, in percent: counts (…, C, 2, 11) and positives (…, C) of all images together."""
    return 100 * counts.metrics(above, positives)[metric].mean(-1)


def study(above: np.ndarray, positives: np.ndarray, metric: str, seeds: int, rng: np.random.Generator) -> np.ndarray:
    """One study of one metric: which intervals are right, (3, P - 1), NaN where there is none."""
    pairs, trainings, images = above.shape[:3]
    chosen = rng.integers(images, size=images)
    drawn = np.stack([above[p, rng.integers(trainings, size=seeds)] for p in range(pairs)])[:, :, chosen]
    present = positives[chosen]
    total, there = drawn.sum(2, keepdims=True), present.sum(0)
    scores = means(total[:, :, 0], there, metric)  # (P, n)
    without = means(total - drawn, there - present, metric)  # (P, n, N)
    truth = means(above.sum(2), positives.sum(0), metric).mean(1)
    same = means(above[:, :, chosen].sum(2), there, metric).mean(1)
    got, pooled, right = retraining(scores), spread(scores), np.full((3, pairs - 1), np.nan)
    for p in range(1, pairs):
        wide = population(got.difference[p], *pooled, without[p], without[0])
        for row, (low, high, value) in enumerate((
            (wide.low, wide.high, truth[p] - truth[0]),
            (got.low[p], got.high[p], truth[p] - truth[0]),
            (got.low[p], got.high[p], same[p] - same[0]),
        )):  # fmt: skip
            right[row, p - 1] = np.nan if np.isnan(low) else low <= value <= high
    return right


def coverage(
    above: np.ndarray, positives: np.ndarray, seeds: int, repetitions: int, rng: np.random.Generator
) -> dict[str, np.ndarray]:
    """Shares of intervals that are right, by metric: population, seeds alone for new images, retraining. (3,) each"""
    present = positives.sum(0) > 0
    above, positives = above[:, :, :, present], positives[:, present]
    return {
        metric: np.nanmean([study(above, positives, metric, seeds, rng) for _ in range(repetitions)], axis=(0, 2))
        for metric in METRICS
    }


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("results", type=Path)
    parser.add_argument("--dataset", default="IDRiD")
    parser.add_argument("--seeds", type=int, nargs="+", default=[3, 5, 10])
    parser.add_argument("--repetitions", type=int, default=400)
    args = parser.parse_args()
    pairs, above, positives = read(args.results, args.dataset)
    print(f"{args.dataset}: {len(pairs)} pairs, {above.shape[1]} trainings each, {above.shape[2]} images")
    print(f"| n | metric | {' | '.join(HEADINGS)} |\n|---|---|---|---|---|")
    for seeds in args.seeds:
        rng = np.random.default_rng(seeds)
        for metric, shares in coverage(above, positives, seeds, args.repetitions, rng).items():
            print(f"| {seeds} | {metric} | {' | '.join(f'{100 * share:.1f}' for share in shares)} |")


if __name__ == "__main__":
    main()
