"""What a complete configuration means: its runs, the networks behind their names, the settings of each."""

import re
from dataclasses import dataclass

import operators
from rfbench.config.protocol import printed_rows, published_layout

TECHNICAL = ("store", "workers", "checkpoint_interval", "log_interval", "time_limit")  # change no number of a run


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


def network(config: dict, name: str) -> tuple[str, dict]:
    """The registered pair behind a pair's or variant's name, and the options that its operators are given."""
    variant = variants(config).get(name)
    pair = variant.pair if variant else name
    given = config["model"]["operator_options"]
    options = {operator: dict(given[operator]) for operator in operators.operators_of(pair) if operator in given}
    if variant:
        options.setdefault(variant.operator, {})[variant.option] = variant.value
    return pair, options


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


def evaluation_settings(config: dict, dataset: str) -> dict:
    """Everything in a complete configuration that says how a data set's runs are evaluated."""
    return {**config["evaluation"], "eval_size": config["datasets"][dataset]["eval_size"]}


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
