"""Which published protocol a data set follows, and where a run departs from it."""

from pathlib import Path

import yaml

from rfbench.published.protocol import PUBLISHED_DATASETS

SCHEMA = Path(__file__).parents[2] / "schemas" / "config.schema.yaml"  # its defaults are the published recipe


def published_layout(dataset: dict) -> str:
    """Which published protocol a data set's section follows: idrid, ddr, or folder for none."""
    return dataset["synthetic"]["layout"] if dataset["kind"] == "synthetic" else dataset["kind"]


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
    found += [f"{key} {plain(dataset[key])}" for key, value in published.items() if dataset[key] != value]
    for key, value in recipe.items():
        if key not in ("name", "threads") and value != defaults[key]["default"]:
            found.append(f"{key} {plain(value)}")
    return found


def plain(value) -> str:
    """A setting as words: sizes as 96x96, ranges as 0.5 to 2, mappings joined by spaces."""
    if isinstance(value, dict):
        return " ".join(f"{key} {item}" if key != "type" else str(item) for key, item in value.items())
    if isinstance(value, list):
        return ("x" if all(isinstance(item, int) for item in value) else " to ").join(map(str, value))
    return str(value)
