"""A validation part of the training images: which ones, and that nothing else changes."""

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rfbench.data.layout import Item
from rfbench.data.prepare import prepare_folder, prepare_idrid, prepare_synthetic, read_manifest
from rfbench.data.summary import SUMMARY
from rfbench.data.validation import Validation, hold_out
from rfbench.errors import DataError
from rfbench.settings import complete
from rfbench.training.stream import TrainingStream

from . import tiny_archive as tiny
from .test_prepare_folder import LESIONS, files


def items(train: int, test: int = 2) -> list[Item]:
    numbered = [("train", number) for number in range(train)] + [
        ("test", number) for number in range(train, train + test)
    ]
    return [Item(f"IDRiD_{number:02d}", split, f"{number}.jpg") for split, number in numbered]


def stems(found: list[Item], split: str) -> list[str]:
    return [item.stem for item in found if item.split == split]


@given(st.integers(2, 60), st.data())
def test_the_part_is_drawn_from_the_training_images_alone(train, data):
    count, seed = data.draw(st.integers(1, train - 1)), data.draw(st.integers(0, 2**63 - 1))
    before = items(train)
    found = hold_out(before, Validation(count, seed))
    assert stems(found, "test") == stems(before, "test")
    assert len(stems(found, "val")) == count
    assert sorted(stems(found, "train") + stems(found, "val")) == stems(before, "train")
    assert [item.split for item in before].count("val") == 0, "its argument stays as it was"
    assert hold_out(list(reversed(before)), Validation(count, seed)) == found, "whatever the order of the files"
    digests = {stem: hashlib.sha256(f"{seed}/{stem}".encode()).digest() for stem in stems(before, "train")}
    assert max(digests[stem] for stem in stems(found, "val")) < min(digests[stem] for stem in stems(found, "train"))


def test_every_image_is_as_likely():
    """Chi-square of 540 draws of ten out of 54, ten expected each hundred; 99.9 % of fair draws stay below 91."""
    counts = dict.fromkeys(stems(items(54), "train"), 0)
    for seed in range(540):
        for stem in stems(hold_out(items(54), Validation(10, seed)), "val"):
            counts[stem] += 1
    # Without replacement within a draw: the variance is 44/53 of the multinomial one, so the limit is a safe one.
    assert sum((count - 100) ** 2 / 100 for count in counts.values()) < 91


def test_another_seed_draws_others():
    drawn = {tuple(stems(hold_out(items(54), Validation(10, seed)), "val")) for seed in range(20)}
    assert len(drawn) == 20


@pytest.mark.parametrize("count", [-1, 0, 5, 6])
def test_a_part_that_is_none_or_all_is_refused(count):
    with pytest.raises(DataError, match=rf"validation.count: .* fewer than the 5 training images, found {count}"):
        hold_out(items(5), Validation(count))


def test_a_data_set_with_a_split_of_its_own_is_refused():
    own = [*items(5), Item("IDRiD_99", "val", "99.jpg")]
    with pytest.raises(DataError, match=r"validation: .* without validation images of its own, found 1"):
        hold_out(own, Validation(2))


def test_idrid_with_a_part_is_prepared_trained_on_the_rest_and_says_so(tmp_path):
    source = tiny.write_zip(tmp_path / "source.zip", tiny.archive())
    whole = prepare_idrid(source, tmp_path / "whole", expect_official=False, progress=False)
    part = prepare_idrid(source, tmp_path / "part", expect_official=False, progress=False, validation=Validation(1, 0))
    before, after = read_manifest(whole).set_index("stem"), read_manifest(part).set_index("stem")
    (held,) = after.index[after["split"] == "val"]
    assert after.loc[held, "image"] == f"images/val/{held}.jpg"
    same = ["sha256", "label_sha256", "width", "MA_regions"]
    assert (before[same] == after.loc[before.index, same]).all(axis=None)
    assert (before["split"] == "test").equals(after.loc[before.index, "split"] == "test")
    summary = part.with_name(SUMMARY).read_text()
    assert "- images: train 1, val 1, test 1" in summary
    assert "- validation: 1 of the training images, drawn with seed 0" in summary
    section = {"kind": "idrid", "source": str(source), "scale": [128, 96], "crop": [64, 64], "iterations": 1}
    section |= {"mean": [0, 0, 0], "std": [1, 1, 1], "validation": {"count": 1}}
    settings = complete({"pairs": ["strideconv_bilinear"], "datasets": {"IDRiD": section}})
    stream = TrainingStream(part, settings.datasets["IDRiD"], settings.recipe, 0)
    assert [row.stem for row in stream.rows] == [stem for stem in before.index if stem not in (held, "IDRiD_55")]


def test_a_part_in_the_folder_of_a_preparation_without_is_refused(tmp_path):
    source = tiny.write_zip(tmp_path / "source.zip", tiny.archive())
    about = {"expect_official": False, "progress": False}
    prepare_idrid(source, tmp_path / "out", **about)
    with pytest.raises(DataError, match="Choose another --output"):
        prepare_idrid(source, tmp_path / "out", validation=Validation(1), **about)


def test_the_split_of_ones_own_data_is_known_on_preparation(tmp_path):
    source = tiny.write_tree(tmp_path / "mine", files())  # one image of each split
    with pytest.raises(DataError, match="of its own"):
        prepare_folder(source, tmp_path / "out", lesions=LESIONS, progress=False, validation=Validation(1))


def test_a_generated_set_has_one_as_well(tmp_path):
    about = {"train": 3, "test": 1, "factor": 0.05, "seed": 0, "progress": False}
    manifest = prepare_synthetic(tmp_path / "out", validation=Validation(1, 7), **about)
    assert read_manifest(manifest)["split"].value_counts().to_dict() == {"train": 2, "val": 1, "test": 1}
