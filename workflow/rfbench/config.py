"""Configuration: read, validate against the schema, fill defaults, cut out what one run depends on."""

import argparse
import copy
import difflib
import functools
import hashlib
import json
import os
import re
import shlex
from dataclasses import dataclass
from math import isfinite
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
IDRID_FRAME = (2848, 4288)  # px: every IDRiD image's sides
MIN_SIZE = 64  # px: HRNet's lowest branch needs two rows and columns
TECHNICAL = ("workers", "checkpoint_interval", "log_interval", "time_limit")  # change no number of a run
# Mean and standard deviation of the training images in RGB, as in the authors' configurations.
PUBLISHED_NORMALISATION = {
    "idrid": {"mean": [116.513, 56.437, 16.309], "std": [80.206, 41.232, 13.293]},
    "ddr": {"mean": [81.205, 50.636, 21.216], "std": [76.252, 48.798, 21.625]},
}
SCHEMA = Path(__file__).parents[1] / "schemas" / "config.schema.yaml"
_KINDS = {"array": "a list", "object": "a mapping", "integer": "a whole number", "number": "a number",
          "string": "a text", "boolean": "true or false", "null": "null"}  # fmt: skip
_LIMITS = {"minimum": "at least", "exclusiveMinimum": "more than", "maximum": "at most",
           "minProperties": "a mapping of at least", "minItems": "a list of at least",
           "maxItems": "a list of at most"}  # fmt: skip


# Numbers are finite: YAML's .nan would pass every limit, since no comparison with it holds.
_NUMBERS = jsonschema.Draft202012Validator.TYPE_CHECKER.redefine(
    "number", lambda checker, value: checker.is_type(value, "integer") or (isinstance(value, float) and isfinite(value))
)
_Validator = jsonschema.validators.extend(jsonschema.Draft202012Validator, type_checker=_NUMBERS)


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
            `pairs: all` stays as it is.

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
    errors = sorted(_Validator(schema).iter_errors(config), key=lambda e: list(map(str, e.path)))
    problems = list(dict.fromkeys(_sentence(error) for error in errors))
    if not problems:
        _fill(config, schema, schema)
        if registry and config["pairs"] == "all":
            config["pairs"] = operators.available()
        for dataset in config["datasets"].values():
            dataset.setdefault("eval_size", "prepared" if published_layout(dataset) == "ddr" else "native")
        config["profile"].setdefault("size", next(iter(config["datasets"].values()))["scale"])
        problems = _cross_checks(config, registry)
    if problems:
        raise ConfigError("\n".join(f"{origin}: {problem}" for problem in problems))
    return config


def _sentence(error: jsonschema.ValidationError) -> str:
    key, found, limit = ".".join(map(str, error.absolute_path)) or "top level", error.instance, error.validator_value
    match error.validator:
        case "additionalProperties" if isinstance(found, dict):
            known = error.schema.get("properties", {})
            unknown = [name for name in found if name not in known]
            return f"{key}: unknown key {', '.join(map(str, unknown))}.{_near(unknown[0], known)}"
        case "required":
            missing = ", ".join(name for name in limit if name not in found)
            return f"{key}: expected the keys {', '.join(limit)}; {missing} is missing."
        case "type":
            expected = " or ".join(_KINDS[name] for name in ([limit] if isinstance(limit, str) else limit))
        case "enum":
            expected = f"one of {', '.join(map(str, limit))}"
        case "pattern":
            expected = error.schema.get("expected", f"the form {limit.strip('^$')}")
        case "uniqueItems":
            expected = "every entry once"
        case "oneOf":
            expected = error.schema.get("description", "another form").rstrip(".")
        case name if name in _LIMITS:
            expected = f"{_LIMITS[name]} {limit}"
        case _:
            return f"{key}: {error.message}."
    return f"{key}: expected {expected}, found {found!r}."


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


def _cross_checks(config: dict, registry: bool) -> list[str]:
    """What a schema cannot say: registered pairs and options, names of synthetic sets, sizes that fit together."""
    problems = []
    if registry:
        problems += _pair_problems(config)
        problems += _option_problems("model.operator_options", config["model"]["operator_options"])
        problems += _sweep_problems(config)
    for name, dataset in config["datasets"].items():
        problems += [f"datasets.{name}{problem}" for problem in _dataset_problems(name, dataset, config)]
    return problems + _recipe_problems(config)


def _dataset_problems(name: str, dataset: dict, config: dict) -> list[str]:
    """Each begins with its key below the data set."""
    problems = []
    if (dataset["kind"] == "synthetic") != name.startswith("SYN"):
        problems.append(
            ": names of synthetic data sets, and only theirs, begin with SYN, so that no table can hide it."
        )
    if dataset["kind"] != "folder" and tuple(dataset["lesions"]) != LESIONS:
        problems.append(
            f".lesions: expected {', '.join(LESIONS)}, the masks of kind {dataset['kind']}, "
            f"found {', '.join(dataset['lesions'])}. Other lesions need kind folder."
        )
    made, layout = dataset.get("synthetic", {}), published_layout(dataset)
    if layout == "idrid" and made.get("val"):
        problems.append(f".synthetic.val: expected 0, since IDRiD has no validation split, found {made['val']}.")
    without = layout == "idrid" or (dataset["kind"] == "synthetic" and not made["val"])
    if config["evaluation"]["split"] == "val" and without:
        problems.append(": evaluation.split is val, but this data set has no validation images.")
    return problems + _size_problems(dataset, config["recipe"]["ratio"][1])


