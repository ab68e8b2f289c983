"""What can be wrong with a configuration beyond its types, one sentence each: the key, what was expected and found."""

from collections import Counter
from collections.abc import Mapping

from pydantic import ValidationError

import operators
from rfbench import competitors
from rfbench.checked import shown
from rfbench.competitors import methods
from rfbench.errors import printable
from rfbench.names import LESIONS, MIN_SIZE
from rfbench.settings.experiment import recipe_of, run_names, swept_variants
from rfbench.settings.models import Dataset, Recipe, Settings, Training
from rfbench.settings.sentences import near, plain, sentences
from rfbench.settings.types import MAX_SIZE

IDRID_FRAME = (2848, 4288)  # px: every IDRiD image's sides
IDRID_TRAINING = 54  # images
OF_THE_MACHINE = ("threads", "gpus")  # keys of the recipe that the rules ask for, the same for every run
LONGEST_NAME = 100  # of a pair's variant, part of file names
_KINDS = {bool: "true or false", int: "a number", float: "a number", str: "a text", list: "a list", tuple: "a list",
          dict: "a mapping", type(None): "null"}  # fmt: skip


def cross_checks(settings: Settings, registry: bool) -> list[str]:
    """What types cannot say: registered competitors and options, names of synthetic sets, sizes that fit together."""
    problems = []
    if registry:
        problems += _pair_problems(settings)
        problems += _option_problems("model.operator_options", settings.model.operator_options)
        problems += _method_problems(settings)
        problems += _sweep_problems(settings)
    for name, dataset in settings.datasets.items():
        problems += [f"datasets.{name}{problem}" for problem in _dataset_problems(name, dataset, settings)]
    return problems + _recipe_problems(settings.recipe, settings.device)


def _dataset_problems(name: str, dataset: Dataset, settings: Settings) -> list[str]:
    """Each begins with its key below the data set."""
    problems, made = [], dataset.synthetic
    if (dataset.kind == "synthetic") != name.startswith("SYN"):
        problems.append(
            ": names of synthetic data sets, and only theirs, begin with SYN, so that no table can hide it."
        )
    for key, stray in (("source", dataset.kind == "synthetic"), ("synthetic", dataset.kind != "synthetic")):
        if stray and getattr(dataset, key) is not None:
            problems.append(f".{key}: expected none for kind {dataset.kind}. Leave the key out, or correct the kind.")
    if dataset.kind != "folder" and dataset.lesions != LESIONS:
        problems.append(
            f".lesions: expected {', '.join(LESIONS)}, the masks of kind {dataset.kind}, "
            f"found {', '.join(dataset.lesions)}. Other lesions need kind folder."
        )
    for key in ("licence", "attribution"):
        if dataset.photographs == "publish" and getattr(dataset, key) is None:
            problems.append(
                f".{key}: expected a text, since photographs is publish, found none. Give it, or keep them local."
            )
    if dataset.layout == "idrid" and made and made.val:
        problems.append(f".synthetic.val: expected 0, since IDRiD has no validation split, found {made.val}.")
    without = dataset.layout == "idrid" or (made is not None and not made.val)
    if settings.evaluation.split == "val" and without and dataset.validation is None:
        problems.append(
            ": evaluation.split is val, but this data set has no validation images. The key validation makes some of "
            "the training images."
        )
    problems += _validation_problems(dataset)
    return problems + _size_problems(dataset, settings.recipe.ratio[1])


def _validation_problems(dataset: Dataset) -> list[str]:
    """What is known of a validation part before the data set is; own data, only their preparation knows."""
    part, made = dataset.validation, dataset.synthetic
    if part is None:
        return []
    if dataset.kind == "ddr" or (made and made.val):
        return [".validation: expected none, since this data set has validation images of its own (split val)."]
    training = made.train if made else IDRID_TRAINING if dataset.kind == "idrid" else None
    if training is not None and part.count >= training:
        return [f".validation.count: expected fewer than the {training} training images, found {part.count}."]
    return []


