"""The training stream as mmcv's and mmseg's own transforms make it: slow, and independent of `rfbench.data.augment`."""

import contextlib
from pathlib import Path

import cv2
import mmcv
import numpy as np
from mmcv.transforms import RandomResize

from rfbench.data.manifest import read_manifest

with contextlib.redirect_stdout(None):
    from mmseg.datasets.transforms import PackSegInputs, PhotoMetricDistortion, RandomCrop

COPIES = (  # the authors' augment.py
    lambda a: a,
    lambda a: np.rot90(a, 1),
    lambda a: np.rot90(a, 2),
    lambda a: np.rot90(a, 3),
    lambda a: a[:, ::-1],
    lambda a: a[::-1],
)


class ReferenceStream:
    """Items as `TrainingStream`'s, label maps int64; every image is decoded for every draw."""

    def __init__(self, manifest: Path, dataset: dict, recipe: dict, seed: int) -> None:
        self.folder, self.seed = Path(manifest).parent, seed
        self.rows = list(read_manifest(manifest, "train").itertuples())
        self.copies = COPIES if recipe["copies"] == "six" else COPIES[:1]
        self.cached = recipe["train_source"] == "cached_2x"
        self.scale = tuple(dataset["scale"])
        self.transforms = [
            RandomResize(scale=self.scale, ratio_range=tuple(recipe["ratio"]), keep_ratio=True),
            RandomCrop(crop_size=tuple(dataset["crop"][::-1]), cat_max_ratio=recipe["cat_max_ratio"]),
            *([PhotoMetricDistortion()] if recipe["photometric"] else []),
            PackSegInputs(meta_keys=()),
        ]

    def pick(self, draw: int) -> tuple[int, int]:
        """Image and copy of a draw: one permutation of all an epoch."""
        total = len(self.rows) * len(self.copies)
        order = np.random.default_rng([self.seed, draw // total]).permutation(total)
        return divmod(int(order[draw % total]), len(self.copies))

    def __getitem__(self, draw: int) -> dict:
        index, copy = self.pick(draw)
        image, label = (np.ascontiguousarray(self.copies[copy](array)) for array in self._read(self.rows[index]))
        results = {"img": image, "gt_seg_map": label, "seg_fields": ["gt_seg_map"]}
        results["img_shape"] = results["ori_shape"] = image.shape[:2]
        np.random.seed(np.random.SeedSequence([self.seed, draw]).generate_state(1)[0])  # noqa: NPY002
        for transform in self.transforms:
            results = transform(results)
        return results

    def _read(self, row) -> tuple[np.ndarray, np.ndarray]:
        image = cv2.imread(str(self.folder / row.image), cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
        label = cv2.imread(str(self.folder / row.label), cv2.IMREAD_GRAYSCALE)
        if self.cached:
            size = mmcv.rescale_size(image.shape[1::-1], tuple(2 * side for side in self.scale))
            if size[0] < image.shape[1]:
                return mmcv.imresize(image, size), mmcv.imresize(label, size, interpolation="nearest")
        return image, label
