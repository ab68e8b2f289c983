"""Training crops as a stream in which every sample is a function of (seed, draw) alone.

Nothing is written to disk and no state is kept between samples, so a resumed training reads exactly what an
uninterrupted one would have read.
"""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import cv2
import mmcv
import numpy as np
import torch
from torch.utils.data import Dataset, Sampler

from rfbench.data import augment
from rfbench.data.manifest import read_manifest
from rfbench.data.reading import read_native

with contextlib.redirect_stdout(None):  # mmseg prints that an optional package is not there
    from mmengine.structures import PixelData
    from mmseg.structures import SegDataSample


class TrainingStream(Dataset):
    """Augmented crops of a data set's training split.

    Args:
        manifest: the prepared data set's manifest.csv.
        dataset: a data set's section of the configuration (scale, crop, lesions).
        recipe: the configuration's recipe.
        seed: seed of the run.

    Item `draw` (0, 1, 2, …) is a dict of `inputs`, the crop, uint8 (3, h, w) in BGR order, and `data_samples`, an mmseg
    SegDataSample whose `gt_sem_seg.data` is the label map, int64 (1, h, w). A crop of a small image is smaller than
    configured.
    """

    def __init__(self, manifest: Path, dataset: dict, recipe: dict, seed: int) -> None:
        self.folder = Path(manifest).parent
        self.rows = list(read_manifest(manifest, "train", dataset["lesions"]).itertuples())
        self.metainfo = {"classes": tuple(dataset["lesions"])}  # mmengine asks for it
        self.seed = seed
        self.copies = augment.COPIES if recipe["copies"] == "six" else augment.COPIES[:1]
        self.scale, self.crop = tuple(dataset["scale"]), tuple(dataset["crop"])
        self.ratio, self.cat_max_ratio = tuple(recipe["ratio"]), recipe["cat_max_ratio"]
        self.photometric = recipe["photometric"]
        self.cache_scale = tuple(2 * s for s in self.scale) if recipe["train_source"] == "cached_2x" else None
        self._cache: dict[int, tuple[np.ndarray, np.ndarray]] = {}
        self._order: tuple[int, np.ndarray] = (-1, np.empty(0, int))

    def __getitem__(self, draw: int) -> dict:
        image, label = self.sample(draw)
        inputs = np.empty((3, *label.shape), np.uint8)
        cv2.split(image, list(inputs))  # into its planes
        sample = SegDataSample(gt_sem_seg=PixelData(data=torch.from_numpy(label[None].astype(np.int64))))
        return {"inputs": torch.from_numpy(inputs), "data_samples": sample}

    def sample(self, draw: int) -> tuple[np.ndarray, np.ndarray]:
        """The augmented crop of a draw, uint8 (h, w, 3) in BGR order, and its label map, uint8 (h, w)."""
        image_index, copy_index = divmod(self._pick(draw), len(self.copies))
        image, label = map(self.copies[copy_index], self._read(image_index))
        # mmcv's and mmseg's transforms draw from this generator.
        rng = np.random.RandomState(np.random.SeedSequence([self.seed, draw]).generate_state(1)[0])
        size = augment.draw_size(rng, label.shape[::-1], self.scale, self.ratio)
        label = cv2.resize(label, size, interpolation=cv2.INTER_NEAREST)
        window = augment.draw_window(rng, label, self.crop, self.cat_max_ratio)
        image = cv2.resize(image, size)[window]
        return augment.distort(rng, image) if self.photometric else image, label[window]

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
