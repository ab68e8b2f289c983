"""Reading a configuration: the file, the schema, the defaults."""

import argparse
import copy
import os
from pathlib import Path

import yaml

import operators
from rfbench.config.checks import cross_checks, schema_problems
from rfbench.config.protocol import SCHEMA, published_layout
from rfbench.errors import RFBenchError


class ConfigError(RFBenchError):
    """A configuration that cannot be run; the message names the key, what was expected and what was found."""


def add_argument(parser: argparse.ArgumentParser, required: bool = True) -> None:
    """Declare `--config`, which the pipeline's jobs find in the environment."""
    default = os.environ.get("RFBENCH_CONFIG")
    sentence = "configuration file (default: $RFBENCH_CONFIG, which the pipeline sets)"
    parser.add_argument("--config", type=Path, default=default, required=required and default is None, help=sentence)


def load(path: str | Path) -> dict:
    """Read a YAML configuration and return it complete (see `complete`).

    Raises:
        ConfigError: the file is missing, no YAML mapping, or not valid.
    """
    path = Path(path)
    try:
        config = yaml.safe_load(path.read_text())
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such configuration file; config/ holds the shipped ones.") from None
    except OSError as error:
        raise ConfigError(
            f"{path}: expected a configuration file, found one that cannot be read ({error.strerror})."
        ) from None
    except yaml.YAMLError as error:
        raise ConfigError(f"{path}: not readable as YAML: {error}") from None
    if not isinstance(config, dict):
        raise ConfigError(f"{path}: a mapping of keys is expected, found {type(config).__name__}.")
    return complete(config, str(path))


def complete(config: dict, origin: str = "configuration", registry: bool = True) -> dict:
    """Validate a configuration and return a copy in which every default is filled in.

    Args:
        config: as the user wrote it.
        origin: named in each sentence.
        registry: look up pairs and options, for which the operator files, and torch, are imported. Without,
            `pairs: all` and `pairs: paper` stay as they are.

    Raises:
        ConfigError: one sentence per problem, each with its key; all problems at once.
    """
    schema = yaml.safe_load(SCHEMA.read_text())
    config = copy.deepcopy(config)
    # Snakemake hands `--config seeds=[0,1] paper_rows_only=true` over as texts.
    if isinstance(config.get("seeds"), list):
        config["seeds"] = [int(s) if isinstance(s, str) and s.isdigit() else s for s in config["seeds"]]
    if config.get("paper_rows_only") in ("true", "false"):
        config["paper_rows_only"] = config["paper_rows_only"] == "true"
    problems = schema_problems(config, schema)
    if not problems:
        _fill(config, schema, schema)
        if registry and isinstance(config["pairs"], str):
            config["pairs"] = operators.published() if config["pairs"] == "paper" else operators.available()
        for dataset in config["datasets"].values():
            dataset.setdefault("eval_size", "prepared" if published_layout(dataset) == "ddr" else "native")
        config["profile"].setdefault("size", next(iter(config["datasets"].values()))["scale"])
        problems = cross_checks(config, registry)
    if problems:
        raise ConfigError("\n".join(f"{origin}: {problem}" for problem in problems))
    return config


def _fill(value, schema: dict, root: dict) -> None:
    """Fill the defaults of every mapping below `value` in place."""
    if "$ref" in schema:
        schema = root["$defs"][schema["$ref"].rsplit("/", 1)[1]]
    if not isinstance(value, dict):
        return
    for key, sub in schema.get("properties", {}).items():
        if "default" in sub:
            value.setdefault(key, copy.deepcopy(sub["default"]))
        if key in value:
            _fill(value[key], sub, root)
    extra = schema.get("additionalProperties")
    if isinstance(extra, dict):
        for key in value.keys() - schema.get("properties", {}).keys():
            _fill(value[key], extra, root)
