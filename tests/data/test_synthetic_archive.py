"""The generated archive: determinism, formats, statistics, and that it passes the ingestion."""

import io

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from rfbench.data import LESIONS
from rfbench.data.labels import decode_mask
from rfbench.data.prepare import prepare_synthetic, read_manifest
from rfbench.data.synthetic import Plan
from rfbench.errors import DataError

from . import tiny_archive as tiny

FACTOR = 0.125


def by_kind(files: dict[str, bytes]) -> dict[str, bytes]:
    """Files of one image keyed by lesion, the photograph by 'image'."""
    return {"image" if name.endswith(".jpg") else name[-6:-4]: content for name, content in files.items()}


@pytest.fixture(scope="module")
def rendered() -> list[dict[str, bytes]]:
    plan = Plan(train=40, test=1, factor=FACTOR, seed=0)
    return [by_kind(plan.render(subject)) for subject in plan.subjects() if subject.split == "train"]


def test_equal_plans_give_equal_bytes():
    first, other, reseeded = (Plan(train=2, test=2, factor=0.1, seed=seed) for seed in (5, 5, 6))
    subject = next(first.subjects())
    assert first.render(subject) == other.render(subject)
    assert set(first.render(subject).values()).isdisjoint(reseeded.render(subject).values())


def test_an_image_does_not_depend_on_how_many_there_are():
    few, many = Plan(train=2, test=1, factor=0.1, seed=5), Plan(train=9, test=1, factor=0.1, seed=5)
    assert by_kind(few.render(next(few.subjects()))) == by_kind(many.render(next(many.subjects())))


def test_prepared_twice(tmp_path):
    options = {"train": 3, "test": 2, "factor": 0.1, "seed": 3, "progress": False}
    frame = read_manifest(prepare_synthetic(tmp_path, **options))
    assert frame["stem"].tolist() == ["SYN_01", "SYN_02", "SYN_03", "SYN_04", "SYN_05"]
    assert frame["split"].value_counts().to_dict() == {"train": 3, "test": 2}
    assert (frame["width"].unique(), frame["height"].unique()) == ([429], [285])
    assert (frame["HE_regions"] == 0).tolist()[:3] == [False, True, False]  # the one HE file left out
    assert "SYNTHETIC" in (tmp_path / "summary.md").read_text()
    before = tiny.snapshot(tmp_path)
    prepare_synthetic(tmp_path, **options)
    assert tiny.snapshot(tmp_path) == before


def test_another_seed_replaces_every_file(tmp_path):
    for seed in (1, 2):
        prepare_synthetic(tmp_path / "both", train=3, test=2, factor=0.1, seed=seed, progress=False)
    prepare_synthetic(tmp_path / "fresh", train=3, test=2, factor=0.1, seed=2, progress=False)
    assert tiny.snapshot(tmp_path / "both") == tiny.snapshot(tmp_path / "fresh")


def test_a_smaller_plan_refuses_the_files_of_a_larger(tmp_path):
    prepare_synthetic(tmp_path, train=3, test=1, factor=0.1, seed=1, progress=False)
    with pytest.raises(DataError, match=r"SYN_03.*empty this one"):
        prepare_synthetic(tmp_path, train=2, test=1, factor=0.1, seed=1, progress=False)


@pytest.mark.parametrize(("key", "value"), [("train", 0), ("test", 0), ("factor", 1.5), ("factor", 0.01), ("seed", -1)])
def test_arguments_out_of_range(key, value):
    with pytest.raises(DataError, match=f"{key}: expected a value from .* found {value}"):
        Plan(**({"train": 1, "test": 1, "factor": 0.1, "seed": 0} | {key: value}))


def test_file_formats_are_idrids():
    plan = Plan(train=1, test=1, factor=0.1, seed=0)
    first, last = (by_kind(plan.render(subject)) for subject in plan.subjects())
    with Image.open(io.BytesIO(first["EX"])) as palette, Image.open(io.BytesIO(last["EX"])) as rgba:
        assert (palette.mode, palette.tag_v2.get(258, (1,)), palette.info["compression"]) == ("P", (1,), "raw")
        assert palette.getpalette()[:6] == [0, 0, 0, 255, 0, 0]
        assert (rgba.mode, rgba.info["compression"]) == ("RGBA", "tiff_lzw")
        assert (np.asarray(rgba)[..., 3] == 255).all()
    with Image.open(io.BytesIO(first["image"])) as image:
        assert (image.mode, image.format, image.size) == ("RGB", "JPEG", (429, 285))


def test_lesion_statistics(rendered):
    """Against the table measured on IDRiD, datasets.md 3.1; the widths allow for 40 images."""
    ln_count = {"EX": (4.47, 1.10), "HE": (2.77, 0.98), "SE": (1.06, 0.75), "MA": (3.42, 0.93)}
    ln_area = {"EX": 5.56, "HE": 7.54, "SE": 9.06, "MA": 5.46}
    for lesion in LESIONS:
        masks = [decode_mask(files[lesion]) for files in rendered if lesion in files]
        labelled = [ndimage.label(mask) for mask in masks]
        counts = np.array([count for _, count in labelled])
        areas = np.concatenate([np.bincount(label.ravel())[1:] for label, _ in labelled])
        assert (areas >= 2).mean() > 0.995  # the frame's edge may cut one
        mean, deviation = ln_count[lesion]
        assert abs(np.log(counts).mean() - mean) < max(0.2, 3 * deviation / np.sqrt(len(counts)))
        assert abs(np.log(areas / FACTOR**2).mean() - ln_area[lesion]) < 0.35
    present = [sum(lesion in files for files in rendered) for lesion in LESIONS]
    assert (present[0], present[3]) == (40, 40)
    assert present[1] >= 36
    assert 12 <= present[2] <= 28


def test_photograph_statistics(rendered):
    pixels = [np.asarray(Image.open(io.BytesIO(files["image"]))).astype(float) for files in rendered]
    inside = [image[image.max(axis=2) > 20] for image in pixels]
    assert np.allclose(np.mean([part.mean(axis=0) for part in inside], axis=0), (169, 83, 24), atol=10)
    covered = [len(part) / image[..., 0].size for part, image in zip(inside, pixels, strict=True)]
    assert np.mean(covered) == pytest.approx(0.69, abs=0.03)
    assert max(np.percentile(image[:30, :30], 99) for image in pixels) <= 10  # outside the field of view


def test_lesions_differ_from_their_surroundings(rendered):
    """Dark lesions are darker in green than what is near them, bright ones brighter, by as little as the real ones."""
    bounds = {"EX": (3, 20), "HE": (-17, -3), "SE": (7, 39), "MA": (-14, -2)}
    for lesion, (low, high) in bounds.items():
        steps = []
        for files in rendered:
            if lesion in files:
                green = np.asarray(Image.open(io.BytesIO(files["image"])))[..., 1].astype(float)
                mask = decode_mask(files[lesion])
                near = ndimage.binary_dilation(mask, iterations=3) & ~ndimage.binary_dilation(mask)
                steps.append(green[mask].mean() - green[near].mean())
        assert low < np.mean(steps) < high
