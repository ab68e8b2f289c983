"""What tables and figures are made of, read and checked: metrics.csv, differences.csv, profile.json, a run's curves.

Anybody may hand these files over, or edit them. One that is damaged, or holds what no run gives (500 %, a state that
there is none of), is refused whole, in a sentence that names the line.
"""

import math
import re
import sys
from collections import Counter
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Annotated

import pandas as pd
from pydantic import Field

from rfbench import provenance
from rfbench.checked import Foreign, checked, shown
from rfbench.errors import RFBenchError, print_lines
from rfbench.files import kind
from rfbench.names import LESION, METRICS, NAME, PRECISIONS, STATES
from rfbench.records import Origin
from rfbench.rows import read_rows

# Of metrics.csv.
COLUMNS = [
    *("dataset", "pair", "seed", "metric", "lesion", "value", "n", "state", "reason"),
    *("kind", "layout", "split", "eval_size", "synthetic", "base", "options"),
    *("row", "downsample", "upsample", "backbone", "recipe", "deviations"),
    *("settings", "manifest", "commit", "dirty", "torch", "device", "kept", "since"),
]
DIFFERENCES = ("difference", "population_low", "population_high")  # numbers of differences.csv

_NUMBER = re.compile(r"-?[0-9]{1,20}(\.[0-9]{1,40})?(e[+-]?[0-9]{1,3})?")
_WHOLE = re.compile(r"[0-9]{1,18}")
_FLAG = {"True", "False"}
# Form of a metric's name -> largest value (none is below 0) and whether it is a whole number.
_RANGES = (
    (re.compile("|".join((*METRICS, "ap_untrained", "ap_error"))), 1, False),
    (re.compile("aupr11_artefact"), 1, True),
    (re.compile("(lesion_(recall|precision|f1)|lesions_covered|froc_recall|cpm)[a-z0-9._-]*"), 1, False),
    (re.compile("(lesions|regions)[a-z0-9_]*"), math.inf, True),
    (re.compile("(fp_per_image|froc_fp)[a-z0-9._-]*"), math.inf, False),
)
_CELLS: dict[str, tuple[Callable[[str], object], str]] = {
    "dataset": (re.compile(NAME).fullmatch, "a name of letters, digits, _ and -"),
    "pair": (re.compile(r"[A-Za-z0-9_.+-]{1,120}").fullmatch, "a name of letters, digits and _.+-"),
    "seed": (_WHOLE.fullmatch, "a whole number"),
    "lesion": (re.compile(f"mean|{LESION}").fullmatch, "a lesion, or mean"),
    "n": (re.compile(f"({_WHOLE.pattern})?").fullmatch, "a number of images"),
    "state": (STATES.__contains__, f"one of {', '.join(STATES)}"),
    "synthetic": (_FLAG.__contains__, "True or False"),
}
METHOD = "method"  # column of files with whole methods: paper and confidence, empty for pairs
_LATER = ("kept", "since", METHOD)  # columns that files of earlier versions lack
_ONCE = ("dataset", "pair", "seed", "metric", "lesion")  # what a row is about


def read_metrics(path: Path) -> pd.DataFrame:
    """Read results/metrics.csv.

    Raises:
        RFBenchError: the file is missing or is not one that `rfbench aggregate` wrote; the first line that is not is
            named.
    """
    advice = "`rfbench aggregate` writes it, and so does `snakemake`."
    needed = [column for column in COLUMNS if column not in _LATER]
    seen: Counter = Counter()

    def check(where: str, row: Mapping[str, str]) -> None:
        for column, (fits, expected) in _CELLS.items():
            if not fits(row[column]):
                raise RFBenchError(f"{where}, {column}: expected {expected}, found {shown(row[column])}. {advice}")
        if problem := _wrong_value(row["metric"], row["value"]):
            raise RFBenchError(f"{where}, value of {shown(row['metric'])}: {problem}. {advice}")
        about = tuple(row[column] for column in _ONCE)
        seen[about] += 1
        if seen[about] > 1:
            raise RFBenchError(f"{where}: expected every run's metric once, found {' '.join(about)} again. {advice}")

    _check_rows(path, needed, check, advice)
    metrics = pd.read_csv(path, keep_default_na=False, na_values={"value": [""], "n": [""]})
    return metrics.assign(**{column: "" for column in _LATER if column not in metrics})


