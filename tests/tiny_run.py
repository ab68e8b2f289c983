"""The smallest training, which several test files start."""

from pathlib import Path

import torch

from rfbench import config as configuration
from rfbench import runs
from rfbench.evaluation.run import evaluate
from rfbench.training import train

PAIR = "m2mrf_a"


def make_config(**recipe) -> dict:
    """A complete configuration of the smallest network, six updates."""
    return configuration.complete(
        {
            "pairs": [PAIR],
            "seeds": [0],
            "device": "cpu",
            "datasets": {
                "SYN": {
                    "kind": "synthetic",
                    "synthetic": {"train": 2, "test": 1, "factor": 0.1, "seed": 3},
                    "scale": [428, 284],
                    "crop": [96, 64],
                    "iterations": 6,
                    "mean": [116.513, 56.437, 16.309],
                    "std": [80.206, 41.232, 13.293],
                }
            },
            "model": {
                "backbone": "hrnetv2_embedded",
                "operator_options": {"m2mrf": {"patch_size": 4, "alpha": 16}},
            },
            "recipe": {"name": "test", "workers": 0, "log_interval": 1, "checkpoint_interval": 2, **recipe},
            "evaluation": {"untrained": True},
        }
    )


def run(config: dict, manifest: Path, folder: Path, seed: int = 0) -> dict:
    """Train in a folder."""
    return train.train(config, "SYN", PAIR, seed, manifest, folder / "work", folder / "train.json")


def evaluated(config: dict, dataset: str, pair: str, seed: int, manifest: Path, *files: Path) -> dict:
    """Evaluate a run; files: its training's record, work folder, the record to write, ImageNet weights if any."""
    names = ("train_record", "work", "output", "weights")
    return evaluate(
        runs.of(config, dataset, pair, seed), config, manifest=manifest, **dict(zip(names, files, strict=False))
    )


def weights(folder: Path) -> dict:
    """The trained tensors."""
    return torch.load(folder / "work" / "model.pth", weights_only=True)["state_dict"]


def same(a: dict, b: dict) -> bool:
    """Whether two state dicts are bit-identical."""
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)
