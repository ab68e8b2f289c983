"""`rfbench throughput`: how many training samples a second one core makes of a prepared data set.

A GPU that waits for images is the usual reason for a slow training; the number says how many loader processes
(`recipe.workers`) it takes, and what the store of decoded images and the cache at twice the training scale are worth.
The store is made beside the manifest where it is not there yet.
"""

import time
from pathlib import Path

import cv2
import torch

from rfbench.settings import Dataset, Recipe
from rfbench.training.stream import TrainingStream


def measure(dataset: Dataset, recipe: Recipe, manifest: Path, samples: int) -> dict[str, float]:
    """Samples per second of one core's time: decoding every time (`native`), from the store, from the cache.

    The processor's time is measured, so other work on the machine does not count; files are read from the system's
    cache, and store and cache are filled before they are timed. The sources take turns at the same samples.

    Args:
        dataset, recipe: as configured; the recipe's augmentation is used.
        manifest: the prepared data set's manifest.csv.
        samples: how many are timed for each source.

    Returns:
        Rates of `native`, `store` (left out where `recipe.store` is false) and `cached_2x`.
    """
    sources = {"native": ("native", False), "store": ("native", True), "cached_2x": ("cached_2x", recipe.store)}
    if not recipe.store:
        del sources["store"]
    before = torch.get_num_threads(), cv2.getNumThreads()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    try:
        streams = {
            name: TrainingStream(manifest, dataset, recipe.model_copy(update={"train_source": source}), 0, stored)
            for name, (source, stored) in sources.items()
        }
        seconds = dict.fromkeys(streams, 0.0)
        for timed in (False, True):
            for draw in range(samples):
                for name, stream in streams.items():
                    started = time.process_time()
                    stream[draw]
                    seconds[name] += timed * (time.process_time() - started)
    finally:
        torch.set_num_threads(before[0])
        cv2.setNumThreads(before[1])
    return {name: samples / spent for name, spent in seconds.items()}
