"""What a configuration means: its runs, the networks behind their names, what a sweep varies."""

import re
from dataclasses import dataclass

import operators
from rfbench import competitors
from rfbench.competitors import methods
from rfbench.settings.models import Pretrained, Recipe, Settings, Training


def run_names(settings: Settings) -> list[tuple[str, str, int]]:
    """The runs of a configuration: (data set, competitor, seed), in the configuration's order."""
    if settings.paper_rows_only:
        from rfbench.published import printed_rows  # pandas, which most commands need not wait for
    return [
        (name, competitor, seed)
        for name, dataset in settings.datasets.items()
        for competitor in (*settings.pairs, *variants(settings), *settings.methods)
        if not settings.paper_rows_only or competitors.row(competitor) in printed_rows(dataset.layout)
        for seed in settings.seeds
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


def variants(settings: Settings) -> dict[str, Variant]:
    """The variants of a configuration's `sweep` by name, without those that equal the pair's own setting."""
    return {variant.name: variant for variant in swept_variants(settings)}


def swept_variants(settings: Settings) -> list[Variant]:
    """The same, each of them, were two of the same name."""
    found = []
    for pair, swept in settings.sweep.items():
        for operator, options in swept.items():
            own = effective_options(settings, pair)[operator]
            for option, values in options.items():
                found += [Variant(pair, operator, option, value) for value in values if value != own[option]]
    return found


def swept_options(settings: Settings, name: str) -> dict:
    """All options of the operators that the configuration sweeps for this competitor, with the values it has."""
    pair, _ = network(settings, name)  # or a method, of which nothing is swept
    if not settings.sweep.get(pair):
        return {}
    own = effective_options(settings, name)
    return {option: value for operator in settings.sweep[pair] for option, value in own[operator].items()}


def effective_options(settings: Settings, name: str) -> dict[str, dict]:
    """Every option of a pair's or variant's operators: operator -> option -> value."""
    variant = variants(settings).get(name) if name not in operators.available() else None
    given = settings.model.operator_options
    options = {
        operator: {**operators.defaults(operator), **given.get(operator, {})}
        for operator in operators.operators_of(variant.pair if variant else name)
    }
    if variant:
        options[variant.operator][variant.option] = variant.value
    return options


def network(settings: Settings, name: str) -> tuple[str, dict]:
    """The registered pair behind a pair's or variant's name, and the options that its operators are given.

    A method is its own name, its options by it.
    """
    if name in settings.methods:
        given = settings.model.method_options.get(name, {})
        return name, {name: dict(given)} if given else {}
    variant = variants(settings).get(name)
    pair = variant.pair if variant else name
    given = settings.model.operator_options
    options = {operator: dict(given[operator]) for operator in operators.operators_of(pair) if operator in given}
    if variant:
        options.setdefault(variant.operator, {})[variant.option] = variant.value
    return pair, options


def recipe_of(settings: Settings, name: str) -> Recipe:
    """The recipe of a pair, variant or method: the configuration's, with what a method declares or is given instead."""
    if name not in settings.methods:
        return settings.recipe
    own = dict(methods.method(name).recipe) | settings.method_recipes.get(name, {})
    if not own:
        return settings.recipe
    return Recipe.model_validate({**settings.recipe.model_dump(mode="json"), **own})


def own_recipe(name: str) -> dict[str, object]:
    """The keys of the recipe that a method declares, completed; nothing of a pair."""
    declared = methods.method(name).recipe if competitors.is_method(name) else {}
    whole = Training.model_validate(dict(declared))
    return {key: getattr(whole, key) for key in declared}


def pretrained_of(settings: Settings, name: str) -> Pretrained | None:
    """The ImageNet weights that a pair, variant or method begins with; None for none."""
    return settings.model.method_pretrained.get(name) if name in settings.methods else settings.model.pretrained


def every_pretrained(settings: Settings) -> dict[str, Pretrained]:
    """The ImageNet weights of a configuration by the key that gives them."""
    found = {"model.pretrained": settings.model.pretrained} if settings.model.pretrained else {}
    own = settings.model.method_pretrained
    return found | {f"model.method_pretrained.{name}": own[name] for name in settings.methods if name in own}
