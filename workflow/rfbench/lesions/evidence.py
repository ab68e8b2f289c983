"""evidence.npz: what a run leaves of every image, for whoever compares runs. No torch.

Everything that statistics need can be computed again from it, for any subset of the images: the metrics at the papers'
thresholds exactly, average precision within a stated bound, lesions found at any threshold, the FROC curve. The lesions
themselves are in the data set's lesions.npz (truth.py), in the same order.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from rfbench.lesions import counts, histogram, npz
from rfbench.lesions.npz import joined, offsets

NAME = "evidence.npz"
TENTHS = (0, 1, 2, 5)  # of a lesion's pixels, for its scores; 0 is a single pixel
AT_HALF = int(np.flatnonzero(counts.FROC_THRESHOLDS == 0.5)[0])
LARGEST_KEPT = 2000  # false regions of an image and lesion that are kept one by one


@dataclass(frozen=True)
class Detection:
    """One image and lesion class: L lesions, F false regions at 0.5.

    Attributes:
        scores: float32 (L, 4), the score that exceeds a threshold if and only if one pixel, 10, 20 or 50 % of the
            lesion's pixels do: their k-th highest, k = max(1, ⌈TENTHS / 10 · area⌉).
        hits: uint16 (L,), bit t set if the lesion is hit at FROC_THRESHOLDS[t] (`lesions.match`).
        froc: int32 (14, 2), regions above each of FROC_THRESHOLDS, and the false ones among them.
        centre: float32 (F, 2), x and y of the mean of a false region's pixels.
        area: int64 (F,).
        peak: float32 (F,), its highest score; highest first.
        other: int64 (F,), how many of its pixels are of another class.
        rest: false regions at 0.5 beyond the LARGEST_KEPT of the highest peaks.
    """

    scores: np.ndarray
    hits: np.ndarray
    froc: np.ndarray
    centre: np.ndarray
    area: np.ndarray
    peak: np.ndarray
    other: np.ndarray
    rest: int


@dataclass(frozen=True)
class ImageEvidence:
    """What is kept of one image and lesion class, arrays as in Evidence; `histogram` (2, 2467) in `histogram.BINS`."""

    counts: np.ndarray
    positives: int
    histogram: np.ndarray
    detection: Detection


@dataclass(frozen=True)
class Evidence:
    """The arrays of evidence.npz: N images, C lesion classes, L lesions, H used bins, F false regions.

    Attributes:
        names: str (C,), the classes.
        stems: str (N,), the images.
        counts: int64 (N, C, 2, 11), pixels above each of `counts.THRESHOLDS` (float32, strictly): all, then those of
            the class.
        positives: int64 (N, C), pixels of the class.
        pixels: int64 (N,), of the image.
        hist_offsets: int64 (N * C + 1,); the used bins of image i and class c are those from hist_offsets[i * C + c] up
            to the next.
        hist_id: uint16 (H,), bin of the score (histogram.py), ascending within image and class.
        hist_all, hist_positive: uint32 (H,), pixels in the bin: all, and those of the class.
        lesion_offsets: int64 (N * C + 1,), as hist_offsets; equal to `offsets` of lesions.npz.
        lesion_scores: float32 (L, 4), the score that exceeds a threshold if and only if at least one pixel, 10, 20 or
            50 % of the lesion's pixels do.
        lesion_hits: uint16 (L,), bit t set if the lesion is hit at counts.FROC_THRESHOLDS[t] (`lesions.match`).
        froc: int32 (N, C, 14, 2), regions above each of counts.FROC_THRESHOLDS, and the false ones among them.
        fp_image: int32 (F,), index of the image; of the false regions at 0.5, the 2,000 of the highest peaks per image
            and class, from the highest down.
        fp_class: uint8 (F,), index of the class.
        fp_centre: float32 (F, 2), x and y of the mean of the region's pixels.
        fp_area: uint32 (F,), its pixels.
        fp_score: float32 (F,), its peak: the highest score.
        fp_other: uint32 (F,), how many of its pixels are of another class.
        fp_rest: int32 (N, C), false regions at 0.5 that are not listed.
    """

    names: np.ndarray
    stems: np.ndarray
    counts: np.ndarray
    positives: np.ndarray
    pixels: np.ndarray
    hist_offsets: np.ndarray
    hist_id: np.ndarray
    hist_all: np.ndarray
    hist_positive: np.ndarray
    lesion_offsets: np.ndarray
    lesion_scores: np.ndarray
    lesion_hits: np.ndarray
    froc: np.ndarray
    fp_image: np.ndarray
    fp_class: np.ndarray
    fp_centre: np.ndarray
    fp_area: np.ndarray
    fp_score: np.ndarray
    fp_other: np.ndarray
    fp_rest: np.ndarray

    @classmethod
    def of(cls, names: Sequence[str], stems: Sequence[str], pixels: Sequence[int],
           parts: Sequence[ImageEvidence]) -> "Evidence":  # fmt: skip
        """Gather the images' evidence; `parts` holds each image's classes in turn."""
        shape = len(stems), len(names)
        bins = [np.flatnonzero(part.histogram[0]) for part in parts]
        found = [part.detection for part in parts]
        false = [len(detection.area) for detection in found]
        return cls(
            names=np.array(names, str),
            stems=np.array(stems, str),
            counts=np.array([part.counts for part in parts], np.int64).reshape(*shape, 2, len(counts.THRESHOLDS)),
            positives=np.array([part.positives for part in parts], np.int64).reshape(shape),
            pixels=np.array(pixels, np.int64),
            hist_offsets=offsets(bins),
            hist_id=joined(bins, np.uint16),
            hist_all=joined([part.histogram[0, used] for part, used in zip(parts, bins, strict=True)], np.uint32),
            hist_positive=joined([part.histogram[1, used] for part, used in zip(parts, bins, strict=True)], np.uint32),
            lesion_offsets=offsets([detection.hits for detection in found]),
            lesion_scores=joined([detection.scores for detection in found], np.float32, (len(TENTHS),)),
            lesion_hits=joined([detection.hits for detection in found], np.uint16),
            froc=np.array([detection.froc for detection in found], np.int32).reshape(
                *shape, len(counts.FROC_THRESHOLDS), 2
            ),
            fp_image=np.repeat(np.arange(len(found), dtype=np.int32) // len(names), false),
            fp_class=np.repeat(np.arange(len(found)) % len(names), false).astype(np.uint8),
            fp_centre=joined([detection.centre for detection in found], np.float32, (2,)),
            fp_area=joined([detection.area for detection in found], np.uint32),
            fp_score=joined([detection.peak for detection in found], np.float32),
            fp_other=joined([detection.other for detection in found], np.uint32),
            fp_rest=np.array([detection.rest for detection in found], np.int32).reshape(shape),
        )

    def histograms(self, c: int) -> np.ndarray:
        """Class c's pixels per image and bin: int64 (N, 2, 2467), all and those of the class, lowest scores first."""
        dense = np.zeros((len(self.stems), 2, histogram.BINS), np.int64)
        for i in range(len(self.stems)):
            at = i * len(self.names) + c
            span = slice(*self.hist_offsets[at : at + 2])
            dense[i, :, self.hist_id[span]] = np.stack([self.hist_all[span], self.hist_positive[span]], axis=1)
        return dense

    def metrics(self) -> dict[str, np.ndarray]:
        """The metrics of all images together, as fractions (C,): `ap` within `ap_error`, the others exactly."""
        found = counts.metrics(self.counts.sum(0), self.positives.sum(0))
        binned = [self.histograms(c).sum(0)[:, ::-1] for c in range(len(self.names))]
        tied = histogram.SINGLE[::-1]
        found["ap"] = np.array([counts.average_precision(*pair, tied) for pair in binned])
        bounds = np.array([counts.ap_bounds(*pair, tied) for pair in binned])
        return found | {"ap_error": np.abs(bounds - found["ap"][:, None]).max(1)}


def write(path: str | Path, evidence: Evidence) -> None:
    """Write evidence.npz; the same bytes for the same evidence."""
    npz.write(path, evidence)


def read(path: str | Path) -> Evidence:
    """Read evidence.npz.

    Raises:
        RFBenchError: it is missing, damaged or of another version.
    """
    return npz.read(path, Evidence, "the evidence of a run", "Evaluate the run again: run snakemake.")
