"""The papers' numbers as data (results.csv), and their readers. Nobody types a published number.

results.csv has one number a line: source (a version of the paper, or the authors' README), table, data set, split,
kind, name of the row, its paths and options, metric, lesion, value (percent; params_M in millions, fps in frames a
second) and what it aggregates.
"""

import csv
import functools
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from rfbench.names import BASELINE_ROW
from rfbench.published.protocol import DATASET_NAMES

PUBLISHED = Path(__file__).parent / "results.csv"
LATER = Path(__file__).parent / "later.csv"  # others' results since, under protocols of their own
PAPER_NAMES = {"patch_size": "patch_size", "reduction": "r", "alpha": "alpha"}  # option: column of results.csv


@dataclass(frozen=True)
class Table:
    """A table of the paper (v2): the data sets that it is about, its number in results.csv, its title."""

    layout: str  # idrid, ddr, or folder for own data, which the paper knows nothing of
    dataset: str  # as results.csv names it
    number: str
    title: str
    since: bool = False  # of the rows that the papers do not have, since they came later, beside the baseline


TABLES = {
    "table2_ds": Table("ddr", "DDR", "2-DS", "Table 2, downsampling operators on DDR"),
    "table2_us": Table("ddr", "DDR", "2-US", "Table 2, upsampling operators on DDR"),
    "table3": Table("ddr", "DDR", "3", "Table 3, operator pairs on DDR"),
    "table5": Table("idrid", "IDRiD", "5", "Table 5, operator pairs on IDRiD"),
    "table_since_ddr": Table("ddr", "DDR", "", "Operators since the paper, on DDR", since=True),
    "table_since_idrid": Table("idrid", "IDRiD", "", "Operators since the paper, on IDRiD", since=True),
    "table_own": Table("folder", "", "", "Operator pairs on own data"),
}
# Whole methods beside the operators, by lesion; the first version of the paper has tables of its own.
METHOD_TABLES = {
    "table4": Table("ddr", "DDR", "4", "Table 4, methods on DDR"),
    "table6": Table("idrid", "IDRiD", "6", "Table 6, methods on IDRiD"),
}
FIRST_VERSION = {"4": "3", "6": "4"}  # number of the same table there
SAME_ROW = {"HRNetV2": BASELINE_ROW}  # a whole network of the papers that is a pair of operators here


@functools.cache
def printed_cells() -> pd.DataFrame:
    """Every line of results.csv; `table` and, empty where there is none, `lesion` as text. Not to be written to."""
    return pd.read_csv(PUBLISHED, dtype={"table": str}).fillna({"lesion": ""})


@functools.cache
def read_published(source: str = "arxiv-v2") -> pd.DataFrame:
    """Published values of the operator tables; `row` is the row's name in the papers."""
    data = printed_cells().rename(columns={"name": "row"})
    return data[(data["source"] == source) & (data["kind"] == "operator")]


def published_means(table: Table) -> dict[tuple[str, str], float]:
    """Published values of one table by (row, metric): accuracies in percent, params_M, fps; see results.csv."""
    data = read_published()
    data = data[(data["table"] == table.number) & (data["dataset"] == table.dataset)]
    return dict(zip(zip(data["row"], data["metric"], strict=True), data["value"], strict=True))


def published_costs() -> dict[tuple[str, str], float]:
    """Published params_M and fps by (row, metric). Table 5 prints none; a row has the same in every table."""
    data = read_published()
    data = data[data["metric"].isin(["params_M", "fps"])]
    return dict(zip(zip(data["row"], data["metric"], strict=True), data["value"], strict=True))


def names_for(layouts: set[str], since: bool) -> list[str]:
    """Names of the tables of data sets of these layouts; `since`: with those of operators since the paper."""
    return [name for name, table in TABLES.items() if table.layout in layouts and (since or not table.since)]


@functools.cache
def printed_rows(layout: str) -> frozenset[str]:
    """Rows that the paper's tables of operators and of methods print on data sets of this layout."""
    tables = [table for table in TABLES.values() if table.layout == layout and table.number]
    whole = [table for table in METHOD_TABLES.values() if table.layout == layout]
    return frozenset(row for table in tables for row, _ in published_means(table)) | {
        SAME_ROW.get(row, row) for table in whole for row in published_methods(table)
    }


@dataclass(frozen=True)
class Printed:
    """What a table of methods prints of one: percent by (metric, lesion), "mean" for means; whether it is borrowed."""

    values: dict[tuple[str, str], float]
    elsewhere: bool


@functools.cache
def published_methods(table: Table, first: bool = False) -> dict[str, Printed]:
    """Rows of a table of methods in its order; `first`: of the same table in the paper's first version."""
    source, number = ("arxiv-v1", FIRST_VERSION[table.number]) if first else ("arxiv-v2", table.number)
    data = printed_cells()
    data = data[(data["source"] == source) & (data["table"] == number) & (data["kind"] == "method")]
    return {
        name: Printed(
            dict(zip(zip(own["metric"], own["lesion"], strict=True), own["value"], strict=True)),
            bool((own["aggregation"] == "published_elsewhere").all()),
        )
        for name, own in data.groupby("name", sort=False)
    }


@functools.cache
def later_literature(dataset: str) -> list[dict[str, str]]:
    """Results on a data set since the papers (later.csv): dicts of name, source, mAUPR, mF, mIoU, differs."""
    with LATER.open(newline="", encoding="utf-8") as file:
        return [row for row in csv.DictReader(file) if row["dataset"] == dataset]


def published_ablation(source: str = "arxiv-v2") -> dict[tuple, dict[str, float]]:
    """Published percent by metric, for each (row, patch size, r, alpha) of Table 1."""
    values: dict[tuple, dict[str, float]] = {}
    data = printed_cells()
    for row in data[(data["source"] == source) & (data["table"] == "1")].to_dict("records"):
        key = (row["name"], *(row[column] for column in PAPER_NAMES.values()))
        values.setdefault(key, {})[row["metric"]] = row["value"]
    return values


def best_of_three(row: str, layout: str | None) -> dict[str, float]:
    """What the M2MRF authors' README prints for a row's released checkpoint, in percent by metric."""
    data = printed_cells()
    own = (data["source"] == "readme") & (data["name"] == row)
    found = data[own & (data["dataset"] == DATASET_NAMES.get(layout))]
    return dict(zip(found["metric"], found["value"], strict=True))
