"""The training stream: what an item holds, and the same bits as mmcv's and mmseg's transforms make."""

import contextlib
import itertools
import os
import shutil
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from rfbench.data import augment
from rfbench.data.prepare import prepare_folder
from rfbench.errors import RFBenchError
from rfbench.settings import load
from rfbench.training import stream as training
from rfbench.training.stream import TrainingStream

from ..checkout import ROOT
from ..tiny_run import make_settings
from . import tiny_archive as tiny
from .reference_stream import ReferenceStream

DATASET = {"scale": [428, 284], "crop": [96, 64], "lesions": ["EX", "HE", "SE", "MA"]}
RECIPE = dict(make_settings().recipe)


def section(values: dict) -> SimpleNamespace:
    """A section of the settings, as far as a stream asks for its keys."""
    return SimpleNamespace(**{key: tuple(v) if isinstance(v, list) else v for key, v in values.items()})


def assert_same(manifest: Path, dataset: dict, recipe: dict, draws, seed: int = 5, stored: bool = False) -> set[int]:
    """Compare draws with the reference; the copies that were among them."""
    stream = TrainingStream(manifest, section(dataset), section(recipe), seed, stored)
    reference = ReferenceStream(manifest, dataset, recipe, seed)
    for draw in draws:
        (image, label), expected = stream[draw], reference[draw]
        assert torch.equal(image, expected["inputs"]), draw
        assert image.is_contiguous()
        assert label.dtype == torch.uint8
        assert torch.equal(label.long()[None], expected["data_samples"].gt_sem_seg.data), draw
    return {reference.pick(draw)[1] for draw in draws}


@pytest.mark.parametrize(
    "recipe",
    [
        {},
        {"photometric": False, "ratio": [1.0, 1.0]},
        {"ratio": [0.1, 0.3]},  # images smaller than the crop
        {"cat_max_ratio": 0.9999},  # windows with a lesion are accepted
        {"cat_max_ratio": 1.0, "copies": "one"},
        {"train_source": "cached_2x"},
    ],
)
@pytest.mark.parametrize("scale", [[428, 284], [120, 80]])
def test_samples_are_those_of_mmcv_and_mmseg(manifest, recipe, scale):
    """At the small scale the cache is smaller than the image."""
    copies = assert_same(manifest, DATASET | {"scale": scale}, {**RECIPE, **recipe}, range(24))
    assert len(copies) == (1 if recipe.get("copies") == "one" else 6)


def test_samples_of_images_full_of_lesions(tmp_path):
    """Here the share of a class decides which window is taken, unlike on most fundus photographs."""
    rng = np.random.default_rng(4)
    files, rows = {}, ["image,lesion,mask,split"]
    for stem, split in (("a", "train"), ("b", "train"), ("c", "test")):
        files[f"{stem}.jpg"] = tiny.jpeg((90, 130), seed=len(files))
        for lesion in ("EX", "HE"):
            files[f"{stem}_{lesion}.tif"] = tiny.grey(np.kron(rng.integers(0, 2, (6, 10)), np.full((15, 13), 255)))
            rows.append(f"{stem}.jpg,{lesion},{stem}_{lesion}.tif,{split}")
    source = tiny.write_tree(tmp_path / "raw", files | {"dataset.csv": "\n".join(rows).encode()})
    manifest = prepare_folder(source, tmp_path / "out", lesions=("EX", "HE"), progress=False)
    dataset = {"scale": [130, 90], "crop": [64, 64], "lesions": ["EX", "HE"]}
    for limit in (0.5, 0.75):
        assert_same(manifest, dataset, {**RECIPE, "cat_max_ratio": limit}, range(36))


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_so_many_crops_are_placed_on_a_lesion(manifest, monkeypatch, share):
    """Of 200 draws, within four standard deviations; each of the others is placed as published."""
    placed = {"lesion": 0, "anywhere": 0}
    on_lesion, anywhere = augment.draw_window_on_lesion, augment.draw_window

    def counting(name, draw):
        def counted(*args):
            placed[name] += 1
            return draw(*args)

        return counted

    monkeypatch.setattr(augment, "draw_window_on_lesion", counting("lesion", on_lesion))
    monkeypatch.setattr(augment, "draw_window", counting("anywhere", anywhere))
    recipe = section({**RECIPE, "photometric": False, "foreground": share})
    stream = TrainingStream(manifest, section(DATASET), recipe, 0)
    labels = [stream[draw][1] for draw in range(200)]
    assert placed["lesion"] + placed["anywhere"] == 200
    assert abs(placed["lesion"] - 200 * share) <= 4 * np.sqrt(200 * share * (1 - share))
    if share == 1:
        assert all(label.any() for label in labels)
    late = TrainingStream(manifest, section(DATASET), recipe, 0)[150]
    assert torch.equal(late[1], labels[150]), "a draw depends on seed and number alone"


