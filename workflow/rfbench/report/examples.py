"""Which images and regions examples show, chosen by rule so that nobody can call it picking. No image is read.

The blind set is fixed before any training, by digests alone; the contrast set is symmetric around the median, so that
it shows as much of where a pair loses as of where it wins.
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from rfbench.errors import RFBenchError
from rfbench.lesions.lesion_metrics import SIZES, size_class
from rfbench.lesions.truth import Truth
from rfbench.report.reading import read_numbers
from rfbench.runs import run_folder

REGIONS = 3  # of each lesion and size
PERCENTILES = (0, 25, 50, 75, 100)


@dataclass(frozen=True)
class Region:
    """A lesion of the blind set: its class, size class (of SIZES), image, box (left, top, width, height) and digest."""

    lesion: str
    size: str
    stem: str
    box: tuple[int, int, int, int]
    digest: str


@dataclass(frozen=True)
class Contrast:
    """The images of the contrast set for one pair and lesion.

    Attributes:
        lesion: its name.
        row, pair: of the table.
        seed: of both runs.
        images: images that the differences are of.
        left_out: images without the lesion in the truth, where F is 0 or 0/0 whatever is predicted.
        picked: image and difference of F to the baseline, in points, at each of PERCENTILES.
    """

    lesion: str
    row: str
    pair: str
    seed: int
    images: int
    left_out: int
    picked: tuple[tuple[str, float], ...]


def digest(manifest: str, stem: str, lesion: str, box: tuple[int, ...]) -> str:
    """SHA-256 of a region's name: manifest digest | image | lesion | left,top,width,height."""
    return hashlib.sha256("|".join((manifest, stem, lesion, ",".join(map(str, box)))).encode()).hexdigest()


def blind(truth: Truth, manifest: str) -> list[Region]:
    """Of each lesion and size the regions of smallest digest, at most one an image.

    Args:
        truth: the lesions of the evaluated images.
        manifest: SHA-256 of the data set's manifest, in hexadecimal.
    """
    strata: dict[tuple[str, str], list[Region]] = {}
    for image, kind, size, box in zip(truth.image, truth.kind, size_class(truth.native_area), truth.box, strict=True):
        stem, lesion, own = str(truth.stems[image]), str(truth.names[kind]), tuple(map(int, box))
        region = Region(lesion, SIZES[size], stem, own, digest(manifest, stem, lesion, own))
        strata.setdefault((lesion, region.size), []).append(region)
    found = []
    for lesion in truth.names.tolist():
        for size in SIZES:
            chosen: dict[str, Region] = {}
            for region in sorted(strata.get((lesion, size), []), key=lambda region: region.digest):
                if len(chosen) < REGIONS:
                    chosen.setdefault(region.stem, region)
            found += chosen.values()
    return found


def contrast(results: Path, data: pd.DataFrame, baseline: str) -> list[Contrast]:
    """The contrast set of every pair that has a finished run of the lowest configured seed, as the baseline has.

    Args:
        results: the results folder, whose runs have per_image.csv.
        data: the data set's rows of metrics.csv.
        baseline: name of the pair that the others are compared with.
    """
    seed = int(data["seed"].min())
    done = data[(data["state"] == "done") & (data["seed"] == seed)].drop_duplicates("pair")
    read = {}
    for run in done.itertuples():
        path = run_folder(results, run.dataset, run.pair, seed) / "per_image.csv"
        if path.exists():
            images = read_numbers(path, ("stem", "lesion"), ("tp", "predicted", "positives"), "rfbench evaluate")
            read[run.pair] = images.set_index(["lesion", "stem"])
            if not read[run.pair].index.sort_values().equals(next(iter(read.values())).index.sort_values()):
                raise RFBenchError(f"{path}: expected the images and lesions of the other runs, found others.")
    if baseline not in read:
        return []
    rows, found = dict(zip(data["pair"], data["row"], strict=True)), []
    for pair, own in read.items():
        if pair != baseline:
            for lesion in dict.fromkeys(own.index.get_level_values("lesion")):
                found.append(_contrast(own.loc[lesion], read[baseline].loc[lesion], lesion, rows[pair], pair, seed))
    return found


def _contrast(own: pd.DataFrame, base: pd.DataFrame, lesion: str, row: str, pair: str, seed: int) -> Contrast:
    there = own["positives"] > 0
    gap = 100 * (_f(own[there]) - _f(base[there]))
    ordered = sorted(gap.items(), key=lambda item: (item[1], item[0]))
    places = [round(percentile / 100 * (len(ordered) - 1)) for percentile in PERCENTILES] if ordered else []
    picked = tuple((stem, float(value)) for stem, value in (ordered[place] for place in places))
    return Contrast(lesion, row, pair, seed, len(ordered), int((~there).sum()), picked)


def _f(images: pd.DataFrame) -> pd.Series:
    """F of each image at 0.5, 2·TP / (predicted + positives)."""
    return 2 * images["tp"] / np.maximum(images["predicted"] + images["positives"], 1)
