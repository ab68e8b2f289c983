"""The measurement of the loader: both sources, the configuration's own augmentation."""

from rfbench.data.prepare import prepare_synthetic
from rfbench.profiling.throughput import measure
from rfbench.settings import complete


def test_both_sources_are_measured(tmp_path):
    section = {
        "kind": "synthetic", "synthetic": {"train": 1, "test": 1, "factor": 0.1, "seed": 0}, "scale": [100, 64],
        "crop": [64, 64], "iterations": 1, "mean": [1, 1, 1], "std": [1, 1, 1],
    }  # fmt: skip
    settings = complete({"pairs": ["maxpool_bilinear"], "datasets": {"SYN": section}})
    manifest = prepare_synthetic(tmp_path, train=1, test=1, factor=0.1, seed=0, progress=False)
    rates = measure(settings.datasets["SYN"], settings.recipe, manifest, samples=3)
    assert set(rates) == {"native", "cached_2x"}
    assert all(rate > 0 for rate in rates.values())
