"""Which images and regions examples show, chosen by rule so that nobody can call it picking. No image is read.

The blind set is fixed before any training, by digests alone; the contrast set is symmetric around the median, so that
it shows as much of where a competitor loses as of where it wins. `panels.csv` lists both; whoever has the records can
make the list again.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from rfbench.errors import RFBenchError
from rfbench.lesions import masks
from rfbench.lesions.lesion_metrics import SIZES, size_class
from rfbench.lesions.runlength import Runs, components, sums
from rfbench.lesions.truth import DIAMETER, Truth
from rfbench.provenance import write_csv
from rfbench.report.reading import read_numbers
from rfbench.runs import run_folder

NAME = "panels.csv"
REGIONS = 3  # of each lesion and size
PERCENTILES = (0, 25, 50, 75, 100)
CONTRASTED = "m2mrf_c"  # the pair that the papers propose and take apart (Table 1)
SIDE, SMALLEST = 256, 64  # px of a crop: at IDRiD's native size, and at least
MARGIN = 1.25  # of a crop around a box that is larger
SETS = ("blind", "contrast")
Box = tuple[int, int, int, int]  # left, top, width, height, px of the evaluated image

RULE = (
    "Blind set, fixed before training: the test regions, stratified by lesion and by area at IDRiD's native size "
    "(< 74, 74–255, 256–1920, > 1920 px); of each stratum the three of smallest SHA-256 over manifest digest | image | "
    "lesion | left,top,width,height, at most one an image, else the next. The data choose; there is no seed to tune.",
    "Contrast set, symmetric: by lesion, the images at the percentiles 0, 25, 50, 75 and 100 of the difference in F of "
    "an image (own − baseline), cropped around the largest region in which the two disagree. Images without the "
    "lesion in the truth or in both predictions are left out and counted; the strip plots show all differences.",
    "Every network gets the same crops, the lowest configured seed, threshold 0.5, and no mark by hand: a region is "
    "true if at least 20 % of it is the lesion, a lesion is found if true regions cover at least 20 % of it.",
)


@dataclass(frozen=True)
class Region:
    """A lesion of the blind set.

    Attributes:
        lesion, size: its class, and its size class (of SIZES).
        stem, box: the image, and where in it.
        area: its pixels there.
        digest: SHA-256 of its name (`digest`), in hexadecimal.
        rank, of: its place by digest among the stratum's chosen regions, from 1; regions of the stratum.
    """

    lesion: str
    size: str
    stem: str
    box: Box
    area: int
    digest: str
    rank: int
    of: int


@dataclass(frozen=True)
class Contrast:
    """The images of the contrast set for one competitor and lesion.

    Attributes:
        lesion: its name.
        row, pair: of the table.
        seed: of both runs.
        left_out: images without the lesion in the truth, or in both predictions: whatever is predicted F is 0 or 0/0
            there, or both are 0.
        gaps: image and difference of F to the baseline, in points, ascending, of the other images.
    """

    lesion: str
    row: str
    pair: str
    seed: int
    left_out: int
    gaps: tuple[tuple[str, float], ...]

    @property
    def images(self) -> int:
        """How many images the differences are of."""
        return len(self.gaps)

    @property
    def places(self) -> list[int]:
        """Where in `gaps` each of PERCENTILES stands; of few images some stand at the same."""
        return [round(percentile / 100 * (self.images - 1)) for percentile in PERCENTILES] if self.gaps else []

    @property
    def picked(self) -> tuple[tuple[str, float], ...]:
        """Image and difference at each of PERCENTILES."""
        return tuple(self.gaps[place] for place in self.places)


@dataclass(frozen=True)
class Example:
    """A line of panels.csv: a crop that everything that competes is shown in.

    Attributes:
        dataset, set, lesion, stem: where it is from; `set` is of SETS.
        size, rank, of: of the blind set (Region); of the contrast set "", the image's place by the difference, from 1,
            and the number of images.
        percentile, pair, difference, left_out: of the contrast set; else empty. An image at several percentiles, as
            there are where images are few, is one example: `25-50`.
        left, top, width, height, area: box and pixels of the region, of the contrast set of the disagreement.
        crop_left, crop_top, crop_side: the crop, px of the evaluated image.
        digest: of the region's name, of the blind set.
    """

    dataset: str
    set: str
    lesion: str
    size: str
    rank: int
    of: int
    percentile: str
    pair: str
    difference: float | str
    left_out: int | str
    stem: str
    left: int
    top: int
    width: int
    height: int
    area: int
    crop_left: int
    crop_top: int
    crop_side: int
    digest: str

    @property
    def name(self) -> str:
        """A name of its own, fit for an address: `IDRiD.blind.MA.lt74.1`, `IDRiD.contrast.MA.p25`."""
        about = (self.size, str(self.rank)) if self.set == "blind" else (f"p{self.percentile}",)
        return ".".join((self.dataset, self.set, self.lesion, *about))


COLUMNS = tuple(Example.__dataclass_fields__)


def digest(manifest: str, stem: str, lesion: str, box: tuple[int, ...]) -> str:
    """SHA-256 of a region's name: manifest digest | image | lesion | left,top,width,height."""
    return hashlib.sha256("|".join((manifest, stem, lesion, ",".join(map(str, box)))).encode()).hexdigest()


