"""Pictures of a prepared data set: what is outlined, in which colour, and the sheet's numbers."""

import argparse
import io

import cv2
import numpy as np
import pandas as pd
import pytest

from rfbench.commands import show as command
from rfbench.data import show
from rfbench.data.areas import draw
from rfbench.data.prepare import prepare_idrid
from rfbench.errors import RFBenchError
from rfbench.names import LESIONS, lesion_colour

from ..data import tiny_archive as tiny


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    folder = tmp_path_factory.mktemp("prepared")
    source = tiny.write_zip(folder / "s.zip", tiny.archive())
    return prepare_idrid(source, folder / "out", expect_official=False, progress=False).parent


def run(*arguments) -> int:
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    return command.run(parser.parse_args([str(argument) for argument in arguments]))


@pytest.mark.parametrize("zoom", [0.25, 1.0, 3.0])
def test_outlines_run_around_regions_in_the_papers_colours(zoom):
    image = np.full((120, 160, 3), 90, np.uint8)
    label = np.zeros((120, 160), np.uint8)
    boxes = {}
    for value in range(1, 5):
        label[20:60, 40 * value - 30 : 40 * value - 10] = value
        boxes[value] = (np.array([20, 60, 40 * value - 30, 40 * value - 10]) * zoom).astype(int)
    drawn = show.outline(image, show.masks_of(label, LESIONS), LESIONS, zoom)
    strongest = {"EX": (2,), "HE": (1,), "SE": (1, 2), "MA": (0,)}  # of blue, green, red
    for (top, bottom, left, right), lesion in zip(boxes.values(), LESIONS, strict=True):
        assert (drawn[top + 1 : bottom - 1, left + 1 : right - 1] == 90).all(), "the lesion itself stays visible"
        line = drawn[(top + bottom) // 2, left - 1].astype(int)
        assert tuple(np.flatnonzero(line > 200)) == strongest[lesion]


def test_a_lesion_smaller_than_a_pixel_of_the_picture_is_still_marked():
    label = np.zeros((1000, 1000), np.uint8)
    label[501:504, 501:504] = 4
    small = show.outline(np.zeros((1000, 1000, 3), np.uint8), show.masks_of(label, LESIONS), LESIONS, 0.2)
    assert (small.max(axis=2) > 0).any()


def test_lesions_at_the_same_place_both_show():
    mask = np.zeros((40, 40), bool)
    mask[10:20, 10:20] = True
    masks = np.stack([mask, np.zeros_like(mask), mask, np.zeros_like(mask)])  # EX and SE
    drawn = show.outline(np.zeros((40, 40, 3), np.uint8), masks, LESIONS, 1.0)
    assert [tuple(drawn[15, column]) for column in (8, 9, 10)] == [(0, 255, 255), (0, 0, 255), (0, 0, 0)]


def test_image_and_sheet(prepared, tmp_path, capsys):
    assert run(prepared, "IDRiD_01", "--output", tmp_path) == 0
    table = pd.read_csv(tmp_path / "IDRiD_01.csv")
    assert table["lesion"].unique().tolist() == list(LESIONS)
    assert table.loc[table["lesion"] == "MA"].to_numpy().tolist() == [["MA", 4, 7, 7, 2, 2]]
    assert "MA: 1 regions, 4 to 4 px, median 4" in capsys.readouterr().out
    assert cv2.imread(str(tmp_path / "IDRiD_01.png")).shape[1] == 900, "small images are enlarged"
    before = tiny.snapshot(tmp_path)
    run(prepared, "IDRiD_01", "--output", tmp_path)
    assert tiny.snapshot(tmp_path) == before


def test_contact_sheet_has_two_rows_per_data_set(prepared, tmp_path):
    run(prepared, "--beside", prepared, "--images", 5, "--output", tmp_path)
    sheet = cv2.imread(str(tmp_path / "contact_sheet.png"))
    height = show.TILE * tiny.HEIGHT // tiny.WIDTH + show.BAR
    assert sheet.shape == (4 * height, 2 * show.TILE, 3), "the data set has two training images"


def test_unknown_stem(prepared, tmp_path):
    with pytest.raises(RFBenchError, match=r"such as IDRiD_01.*found none named IDRiD_99"):
        run(prepared, "IDRiD_99", "--output", tmp_path)


def test_lesions_of_ones_own_have_colours_of_their_own():
    lesions = ("NV", "MA", "Drusen")
    assert len({lesion_colour(lesion, lesions) for lesion in lesions}) == 3
    assert len({show.bgr(lesion, lesions) for lesion in lesions}) == 3


def test_histogram_is_the_same_bytes_twice_and_holds_no_time():
    areas = {"MA": np.array([3, 80, 300]), "EX": np.zeros(0)}
    picture = draw(areas, "px")
    assert picture == draw(areas, "px")
    assert b"tEXt" not in picture
    assert b"tIME" not in picture
    assert cv2.imdecode(np.frombuffer(io.BytesIO(picture).read(), np.uint8), cv2.IMREAD_COLOR).std() > 0


def test_pictures_never_lie_among_the_images(prepared, tmp_path):
    (tmp_path / "link").symlink_to(prepared / "labels")
    before = tiny.snapshot(prepared)
    for output in (prepared / "images" / "train", tmp_path / "link" / "train"):
        for words in ([prepared, "IDRiD_01"], [prepared], [prepared, "--beside", prepared]):
            with pytest.raises(RFBenchError, match="expected a folder outside"):
                run(words[0], *words[1:], "--output", output)
    assert tiny.snapshot(prepared) == before


def test_text_that_no_picture_can_hold():
    assert show._bar(300, [("a\udcff\x1b[2J\n é", (255, 255, 255))]).any()
