"""`rfbench throughput`: how many training samples a second one core makes of a prepared data set.

A GPU that waits for images is the usual reason for a slow training; the number says how many loader processes
(`recipe.workers`) it takes, and what the cache at twice the training scale is worth.
"""

import time
from pathlib import Path

import cv2
import torch

from rfbench.settings import Dataset, Recipe
from rfbench.training.stream import TrainingStream


def measure(dataset: Dataset, recipe: Recipe, manifest: Path, samples: int) -> dict[str, float]:
    """Samples per second of one core's time, by `train_source`; the cache is filled before it is timed.

    The processor's time is measured, so other work on the machine does not count; reading is from the file cache.

    Args:
        dataset, recipe: as configured; the recipe's augmentation is used.
        manifest: the prepared data set's manifest.csv.
        samples: how many are timed for each source, the same ones.
    """
    rates = {}
    before = torch.get_num_threads(), cv2.getNumThreads()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    try:
        for source in ("native", "cached_2x"):
            stream = TrainingStream(manifest, dataset, recipe.model_copy(update={"train_source": source}), seed=0)
            for draw in range(samples if source == "cached_2x" else 1):  # fill the cache; warm up
                stream[draw]
            started = time.process_time()
            for draw in range(samples):
                stream[draw]
            rates[source] = samples / (time.process_time() - started)
    finally:
        torch.set_num_threads(before[0])
        cv2.setNumThreads(before[1])
    return rates
