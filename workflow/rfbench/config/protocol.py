"""The published protocol: what it fixes per data set, which rows it prints, where a run departs from it."""

import functools
from pathlib import Path

import yaml

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
SCHEMA = Path(__file__).parents[2] / "schemas" / "config.schema.yaml"  # its defaults are the published recipe


def published_layout(dataset: dict) -> str:
    """Which published protocol a data set's section follows: idrid, ddr, or folder for none."""
    return dataset["synthetic"]["layout"] if dataset["kind"] == "synthetic" else dataset["kind"]


@functools.cache
def printed_rows(layout: str) -> frozenset[str]:
    """Rows that the paper's operator tables print on data sets of this layout."""
    from rfbench.report.tables import TABLES, published_means  # pandas, which most commands need not wait for

    tables = [table for table in TABLES.values() if table.layout == layout and table.number]
    return frozenset(row for table in tables for row, _ in published_means(table))


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
