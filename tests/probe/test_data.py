"""The images: sizes, places, contrasts and noise as laid down, measured on what is drawn."""

import numpy as np
import pytest
from scipy import ndimage

from rfbench.errors import RFBenchError
from rfbench.probe import data
from rfbench.probe.protocol import registered

IMAGES = registered().images


@pytest.fixture(scope="module")
def planted():
    return {arm: data.draw(IMAGES, arm, "test", 2000) for arm in data.ARMS}


def test_every_disc_has_exactly_its_cells_and_touches_no_other(planted):
    for arm, each in planted.items():
        counts = dict.fromkeys(IMAGES.sizes, 0)
        for image in each.size:
            parts, n = ndimage.label(image > 0, structure=np.ones((3, 3)))  # diagonal neighbours, too
            for part in range(1, n + 1):
                cells = image[parts == part]
                assert (cells == len(cells)).all()
                counts[len(cells)] += 1
                _, connected = ndimage.label(parts == part)
                assert connected == 1
        sides = 1 if arm == "fusion" else 2  # inside the regions alone, or on both sides
        wanted = {size: sides * discs * IMAGES.test for size, discs in IMAGES.discs.items()}
        wanted[max(IMAGES.sizes)] //= 2  # in every second image
        assert counts == wanted


def test_half_of_the_images_hold_a_largest_lesion(planted):
    for each in planted.values():
        assert each.coexisting.sum() == IMAGES.test / 2
        assert ((each.size == max(IMAGES.sizes)).any((1, 2)) == each.coexisting).all()


def test_the_contrast_is_that_which_the_truth_says(planted, monkeypatch):
    """Against the same images without discs."""
    one = planted["serial"]
    monkeypatch.setattr(data, "_plant", lambda rng, protocol, regions: (np.zeros_like(regions, np.uint8),) * 3)
    empty = data.draw(IMAGES, "serial", "test", 2000)
    added = (one.images - empty.images)[:, 0]
    assert np.abs(added - one.contrast)[one.size > 0].max() < 1e-5
    assert set(np.unique(one.contrast[one.size > 0])) == set(IMAGES.contrasts)
    dark = added[(one.size == 0) & (np.abs(added) > 0.5)]
    assert len(dark)
    assert set(np.round(np.unique(dark), 4)) == {-float(contrast) for contrast in IMAGES.contrasts}


def test_texture_and_noise_make_one_and_the_noise_doubles_in_the_regions(monkeypatch):
    monkeypatch.setattr(data, "_plant", lambda rng, protocol, regions: (regions.astype(np.uint8),) * 2 + (regions * 0,))
    quiet, loud = (data.draw(IMAGES, arm, "train", 2001) for arm in ("serial", "fusion"))
    regions = loud.size > 0
    assert regions.mean() == pytest.approx(0.5, abs=0.01)
    background = quiet.images[:, 0] - regions * quiet.contrast  # `_plant` made every region a disc of contrast 1
    assert background.std() == pytest.approx(1, abs=0.01)
    extra = (loud.images - quiet.images)[:, 0]  # the noise that the regions add to the quiet one
    assert (extra[~regions] == 0).all()
    assert extra[regions].std() == pytest.approx(IMAGES.noise * (IMAGES.region_noise - 1), rel=0.02)


def test_the_texture_falls_as_one_over_f():
    fields = data._texture(np.random.default_rng(0), 400, 48)
    power = (np.abs(np.fft.fft2(fields)) ** 2).mean(0)
    frequency = np.hypot(*np.meshgrid(np.fft.fftfreq(48), np.fft.fftfreq(48)))
    some = (frequency > 0.05) & (frequency < 0.5)
    slope = np.polyfit(np.log(frequency[some]), np.log(power[some]), 1)[0]
    assert slope == pytest.approx(-2, abs=0.05)  # of the power; -1 of the amplitude


def test_lesions_of_arm_fusion_lie_in_the_regions_and_the_serial_arm_has_them_and_as_many_more(planted):
    fusion, serial = planted["fusion"], planted["serial"]
    assert ((fusion.size == 0) | (fusion.size == serial.size)).all()
    louder = np.abs((fusion.images - serial.images)[:, 0]) > 0
    assert louder[fusion.size > 0].all()
    assert not louder[(serial.size > 0) & (fusion.size == 0)].any()


def test_a_seed_decides_everything_and_splits_share_nothing():
    a, b = (data.draw(IMAGES, "fusion", "test", 2002) for _ in range(2))
    assert (a.images == b.images).all()
    assert (a.size == b.size).all()
    other, train = data.draw(IMAGES, "fusion", "test", 2003), data.draw(IMAGES, "fusion", "train", 2002)
    correlations = np.corrcoef([a.images[0].ravel(), other.images[0].ravel(), train.images[0].ravel()])
    assert np.abs(correlations[np.triu_indices(3, 1)]).max() < 0.9


def test_discs_that_find_no_room_are_an_error():
    crowded = IMAGES.model_copy(update={"discs": {1: 2, 50: 40}, "test": 2})
    with pytest.raises(RFBenchError, match="no room for a disc of 50 cells"):
        data.draw(crowded, "fusion", "test", 0)