def blind(truth: Truth, manifest: str) -> list[Region]:
    """Of each lesion and size the regions of smallest digest, at most one an image.

    Args:
        truth: the lesions of the evaluated images.
        manifest: SHA-256 of the data set's manifest, in hexadecimal.
    """
    strata: dict[tuple[str, str], list[tuple[str, str, Box, int]]] = {}
    regions = zip(truth.image, truth.kind, size_class(truth.native_area), truth.box, truth.area, strict=True)
    for image, kind, size, box, area in regions:
        stem, lesion, own = str(truth.stems[image]), str(truth.names[kind]), tuple(map(int, box))
        named = (digest(manifest, stem, lesion, own), stem, own, int(area))
        strata.setdefault((lesion, SIZES[size]), []).append(named)
    found = []
    for lesion in truth.names.tolist():
        for size in SIZES:
            chosen: dict[str, tuple] = {}
            every = sorted(strata.get((lesion, size), []))
            for named in every:
                if len(chosen) < REGIONS:
                    chosen.setdefault(named[1], named)
            found += [
                Region(lesion, size, stem, box, area, code, rank, len(every))
                for rank, (code, stem, box, area) in enumerate(chosen.values(), start=1)
            ]
    return found


def contrast(results: Path, data: pd.DataFrame, baseline: str) -> list[Contrast]:
    """The contrast set of everything that has a finished run of the lowest configured seed, as the baseline has.

    Args:
        results: the results folder, whose runs have per_image.csv.
        data: the data set's rows of metrics.csv.
        baseline: what the others are compared with.
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
    for competitor, own in read.items():
        if competitor != baseline:
            for lesion in dict.fromkeys(own.index.get_level_values("lesion")):
                both = own.loc[lesion], read[baseline].loc[lesion]
                found.append(_contrast(*both, lesion, rows[competitor], competitor, seed))
    return found


def _contrast(own: pd.DataFrame, base: pd.DataFrame, lesion: str, row: str, competitor: str, seed: int) -> Contrast:
    base = base.reindex(own.index)
    there = (own["positives"] > 0) & (own["predicted"] + base["predicted"] > 0)
    gap = 100 * (f_of(own[there]) - f_of(base[there]))
    ordered = sorted(((stem, float(value)) for stem, value in gap.items()), key=lambda item: (item[1], item[0]))
    return Contrast(lesion, row, competitor, seed, int((~there).sum()), tuple(ordered))


def f_of(images: pd.DataFrame) -> pd.Series:
    """F of each image at 0.5, 2·TP / (predicted + positives), by the columns of per_image.csv."""
    return 2 * images["tp"] / np.maximum(images["predicted"] + images["positives"], 1)


def contrasted(found: Sequence[Contrast]) -> str:
    """Whose contrast set is drawn: CONTRASTED, or the first there is; empty where there is none."""
    competitors = list(dict.fromkeys(one.pair for one in found))
    return CONTRASTED if CONTRASTED in competitors else next(iter(competitors), "")


def examples_of(
    dataset: str, truth: Truth, manifest: str, found: Sequence[Contrast], kept: dict[str, masks.Masks], baseline: str
) -> list[Example]:
    """Every example of one data set, the blind set first.

    Args:
        dataset: its name.
        truth, manifest: as of `blind`.
        found: of `contrast`.
        kept: the masks by competitor, for the crops of the contrast set.
        baseline: as of `contrast`.
    """
    frames = {str(stem): (size, diameter) for stem, size, diameter in
              zip(truth.stems, truth.size.tolist(), truth.diameter.tolist(), strict=True)}  # fmt: skip
    examples = [
        Example(dataset, "blind", one.lesion, one.size, one.rank, one.of, "", "", "", "", one.stem, *one.box, one.area,
                *crop(one.box, *frames[one.stem]), one.digest)
        for one in blind(truth, manifest)
    ]  # fmt: skip
    competitor = contrasted([one for one in found if one.pair in kept])
    for one in found if baseline in kept else []:
        if one.pair != competitor:
            continue
        for place in dict.fromkeys(one.places):
            stem, gap = one.gaps[place]
            percentile = "-".join(str(p) for p, at in zip(PERCENTILES, one.places, strict=True) if at == place)
            box, area = disagreement(kept[competitor], kept[baseline], truth, stem, one.lesion)
            examples.append(
                Example(dataset, "contrast", one.lesion, "", place + 1, one.images, percentile, competitor,
                        round(gap, 4), one.left_out, stem, *box, area, *crop(box, *frames[stem]), "")
            )  # fmt: skip
    return examples


def crop(box: Box, size: Sequence[int], diameter: float) -> tuple[int, int, int]:
    """Left, top and side of the square that shows a box: 256 px of IDRiD's frame, more around a larger box.

    Args:
        box: left, top, width, height.
        size: width and height of the image; the square lies inside, and is no larger than its shorter side.
        diameter: of the image's field of view, px.
    """
    left, top, width, height = box
    side = max(SMALLEST, round(SIDE * diameter / DIAMETER), int(np.ceil(MARGIN * max(width, height))))
    side = min(side, *size)
    places = (round(start + extent / 2 - side / 2) for start, extent in ((left, width), (top, height)))
    left, top = (min(max(place, 0), whole - side) for place, whole in zip(places, size, strict=True))
    return left, top, side


def disagreement(own: masks.Masks, base: masks.Masks, truth: Truth, stem: str, lesion: str) -> tuple[Box, int]:
    """Box and pixels of the largest 4-connected region that one mask has and the other has not, the first of equals.

    Where they are equal, or noise, it is the image's largest lesion.
    """
    pair = own.runs(stem, lesion), base.runs(stem, lesion)
    if all(runs is not None for runs in pair):
        width, height = (int(side) for side in truth.size[truth.stems == stem][0])
        differing = np.zeros(width * height + 1, np.uint8)  # 1 where "in one of both" begins or ends
        for runs in pair:
            for ends in (runs.start, runs.end):
                np.bitwise_xor.at(differing, ends, 1)
        odd = np.bitwise_xor.accumulate(differing)[:-1].reshape(height, width)
        runs = Runs.of(odd, 1)
        if len(runs.start):
            return _largest(runs)
    image, kind = np.flatnonzero(truth.stems == stem)[0], np.flatnonzero(truth.names == lesion)[0]
    mine = np.flatnonzero((truth.image == image) & (truth.kind == kind))
    at = mine[np.argmax(truth.area[mine])]
    return tuple(map(int, truth.box[at])), int(truth.area[at])


def _largest(runs: Runs) -> tuple[Box, int]:
    """Box and pixels of the largest region of runs; of equals the one that begins first."""
    count, region = components(len(runs.start), *runs.touching())
    area = sums(region, runs.length, count)
    of_equals = np.isin(region, np.flatnonzero(area == area.max()))
    chosen = region == region[np.flatnonzero(of_equals)[0]]
    row, left = np.divmod(runs.start[chosen], runs.width)
    right = left + runs.length[chosen]
    box = int(left.min()), int(row.min()), int(right.max() - left.min()), int(row.max() - row.min()) + 1
    return box, int(area.max())


def write(path: Path, examples: Sequence[Example]) -> str:
    """Write panels.csv; returns its SHA-256, in hexadecimal."""
    write_csv(path, COLUMNS, (vars(one) for one in examples))
    return hashlib.sha256(path.read_bytes()).hexdigest()
