"""The real IDRiD archive, where it is at hand."""

import io
import zipfile

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from rfbench.data import idrid
from rfbench.data.archive import Source
from rfbench.data.files import sha256
from rfbench.data.ingest import ingest
from rfbench.data.labels import decode_label, decode_mask
from rfbench.data.prepare import prepare_idrid, read_manifest
from rfbench.data.validation import Validation, hold_out
from rfbench.names import LESIONS

from . import tiny_archive as tiny

pytestmark = pytest.mark.real
ARCHIVE = "A. Segmentation.zip"


@pytest.fixture(scope="module")
def source(real_data) -> Source:
    return Source(real_data / ARCHIVE)


def test_names_and_counts(source):
    items, findings = idrid.scan(source.names())
    assert not findings + idrid.check_complete(source.names())
    assert [items[0].stem, items[-1].stem] == ["IDRiD_01", "IDRiD_81"]


def test_the_image_with_the_alpha_trap(source):
    items, _ = idrid.scan(source.names())
    done = ingest(source, items[-1], idrid.layout(official=True))
    assert not done.findings
    assert done.row["EX_regions"] == 303
    assert set(done.digests.values()) < set(idrid.official_digests().values())
    label = decode_label(done.label)
    assert label.shape == (idrid.HEIGHT, idrid.WIDTH)
    assert sorted(np.unique(label)) == [0, 1, 2, 4]


def test_palette_mask_keeps_its_pixels(source):
    items, _ = idrid.scan(source.names())
    content = source.read(items[0].masks["MA"])
    grey = np.asarray(Image.open(io.BytesIO(content)).convert("L"))
    assert set(np.unique(grey)) == {0, 76}
    assert np.array_equal(decode_mask(content), grey > 0)


def test_the_ten_images_on_which_a_recipe_was_chosen(source):
    """Those of results/measured/idrid_small_recipe.csv: another draw would make its numbers those of other images."""
    held = hold_out(idrid.scan(source.names())[0], Validation(10, 0))
    assert [item.stem for item in held if item.split == "val"] == [
        f"IDRiD_{number:02}" for number in (2, 8, 15, 19, 26, 30, 33, 39, 42, 47)
    ]
    assert [sum(item.split == split for item in held) for split in ("train", "val", "test")] == [44, 10, 27]


@pytest.mark.slow
def test_whole_archive(source, tmp_path):
    manifest = prepare_idrid(source.path, tmp_path, progress=False)
    frame = read_manifest(manifest)
    assert [len(read_manifest(manifest, split)) for split in ("train", "test")] == [54, 27]
    assert {lesion: frame[f"{lesion}_regions"].sum() for lesion in LESIONS} == idrid.REGIONS
    summary = (tmp_path / "summary.md").read_text()
    assert "- images: train 54, test 27\n" in summary
    assert "- regions: EX 11720, HE 1903, SE 150, MA 3503\n" in summary
    assert "digests: 363 of 363 files used match the list" in summary
    assert manifest.stat().st_size < 1_000_000
    with zipfile.ZipFile(source.path) as archive:
        originals = {name.rsplit("/", 1)[-1]: name for name in archive.namelist() if name.endswith(".jpg")}
        for image in frame["image"]:
            name = image.rsplit("/", 1)[-1]
            assert (tmp_path / image).read_bytes() == archive.read(originals[name])
    # The papers count on painted maps (docs/datasets.md); their two further MA regions nobody finds.
    painted = [np.asarray(Image.open(tmp_path / label)) for label in frame["label"]]
    regions = [sum(ndimage.label(label == value)[1] for label in painted) for value in range(1, len(LESIONS) + 1)]
    assert dict(zip(LESIONS, regions, strict=True)) == {"EX": 11716, "HE": 1903, "SE": 150, "MA": 3503}
    before = {name: sha256(content) for name, content in tiny.snapshot(tmp_path).items()}
    prepare_idrid(source.path, tmp_path, progress=False)
    assert {name: sha256(content) for name, content in tiny.snapshot(tmp_path).items()} == before
