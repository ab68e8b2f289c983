"""Configuration: read, validate against the schema, fill defaults, cut out what one run depends on."""

import argparse
import copy
import difflib
import hashlib
import json
import os
import shlex
import subprocess
from pathlib import Path

import jsonschema
import yaml

import operators
from rfbench.data import LESIONS
from rfbench.data.archive import open_source
from rfbench.errors import DataError, RFBenchError

# What the paper fixes per data set (v2, "Implementation details"; authors' configurations).
PUBLISHED_DATASETS = {
    "idrid": {"scale": [1440, 960], "crop": [1440, 960], "iterations": 40000},
    "ddr": {"scale": [1024, 1024], "crop": [1024, 1024], "iterations": 60000},
}
# Mean and standard deviation of the training images in RGB, as in the authors' configurations.
PUBLISHED_NORMALISATION = {
    "idrid": {"mean": [116.513, 56.437, 16.309], "std": [80.206, 41.232, 13.293]},
    "ddr": {"mean": [81.205, 50.636, 21.216], "std": [76.252, 48.798, 21.625]},
}
TECHNICAL = ("workers", "checkpoint_interval", "log_interval")  # change no number of a run
SCHEMA = Path(__file__).parents[1] / "schemas" / "config.schema.yaml"


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
    except yaml.YAMLError as error:
        raise ConfigError(f"{path}: not readable as YAML: {error}") from None
    if not isinstance(config, dict):
        raise ConfigError(f"{path}: a mapping of keys is expected, found {type(config).__name__}.")
    return complete(config, str(path))


def complete(config: dict, origin: str = "configuration") -> dict:
    """Validate a configuration and return a copy in which every default is filled in.

    Raises:
        ConfigError: one sentence per problem, each with its key; all problems at once.
    """
    schema = yaml.safe_load(SCHEMA.read_text())
    config = copy.deepcopy(config)
    if isinstance(config.get("seeds"), list):  # Snakemake hands `--config seeds=[0,1]` over as texts
        config["seeds"] = [int(s) if isinstance(s, str) and s.isdigit() else s for s in config["seeds"]]
    errors = sorted(jsonschema.Draft202012Validator(schema).iter_errors(config), key=lambda e: list(map(str, e.path)))
    problems = [_sentence(error, schema) for error in errors]
    if not problems:
        _fill(config, schema, schema)
        for dataset in config["datasets"].values():
            dataset.setdefault("eval_size", "prepared" if published_layout(dataset) == "ddr" else "native")
        problems = _cross_checks(config)
    if problems:
        raise ConfigError("\n".join(f"{origin}: {problem}" for problem in problems))
    return config


def _sentence(error: jsonschema.ValidationError, schema: dict) -> str:
    key = ".".join(map(str, error.absolute_path)) or "top level"
    if error.validator == "additionalProperties" and isinstance(error.instance, dict):
        known = error.schema.get("properties", {})
        unknown = [name for name in error.instance if name not in known]
        near = difflib.get_close_matches(unknown[0], known, n=1)
        hint = f" Did you mean {near[0]}?" if near else f" Known keys: {', '.join(known)}."
        return f"{key}: unknown key {', '.join(unknown)}.{hint}"
    if error.validator == "oneOf":
        return f"{key}: expected {error.schema.get('description', 'another form')} Found {error.instance!r}."
    return f"{key}: {error.message}."


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


def _cross_checks(config: dict) -> list[str]:
    """What a schema cannot say: registered pairs, names of synthetic sets, sizes that fit together."""
    problems = []
    known = operators.available()
    for pair in config["pairs"]:
        if pair not in known:
            near = difflib.get_close_matches(pair, known, n=1)
            hint = f"Did you mean {near[0]}?" if near else "`rfbench operators` lists them."
            problems.append(f"pairs: unknown pair {pair}. {hint}")
    for name, dataset in config["datasets"].items():
        if (dataset["kind"] == "synthetic") != name.startswith("SYN"):
            problems.append(
                f"datasets.{name}: names of synthetic data sets, and only theirs, begin with SYN, "
                "so that no table can hide it."
            )
        if dataset["kind"] != "folder" and tuple(dataset["lesions"]) != LESIONS:
            problems.append(
                f"datasets.{name}.lesions: expected {', '.join(LESIONS)}, the masks of kind {dataset['kind']}, "
                f"found {', '.join(dataset['lesions'])}. Other lesions need kind folder."
            )
    recipe = config["recipe"]
    if recipe["batch_size"] % recipe["micro_batches"]:
        problems.append(
            f"recipe.micro_batches: must divide batch_size {recipe['batch_size']}, found {recipe['micro_batches']}."
        )
    if recipe["ratio"][0] > recipe["ratio"][1]:
        problems.append(f"recipe.ratio: expected [smallest, largest], found {recipe['ratio']}.")
    return problems


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


