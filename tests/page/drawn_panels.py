"""A prepared data set of drawn images, and masks of runs on it: what panels are tested on without training anything."""

from pathlib import Path

import cv2
import numpy as np
import pandas as pd

from rfbench import provenance
from rfbench.data.manifest import encode_manifest, tabulate
from rfbench.lesions import masks, truth
from rfbench.lesions.truth import ImageLesions, Truth
from rfbench.names import LESIONS
from rfbench.runs import manifest_path, run_folder
from rfbench.settings import Dataset

from . import drawn_results

SIZE = (320, 240)  # of an image
DIAMETER = 3412.0  # as if the images were cut out of IDRiD's, so that areas are what they are


def dataset(**more) -> Dataset:
    """The section of a configuration that fits."""
    return Dataset(kind="idrid", source="archive.zip", scale=SIZE, crop=(64, 64), iterations=1, mean=(1.0, 1.0, 1.0),
                   std=(1.0, 1.0, 1.0), **more)  # fmt: skip


def label_of(rng: np.random.Generator) -> np.ndarray:
    """A label map of ellipses of all sizes."""
    label = np.zeros(SIZE[::-1], np.uint8)
    for value, (count, largest) in enumerate(((14, 9), (6, 20), (2, 30), (10, 4)), start=1):
        for _ in range(count):
            centre = int(rng.integers(20, SIZE[0] - 20)), int(rng.integers(20, SIZE[1] - 20))
            axes = tuple(int(axis) for axis in rng.integers(1, largest, 2))
            cv2.ellipse(label, centre, axes, float(rng.uniform(0, 180)), 0, 360, value, -1)
    return label


def predicted(rng: np.random.Generator, label: np.ndarray) -> np.ndarray:
    """Masks (4, H, W) of a run: each lesion moved a little, some lost, something that is none added."""
    found = np.zeros((4, *label.shape), bool)
    for c in range(4):
        count, regions = cv2.connectedComponents((label == c + 1).view(np.uint8), connectivity=4)
        kept = np.isin(regions, 1 + np.flatnonzero(rng.random(count - 1) < 0.7))
        found[c] = np.roll(kept, tuple(rng.integers(-1, 2, 2)), (0, 1))
        left, top = rng.integers(0, 300), rng.integers(0, 220)
        found[c, top : top + 9, left : left + 7] = True
    return found


def draw(folder: Path, *, images: int = 7, pairs: int = 4, name: str = "IDRiD", synthetic: bool = False,
         states: dict | None = None) -> pd.DataFrame:  # fmt: skip
    """Write a results folder whose every finished run has masks.npz; returns the content of its metrics.csv."""
    metrics = drawn_results.draw(
        folder, pairs=pairs, datasets=(name,), seeds=2, points=20, states=states, synthetic=synthetic
    )
    own = metrics["dataset"].iloc[0]
    labels = prepare(folder, own, images)
    for row in metrics.loc[metrics["state"] == "done", ["pair", "seed"]].drop_duplicates().itertuples():
        rng = np.random.default_rng([sum(map(ord, row.pair)), row.seed])
        leave(
            run_folder(folder, own, row.pair, row.seed), {stem: predicted(rng, labels[stem]) for stem in labels}, labels
        )
    return metrics


def prepare(folder: Path, name: str, images: int) -> dict[str, np.ndarray]:
    """A prepared data set with its lesions; returns the label maps by stem."""
    rng, manifest, lines, labels = np.random.default_rng(4), manifest_path(folder, name), [], {}
    for k in range(images):
        stem, label = f"image_{k:02}", label_of(rng)
        image = np.clip(rng.normal((20, 60, 140), 9, (*SIZE[::-1], 3)) + 40 * (label > 0)[..., None], 0, 255)
        paths = {}
        for kind, content in (("image", image.astype(np.uint8)), ("label", label)):
            paths[kind] = f"{kind}s/test/{stem}.png"
            path = manifest.with_name(paths[kind].split("/")[0]) / "test" / f"{stem}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(cv2.imencode(".png", content)[1].tobytes())
        counts = {f"{lesion}_{what}": 1 for lesion in LESIONS for what in ("regions", "pixels")}
        lines.append({"stem": stem, "split": "test", **paths, "sha256": "0" * 64, "width": SIZE[0], "height": SIZE[1],
                      "label_sha256": "0" * 64, **counts})  # fmt: skip
        labels[stem] = label
    manifest.write_bytes(encode_manifest(tabulate(lines, LESIONS)))
    found = [ImageLesions.of(label) for label in labels.values()]
    lesions = Truth.of(LESIONS, list(labels), [SIZE] * images, [DIAMETER] * images, found)
    truth.write(manifest.with_name(truth.NAME), lesions)
    return labels


def leave(folder: Path, found: dict[str, np.ndarray], labels: dict[str, np.ndarray]) -> None:
    """masks.npz and per_image.csv of a run that predicts this."""
    parts = [masks.runs_of(mask) for own in found.values() for mask in own]
    masks.write(folder / masks.NAME, masks.Masks.of(LESIONS, list(found), [SIZE] * len(found), parts))
    rows = [
        {"stem": stem, "lesion": lesion, "tp": int((own[c] & (labels[stem] == c + 1)).sum()),
         "predicted": int(own[c].sum()), "positives": int((labels[stem] == c + 1).sum())}
        for stem, own in found.items() for c, lesion in enumerate(LESIONS)
    ]  # fmt: skip
    provenance.write_csv(folder / "per_image.csv", ("stem", "lesion", "tp", "predicted", "positives"), rows)
