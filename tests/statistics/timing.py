"""Time of `rfbench statistics` on invented records of real size: `python -m tests.statistics.timing --runs 216 1008`.

Half of the runs are of 27 images with as many lesions as IDRiD's test images, half of 225 with as many as DDR's (by
docs/datasets.md), 18 pairs each; a score uses 600 bins a lesion and image. Beside it, what a loop over the images would
take for the pixels' part of it alone, one run of each size timed: every metric counted again without each image.
"""

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd

from rfbench.lesions import counts, evidence, histogram, truth
from rfbench.lesions.lesion_metrics import lesion_metrics
from rfbench.lesions.truth import DIAMETER, FRAME, Truth
from rfbench.names import LESIONS
from rfbench.report.reading import COLUMNS
from rfbench.statistics.differences import differences

IMAGES = {"IDRiD": 27, "DDR": 225}
PER_IMAGE = (153, 20, 1.4, 40)  # lesions of each class in an image
PAIRS, BINS_USED, KEPT = 18, 600, 8  # KEPT: runs that differ; the others are copies of them


def draw_truth(images: int, rng: np.random.Generator) -> Truth:
    """The lesions of so many images."""
    number = rng.poisson(PER_IMAGE, (images, len(LESIONS)))
    total, each = number.sum(), number.ravel()
    return Truth(
        names=np.array(LESIONS), stems=np.array([f"{i:04}" for i in range(images)]),
        size=np.tile(np.array(FRAME, np.int32), (images, 1)), diameter=np.full(images, DIAMETER, np.float32),
        offsets=np.append(0, each.cumsum()), image=np.repeat(np.arange(images, dtype=np.int32), number.sum(1)),
        kind=np.repeat(np.tile(np.arange(len(LESIONS)), images), each).astype(np.uint8),
        id=np.concatenate([np.arange(1, n + 1) for n in each]).astype(np.int32),
        area=rng.lognormal(5.5, 1.2, total).astype(np.int32) + 1, box=np.ones((total, 4), np.int32),
    )  # fmt: skip


def draw_evidence(there: Truth, rng: np.random.Generator) -> evidence.Evidence:
    """What a run might leave of these images."""
    shape = len(there.stems), len(LESIONS)
    parts = [draw_part(rng, n) for n in np.diff(there.offsets)]
    return evidence.Evidence.of(LESIONS, there.stems, [FRAME[0] * FRAME[1]] * shape[0], parts)


def draw_part(rng: np.random.Generator, lesions: int) -> evidence.ImageEvidence:
    """What a run might leave of one image and class with so many lesions."""
    positives, thresholds = int(500 * lesions), len(counts.THRESHOLDS)
    hit = positives * np.sort(rng.random(thresholds))[::-1]
    above = np.stack([hit + 1e5 * np.sort(rng.random(thresholds))[::-1], hit]).astype(np.int64)
    binned = np.zeros((2, histogram.BINS), np.int64)
    used = rng.choice(histogram.BINS, BINS_USED, replace=False)
    binned[1, used] = rng.multinomial(positives, np.full(BINS_USED, 1 / BINS_USED))
    binned[0, used] = binned[1, used] + rng.integers(1, 20_000, BINS_USED)
    regions = np.sort(rng.integers(0, 300, (len(counts.FROC_THRESHOLDS), 2)), axis=1)[:, ::-1]
    empty = np.zeros(0)
    return evidence.ImageEvidence(above, positives, binned, evidence.Detection(
        scores=rng.random((lesions, len(evidence.TENTHS))).astype(np.float32),
        hits=rng.integers(0, 2**14, lesions).astype(np.uint16), froc=regions.astype(np.int32),
        centre=np.zeros((0, 2)), area=empty, peak=empty, other=empty, rest=0,
    ))  # fmt: skip


def rows_of(own: evidence.Evidence, there: Truth) -> list[dict]:
    """Metric, lesion and value, as `rfbench aggregate` would list them."""
    pixels = own.metrics()
    found = {metric: dict(zip(LESIONS, values, strict=True)) for metric, values in pixels.items()}
    found = {metric: {**by, "mean": np.mean(list(by.values()))} for metric, by in found.items()}
    return [
        {"metric": metric, "lesion": lesion, "value": np.nan if value is None else float(value)}
        for metric, by_lesion in {**found, **lesion_metrics(own, there)}.items()
        for lesion, value in by_lesion.items()
    ]


def lay_out(results: Path, runs: int) -> pd.DataFrame:
    """Write the records of so many runs; the content of metrics.csv."""
    rng, found, seeds = np.random.default_rng(0), [], runs // PAIRS // len(IMAGES)
    for dataset, images in IMAGES.items():
        there = draw_truth(images, rng)
        truth.write(results / "data" / dataset / truth.NAME, there)
        drawn = [draw_evidence(there, rng) for _ in range(KEPT)]
        rows = [rows_of(own, there) for own in drawn]
        for place in range(PAIRS * seeds):
            pair, seed = f"pair{place // seeds:02}", place % seeds
            own = rng.integers(KEPT)
            evidence.write(results / "runs" / dataset / pair / f"seed{seed}" / evidence.NAME, drawn[own])
            common = {**dict.fromkeys(COLUMNS, ""), "dataset": dataset, "pair": pair, "row": pair, "seed": seed,
                      "state": "done", "n": images}  # fmt: skip
            found += [{**common, **row} for row in rows[own]]
    return pd.DataFrame(found, columns=COLUMNS)


def loop(own: evidence.Evidence) -> float:
    """Seconds of CPU to count every metric of the pixels again without each image of a run, image after image."""
    began = time.process_time()
    for left in range(len(own.stems)):
        kept = [i for i in range(len(own.stems)) if i != left]
        counts.metrics(sum(own.counts[i] for i in kept), sum(own.positives[i] for i in kept))
        for c in range(len(LESIONS)):
            binned = np.zeros((2, histogram.BINS), np.int64)
            for i in kept:
                at = slice(*own.hist_offsets[i * len(LESIONS) + c :][:2])
                binned[0, own.hist_id[at]] += own.hist_all[at]
                binned[1, own.hist_id[at]] += own.hist_positive[at]
            counts.average_precision(*binned[:, ::-1], histogram.SINGLE[::-1])
    return time.process_time() - began


def main() -> None:
    """Print the seconds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, nargs="+", default=[216, 1008])
    rng = np.random.default_rng(1)
    once = {name: loop(draw_evidence(draw_truth(images, rng), rng)) for name, images in IMAGES.items()}
    for runs in parser.parse_args().runs:
        with tempfile.TemporaryDirectory() as folder:
            metrics = lay_out(Path(folder), runs)
            wall, cpu = time.perf_counter(), time.process_time()
            table, _ = differences(metrics, Path(folder), "pair00")
            wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        looped = sum(once.values()) * runs / len(IMAGES)
        print(f"{runs} runs, {len(table)} differences: {wall:.1f} s ({cpu:.1f} of CPU); a loop: {looped:.0f} of CPU")


if __name__ == "__main__":
    main()