def _size_problems(dataset: Dataset, ratio: float) -> list[str]:
    """Sizes that no image can have."""
    problems = []
    scale, crop = sorted(dataset.scale), sorted(dataset.crop)  # portrait copies are fitted on their side
    largest = "x".join(f"{ratio * side:g}" for side in dataset.scale)
    if any(side > ratio * limit for side, limit in zip(crop, scale, strict=True)):
        problems.append(
            f".crop: expected at most {largest}, the scale times the largest ratio, found {plain(dataset.crop)}."
        )
    if ratio * max(scale) > MAX_SIZE:
        problems.append(
            f".scale: expected sides of at most {MAX_SIZE} px, which OpenCV can resample, times recipe.ratio, "
            f"found {largest}."
        )
    if dataset.layout == "idrid" and dataset.eval_size == "native":
        factor = min(large / frame for large, frame in zip(scale, IDRID_FRAME, strict=True))
        if factor * IDRID_FRAME[0] < MIN_SIZE:
            height, width = (round(factor * side) for side in IDRID_FRAME)
            problems.append(
                f".scale: expected room for images of at least {MIN_SIZE} px, found {plain(dataset.scale)}, "
                f"into which an IDRiD frame fits as {width}x{height}."
            )
    return problems


def _recipe_problems(recipe: Recipe, device: str) -> list[str]:
    problems = []
    optimizer = recipe.optimizer
    if recipe.batch_size % recipe.micro_batches:
        problems.append(
            f"recipe.micro_batches: must divide batch_size {recipe.batch_size}, found {recipe.micro_batches}."
        )
    elif recipe.batch_size // recipe.micro_batches % recipe.gpus:
        problems.append(
            f"recipe.gpus: must divide the {recipe.batch_size // recipe.micro_batches} images of a micro-batch, "
            f"found {recipe.gpus}."
        )
    if recipe.ratio[0] > recipe.ratio[1]:
        problems.append(f"recipe.ratio: expected [smallest, largest], found {list(recipe.ratio)}.")
    if optimizer.type != "SGD" and optimizer.momentum is not None:
        problems.append(f"recipe.optimizer.momentum: expected with SGD only, found with {optimizer.type}.")
    if recipe.min_lr > optimizer.lr:
        problems.append(f"recipe.min_lr: expected at most the starting rate {optimizer.lr}, found {recipe.min_lr}.")
    if device == "cpu":
        problems += needs_gpu(recipe)
    return problems


def _method_problems(settings: Settings) -> list[str]:
    """Methods, and what is configured of them; what of a recipe is wrong is said where it is given."""
    problems, known = [], methods.available()
    for name in settings.methods:
        if name not in known:
            problems.append(f"methods: unknown method {name}.{near(name, known)}")
        elif found := competitors.clash(name):
            problems.append(f"methods: {found}. Rename one.")
    sections = {
        "model.method_options": settings.model.method_options,
        "model.method_pretrained": settings.model.method_pretrained,
        "method_recipes": settings.method_recipes,
    }
    for section, given in sections.items():
        problems += [f"{section}.{printable(name)}: unknown method.{near(name, known)}"
                     for name in given if name not in known]  # fmt: skip
    if problems:
        return problems
    for name, given in settings.model.method_options.items():
        problems += _value_problems(f"model.method_options.{name}", given, methods.method(name).options)
    for name, given in settings.model.method_pretrained.items():
        if given.file not in (own := methods.method(name).weights):
            key = f"model.method_pretrained.{name}.file"
            problems.append(f"{key}: expected one of {', '.join(own) or 'none, as it starts from no file'}, "
                            f"found {given.file}.{near(given.file, own)}")  # fmt: skip
    for name in settings.methods:
        problems += _crop_problems(settings, name) + _own_recipe_problems(settings, name)
    return problems


def _crop_problems(settings: Settings, name: str) -> list[str]:
    """Data sets whose crops are smaller than the method's smallest image."""
    least = methods.method(name).minimum
    return [
        f"datasets.{key}.crop: expected at least {least}x{least} for the method {name}, found {plain(dataset.crop)}."
        for key, dataset in settings.datasets.items()
        if min(dataset.crop) < least
    ]


def _own_recipe_problems(settings: Settings, name: str) -> list[str]:
    """Keys of the recipe that a method declares, or is given, and that are none, or do not fit together."""
    given = settings.method_recipes.get(name, {})
    origin = f"method_recipes.{name}" if given else f"{methods.origin(name)}, recipe"
    allowed = [key for key in Training.model_fields if key not in OF_THE_MACHINE]
    for key in {**methods.method(name).recipe, **given}:
        if key not in allowed:
            return [f"{origin}: expected keys of the recipe that change numbers, found {key}.{near(key, allowed)}"]
    try:
        recipe = recipe_of(settings, name)
    except ValidationError as error:
        return [f"{origin}: {sentence}" for sentence in sentences(error)]
    if recipe == settings.recipe:
        return []
    return [f"{origin}: {problem}" for problem in _recipe_problems(recipe, settings.device)]


