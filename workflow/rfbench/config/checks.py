"""What can be wrong with a configuration, one sentence each: the key, what was expected, what was found."""

import difflib
from math import isfinite

import jsonschema

import operators
from rfbench.config.experiment import network, runs, variants
from rfbench.config.protocol import plain, published_layout
from rfbench.data import LESIONS
from rfbench.errors import RFBenchError

IDRID_FRAME = (2848, 4288)  # px: every IDRiD image's sides
MIN_SIZE = 64  # px: HRNet's lowest branch needs two rows and columns
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


def schema_problems(config: dict, schema: dict) -> list[str]:
    """Where a configuration departs from the schema, in the order of its keys."""
    errors = sorted(_Validator(schema).iter_errors(config), key=lambda e: list(map(str, e.path)))
    return list(dict.fromkeys(_sentence(error) for error in errors))


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


def cross_checks(config: dict, registry: bool) -> list[str]:
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
            f".crop: expected at most {largest}, the scale times the largest ratio, found {plain(dataset['crop'])}."
        )
    if published_layout(dataset) == "idrid" and dataset["eval_size"] == "native":
        factor = min(large / frame for large, frame in zip(scale, IDRID_FRAME, strict=True))
        if factor * IDRID_FRAME[0] < MIN_SIZE:
            height, width = (round(factor * side) for side in IDRID_FRAME)
            problems.append(
                f".scale: expected room for images of at least {MIN_SIZE} px, found {plain(dataset['scale'])}, "
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
        problems.append("pairs: expected operator pairs, `paper` or `all`, found none. `rfbench operators` lists them.")
    if not problems and config["paper_rows_only"] and not config["sweep"]:
        trained = {dataset for dataset, _, _ in runs(config)}
        problems = [
            f"paper_rows_only: the paper's tables print none of the configured pairs on datasets.{dataset} "
            f"(kind {section['kind']}). Leave the data set or the key out."
            for dataset, section in config["datasets"].items()
            if dataset not in trained
        ]
    return problems
