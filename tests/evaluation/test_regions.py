"""Regions at all thresholds at once against labelling each threshold alone."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from scipy import ndimage

from rfbench.evaluation import regions
from rfbench.lesions.runlength import Runs

from .maps import KINDS, label_map, score_maps

TOP = 4


def by_runs(levels, pixels):
    return regions._by_runs(levels, Runs.of(levels, 1), pixels, TOP)


def by_frames(levels, pixels):
    return regions._by_frames(levels, pixels, TOP)


def check(levels: np.ndarray, how) -> None:
    everywhere = np.arange(levels.size)
    seen = []
    for found in how(levels, everywhere):
        seen.append(found.at)
        expected, count = ndimage.label(levels > found.at)
        expected = expected.reshape(-1)
        assert ((found.region >= 0) == (expected > 0)).all()
        pairs = set(zip(found.region[expected > 0].tolist(), expected[expected > 0].tolist(), strict=True))
        assert len(pairs) == len(found.area) == count  # one to one
        for region, label in pairs:
            assert found.area[region] == (expected == label).sum()
        painted = np.full(levels.size, -1)
        for start, end, region in zip(*found.stretches(), strict=True):
            assert (painted[start:end] == -1).all()
            painted[start:end] = region
        assert (painted == found.region).all()
    assert seen == list(reversed(range(TOP)))


LEVELS = st.tuples(st.integers(1, 9), st.integers(1, 11)).flatmap(
    lambda shape: arrays.arrays(np.uint8, shape, elements=st.integers(0, TOP))
)


@pytest.mark.parametrize("how", [by_runs, by_frames])
@settings(max_examples=150, deadline=None)
@given(levels=LEVELS)
def test_regions_are_scipys_at_every_threshold(how, levels):
    check(levels, how)


@pytest.mark.parametrize("how", [by_runs, by_frames])
@pytest.mark.parametrize("kind", KINDS)
def test_regions_of_score_maps(how, kind):
    rng = np.random.default_rng(1)
    scores = score_maps(rng, label_map(rng), kind)[0]
    levels = (scores > np.float32([0.1, 0.5, 0.9, 0.99])[:, None, None]).sum(0).astype(np.uint8)
    check(levels, how)


def test_noise_is_labelled_by_frames_and_all_else_by_runs(monkeypatch):
    chosen = []
    for name in ("_by_runs", "_by_frames"):
        monkeypatch.setattr(regions, name, lambda *_, name=name: chosen.append(name))
    rng = np.random.default_rng(0)
    label = label_map(rng, (200, 300))
    smooth = ndimage.zoom(label, 6, order=0)
    regions.falling(smooth, np.zeros(0, int), TOP)
    regions.falling(rng.integers(0, 5, smooth.shape).astype(np.uint8), np.zeros(0, int), TOP)
    assert chosen == ["_by_runs", "_by_frames"]