def published_layout(dataset: dict) -> str:
    """Which published protocol a data set's section follows: idrid, ddr, or folder for none."""
    return dataset["synthetic"]["layout"] if dataset["kind"] == "synthetic" else dataset["kind"]


def evaluation_settings(config: dict, dataset: str) -> dict:
    """Everything in a complete configuration that says how a data set's runs are evaluated."""
    return {**config["evaluation"], "eval_size": config["datasets"][dataset]["eval_size"]}


def run_settings(config: dict, dataset: str, pair: str, seed: int) -> dict:
    """Everything in a complete configuration that can change the numbers of one run, and nothing else.

    Paths, intervals of logging, the evaluation and the other runs stay outside, so that editing them retrains nothing.
    """
    pair_operators = operators.operators_of(pair)
    options = config["model"]["operator_options"]
    return {
        "dataset": {
            "name": dataset,
            **{k: v for k, v in config["datasets"][dataset].items() if k not in ("source", "eval_size")},
        },
        "pair": pair,
        "seed": seed,
        "model": {
            **config["model"],
            "operator_options": {k: v for k, v in options.items() if k in pair_operators},
        },
        "recipe": {k: v for k, v in config["recipe"].items() if k not in TECHNICAL},
    }


def deviations(settings: dict) -> list[str]:
    """Where a run's settings differ from the published protocol, a few words each; empty for a reproduction."""
    defaults = yaml.safe_load(SCHEMA.read_text())["properties"]["recipe"]["properties"]
    model, dataset, recipe = settings["model"], settings["dataset"], settings["recipe"]
    found = [f"backbone {model['backbone']}"] * (model["backbone"] != "hrnetv2_w48")
    found += ["no ImageNet weights"] * (model["pretrained"] == "none")
    for operator, options in model["operator_options"].items():
        found.append(f"{operator} with {', '.join(f'{key} {value}' for key, value in options.items())}")
    if dataset["kind"] == "synthetic":
        made = dataset["synthetic"]
        size = f"{made['factor']:g} of the real size"
        found.append(f"synthetic images at {size}, lesions' contrast x{made['contrast']:g}")
    published = PUBLISHED_DATASETS.get(published_layout(dataset), {})
    found += [f"{key} {_plain(dataset[key])}" for key, value in published.items() if dataset[key] != value]
    for key, value in recipe.items():
        if key not in ("name", "threads") and value != defaults[key]["default"]:
            found.append(f"{key} {_plain(value)}")
    return found


def _plain(value) -> str:
    """A setting as words: sizes as 96x96, ranges as 0.5 to 2, mappings joined by spaces."""
    if isinstance(value, dict):
        return " ".join(f"{key} {item}" if key != "type" else str(item) for key, item in value.items())
    if isinstance(value, list):
        return ("x" if all(isinstance(item, int) for item in value) else " to ").join(map(str, value))
    return str(value)


def digest(value) -> str:
    """Short digest of a JSON-like value: the first 12 hexadecimal digits of its SHA-256."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def code_digest(*patterns: str) -> str:
    """Short digest of library files, given as patterns below the package `rfbench` or `operators`."""
    roots = {"rfbench": Path(__file__).parent, "operators": Path(operators.__file__).parent}
    files = {}
    for pattern in patterns:
        package, _, rest = pattern.partition("/")
        found = sorted(roots[package].glob(rest))
        if not found:
            raise FileNotFoundError(f"code_digest: {pattern} names no file")
        files.update({f"{package}/{f.relative_to(roots[package])}": f.read_bytes() for f in found})
    return digest({name: hashlib.sha256(data).hexdigest() for name, data in files.items()})


def visible_gpus() -> int:
    """Number of NVIDIA GPUs that this process may use, 0 where there is no driver."""
    if "CUDA_VISIBLE_DEVICES" in os.environ:
        return len([d for d in os.environ["CUDA_VISIBLE_DEVICES"].split(",") if d.strip()])
    try:
        listing = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, check=True).stdout
    except (FileNotFoundError, subprocess.CalledProcessError):
        return 0
    return len([line for line in listing.splitlines() if line.startswith("GPU ")])
