"""The examples of one data set, ready to be drawn: crops, true lesions, what every competitor sees. No network runs.

Photographs and label maps are read from the prepared data set, predictions from the runs' masks.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import mmcv
import numpy as np
import pandas as pd

from rfbench import provenance
from rfbench.data.images import read_native
from rfbench.data.manifest import read_manifest
from rfbench.errors import RFBenchError
from rfbench.evaluation.ground_truth import fit_label
from rfbench.lesions import masks, truth
from rfbench.report import examples, ranking
from rfbench.report.examples import Contrast, Example
from rfbench.report.outlines import Tile, Viewer
from rfbench.report.reading import read_numbers
from rfbench.report.rows import order
from rfbench.report.tables import of_methods
from rfbench.runs import manifest_path, run_folder
from rfbench.settings import Dataset

LONGEST = 1200  # px of the sides of a photograph that is kept whole


@dataclass(frozen=True)
class Seen:
    """What one competitor sees of a crop, and its F of the lesion in the whole image, in percent; NaN for none."""

    tile: Tile
    f: float


@dataclass(frozen=True)
class Case:
    """One example.

    Attributes:
        example: which.
        crop: its photograph, uint8 (side, side, 3) in BGR order.
        whole: the whole photograph, no side longer than LONGEST, and its scale; of a case that a figure shows.
        truth: the true lesions in the crop, as polygons by name.
        seen: by competitor.
    """

    example: Example
    crop: np.ndarray
    whole: tuple[np.ndarray, float]
    truth: dict[str, list[np.ndarray]]
    seen: dict[str, Seen]


@dataclass(frozen=True)
class Panels:
    """The examples of one data set.

    Attributes:
        name, synthetic, layout: the data set, whether its images are drawn, and whose layout they have.
        photographs, credit: whether they are shown (settings), and licence and attribution, if any.
        lesions: names.
        seed: of every run shown.
        rows: row by competitor, in the order of the tables.
        methods: which of these are whole methods, no operator pairs.
        missing: why a competitor is not shown, by competitor.
        baseline, contrasted: the competitors that the contrast set is of; "" where there is none.
        differences: of the image's F, of every competitor and lesion.
        cases: in the order of panels.csv.
    """

    name: str
    synthetic: bool
    layout: str
    photographs: str
    credit: str
    lesions: tuple[str, ...]
    seed: int
    rows: dict[str, str]
    methods: tuple[str, ...]
    missing: dict[str, str]
    baseline: str
    contrasted: str
    differences: tuple[Contrast, ...]
    cases: tuple[Case, ...]


def gather(data: pd.DataFrame, results: Path, dataset: Dataset) -> Panels:
    """Gather the examples of one data set.

    Args:
        data: its rows of metrics.csv.
        results: the results folder.
        dataset: its section of the configuration.

    Raises:
        RFBenchError: the data set is not prepared, or a file of it is damaged.
    """
    first, name = data.iloc[0], data["dataset"].iloc[0]
    manifest, baseline = manifest_path(results, name), ranking.baseline_pair(data) or ""
    known = truth.read(manifest.with_name(truth.NAME))
    kept, missing = _masks(data, results, known)
    differences = tuple(examples.contrast(results, data, baseline)) if baseline else ()
    listed = examples.examples_of(name, known, provenance.sha256(manifest), differences, kept, baseline)
    scores = {competitor: _scores(results, name, competitor, int(data["seed"].min())) for competitor in kept}
    row_of = dict(zip(data["pair"], data["row"], strict=True))
    competitors = sorted(row_of, key=lambda competitor: order(data).index(row_of[competitor]))
    return Panels(
        name=name,
        synthetic=bool(first["synthetic"]),
        layout=str(first["layout"]),
        photographs="publish" if first["synthetic"] else dataset.photographs,
        credit=". ".join(filter(None, (dataset.attribution, dataset.licence))),
        lesions=tuple(known.names.tolist()),
        seed=int(data["seed"].min()),
        rows={competitor: row_of[competitor] for competitor in competitors},
        methods=tuple(dict.fromkeys(data.loc[of_methods(data), "pair"])),
        missing=missing,
        baseline=baseline,
        contrasted=examples.contrasted([one for one in differences if one.pair in kept]),
        differences=differences,
        cases=tuple(_cases(listed, manifest, dataset, first, kept, scores)),
    )


def _masks(data: pd.DataFrame, results: Path, known: truth.Truth) -> tuple[dict[str, masks.Masks], dict[str, str]]:
    """The masks of each competitor's run of the lowest configured seed, and why a competitor has none."""
    kept, missing, seed = {}, {}, int(data["seed"].min())
    for run in data[data["seed"] == seed].drop_duplicates("pair").to_dict("records"):
        path = run_folder(results, run["dataset"], run["pair"], seed) / masks.NAME
        if run["state"] != "done":
            missing[run["pair"]] = f"{run['state']}: {run['reason']}" if run["reason"] else run["state"]
        elif not path.exists():
            missing[run["pair"]] = "evaluated before masks were kept"
        else:
            kept[run["pair"]] = masks.read(path)
            if not np.array_equal(kept[run["pair"]].size, known.size):
                raise RFBenchError(
                    f"{path}: expected masks of the images in {truth.NAME}, found others. Run snakemake, which writes "
                    "both again."
                )
    for competitor in set(data["pair"]) - set(kept) - set(missing):
        missing[competitor] = f"no run of seed {seed} is configured"
    return kept, missing


