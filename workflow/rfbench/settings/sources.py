"""Archives and weight files that a configuration names."""

import os
import re
from pathlib import Path

from rfbench.competitors import methods
from rfbench.settings.experiment import every_pretrained, pretrained_of
from rfbench.settings.models import Dataset, MethodWeights, Pretrained, Settings

ADDRESS = re.compile(r"https?://[!-~]+")  # printable ASCII without spaces


def missing_sources(settings: Settings) -> list[str]:
    """Sentences that name the archives and weight files of a configuration that are not there."""
    missing = []
    for name, dataset in settings.datasets.items():
        if dataset.source is not None and not source_path(dataset).exists():
            missing.append(
                f"datasets.{name}.source: {source_path(dataset)} does not exist. "
                "Download the archive (README, Data) and give its path, or set RFBENCH_DATA to its folder."
            )
    for key, pretrained in every_pretrained(settings).items():
        path = expand(pretrained.source)
        if not (is_address(pretrained.source) or Path(path).exists() or _kept(settings, pretrained).exists()):
            missing.append(
                f"{key}.source: {path} does not exist. Give the checkpoint's path, its address (https://…), or "
                f"{_without(key, pretrained)}"
            )
    return missing


def _without(key: str, pretrained: Pretrained) -> str:
    """How to do without these weights, and where a method's are found."""
    if not isinstance(pretrained, MethodWeights):
        return "`none`."
    about = methods.method(key.rpartition(".")[2]).weights[pretrained.file]
    return f"leave the key out. The file is called {about.file}: {about.where}."


def weights_file(settings: Settings, competitor: str) -> Path | None:
    """Where the ImageNet weights of a competitor are kept, once fetched; None where it has none."""
    pretrained = pretrained_of(settings, competitor)
    return _kept(settings, pretrained) if pretrained else None


def _kept(settings: Settings, pretrained: Pretrained) -> Path:
    return Path(settings.results, "weights", f"{pretrained.name}.pth")


def is_address(source: str) -> bool:
    """Whether a source is the address of a file to download; anything else is a path."""
    return ADDRESS.fullmatch(source) is not None


def expand(text: str) -> str:
    """Expand $VARIABLES and ~; an unset RFBENCH_DATA stands for the folder data/."""
    return os.path.expanduser(os.path.expandvars(text.replace("$RFBENCH_DATA", os.environ.get("RFBENCH_DATA", "data"))))


def source_path(dataset: Dataset) -> Path:
    """Path of a real data set's archive or folder, with its variables expanded."""
    return Path(expand(dataset.source))


def preparation(dataset: Dataset) -> list[str]:
    """Arguments of `rfbench prepare` for one data set."""
    part = dataset.validation
    held = [] if part is None else ["--validation", str(part.count), "--validation-seed", str(part.seed)]
    if dataset.synthetic:
        made = dataset.synthetic.model_dump(mode="json")
        return ["synthetic", *(word for key, value in made.items() for word in (f"--{key}", str(value))), *held]
    lesions = ["--lesions", *dataset.lesions] if dataset.kind == "folder" else []
    # The path in one word, as it may begin with a dash; the lesions last, as they are several.
    return [dataset.kind, f"--source={source_path(dataset)}", *held, *lesions]
