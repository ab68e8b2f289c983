"""From DDR's raw archive to the prepared layout, and every way it is refused."""

import re
from collections import Counter

import numpy as np
import pytest
from PIL import Image

from rfbench.data import ddr
from rfbench.data.manifest import columns, encode_manifest, tabulate
from rfbench.data.prepare import prepare_ddr, read_manifest
from rfbench.errors import DataError
from rfbench.names import LESIONS

from . import tiny_archive as tiny
from . import tiny_ddr

FIRST = tiny_ddr.image_name("train", "007-1774-100")
FIRST_EX = tiny_ddr.mask_name("train", "007-1774-100", "EX")


def prepare(source, output, official=False):
    return prepare_ddr(source, output, expect_official=official, progress=False)


def refusal(tmp_path, files) -> str:
    with pytest.raises(DataError) as error:
        prepare(tiny.write_zip(tmp_path / "source.zip", files), tmp_path / "out")
    assert not (tmp_path / "out" / "manifest.csv").exists()
    return str(error.value)


def test_prepared_layout(tmp_path):
    files = tiny_ddr.archive()
    frame = read_manifest(prepare(tiny.write_zip(tmp_path / "source.zip", files), tmp_path / "out"))
    assert frame["stem"].tolist() == ["007-1774-100", "20170627170651362", "007-1851-100", "007-6219-300"]
    assert frame["split"].tolist() == ["train", "train", "val", "test"]
    for row in frame.itertuples():
        assert (row.height, row.width) == tiny_ddr.SIZES[row.stem]
        split = {"val": "valid"}.get(row.split, row.split)
        assert (tmp_path / "out" / row.image).read_bytes() == files[tiny_ddr.image_name(split, row.stem)]
        label = np.asarray(Image.open(tmp_path / "out" / row.label))
        assert label.shape == (row.height, row.width)
        assert [label[point] for point in ((3, 3), (5, 5), (12, 12), (0, 0))] == [1, 2, 4, 0]
        assert [getattr(row, f"{lesion}_pixels") for lesion in LESIONS] == [36, 36, 0, 4]
    summary = (tmp_path / "out" / "summary.md").read_text()
    assert "# DDR, prepared" in summary
    assert "- images: train 2, val 1, test 1" in summary
    assert "| train | SE | 0 | 2 | 0 | 0 | 0.0000 |" in summary, "two black masks"


def forms(tmp_path, files):
    """The same archive as ten parts, as a zip and as a tree."""
    yield tiny_ddr.write_parts(tmp_path / "download", files)[0].parent
    yield tiny.write_zip(tmp_path / "DDR-dataset.zip", files)
    yield tiny.write_tree(tmp_path / "tree", files)


def test_parts_zip_and_tree_agree(tmp_path):
    snapshots = []
    for index, source in enumerate(forms(tmp_path, tiny_ddr.archive())):
        prepare(source, tmp_path / str(index))
        snapshots.append(tiny.snapshot(tmp_path / str(index)))
        assert f"`{source.name}`".encode() in snapshots[-1].pop("summary.md")
    assert snapshots[0] == snapshots[1] == snapshots[2]


LAYOUTS = {
    "no top folder": lambda name: name.removeprefix("DDR-dataset/"),
    "only the splits": lambda name: name.removeprefix(f"{tiny_ddr.TOP}/"),
    "label everywhere": lambda name: name.replace("segmentation label", "label"),
    "annotations": lambda name: re.sub(r"(\w+)/(segmentation )?label/", r"annotations/\1/", name),
    "kind first": lambda name: re.sub(r"(train|valid|test)/(image|(?:segmentation )?label)/", r"\2/\1/", name),
    "val": lambda name: name.replace("/valid/", "/val/"),
    "percent": lambda name: name.replace(" ", "%20"),
    "backslashes": lambda name: name.replace("/", "\\"),
    "lower case": lambda name: name.lower(),
}


@pytest.mark.parametrize("rename", LAYOUTS.values(), ids=LAYOUTS)
def test_layout_variants(rename):
    names = list(tiny_ddr.archive())
    plain, _ = ddr.scan(names)
    other, findings = ddr.scan(map(rename, names))
    assert not findings
    assert [(item.stem, item.split, sorted(item.masks)) for item in other] == [
        (item.stem, item.split, sorted(item.masks)) for item in plain
    ]
    assert all(item.masks[lesion] == rename(mask) for item, old in zip(other, plain, strict=True)
               for lesion, mask in old.masks.items())  # fmt: skip


def test_detection_and_grading_are_passed_over():
    others = ["DDR-dataset/DR_grading/test/image/007-0001-000.jpg", "DDR-dataset/lesion_detection/train/image/a.jpg"]
    assert ddr.scan(others) == ([], [])