def _size_problems(dataset: dict, ratio: float) -> list[str]:
    """Sizes that no image can have."""
    problems = []
    scale, crop = sorted(dataset["scale"]), sorted(dataset["crop"])  # portrait copies are fitted on their side
    if any(side > ratio * limit for side, limit in zip(crop, scale, strict=True)):
        largest = "x".join(f"{ratio * side:g}" for side in dataset["scale"])
        problems.append(
            f".crop: expected at most {largest}, the scale times the largest ratio, found {_plain(dataset['crop'])}."
        )
    if published_layout(dataset) == "idrid" and dataset["eval_size"] == "native":
        factor = min(large / frame for large, frame in zip(scale, IDRID_FRAME, strict=True))
        if factor * IDRID_FRAME[0] < MIN_SIZE:
            height, width = (round(factor * side) for side in IDRID_FRAME)
            problems.append(
                f".scale: expected room for images of at least {MIN_SIZE} px, found {_plain(dataset['scale'])}, "
                f"into which an IDRiD frame fits as {width}x{height}."
            )
    return problems


def _recipe_problems(config: dict) -> list[str]:
    problems, recipe = [], config["recipe"]
    optimizer = recipe["optimizer"]
    if recipe["batch_size"] % recipe["micro_batches"]:
        problems.append(
            f"recipe.micro_batches: must divide batch_size {recipe['batch_size']}, found {recipe['micro_batches']}."
        )
    if recipe["ratio"][0] > recipe["ratio"][1]:
        problems.append(f"recipe.ratio: expected [smallest, largest], found {recipe['ratio']}.")
    if optimizer["type"] != "SGD" and "momentum" in optimizer:
        problems.append(f"recipe.optimizer.momentum: expected with SGD only, found with {optimizer['type']}.")
    if recipe["min_lr"] > optimizer["lr"]:
        problems.append(
            f"recipe.min_lr: expected at most the starting rate {optimizer['lr']}, found {recipe['min_lr']}."
        )
    if recipe["amp"] == "float16" and config["device"] == "cpu":
        problems.append("recipe.amp: float16 needs a GPU, found device cpu. Use bfloat16 or none.")
    return problems


def _sweep_problems(config: dict) -> list[str]:
    problems = []
    for pair, swept in config["sweep"].items():
        if pair not in config["pairs"] or pair not in operators.available():
            problems.append(f"sweep.{pair}: expected one of the configured pairs.{_near(pair, config['pairs'])}")
            continue
        own = operators.operators_of(pair)
        for operator, options in swept.items():
            if operator not in own:
                problems.append(f"sweep.{pair}.{operator}: expected an operator of the pair.{_near(operator, own)}")
                continue
            for k in range(max(map(len, options.values()))):
                nth = {option: values[k] for option, values in options.items() if k < len(values)}
                problems += _option_problems(f"sweep.{pair}", {operator: nth})
    if config["sweep"] and config["paper_rows_only"]:
        problems.append("sweep: expected without paper_rows_only, since no table but the ablation prints its runs.")
    if not problems and (taken := variants(config).keys() & set(operators.available())):
        problems.append(f"sweep: its variant {min(taken)} has the name of a registered pair.")
    return list(dict.fromkeys(problems))


def _option_problems(section: str, options: dict) -> list[str]:
    """Names and kinds of operator options; whether a value fits the network, only building it can tell."""
    problems = []
    known = {
        operator: operators.defaults(operator)
        for pair in operators.available()
        for operator in operators.operators_of(pair)
    }
    for operator, given in options.items():
        key = f"{section}.{operator}"
        if operator not in known:
            problems.append(f"{key}: unknown operator.{_near(operator, known)}")
            continue
        for option, value in given.items():
            if option not in known[operator]:
                problems.append(f"{key}: unknown option {option}.{_near(option, known[operator])}")
            elif _kind(value) != (kind := _kind(known[operator][option])):
                problems.append(f"{key}.{option}: expected {_KINDS[kind]}, found {value!r}.")
    return problems


def _near(word: str, known) -> str:
    near = difflib.get_close_matches(str(word), known, n=1)
    return f" Did you mean {near[0]}?" if near else f" Known: {', '.join(known) or 'none'}."


def _kind(value) -> str:
    """Name of a value's kind in a schema."""
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, (int, float)):
        return "number"
    return {str: "string", list: "array", dict: "object"}.get(type(value), "null")