def _scores(results: Path, dataset: str, competitor: str, seed: int) -> pd.Series:
    """F by lesion and image, in percent."""
    path = run_folder(results, dataset, competitor, seed) / "per_image.csv"
    frame = read_numbers(path, ("stem", "lesion"), ("tp", "predicted", "positives"), "rfbench evaluate")
    return (100 * examples.f_of(frame)).set_axis(pd.MultiIndex.from_frame(frame[["lesion", "stem"]]))


def _cases(listed: Sequence[Example], manifest: Path, dataset: Dataset, first: pd.Series,
           kept: dict[str, masks.Masks], scores: dict[str, pd.Series]) -> list[Case]:  # fmt: skip
    """The cases of a list, each photograph read once."""
    rows = {row.stem: row for row in read_manifest(manifest, str(first["split"]), dataset.lesions).itertuples()}
    found: dict[str, Case] = {}
    for stem in dict.fromkeys(one.stem for one in listed):
        image, label = read_native(manifest.parent, rows[stem])
        image = fit_image(image, dataset.scale, str(first["eval_size"]))
        viewer = Viewer(fit_label(label, dataset.scale, str(first["eval_size"])), dataset.lesions)
        whole = shrunk(image, LONGEST)
        for one in (one for one in listed if one.stem == stem):
            crop = one.crop_left, one.crop_top, one.crop_side
            seen = {
                name: Seen(viewer.tile(own, stem, crop), float(scores[name].get((one.lesion, stem), math.nan)))
                for name, own in kept.items()
            }
            part = image[crop[1] : crop[1] + crop[2], crop[0] : crop[0] + crop[2]].copy()
            found[one.name] = Case(one, part, whole, viewer.lesions(crop), seen)
    return [found[one.name] for one in listed]


def fit_image(image: np.ndarray, scale: Sequence[int], eval_size: str) -> np.ndarray:
    """A photograph (H, W, 3) at the size that it is evaluated at (evaluation/run.py), the padding black."""
    if eval_size == "native":
        return image
    resized = mmcv.imrescale(image, tuple(scale))
    width, height = scale
    return np.pad(resized, ((0, height - resized.shape[0]), (0, width - resized.shape[1]), (0, 0)))


def shrunk(image: np.ndarray, longest: int) -> tuple[np.ndarray, float]:
    """An image (H, W, 3) with no side above `longest` px, and its scale."""
    scale = min(1.0, longest / max(image.shape[:2]))
    return (image, 1.0) if scale == 1 else (mmcv.imrescale(image, scale, interpolation="area"), scale)