def test_all_four_masks_are_required(tmp_path):
    files = tiny_ddr.archive()
    del files[tiny_ddr.mask_name("valid", "007-1851-100", "SE")]
    message = refusal(tmp_path, files)
    assert "007-1851-100.tif: expected the SE mask of DDR-dataset/lesion_segmentation/valid/image" in message


def test_a_stem_in_two_splits(tmp_path):
    files = tiny_ddr.archive()
    leaked = {name.replace("/train/", "/test/"): content for name, content in files.items() if "007-1774" in name}
    assert "007-1774-100.jpg: expected a stem in one split only, found it in train and test" in refusal(
        tmp_path, files | leaked
    )


def test_identical_photographs_are_reported(tmp_path):
    files = tiny_ddr.archive()
    small = tiny_ddr.SIZES["007-1774-100"]
    for name in [name for name in files if "007-6219" in name]:
        files[name] = files[FIRST] if name.endswith("jpg") else tiny.grey(tiny.mask(shape=small))
    prepare(tiny.write_zip(tmp_path / "source.zip", files), tmp_path / "out")
    summary = (tmp_path / "out" / "summary.md").read_text()
    assert "WARNING identical photographs in different splits" in summary
    assert "train/007-1774-100, test/007-6219-300" in summary


def test_a_large_mask_is_a_warning_only(tmp_path):
    large = tiny.grey(tiny.mask((0, 0, 30, 22), shape=(30, 44)) * 255)
    prepare(tiny.write_zip(tmp_path / "source.zip", tiny_ddr.archive() | {FIRST_EX: large}), tmp_path / "out")
    assert (
        f"WARNING {FIRST_EX}: expected at most 30% of the frame, found 50.0%"
        in (tmp_path / "out" / "summary.md").read_text()
    )


def test_trailing_bytes_do_not_stop_a_photograph(tmp_path):
    files = tiny_ddr.archive()
    files[FIRST] += bytes(range(40))
    prepare(tiny.write_zip(tmp_path / "source.zip", files), tmp_path / "out")
    assert (tmp_path / "out" / "images/train/007-1774-100.jpg").read_bytes() == files[FIRST]


def test_official_numbers(tmp_path):
    with pytest.raises(DataError) as error:
        prepare(tiny.write_zip(tmp_path / "source.zip", tiny_ddr.archive()), tmp_path / "out", official=True)
    for split, found, official in (("train", 2, 383), ("val", 1, 149), ("test", 1, 225)):
        assert f"{split} photographs: expected the {official} of the official set, found {found}" in str(error.value)


def test_every_problem_is_in_the_report(tmp_path):
    files = tiny_ddr.archive()
    broken = {name: b"" for name in files if "lesion_seg" in name}
    assert "20 problems" in refusal(tmp_path, files | broken)
    more = {name.replace("007-1851", "007-1852"): b"" for name in broken if "007-1851" in name}
    message = refusal(tmp_path, files | broken | more)
    assert "25 problems" in message
    assert "… and 5 more, all of them in" in message
    assert len((tmp_path / "out" / "findings.txt").read_text().splitlines()) == 26
    prepare(tiny.write_zip(tmp_path / "good.zip", tiny_ddr.archive()), tmp_path / "out")
    assert not (tmp_path / "out" / "findings.txt").exists()


def test_another_data_set_is_refused_with_advice(tmp_path):
    source = tiny.write_zip(tmp_path / "source.zip", tiny.archive())
    with pytest.raises(DataError, match=r"found no such image among \d+ file\(s\)\. Give 'DDR-dataset\.zip\.001'"):
        prepare(source, tmp_path / "out")


def test_manifest_of_the_whole_set_stays_small():
    """Snakemake takes a file above 1 MB for changed as soon as it is touched."""
    row = dict.fromkeys(columns(LESIONS), 5184_000) | {
        "stem": "20170627170651362", "split": "train", "image": "images/train/20170627170651362.jpg",
        "label": "labels/train/20170627170651362.png", "sha256": "f" * 64, "label_sha256": "f" * 64,
    }  # fmt: skip
    assert len(encode_manifest(tabulate([row] * 757, LESIONS))) < 500_000


@pytest.mark.real
def test_the_two_real_images(real_data, tmp_path):
    frame = read_manifest(prepare(real_data / "ddr-two-images.zip", tmp_path))
    assert Counter(frame["split"]) == {"train": 1, "test": 1}
    assert frame["width"].tolist() == [1728, 1934]
    assert frame[[f"{lesion}_regions" for lesion in LESIONS]].gt(0).to_numpy().tolist() == [
        [False, False, False, True],
        [True, True, False, False],
    ]
