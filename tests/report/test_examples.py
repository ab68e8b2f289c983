"""The lists of examples against their rule, written out slowly."""

import hashlib

import numpy as np
import pandas as pd
import pytest
from scipy import ndimage

from rfbench.errors import RFBenchError
from rfbench.lesions import masks
from rfbench.lesions.truth import ImageLesions, Truth
from rfbench.report import examples
from rfbench.runs import run_folder

MANIFEST = "ab" * 32


@pytest.fixture
def truth() -> Truth:
    """Twenty images of random specks of two classes."""
    rng, found = np.random.default_rng(5), []
    for _ in range(20):
        label = np.zeros((60, 80), np.uint8)
        for kind, number in ((1, 12), (2, 2)):
            for _ in range(number):
                top, left, height, width = rng.integers(0, 50), rng.integers(0, 60), *rng.integers(1, 20, 2)
                label[top : top + height, left : left + width] = kind
        found.append(ImageLesions.of(label))
    stems = [f"IDRiD_{k}" for k in range(20)]
    return Truth.of(["EX", "MA"], stems, [(80, 60)] * 20, [3412.0] * 20, found)


def test_the_blind_set_is_the_three_smallest_digests_of_each_stratum(truth):
    bins = {"lt74": (0, 74), "74_255": (74, 256), "256_1920": (256, 1921), "gt1920": (1921, 10**9)}
    expected = []
    for kind, lesion in enumerate(("EX", "MA")):
        for size, (low, high) in bins.items():
            named = []
            for k in range(len(truth.area)):
                if truth.kind[k] == kind and low <= truth.area[k] < high:
                    stem = truth.stems[truth.image[k]]
                    left, top, width, height = truth.box[k]
                    text = f"{MANIFEST}|{stem}|{lesion}|{left},{top},{width},{height}"
                    named.append((hashlib.sha256(text.encode()).hexdigest(), stem))
            taken = []
            for code, stem in sorted(named):
                if stem not in [own for _, own in taken] and len(taken) < 3:
                    taken.append((code, stem))
            expected += [(lesion, size, stem, code) for code, stem in taken]
    found = examples.blind(truth, MANIFEST)
    assert len(found) > 12
    assert [(one.lesion, one.size, one.stem, one.digest) for one in found] == expected


def test_another_manifest_chooses_others(truth):
    first, second = (examples.blind(truth, text) for text in (MANIFEST, "cd" * 32))
    assert [one.stem for one in first] != [one.stem for one in second]


def test_the_contrast_set_stands_at_the_percentiles(tmp_path):
    gaps = [-0.5, -0.2, 0.0, 0.1, 0.3]
    for pair, gap in (("base", np.zeros(5)), ("other", np.array(gaps))):
        folder = run_folder(tmp_path, "IDRiD", pair, 0)
        folder.mkdir(parents=True)
        # 100 pixels of 100: F = tp / 100. The last image has no lesion.
        images = [{"stem": f"i{k}", "lesion": "MA", "tp": round(100 * (0.5 + gap[k])), "predicted": 100,
                   "positives": 100} for k in (3, 0, 4, 1, 2)]  # fmt: skip
        images.append({"stem": "i9", "lesion": "MA", "tp": 0, "predicted": 7, "positives": 0})
        pd.DataFrame(images).to_csv(folder / "per_image.csv", index=False)
    data = pd.DataFrame([{"dataset": "IDRiD", "pair": pair, "row": pair.title(), "seed": seed, "state": "done"}
                         for pair in ("base", "other") for seed in (0, 1)])  # fmt: skip
    (found,) = examples.contrast(tmp_path, data, "base")
    assert (found.row, found.lesion, found.seed, found.images, found.left_out) == ("Other", "MA", 0, 5, 1)
    assert [stem for stem, _ in found.picked] == ["i0", "i1", "i2", "i3", "i4"]
    assert [gap for _, gap in found.picked] == pytest.approx([100 * gap for gap in gaps])
    assert examples.contrast(tmp_path, data, "absent") == []


