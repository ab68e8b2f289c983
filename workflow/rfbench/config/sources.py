"""Archives and weight files that a configuration names."""

import os
import shlex
from pathlib import Path

from rfbench.data.archive import open_source
from rfbench.errors import DataError
from rfbench.provenance import digest


def missing_sources(config: dict) -> list[str]:
    """Sentences that name the archives and weight files of a complete configuration that are not there."""
    missing = []
    for name, dataset in config["datasets"].items():
        if dataset["kind"] != "synthetic" and not source_path(dataset).exists():
            missing.append(
                f"datasets.{name}.source: {source_path(dataset)} does not exist. "
                "Download the archive (README, Data) and give its path, or set RFBENCH_DATA to its folder."
            )
    pretrained = config["model"]["pretrained"]
    if pretrained != "none" and "://" not in pretrained["source"]:
        path = Path(expand(pretrained["source"]))
        if not path.exists():
            missing.append(
                f"model.pretrained.source: {path} does not exist. Give the checkpoint's path or URL, or `none`."
            )
    return missing


def expand(text: str) -> str:
    """Expand $VARIABLES and ~; an unset RFBENCH_DATA stands for the folder data/."""
    return os.path.expanduser(os.path.expandvars(text.replace("$RFBENCH_DATA", os.environ.get("RFBENCH_DATA", "data"))))


def source_path(dataset: dict) -> Path:
    """Path of a real data set's archive or folder, with its variables expanded."""
    return Path(expand(dataset["source"]))


def source_fingerprint(dataset: dict) -> str:
    """Digest of an archive's table of contents (names, sizes, checksums), read without reading the archive.

    It changes with the content, neither with the archive's date nor with its place; `absent` if there is none.
    """
    path = source_path(dataset)
    if not path.exists():
        return "absent"
    try:
        source = open_source(path)
    except DataError:  # `rfbench prepare` says what is wrong with it
        return "unreadable"
    return digest([entry if source.is_zip else entry[:2] for entry in source.contents()])


def preparation(dataset: dict) -> str:
    """Arguments of `rfbench prepare` for one data set's section, quoted for a shell."""
    if dataset["kind"] == "synthetic":
        return "synthetic " + " ".join(f"--{key} {value}" for key, value in dataset["synthetic"].items())
    words = [dataset["kind"], "--source", str(source_path(dataset))]
    return shlex.join(words + (["--lesions", *dataset["lesions"]] if dataset["kind"] == "folder" else []))