def options_of(text: str) -> dict[str, str]:
    """The column `options` of metrics.csv as a mapping."""
    return dict(word.split("=", 1) for word in text.split())


def read_differences(folder: Path) -> pd.DataFrame | None:
    """Content of the differences.csv beside a metrics.csv; None, said aloud, if there is none yet.

    Raises:
        RFBenchError: it is not what `rfbench statistics` wrote.
    """
    path = folder / "differences.csv"
    if not path.exists():
        print_lines(
            [f"{path}: not found; no intervals for new patients. `rfbench statistics` writes it."], file=sys.stderr
        )
        return None
    return read_numbers(path, ("dataset", "metric", "lesion", "pair", "reference"), DIFFERENCES, "rfbench statistics")


def read_numbers(path: Path, texts: Collection[str], numbers: Collection[str], command: str) -> pd.DataFrame:
    """A CSV file of `command`'s with these columns, of which `numbers` are finite ones or empty, `texts` any.

    Raises:
        RFBenchError: it is missing, damaged, lacks a column or holds no number where one is expected.
    """
    advice = f"`{command}` writes it, and so does `snakemake`."

    def check(where: str, row: Mapping[str, str]) -> None:
        for column in numbers:
            if row[column] and not _is_number(row[column]):
                raise RFBenchError(f"{where}, {column}: expected a number, found {shown(row[column])}. {advice}")

    header = _check_rows(path, [*texts, *numbers], check, advice)
    empty = {column: [""] for column in header if column not in texts}
    return pd.read_csv(path, dtype=dict.fromkeys(texts, str), keep_default_na=False, na_values=empty)


def _check_rows(
    path: Path, needed: Collection[str], check: Callable[[str, Mapping[str, str]], None], advice: str
) -> list[str]:
    """Hold every row of a CSV file against `check`, which is given the line's name and the row; the columns."""
    if (found := kind(path)) != "a file":
        raise RFBenchError(f"{path}: expected a CSV file, found {found}. {advice}")
    try:
        header, rows = read_rows(path.read_bytes())
        if missing := [column for column in needed if column not in header]:
            raise RFBenchError(f"{path}: expected the columns {', '.join(missing)} too, found none of them. {advice}")
        for line, row in rows:
            check(f"{path}, line {line}", row)
        return header
    except (ValueError, OSError) as error:
        raise RFBenchError(f"{path}: expected a CSV file (UTF-8), found {error}. {advice}") from None


def _is_number(text: str) -> bool:
    return _NUMBER.fullmatch(text) is not None and math.isfinite(float(text))


def _wrong_value(metric: str, text: str) -> str | None:
    """What is wrong with a metric's value, in words; None if nothing is."""
    found = next(((most, whole) for name, most, whole in _RANGES if name.fullmatch(metric)), None)
    if found is None:
        return "expected a metric of `rfbench evaluate`, found another name"
    most, whole = found
    if text == "":
        return None
    value = float(text) if _is_number(text) else math.nan
    if 0 <= value <= most and (not whole or value == int(value)):
        return None
    sort = "a whole number" if whole else "a fraction" if most == 1 else "a number"
    limit = "of at least 0" if most == math.inf else "from 0 to 1"
    return f"expected {sort} {limit}, found {shown(text)}"


_Ratio = Annotated[float, Field(gt=0)]


