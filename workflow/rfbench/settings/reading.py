"""Reading a configuration: the file, its keys, their defaults, and whether they go together."""

import copy
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

import operators
from rfbench.competitors import methods
from rfbench.settings.checks import cross_checks
from rfbench.settings.models import Settings
from rfbench.settings.sentences import sentences
from rfbench.settings.yamlfile import ConfigError, read_yaml


def read(path: str | Path) -> dict:
    """A configuration file as its user wrote it.

    Raises:
        ConfigError: the file cannot be read strictly (see `read_yaml`), or holds no mapping.
    """
    written = read_yaml(Path(path))
    if not isinstance(written, dict):
        raise ConfigError(f"{path}: a mapping of keys is expected, found {type(written).__name__}.")
    return written


def load(path: str | Path, registry: bool = True) -> Settings:
    """Read a configuration file, check and complete it; `registry` as `complete` has it.

    Raises:
        ConfigError: the file cannot be read (see `read`), or is not valid (see `complete`).
    """
    return complete(read(path), str(path), registry)


def complete(written: Mapping[str, Any], origin: str = "configuration", registry: bool = True) -> Settings:
    """Check a configuration and fill in every default.

    Args:
        written: as the user wrote it.
        origin: named in each sentence.
        registry: look up pairs and options, for which the operator files, and torch, are imported. Without,
            `all` and `paper` name no pairs and no methods.

    Raises:
        ConfigError: one sentence per problem, each with its key; all problems at once.
    """
    values = _from_command_line(copy.copy(dict(written)))
    for key, known in (("pairs", operators), ("methods", methods)):
        if values.get(key) in ("all", "paper"):
            named = known.available if values[key] == "all" else known.published
            values[key] = named() if registry else []
    try:
        settings = Settings.model_validate(values)
        problems = cross_checks(settings, registry)
    except ValidationError as error:
        problems = sentences(error)
    if problems:
        raise ConfigError(*(f"{origin}: {problem}" for problem in problems))
    return settings


def _from_command_line(values: dict[str, Any]) -> dict[str, Any]:
    """Snakemake hands `--config seeds=[0,1] retrain=true keep_hours=2` over as texts."""
    if isinstance(values.get("seeds"), list):
        digits = re.compile("0|[1-9][0-9]{0,9}")
        values["seeds"] = [int(s) if isinstance(s, str) and digits.fullmatch(s) else s for s in values["seeds"]]
    for key in ("paper_rows_only", "retrain"):
        if values.get(key) in ("true", "false"):
            values[key] = values[key] == "true"
    hours = values.get("keep_hours")
    if isinstance(hours, str) and re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,9})?", hours):
        values["keep_hours"] = float(hours)
    return values
