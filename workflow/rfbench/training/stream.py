"""Training crops as a stream in which every sample is a function of (seed, draw) alone.

Nothing is written to disk and no state is kept between samples, so a resumed training reads exactly what an
uninterrupted one would have read.
"""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import mmcv
import numpy as np
from mmcv.transforms import RandomResize
from torch.utils.data import Dataset, Sampler

from rfbench.data.images import read_native
from rfbench.data.manifest import read_manifest
from rfbench.settings import Protocol, Training

with contextlib.redirect_stdout(None):  # mmseg prints that an optional package is not there
    from mmseg.datasets.transforms import PackSegInputs, PhotoMetricDistortion, RandomCrop

# The authors' augment.py: original, rotations by 90, 180 and 270 degrees counter-clockwise, two flips.
COPIES = (
    lambda a: a,
    lambda a: np.rot90(a, 1),
    lambda a: np.rot90(a, 2),
    lambda a: np.rot90(a, 3),
    lambda a: a[:, ::-1],
    lambda a: a[::-1],
)


class TrainingStream(Dataset):
    """Augmented crops of a data set's training split.

    Args:
        manifest: the prepared data set's manifest.csv.
        dataset: what the configuration says of the data set (scale, crop, lesions).
        recipe: how it is augmented.
        seed: seed of the run.

    Item `draw` (0, 1, 2, …) is a dict of mmseg's `inputs`, uint8 (3, h, w) in BGR order, and `data_samples`.
    """

    def __init__(self, manifest: Path, dataset: Protocol, recipe: Training, seed: int) -> None:
        self.folder = Path(manifest).parent
        self.rows = list(read_manifest(manifest, "train", dataset.lesions).itertuples())
        self.metainfo = {"classes": dataset.lesions}  # mmengine asks for it
        self.seed = seed
        self.copies = COPIES if recipe.copies == "six" else COPIES[:1]
        self.cache_scale = tuple(2 * s for s in dataset.scale) if recipe.train_source == "cached_2x" else None
        self._cache: dict[int, tuple[np.ndarray, np.ndarray]] = {}
        self._order: tuple[int, np.ndarray] = (-1, np.empty(0, int))
        width, height = dataset.crop
        self.transforms = [
            RandomResize(scale=dataset.scale, ratio_range=recipe.ratio, keep_ratio=True),
            RandomCrop(crop_size=(height, width), cat_max_ratio=recipe.cat_max_ratio),
            *([PhotoMetricDistortion()] if recipe.photometric else []),
            PackSegInputs(meta_keys=()),
        ]

    def __getitem__(self, draw: int) -> dict:
        image_index, copy_index = divmod(self._pick(draw), len(self.copies))
        image, label = self._read(image_index)
        copy = self.copies[copy_index]
        results = {
            "img": np.ascontiguousarray(copy(image)),
            "gt_seg_map": np.ascontiguousarray(copy(label)),
            "seg_fields": ["gt_seg_map"],
        }
        results["img_shape"] = results["ori_shape"] = results["img"].shape[:2]
        # mmcv's and mmseg's transforms draw from numpy's global generator.
        np.random.seed(np.random.SeedSequence([self.seed, draw]).generate_state(1)[0])  # noqa: NPY002
        for transform in self.transforms:
            results = transform(results)
        return results

    def _pick(self, draw: int) -> int:
        """Position of a draw in its epoch's own permutation of all images and copies."""
        epoch, position = divmod(draw, len(self.rows) * len(self.copies))
        if self._order[0] != epoch:
            rng = np.random.default_rng([self.seed, epoch])
            self._order = (epoch, rng.permutation(len(self.rows) * len(self.copies)))
        return int(self._order[1][position])

    def _read(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        if self.cache_scale is None:
            return read_native(self.folder, self.rows[index])
        if index not in self._cache:
            image, label = read_native(self.folder, self.rows[index])
            size, _ = mmcv.rescale_size(image.shape[1::-1], self.cache_scale, return_scale=True)
            if size[0] < image.shape[1]:  # a cache never enlarges
                image = mmcv.imresize(image, size)
                label = mmcv.imresize(label, size, interpolation="nearest")
            self._cache[index] = image, label
        return self._cache[index]


class Draws(Sampler):
    """The draws 0, 1, 2, … of one training; `skip` is what mmengine calls when it resumes."""

    def __init__(self, total: int) -> None:
        self.total = total
        self.start = 0

    def __iter__(self) -> Iterator[int]:
        return iter(range(self.start, self.total))

    def __len__(self) -> int:
        return self.total

    def skip(self, samples: int) -> None:
        """Begin after so many samples."""
        self.start = samples
