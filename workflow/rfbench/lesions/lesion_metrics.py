"""What a run finds of the lesions, by their size: from its evidence and the data set's lesions. No torch.

Everything is at a score above 0.5 but the FROC curve. Shares of fewer than 30 lesions, or of lesions in fewer than 5
images, are not given: only the counts are.
"""

import numpy as np

from rfbench.errors import RFBenchError
from rfbench.lesions.counts import FROC_THRESHOLDS
from rfbench.lesions.evidence import AT_HALF, TENTHS, Evidence
from rfbench.lesions.truth import Truth

# Areas at IDRiD's native size: a tenth of its training lesions is below 74 px and a tenth above 1920; 256 px is about
# the median.
SIZES = ("lt74", "74_255", "256_1920", "gt1920")
FEWEST_LESIONS, FEWEST_IMAGES = 30, 5  # for a share of them to be given
RATES = (1 / 8, 1 / 4, 1 / 2, 1, 2, 4, 8)  # false regions per image that the CPM takes its recalls at


def lesion_metrics(evidence: Evidence, truth: Truth) -> dict[str, dict[str, float | int | None]]:
    """{metric: {lesion: value}}, shares as fractions and None where there are too few lesions for one.

    - `lesions`, `lesions_hit`: their number and how many are hit (`lesions.match`); `lesion_recall`, their quotient.
      The same with `_lt74`, `_74_255`, `_256_1920` and `_gt1920` for the lesions of that area (SIZES).
    - `lesions_covered_any`, `_10`, `_20`, `_50`: share of the lesions with at least one pixel, 10, 20 or 50 % of their
      pixels above 0.5, whatever region these lie in. For comparison only: predicting the whole frame gives 1.
    - `regions`, `regions_false`: predicted regions, and those that are no lesion; `lesion_precision` is the share of
      the true ones, 0 if there is no region; `lesion_f1` the harmonic mean of it and the recall.
    - `fp_per_image`: false regions per image, those without a lesion included.
    - `froc_recall_T`, `froc_fp_T`: recall and false regions per image at each threshold T of the FROC curve.
    - `cpm`: mean over 1/8, 1/4, 1/2, 1, 2, 4 and 8 false regions per image of the highest recall with at most so many,
      0 where every threshold has more.

    Raises:
        RFBenchError: evidence and lesions are not of the same images.
    """
    if not (np.array_equal(evidence.stems, truth.stems) and np.array_equal(evidence.lesion_offsets, truth.offsets)):
        raise RFBenchError(
            "the run's evidence.npz and the data set's lesions.npz: expected the same images and lesions, found "
            "others. Run snakemake, which writes both again."
        )
    found: dict[str, dict] = {}
    for c, name in enumerate(truth.names.tolist()):
        for metric, value in _of_class(evidence, truth, c).items():
            found.setdefault(metric, {})[name] = value
    return found


def size_class(area: np.ndarray) -> np.ndarray:
    """Index into SIZES (n,) of areas in px at IDRiD's native size."""
    return (area >= 74).astype(int) + (area >= 256) + (area > 1920)


def _of_class(evidence: Evidence, truth: Truth, c: int) -> dict[str, float | int | None]:
    mine = truth.kind == c
    image, area = truth.image[mine], truth.native_area[mine]
    hits = evidence.lesion_hits[mine, None] >> np.arange(len(FROC_THRESHOLDS)) & 1 == 1  # (L, 14)
    enough = _enough(image)
    values: dict[str, float | int | None] = _recall("", image, hits[:, AT_HALF])
    for k, size in enumerate(SIZES):
        chosen = size_class(area) == k
        values |= _recall(f"_{size}", image[chosen], hits[chosen, AT_HALF])
    covered = (evidence.lesion_scores[mine] > 0.5).sum(0)
    for tenths, count in zip(TENTHS, covered, strict=True):
        share = "any" if tenths == 0 else f"{10 * tenths}"
        values[f"lesions_covered_{share}"] = float(count / len(image)) if enough else None
    regions, false = evidence.froc[:, c].sum(0, dtype=np.int64).T  # (14,) each
    values |= {"regions": int(regions[AT_HALF]), "regions_false": int(false[AT_HALF])}
    recall, rate = hits.mean(0) if enough else None, false / len(truth.stems)
    precision = 1 - false[AT_HALF] / regions[AT_HALF] if regions[AT_HALF] else 0.0
    both = precision + recall[AT_HALF] if enough else 0.0
    values["lesion_precision"] = float(precision) if enough else None
    values["lesion_f1"] = float(2 * precision * recall[AT_HALF] / both if both else 0.0) if enough else None
    values["fp_per_image"] = float(rate[AT_HALF])
    values["cpm"] = cpm(recall, rate) if enough else None
    for t, threshold in enumerate(FROC_THRESHOLDS):
        values[f"froc_recall_{threshold:.5g}"] = float(recall[t]) if enough else None
        values[f"froc_fp_{threshold:.5g}"] = float(rate[t])
    return values


def _enough(image: np.ndarray) -> bool:
    """Whether so many lesions, of these images, allow a share of them."""
    return len(image) >= FEWEST_LESIONS and len(np.unique(image)) >= FEWEST_IMAGES


def _recall(suffix: str, image: np.ndarray, hit: np.ndarray) -> dict[str, float | int | None]:
    return {
        f"lesions{suffix}": len(hit),
        f"lesions_hit{suffix}": int(hit.sum()),
        f"lesion_recall{suffix}": float(hit.mean()) if _enough(image) else None,
    }


def cpm(recall: np.ndarray, rate: np.ndarray) -> float:
    """Competition performance metric of an FROC curve's points: recall, and false regions per image (n,) each."""
    return float(np.mean([recall[rate <= limit].max(initial=0.0) for limit in RATES]))