def test_images_that_neither_predicts_are_left_out(tmp_path):
    """F is 0 of both there, however many lesions there are."""
    for pair, predicted in (("base", [0, 0, 5]), ("other", [0, 4, 0])):
        folder = run_folder(tmp_path, "IDRiD", pair, 0)
        folder.mkdir(parents=True)
        images = [{"stem": f"i{k}", "lesion": "MA", "tp": 2 * (count > 0), "predicted": count, "positives": 6}
                  for k, count in enumerate(predicted)]  # fmt: skip
        pd.DataFrame(images).to_csv(folder / "per_image.csv", index=False)
    data = pd.DataFrame([{"dataset": "IDRiD", "pair": pair, "row": pair, "seed": 0, "state": "done"}
                         for pair in ("base", "other")])  # fmt: skip
    (found,) = examples.contrast(tmp_path, data, "base")
    assert found.left_out == 1
    assert dict(found.gaps) == pytest.approx({"i1": 100 * 4 / 10, "i2": -100 * 4 / 11})


@pytest.mark.parametrize(("box", "expected"), [
    ((100, 100, 4, 2), (-26, -27, 256)),  # IDRiD's own size: 256 px around the centre, before it is kept inside
    ((2000, 1400, 10, 10), (1877, 1277, 256)),
    ((2000, 1000, 400, 100), (1950, 800, 500)),  # a quarter more than the longer side
    ((4000, 2500, 288, 348), (3853, 2413, 435)),
])  # fmt: skip
def test_crops_lie_around_their_box_and_in_the_image(box, expected):
    left, top, side = examples.crop(box, (4288, 2848), 3412.0)
    assert side == expected[2]
    assert left == min(max(expected[0], 0), 4288 - side)
    assert top == min(max(expected[1], 0), 2848 - side)


def test_crops_of_small_images_show_as_much_of_the_eye():
    assert examples.crop((50, 50, 2, 2), (428, 284), 341.2)[2] == 64, "26 px would be too few to look at"
    assert examples.crop((500, 500, 2, 2), (1024, 1024), 1706.0)[2] == 128
    assert examples.crop((0, 0, 428, 284), (428, 284), 341.2) == (72, 0, 284)


def test_the_largest_disagreement_is_that_of_a_labelled_frame(truth):
    rng = np.random.default_rng(2)
    for _ in range(20):
        own, base = (ndimage.binary_opening(rng.random((60, 80)) < 0.7) for _ in range(2))
        kept = [
            masks.Masks.of(["EX", "MA"], ["IDRiD_3"], [(80, 60)], [masks.runs_of(mask)] * 2) for mask in (own, base)
        ]
        regions, number = ndimage.label(own ^ base)
        areas = ndimage.sum_labels(np.ones_like(regions), regions, range(1, number + 1))
        rows, columns = ndimage.find_objects(regions)[int(np.argmax(areas))]
        expected = (columns.start, rows.start, columns.stop - columns.start, rows.stop - rows.start)
        assert examples.disagreement(*kept, truth, "IDRiD_3", "MA") == (expected, max(areas))


def test_where_two_masks_are_equal_the_largest_lesion_stands_for_them(truth):
    same = masks.Masks.of(["EX", "MA"], ["IDRiD_3"], [(80, 60)], [masks.runs_of(np.eye(60, 80, dtype=bool)), None])
    for lesion, kind in (("EX", 0), ("MA", 1)):  # MA: noise, whose masks are not kept
        mine = (truth.image == 3) & (truth.kind == kind)
        largest = truth.box[mine][np.argmax(truth.area[mine])]
        assert examples.disagreement(same, same, truth, "IDRiD_3", lesion) == (
            tuple(largest.tolist()), truth.area[mine].max()
        )  # fmt: skip


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (b"", "expected the columns stem, lesion, tp, predicted, positives too"),
        (b"\xff\xfe", "expected a CSV file"),
        (b"stem,lesion,tp,predicted,positives\ni0,MA,x,1,1\n", "line 2, tp: expected a number, found 'x'"),
        (b"stem,lesion,tp,predicted,positives\ni1,MA,1,1,1\n", "expected the images and lesions of the other runs"),
    ],
)
def test_a_damaged_file_of_images_is_one_sentence(tmp_path, content, found):
    for pair in ("base", "other"):
        folder = run_folder(tmp_path, "IDRiD", pair, 0)
        folder.mkdir(parents=True)
        (folder / "per_image.csv").write_bytes(b"stem,lesion,tp,predicted,positives\ni0,MA,1,1,1\n")
    (folder / "per_image.csv").write_bytes(content)
    data = pd.DataFrame([{"dataset": "IDRiD", "pair": pair, "row": pair, "seed": 0, "state": "done"}
                         for pair in ("base", "other")])  # fmt: skip
    with pytest.raises(RFBenchError, match=rf"per_image\.csv.*{found}"):
        examples.contrast(tmp_path, data, "base")
