"""A probe small enough for tests: two seeds, a handful of images, two updates."""

import pytest

from rfbench.probe.settings import Chosen, Probe

CHANGES = {
    "seeds": {"tuning": [1000], "test": [0, 1], "again": [20, 21]},
    "images": {"train": 6, "test": 4},
    "training": {"steps": 2, "batch": 3, "learning_rates": [0.003, 0.01]},
}


@pytest.fixture
def smallest(tmp_path):
    """Make a probe of these pairs, arms and copies in the test's folder."""

    def make(pairs=("maxpool_bilinear",), arms=("fusion",), copies=(), changes=CHANGES):
        folders = {"results": str(tmp_path / "results"), "reports": str(tmp_path / "reports")}
        return Probe(Chosen(pairs=pairs, arms=arms, copies=copies, protocol=changes, **folders), "test")

    return make
