"""The smallest training, which several test files start."""

from pathlib import Path

import torch

from rfbench import runs
from rfbench.evaluation.run import evaluate
from rfbench.settings import Settings, Training, complete, run_settings
from rfbench.training import loop, train

PAIR = "m2mrf_a"


def make_settings(**recipe) -> Settings:
    """The configuration of the smallest network, six updates."""
    return complete(
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


def changed(section, path: str, value):
    """A copy of settings in which the key of a dotted path has another value, be it allowed or not."""
    key, _, rest = path.partition(".")
    own = section[key] if isinstance(section, dict) else getattr(section, key)
    update = {key: changed(own, rest, value) if rest else value}
    return {**section, **update} if isinstance(section, dict) else section.model_copy(update=update)


def plain(settings: Settings) -> dict:
    """Settings as a configuration file holds them."""
    return settings.model_dump(mode="json")


def run(settings: Settings, manifest: Path, folder: Path, seed: int = 0, dataset: str = "SYN") -> dict:
    """Train in a folder."""
    of_run = run_settings(settings, dataset, PAIR, seed)
    files = {"work": folder / "work", "output": folder / "train.json"}
    return train.train(of_run, settings.recipe, settings.device, manifest=manifest, **files)


def evaluated(settings: Settings, dataset: str, pair: str, seed: int, manifest: Path, *files: Path) -> dict:
    """Evaluate a run; files: its training's record, work folder, the record to write, ImageNet weights if any."""
    names = ("train_record", "work", "output", "weights")
    named = dict(zip(names, files, strict=False))
    return evaluate(runs.of(settings, dataset, pair, seed), settings.device, manifest=manifest, **named)


def weights(folder: Path) -> dict:
    """The trained tensors."""
    return torch.load(folder / "work" / "model.pth", weights_only=True)["state_dict"]


def same(a: dict, b: dict) -> bool:
    """Whether two state dicts are bit-identical."""
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def stop_after(monkeypatch, updates: int, error: BaseException) -> None:
    """Let every training end with an error after so many updates and the checkpoint due then."""
    original = loop.learning_rate

    def stopping(done: int, total: int, recipe: Training) -> float:
        if done == updates:  # of the update that begins
            raise error
        return original(done, total, recipe)

    monkeypatch.setattr(loop, "learning_rate", stopping)