def needs_gpu(recipe: Training) -> list[str]:
    """What of a recipe a CPU cannot compute."""
    problems = []
    if recipe.amp == "float16":
        problems.append("recipe.amp: float16 needs a GPU, found device cpu. Use bfloat16 or none.")
    if recipe.tf32:
        problems.append("recipe.tf32: needs a GPU, found device cpu. Leave it out.")
    if recipe.gpus > 1:
        problems.append(f"recipe.gpus: needs {recipe.gpus} GPUs, found device cpu. Leave it out.")
    return problems


def _sweep_problems(settings: Settings) -> list[str]:
    problems = []
    for pair, swept in settings.sweep.items():
        if pair not in settings.pairs or pair not in operators.available():
            problems.append(f"sweep.{pair}: expected one of the configured pairs.{near(pair, settings.pairs)}")
            continue
        own = operators.operators_of(pair)
        for operator, options in swept.items():
            if operator not in own:
                key = f"sweep.{pair}.{printable(operator)}"
                problems.append(f"{key}: expected an operator of the pair.{near(operator, own)}")
                continue
            for k in range(max(map(len, options.values()))):
                nth = {option: values[k] for option, values in options.items() if k < len(values)}
                problems += _option_problems(f"sweep.{pair}", {operator: nth})
    if settings.sweep and settings.paper_rows_only:
        problems.append("sweep: expected without paper_rows_only, since no table but the ablation prints its runs.")
    return list(dict.fromkeys(problems)) or _name_problems(settings)


def _name_problems(settings: Settings) -> list[str]:
    """Names of a sweep's variants, which stand for pairs in the names of files."""
    problems, names = [], Counter(variant.name for variant in swept_variants(settings))
    for name, count in names.items():
        if name in operators.available():
            problems.append(f"sweep: its variant {name} has the name of a registered pair.")
        if count > 1:
            problems.append(f"sweep: {count} of its values would be named {name}. Keep one of them.")
        if len(name) > LONGEST_NAME:
            problems.append(f"sweep: expected names of at most {LONGEST_NAME} characters, found {shown(name)}.")
    return problems


def _option_problems(section: str, options: dict[str, dict]) -> list[str]:
    """Names and kinds of operator options; whether a value fits the network, only building it can tell."""
    problems = []
    known = {
        operator: operators.defaults(operator)
        for pair in operators.available()
        for operator in operators.operators_of(pair)
    }
    for operator, given in options.items():
        key = f"{section}.{printable(operator)}"
        if operator not in known:
            problems.append(f"{key}: unknown operator.{near(operator, known)}")
            continue
        problems += _value_problems(key, given, known[operator])
    return problems


def _value_problems(key: str, given: dict, known: Mapping[str, object]) -> list[str]:
    """Names and kinds of an operator's or a method's options; one that is null by default may be of any kind."""
    problems = []
    for option, value in given.items():
        if option not in known:
            problems.append(f"{key}: unknown option {printable(option)}.{near(option, known)}")
        elif known[option] is not None and _KINDS[type(value)] != (kind := _KINDS[type(known[option])]):
            problems.append(f"{key}.{option}: expected {kind}, found {shown(value)}.")
    return problems


def _pair_problems(settings: Settings) -> list[str]:
    problems = []
    known = operators.available()
    for pair in settings.pairs:
        if pair not in known:
            problems.append(f"pairs: unknown pair {pair}.{near(pair, known)}")
    if not settings.pairs and not settings.methods:
        problems.append(
            "pairs: expected operator pairs (`rfbench operators` lists them), `paper` or `all`, found none, "
            "and no methods either."
        )
    if not problems and settings.paper_rows_only and not settings.sweep:
        trained = {dataset for dataset, _, _ in run_names(settings)}
        problems = [
            f"paper_rows_only: the paper's tables print none of the configured pairs and methods on datasets.{name} "
            f"(kind {dataset.kind}). Leave the data set or the key out."
            for name, dataset in settings.datasets.items()
            if name not in trained
        ]
    return problems
