"""Training crops as a stream in which every sample is a function of (seed, draw) alone.

Nothing is written to disk and no state is kept between samples, so a resumed training reads exactly what an
uninterrupted one would have read.
"""

import math
import shutil
from pathlib import Path

import cv2
import mmcv
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from rfbench.data import augment
from rfbench.data.images import read_native
from rfbench.data.manifest import read_manifest
from rfbench.data.store import fill, read_stored
from rfbench.errors import RFBenchError
from rfbench.settings import Protocol, Training

SHARED_MEMORY = Path("/dev/shm")  # where a loader's processes leave their samples
AHEAD = 2  # batches that each of them prepares; torch's default


class TrainingStream(Dataset):
    """Augmented crops of a data set's training split.

    Args:
        manifest: the prepared data set's manifest.csv.
        dataset: what the configuration says of the data set (scale, crop, lesions).
        recipe: how it is augmented.
        seed: seed of the run.
        stored: read decoded images from the store beside the manifest (`rfbench.data.store`), which is checked and
            filled first; the samples are the same.

    Item `draw` (0, 1, 2, …) is the crop, uint8 (3, h, w) in BGR order, and its label map, uint8 (h, w): a byte a pixel
    on its way from a loader's process to the device, where int64 is made of it. A crop of a small image is smaller than
    configured.
    """

    def __init__(self, manifest: Path, dataset: Protocol, recipe: Training, seed: int, stored: bool = False) -> None:
        self.folder = Path(manifest).parent
        self.rows = list(read_manifest(manifest, "train", dataset.lesions).itertuples())
        self.seed = seed
        self.copies = augment.COPIES if recipe.copies == "six" else augment.COPIES[:1]
        self.scale, self.crop = dataset.scale, dataset.crop
        self.ratio, self.cat_max_ratio, self.foreground = recipe.ratio, recipe.cat_max_ratio, recipe.foreground
        self.photometric = recipe.photometric
        self.cache_scale = (2 * self.scale[0], 2 * self.scale[1]) if recipe.train_source == "cached_2x" else None
        self.read = read_stored if stored else read_native
        self._kept: dict[int, tuple[np.ndarray, np.ndarray]] = {}  # shrunk copies, or maps of the store's files
        self._lesions: dict[int, augment.Lesions] = {}  # of the images so far
        self._order: tuple[int, np.ndarray] = (-1, np.empty(0, int))

        cv2.setNumThreads(1)  # one core a process, which is what a job asks for; a loader's forked processes inherit it
        if stored:
            fill(manifest)

    def __getitem__(self, draw: int) -> tuple[Tensor, Tensor]:
        image, label = self.sample(draw)
        planes = np.empty((3, *label.shape), np.uint8)
        cv2.split(image, list(planes))
        return torch.from_numpy(planes), torch.from_numpy(label.copy())

    def sample(self, draw: int) -> tuple[np.ndarray, np.ndarray]:
        """The augmented crop of a draw, uint8 (h, w, 3) in BGR order, and its label map, uint8 (h, w)."""
        image_index, copy_index = divmod(self._pick(draw), len(self.copies))
        native, native_label = self._read(image_index)
        if self.foreground and image_index not in self._lesions:
            self._lesions[image_index] = augment.find_lesions(native_label)
        image, label = map(self.copies[copy_index], (native, native_label))
        # mmcv's and mmseg's transforms draw from this generator.
        rng = np.random.RandomState(np.random.SeedSequence([self.seed, draw]).generate_state(1)[0])
        size = augment.draw_size(rng, label.shape[::-1], self.scale, self.ratio)
        label = cv2.resize(label, size, interpolation=cv2.INTER_NEAREST)
        window = self._window(rng, label, image_index, copy_index)
        image = cv2.resize(image, size)[window]
        return augment.distort(rng, image) if self.photometric else image, label[window]

    def _window(self, rng: np.random.RandomState, label: np.ndarray, image: int, copy: int) -> augment.Window:
        """Where the crop lies; without `recipe.foreground` nothing is drawn for it, so a draw stays what it was."""
        if self.foreground and rng.random_sample() < self.foreground and self._lesions[image]:
            return augment.draw_window_on_lesion(rng, self._lesions[image], copy, label.shape, self.crop)
        return augment.draw_window(rng, label, self.crop, self.cat_max_ratio)

    def _pick(self, draw: int) -> int:
        """Position of a draw in its epoch's own permutation of all images and copies."""
        epoch, position = divmod(draw, len(self.rows) * len(self.copies))
        if self._order[0] != epoch:
            rng = np.random.default_rng([self.seed, epoch])
            self._order = (epoch, rng.permutation(len(self.rows) * len(self.copies)))
        return int(self._order[1][position])

    def _read(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        if index in self._kept:
            return self._kept[index]
        image, label = self.read(self.folder, self.rows[index])
        if self.cache_scale is not None:
            size = mmcv.rescale_size(image.shape[1::-1], self.cache_scale)
            if size[0] < image.shape[1]:  # a cache never enlarges
                image, label = cv2.resize(image, size), cv2.resize(label, size, interpolation=cv2.INTER_NEAREST)
        if self.cache_scale is not None or self.read is read_stored:
            self._kept[index] = image, label
        return image, label


def batches_ahead(crop: tuple[int, int], batch_size: int, workers: int) -> int | None:
    """A loader's `prefetch_factor`: batches that each of its processes prepares, fewer where shared memory is small.

    A container has 64 MB of it unless told otherwise, and a process that finds no room there dies of a bus error.

    Args:
        crop: (width, height) of the samples; each is four bytes a pixel, three of the image and one of the label map.
        batch_size: samples of a batch.
        workers: processes of the loader.

    Returns:
        2 or 1; None without processes, as torch expects.

    Raises:
        RFBenchError: not even one batch of each process fits.
    """
    if not workers:
        return None
    if not SHARED_MEMORY.is_dir():  # not Linux
        return AHEAD
    free, batch = shutil.disk_usage(SHARED_MEMORY).free, 4 * math.prod(crop) * batch_size

    def needed(ahead: int) -> int:
        return (workers * ahead + 2) * batch  # and the batch in use while the next one arrives

    for ahead in range(AHEAD, 0, -1):
        if needed(ahead) <= free:
            return ahead
    raise RFBenchError(
        f"{SHARED_MEMORY}: expected {needed(1) / 1e6:,.0f} MB for the samples of {workers} loading processes "
        f"(recipe.workers), found {free / 1e6:,.0f} MB free. Give a container more (docker run "
        f"--shm-size={math.ceil(needed(AHEAD) / 2**20)}m, or --ipc=host), or set recipe.workers: "
        f"{max(free // batch - 2, 0)}."
    )
