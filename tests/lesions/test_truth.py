"""The lesions of label maps against scipy.ndimage."""

import zipfile

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from scipy import ndimage

from rfbench.errors import RFBenchError
from rfbench.lesions import truth
from rfbench.lesions.truth import ImageLesions, Truth, field_of_view
from rfbench.names import LESIONS

from ..evaluation.maps import label_map

LABELS = st.tuples(st.integers(1, 10), st.integers(1, 12)).flatmap(
    lambda shape: arrays.arrays(np.uint8, shape, elements=st.integers(0, 3))
)


@settings(max_examples=200, deadline=None)
@given(LABELS)
def test_lesions_are_scipys_regions_in_its_order(label):
    found = ImageLesions.of(label)
    kind, area, box, at = [], [], [], 0
    for c in range(3):
        labelled, count = ndimage.label(label == c + 1)
        for k, (rows, columns) in enumerate(ndimage.find_objects(labelled), start=1):
            kind.append(c)
            area.append((labelled == k).sum())
            box.append([columns.start, rows.start, columns.stop - columns.start, rows.stop - rows.start])
        span = found.span(c)
        assert (span.start, span.stop) == (at, at + count)
        pixels, lesion = found.of_class(c)
        assert pixels.tolist() == np.flatnonzero(label == c + 1).tolist()
        assert (lesion - at + 1).tolist() == labelled[labelled > 0].tolist()
        at += count
    assert found.kind.tolist() == kind
    assert found.area.tolist() == area
    assert found.box.tolist() == box


@settings(max_examples=100, deadline=None)
@given(LABELS, st.randoms(use_true_random=False))
def test_pieces_are_where_both_maps_are_constant(label, random):
    values = np.array([[random.randrange(3) for _ in row] for row in label], np.uint8)
    found = ImageLesions.of(label)
    lesion_of = dict(zip(found.pixels.tolist(), found.lesion[found.run].tolist(), strict=True))
    covered = []
    for start, length, lesion in zip(*found.pieces(values), strict=True):
        assert len(set(values.reshape(-1)[start : start + length].tolist())) == 1
        assert {lesion_of[p] for p in range(start, start + length)} == {lesion}
        covered += range(start, start + length)
    assert covered == np.flatnonzero(label).tolist()


def gathered(count=3) -> Truth:
    rng = np.random.default_rng(5)
    labels = [label_map(rng, density=0.1 * i) for i in range(count)]  # the first without a lesion
    sizes = [(label.shape[1], label.shape[0]) for label in labels]
    stems = [f"image{i}" for i in range(count)]
    return Truth.of(LESIONS, stems, sizes, [100.0, 50.0, 341.2], [ImageLesions.of(label) for label in labels])


def test_written_and_read_again(tmp_path):
    lesions = gathered()
    truth.write(tmp_path / "a.npz", lesions)
    truth.write(tmp_path / "b.npz", gathered())
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()
    with zipfile.ZipFile(tmp_path / "a.npz") as file:
        assert {member.date_time for member in file.infolist()} == {(1980, 1, 1, 0, 0, 0)}
    back = truth.read(tmp_path / "a.npz")
    for name, array in vars(lesions).items():
        assert getattr(back, name).dtype == array.dtype
        assert (getattr(back, name) == array).all()


def test_offsets_delimit_images_and_classes():
    lesions = gathered()
    assert lesions.offsets[-1] == len(lesions.area) > 30
    assert lesions.offsets[4] == 0  # no lesion in the first image
    for i in range(3):
        for c in range(4):
            span = slice(*lesions.offsets[4 * i + c : 4 * i + c + 2])
            assert set(lesions.image[span]) <= {i}
            assert set(lesions.kind[span]) <= {c}
            assert lesions.id[span].tolist() == list(range(1, span.stop - span.start + 1))


def test_areas_are_compared_at_the_size_of_idrids_field_of_view():
    lesions = gathered()
    scale = np.array([(3412 / 100) ** 2, (3412 / 50) ** 2, 10**2])
    assert lesions.native_area == pytest.approx(lesions.area * scale[lesions.image], rel=1e-6)
    native = ImageLesions.of(np.ones((1, 1), np.uint8))
    other_zoom = Truth.of(LESIONS, ["x"], [(4288, 2848)], [3800.0], [native])
    assert other_zoom.native_area.tolist() == [1.0]  # IDRiD's pixels are what the size classes are given in


@pytest.mark.parametrize("cut", ["whole", "above and below", "left"])
def test_diameter_of_the_field_of_view(cut):
    image = np.random.default_rng(0).integers(0, 6, (480, 620, 3)).astype(np.uint8)
    cv2.circle(image, (310, 240), 200, (20, 60, 130), -1)
    image = {"whole": image, "above and below": image[100:380], "left": image[:, 250:]}[cut]
    assert field_of_view(image) == pytest.approx(401, abs=3)


def test_a_black_frame_is_its_own_field_of_view():
    assert field_of_view(np.zeros((30, 50, 3), np.uint8)) == 50


@pytest.mark.parametrize("damage", ["missing", "text", "cut", "other"])
def test_unreadable_files_are_named(tmp_path, damage):
    path = tmp_path / "lesions.npz"
    if damage == "text":
        path.write_text("no archive")
    if damage == "cut":
        truth.write(path, gathered())
        path.write_bytes(path.read_bytes()[:-200])
    if damage == "other":
        np.savez(path, area=np.zeros(3))
    with pytest.raises(
        RFBenchError, match=r"lesions\.npz: expected the lesions of a data set, found .*\. Run snakemake"
    ):
        truth.read(path)


@pytest.mark.real
@pytest.mark.slow
def test_regions_of_the_whole_of_idrid(idrid):
    """The paper counts EX 11716, HE 1903, SE 150 and MA 3505, on which mask it does not say: these are painted."""
    counts = np.zeros(4, int)
    for path in sorted(idrid.parent.glob("labels/*/*.png")):
        counts += np.bincount(ImageLesions.of(cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)).kind, minlength=4)
    assert counts.tolist() == [11716, 1903, 150, 3503]
    image = cv2.imread(str(idrid.parent / "images/test/IDRiD_60.jpg"))
    assert field_of_view(image) == pytest.approx(3412, abs=40)