def test_an_image_without_lesions_is_cropped_as_published(tmp_path):
    files = {f"{stem}.jpg": tiny.jpeg((90, 130), seed=k) for k, stem in enumerate("ab")}
    files["b_EX.tif"] = tiny.grey(np.full((90, 130), 255))
    files["dataset.csv"] = b"image,lesion,mask,split\na.jpg,,,train\nb.jpg,EX,b_EX.tif,test"
    source = tiny.write_tree(tmp_path / "raw", files)
    manifest = prepare_folder(source, tmp_path / "out", lesions=("EX",), progress=False)
    dataset = section({"scale": [130, 90], "crop": [64, 64], "lesions": ["EX"]})
    image, label = TrainingStream(manifest, dataset, section({**RECIPE, "foreground": 1.0}), 0)[0]
    assert (image.shape, label.any()) == ((3, 64, 64), torch.tensor(False))


@pytest.mark.parametrize(
    ("workers", "free", "ahead"),
    # A batch of IDRiD's published recipe is 4 x 1440 x 960 x (3 + 1) bytes, 22.1 MB.
    [(0, 0, None), (1, 64, 1), (1, 100, 2), (4, 128, 1), (4, 1024, 2)],
)
def test_batches_ahead_fit_into_shared_memory(monkeypatch, workers, free, ahead):
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=free * 2**20))
    assert training.batches_ahead((1440, 960), 4, workers) == ahead


def test_too_small_a_shared_memory_is_a_sentence(monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=64 * 2**20))
    message = r"/dev/shm: expected 133 MB .* 4 loading processes.* found 67 MB.*--shm-size=211m.* recipe\.workers: 1\."
    with pytest.raises(RFBenchError, match=message):
        training.batches_ahead((1440, 960), 4, 4)


def shared_bytes() -> int:
    """Bytes of torch's shared memory that this process and its children have mapped or open, each segment once."""
    segments = {}
    for process in [os.getpid(), *map(int, Path(f"/proc/self/task/{os.getpid()}/children").read_text().split())]:
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            for line in Path(f"/proc/{process}/maps").read_text().splitlines():
                if "/torch_" in line:
                    span, _, _, _, inode, _ = line.split(maxsplit=5)
                    start, end = (int(address, 16) for address in span.split("-"))
                    segments[int(inode)] = end - start
        for file in Path(f"/proc/{process}/fd").iterdir():  # sent, but not yet received
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                if "/torch_" in str(file.readlink()):
                    segments[file.stat().st_ino] = file.stat().st_size
    return sum(segments.values())


def test_a_loader_needs_no_more_shared_memory_than_expected(manifest):
    dataset = section(DATASET | {"crop": [256, 256], "scale": [600, 400]})
    stream = TrainingStream(manifest, dataset, section({**RECIPE, "ratio": [1.0, 1.0]}), 0)
    batch, workers, ahead = 4 * 256 * 256 * 4, 2, 2
    loader = DataLoader(
        stream,
        batch_size=4,
        sampler=range(48),
        num_workers=workers,
        prefetch_factor=ahead,
        collate_fn=list,
    )
    peak = 0
    for samples in loader:  # the batch before is still held while the next one arrives, as in a training
        time.sleep(0.2)  # the processes fill all that they may
        peak = max(peak, shared_bytes())
        assert len(samples) == 4
    assert (workers * ahead + 1) * batch <= peak <= (workers * ahead + 2) * batch


@pytest.mark.real
@pytest.mark.slow
@pytest.mark.parametrize("name", ["idrid", "idrid_cpu"])
@pytest.mark.parametrize(("source", "stored"), [("native", True), ("native", False), ("cached_2x", True)])
def test_samples_of_real_idrid(idrid, name, source, stored):
    settings = load(ROOT / "config" / f"{name}.yaml")
    recipe = {**dict(settings.recipe), "train_source": source}
    # The start of an epoch, and draws across the end of the first of 324.
    draws = itertools.chain(range(24), range(318, 330))
    copies = assert_same(idrid, settings.datasets["IDRiD"].model_dump(), recipe, list(draws), 0, stored)
    assert copies == set(range(6))