def network_problems(config: dict) -> list[str]:
    """Sentences about configured networks that cannot be built. Builds them without memory; half a second each."""
    import torch

    from rfbench.models import assemble

    model, problems = config["model"], []
    for name in (*config["pairs"], *variants(config)):
        pair, options = network(config, name)
        if model["backbone"] == "hrnetv2_w48" and not options:
            continue  # the paper's networks, which the tests build
        try:
            with torch.device("meta"):
                assemble(pair, model["backbone"], operator_options=options)
        except RFBenchError as error:
            problems.append(f"model.operator_options or sweep: {error}")
        except (ArithmeticError, RuntimeError, TypeError) as error:  # torch's, about a value that fits no layer
            problems.append(f"model.operator_options or sweep: cannot build {pair} with {options}: {error}")
    return problems


def _pair_problems(config: dict) -> list[str]:
    problems = []
    known = operators.available()
    for pair in config["pairs"]:
        if pair not in known:
            problems.append(f"pairs: unknown pair {pair}.{_near(pair, known)}")
    if not config["pairs"]:
        problems.append("pairs: expected operator pairs or `all`, found none. `rfbench operators` lists them.")
    if not problems and config["paper_rows_only"] and not config["sweep"]:
        trained = {dataset for dataset, _, _ in runs(config)}
        problems = [
            f"paper_rows_only: the paper's tables print none of the configured pairs on datasets.{dataset} "
            f"(kind {section['kind']}). Leave the data set or the key out."
            for dataset, section in config["datasets"].items()
            if dataset not in trained
        ]
    return problems


def runs(config: dict) -> list[tuple[str, str, int]]:
    """The runs of a complete configuration: (data set, pair or variant, seed), in the configuration's order."""
    return [
        (dataset, pair, seed)
        for dataset, section in config["datasets"].items()
        for pair in (*config["pairs"], *variants(config))
        if not config["paper_rows_only"]
        or operators.get(pair).published_name in printed_rows(published_layout(section))
        for seed in config["seeds"]
    ]


@dataclass(frozen=True)
class Variant:
    """A pair with one option of one of its operators changed by the configuration's `sweep`."""

    pair: str
    operator: str
    option: str
    value: object

    @property
    def name(self) -> str:
        """What stands for the pair in file names and on the command line."""
        value = re.sub("[^a-z0-9]+", "_", str(self.value).lower())
        return f"{self.pair}_{self.option}_{value}"


def variants(config: dict) -> dict[str, Variant]:
    """The variants of a configuration's `sweep` by name, without those that equal the pair's own setting."""
    found = {}
    for pair, swept in config["sweep"].items():
        for operator, options in swept.items():
            own = effective_options(config, pair)[operator]
            for option, values in options.items():
                made = [Variant(pair, operator, option, value) for value in values if value != own[option]]
                found |= {variant.name: variant for variant in made}
    return found


def swept_options(config: dict, name: str) -> dict:
    """All options of the operators that the configuration sweeps for this pair or variant, with the values it has."""
    pair, _ = network(config, name)
    own = effective_options(config, name)
    return {option: value for operator in config["sweep"].get(pair, {}) for option, value in own[operator].items()}


def effective_options(config: dict, name: str) -> dict[str, dict]:
    """Every option of a pair's or variant's operators: operator -> option -> value."""
    variant = variants(config).get(name) if name not in operators.available() else None
    given = config["model"]["operator_options"]
    options = {
        operator: {**operators.defaults(operator), **given.get(operator, {})}
        for operator in operators.operators_of(variant.pair if variant else name)
    }
    if variant:
        options[variant.operator][variant.option] = variant.value
    return options


@functools.cache
def printed_rows(layout: str) -> frozenset[str]:
    """Rows that the paper's operator tables print on data sets of this layout."""
    from rfbench.report.tables import TABLES, published_means  # pandas, which most commands need not wait for

    tables = [table for table in TABLES.values() if table.layout == layout and table.number]
    return frozenset(row for table in tables for row, _ in published_means(table))


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


def network(config: dict, name: str) -> tuple[str, dict]:
    """The registered pair behind a pair's or variant's name, and the options that its operators are given."""
    variant = variants(config).get(name)
    pair = variant.pair if variant else name
    given = config["model"]["operator_options"]
    options = {operator: dict(given[operator]) for operator in operators.operators_of(pair) if operator in given}
    if variant:
        options.setdefault(variant.operator, {})[variant.option] = variant.value
    return pair, options


def profile_settings(config: dict) -> dict:
    """Everything in a complete configuration that says what is profiled, and how."""
    return {
        **config["profile"],
        "pairs": config["pairs"],
        "backbone": config["model"]["backbone"],
        "operator_options": config["model"]["operator_options"],
        "threads": config["recipe"]["threads"],
        "device": config["device"],
    }


def run_settings(config: dict, dataset: str, pair: str, seed: int) -> dict:
    """Everything in a complete configuration that can change the numbers of one run, and nothing else.

    Paths, intervals of logging, the evaluation and the other runs stay outside, so that editing them retrains nothing.
    """
    pair, options = network(config, pair)
    return {
        "dataset": {
            "name": dataset,
            **{k: v for k, v in config["datasets"][dataset].items() if k not in ("source", "eval_size")},
        },
        "pair": pair,
        "seed": seed,
        "model": {
            **config["model"],
            "operator_options": options,
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
