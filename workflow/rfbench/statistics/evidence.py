"""What evaluation leaves of a run for statistics: per-image counts and score histograms, `evidence.npz`."""

import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from rfbench.errors import RFBenchError
from rfbench.statistics import jackknife

NAME = "evidence.npz"
ARRAYS = ("counts", "positives", "pixels", "hist_offsets", "hist_id", "hist_all", "hist_positive")


@dataclass(frozen=True)
class Evidence:
    """Arrays of one run, N images and C lesions in the order of `rfbench.names.LESIONS`.

    Attributes:
        counts: int64 (N, C, 2, 11), pixels above each of eleven thresholds, predicted and true positive.
        positives: int64 (N, C), pixels of the lesion.
        pixels: int64 (N,).
        hist_offsets, hist_id, hist_all, hist_positive: sparse score histograms, see
            `rfbench.statistics.jackknife.average_precision_without_each`.
    """

    counts: np.ndarray
    positives: np.ndarray
    pixels: np.ndarray
    hist_offsets: np.ndarray
    hist_id: np.ndarray
    hist_all: np.ndarray
    hist_positive: np.ndarray

    def without_each(self) -> dict[str, np.ndarray]:
        """Every metric without each image, (N, C) each, fractions."""
        lesions = self.positives.shape[1]
        histograms = self.hist_offsets, self.hist_id, self.hist_all, self.hist_positive
        average = jackknife.average_precision_without_each(*histograms, lesions=lesions)
        return {"ap": average, **jackknife.without_each(self.counts, self.positives)}

    def at_half(self) -> dict[str, np.ndarray]:
        """F and IoU of all images, (C,) each: exact, so they tell whether the file is of a given evaluation."""
        with_none = np.zeros_like(self.counts[:1]), np.zeros_like(self.positives[:1])  # an image that adds nothing
        counts, positives = (
            np.concatenate([of, none]) for of, none in zip((self.counts, self.positives), with_none, strict=True)
        )
        found = jackknife.without_each(counts, positives)
        return {metric: found[metric][-1] for metric in ("f", "iou")}


def read(path: Path) -> Evidence:
    """Read a run's evidence.npz.

    Raises:
        RFBenchError: it is no such file, or damaged.
    """
    try:
        with np.load(path) as file:
            if missing := set(ARRAYS) - set(file.files):
                raise RFBenchError(
                    f"{path}: expected the arrays of an evaluation, missing {', '.join(sorted(missing))}. Delete it "
                    "and run `snakemake`."
                )
            return Evidence(**{name: file[name] for name in ARRAYS})
    except (zipfile.BadZipFile, ValueError, EOFError, OSError) as error:
        raise RFBenchError(
            f"{path}: expected the arrays of an evaluation (npz), found {error}. Delete it and run `snakemake`."
        ) from None