class _Cost(Foreign):
    """What of a pair is printed."""

    row: str
    fps_ratio: _Ratio
    fps_ratio_min: _Ratio
    fps_ratio_max: _Ratio
    params: int = Field(gt=0)
    params_w48: int = Field(gt=0)


class _Profile(Foreign):
    """A record of `rfbench profile`."""

    pairs: dict[str, _Cost] = Field(description="costs by pair, each with its row, parameters and ratios of speed")
    backbone: str = Field(description="a text")
    baseline: str = Field(description="a pair's name")
    size: Annotated[list[Annotated[int, Field(gt=0)]], Field(min_length=2, max_length=2)] = Field(
        description="width and height, whole numbers"
    )
    batch: int = Field(gt=0, description="a whole number")
    dtype: str = Field(pattern=f"^({'|'.join((*PRECISIONS, 'float16'))})$", description="a type of numbers")
    channels_last: bool = Field(description="true or false")
    threads: int = Field(ge=0, description="a whole number")
    rounds: int = Field(gt=0, description="a whole number")
    memory_kind: str = Field(
        pattern="^(saved for backward|max_memory_allocated)$",
        description="saved for backward or max_memory_allocated",
    )
    paper: dict | None = Field(description="how the paper's network was counted, or null")
    provenance: Origin = Field(description="commit, dirty, device, python and versions")


def read_profile(results: Path) -> dict | None:
    """Content of a results folder's profile.json; None, said aloud, if the pairs are not profiled yet.

    Raises:
        RFBenchError: it is no record of `rfbench profile`.
    """
    path = results / "profile.json"
    if not path.exists():
        print_lines([f"{path}: not found; Param and FPS stay empty. `rfbench profile` writes it."], file=sys.stderr)
        return None
    return _checked_profile(provenance.read_json(path), str(path))


class _Losses(Foreign):
    losses: list[float]


class _Training(Foreign):
    """A block of a record of `rfbench gpu` that trained, with our step and with mmengine's."""

    pair: str = Field(description="a pair's name")
    ratio: float = Field(gt=0, description="a number above 0")
    within_noise: bool = Field(description="true or false")
    ours: _Losses = Field(description="a mapping with losses, numbers")
    stock: _Losses = Field(description="a mapping with losses, numbers")


class _Suite(Foreign):
    crop: list[int]
    batch: int
    backbone: str


class _Gpu(Foreign):
    """A record of `rfbench gpu`."""

    blocks: dict[str, dict] = Field(description="mappings by name")
    suite: _Suite = Field(description="a mapping with crop, batch and backbone")
    provenance: Origin = Field(description="commit, dirty, device, python and versions")


def read_costs(path: Path) -> tuple[dict[str, dict], dict[str, dict], dict]:
    """A record of `rfbench profile` or `rfbench gpu`.

    Returns:
        Profiles by block (one, of the name "", in a record of `rfbench profile`), trainings by block, the record.

    Raises:
        RFBenchError: it is neither.
    """
    record = provenance.read_json(path)
    if "blocks" not in record:
        return {"": _checked_profile(record, str(path))}, {}, record
    advice = "`rfbench gpu` writes it."
    checked(_Gpu, record, lambda key: f"{path}, {key}", advice)
    profiles, trainings = {}, {}
    for name, block in record["blocks"].items():
        where = f"{path}, block {shown(name)}"
        if not re.fullmatch("[a-z0-9_]{1,80}", name):  # becomes part of file names
            raise RFBenchError(f"{where}: expected a name of small letters, digits and _. {advice}")
        if "losses" in block.get("ours", {}):
            checked(_Training, block, lambda key, where=where: f"{where}, {key}", advice)
            trainings[name] = block
        else:
            profiles[name] = _checked_profile(block, where)
    return profiles, trainings, record


def _checked_profile(record: dict, name: str) -> dict:
    checked(_Profile, record, lambda key: f"{name}, {key}", "`rfbench profile` writes it, and so does `snakemake`.")
    return record
