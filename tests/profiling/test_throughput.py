"""The measurement of the loader: every source, the configuration's own augmentation."""

import pytest

from rfbench import provenance
from rfbench.cli import main
from rfbench.data.prepare import prepare_synthetic
from rfbench.profiling.throughput import measure
from rfbench.settings import complete

from ..checkout import ROOT


def measured(folder, **recipe) -> dict[str, float]:
    section = {
        "kind": "synthetic", "synthetic": {"train": 1, "test": 1, "factor": 0.1, "seed": 0}, "scale": [100, 64],
        "crop": [64, 64], "iterations": 1, "mean": [1, 1, 1], "std": [1, 1, 1],
    }  # fmt: skip
    settings = complete({"pairs": ["maxpool_bilinear"], "datasets": {"SYN": section}, "recipe": recipe})
    manifest = prepare_synthetic(folder, train=1, test=1, factor=0.1, seed=0, progress=False)
    return measure(settings.datasets["SYN"], settings.recipe, manifest, samples=3)


def test_every_source_is_measured(tmp_path):
    rates = measured(tmp_path)
    assert set(rates) == {"native", "store", "cached_2x"}
    assert all(rate > 0 for rate in rates.values())


def test_no_store_is_made_where_none_is_wanted(tmp_path):
    assert set(measured(tmp_path, store=False)) == {"native", "cached_2x"}
    assert not (tmp_path / "store").exists()


@pytest.mark.real
@pytest.mark.slow
@pytest.mark.parametrize(("name", "times"), [("idrid", 2), ("idrid_cpu", 3)])
def test_the_store_is_worth_its_disk_on_real_idrid(idrid, tmp_path, name, times):
    """Measured: 4.7 and 8 times as fast as decoding every sample."""
    command = ["throughput", "--config", str(ROOT / "config" / f"{name}.yaml"), "--dataset", "IDRiD"]
    assert main([*command, "--manifest", str(idrid), "--output", str(tmp_path / "record.json")]) == 0
    rates = provenance.read_json(tmp_path / "record.json")["samples_per_second"]
    assert rates["store"] > times * rates["native"]
