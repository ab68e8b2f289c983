"""Archives and weight files that a configuration names."""

import os
import re
from pathlib import Path

from rfbench.settings.models import Dataset, Settings

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
    pretrained, fetched = settings.model.pretrained, weights_file(settings)
    if pretrained and not (
        is_address(pretrained.source) or Path(expand(pretrained.source)).exists() or fetched.exists()
    ):
        missing.append(
            f"model.pretrained.source: {expand(pretrained.source)} does not exist. Give the checkpoint's path, its "
            "address (https://…), or `none`."
        )
    return missing


def weights_file(settings: Settings) -> Path | None:
    """Where the ImageNet weights are kept, once fetched; None where the configuration names none."""
    pretrained = settings.model.pretrained
    return Path(settings.results, "weights", f"{pretrained.name}.pth") if pretrained else None


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
