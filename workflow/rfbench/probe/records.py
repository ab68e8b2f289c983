"""The records of a probe as one table (results/probe.csv), and which of its runs are missing, and why."""

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Literal

import pandas as pd
from pydantic import Field

from rfbench import provenance
from rfbench.checked import Foreign, checked
from rfbench.errors import RFBenchError
from rfbench.probe.groups import Group, judged_runs, tuning_runs
from rfbench.probe.protocol import Protocol
from rfbench.probe.run import ERROR, SUMMARY
from rfbench.records import read_error
from rfbench.report.reading import read_numbers

COLUMNS = [
    *("arm", "network", "copy", "pair", "control", "matched", "widened", "width", "parameters", "flops"),
    *("purpose", "lr", "seed", "state", "cells", "contrast", "coexisting", "ap", "prevalence", "protocol"),
]
WORDS = (
    *("arm", "network", "copy", "pair", "control", "widened"),
    *("purpose", "state", "contrast", "coexisting", "protocol"),
)
NUMBERS = ("width", "parameters", "flops", "lr", "seed", "cells", "ap", "prevalence")

_Fraction = Annotated[float, Field(ge=0, le=1)]
_CODE = Field(description="a digest")
_RATE = Field(gt=0, description="a number above 0")


class _Score(Foreign):
    cells: int = Field(gt=0)
    contrast: int | Literal["all"]
    coexisting: Literal["all", "yes", "no"]
    ap: _Fraction
    prevalence: _Fraction


class _Run(Foreign):
    """A run's record, as far as the table is made of it."""

    code: str = _CODE
    lr: float = _RATE
    seed: int = Field(ge=0, description="a whole number")
    purpose: str = Field(description="a text")
    state: Literal["done", "diverged"] = Field(description="done or diverged")
    widened: str | None = Field(description="a text or null")
    scores: list[_Score] = Field(description="mappings with cells, contrast, coexisting, and fractions ap, prevalence")


class _Summary(Foreign):
    """group.json."""

    code: str = _CODE
    lr: float = _RATE
    states: dict[str, str] = Field(description="a mapping of seeds to states")


def gather(
    protocol: Protocol, groups: Sequence[Group], results: Path, accepted: Mapping[str, Collection[str]] | None = None
) -> tuple[pd.DataFrame, dict[str, str]]:
    """All records of a probe's groups, one row a run, size, contrast and half of the images.

    Runs that choose a learning rate, and copies of pairs, have the rows of all contrasts and images alone. A run that
    diverged has one row, without a size.

    Args:
        protocol, groups, results: whose records, and where they lie.
        accepted: earlier codes that count as a code, by its digest (`keeping.accepted`).

    Returns:
        The table (COLUMNS), and the holes: name of a group -> how many runs are missing, and why.

    Raises:
        RFBenchError: a record is damaged, of another protocol, or of other code than its group's other records.
    """
    rows, holes = [], {}
    for group in groups:
        folder, found = group.folder(results), []
        summary = _read(folder / SUMMARY, protocol, _Summary) if (folder / SUMMARY).exists() else None
        for run in expected(protocol, group, summary):
            if (path := run.path(results)).exists():
                found.append(_read(path, protocol, _Run))
        _same_code(found, folder, accepted or {})
        rows += [row for record in found for row in _rows(record, group)]
        if reason := _hole(folder, summary, sum(record["purpose"] != "tuning" for record in found)):
            holes[group.name] = reason
    return pd.DataFrame(rows, columns=COLUMNS), holes


def absent(table: pd.DataFrame, groups: Sequence[Group], name: str) -> dict[str, str]:
    """Holes of a kept table: the groups that it has no run of."""
    found = set(zip(table["arm"], table["network"], table["copy"], strict=True))
    there = ((group.arm, group.network, group.copy) in found for group in groups)
    return {group.name: f"no run in {name}" for group, present in zip(groups, there, strict=True) if not present}


def expected(protocol: Protocol, group: Group, summary: dict | None) -> list:
    """The runs that count: those that choose the learning rate, then those of the rate that its summary names."""
    return tuning_runs(group, protocol) + (judged_runs(group, protocol, summary["lr"]) if summary else [])


def _read(path: Path, protocol: Protocol, schema: type[Foreign]) -> dict:
    record = provenance.read_json(path)
    _require(record.get("protocol"), protocol, str(path))
    checked(schema, record, lambda key: f"{path}, {key}", "Delete it; `rfbench probe` and snakemake make it again.")
    return record


def _require(digest: object, protocol: Protocol, origin: str) -> None:
    if digest != protocol.digest:
        raise RFBenchError(
            f"{origin}: expected a record of the experiment {protocol.digest}, found one of {digest}. What was run "
            "under other rules is not judged by these. Give it a results folder of its own, or delete it."
        )


def _same_code(found: list[dict], folder: Path, accepted: Mapping[str, Collection[str]]) -> None:
    codes = sorted({record["code"] for record in found})
    if codes and not any(set(codes) <= {code, *others} for code, others in {codes[0]: (), **accepted}.items()):
        raise RFBenchError(
            f"{folder}: expected records of one version of the code, found {', '.join(codes)}. Run the group again: "
            "those of today's code stay."
        )


def _hole(folder: Path, summary: dict | None, judged: int) -> str:
    """Why runs of a group are missing, "" if none is."""
    if summary:
        return "" if judged == len(summary["states"]) else f"{judged} of {len(summary['states'])} runs found"
    if (folder / ERROR).exists():
        return f"error: {read_error(folder / ERROR)}"
    return f"not finished yet, {judged} runs done" if folder.exists() else "not run yet"


def _rows(record: dict, group: Group) -> list[dict]:
    about = {key: record[key] for key in COLUMNS if key in record}
    about |= {"pair": group.pair, "control": group.control, "matched": group.copy == "matched"}
    about["widened"] = record["widened"] or ""
    scores = record["scores"]
    if record["purpose"] == "tuning" or (group.copy and not group.control):
        scores = [row for row in scores if row["contrast"] == row["coexisting"] == "all"]
    if not scores:
        return [about | {"cells": None, "contrast": "all", "coexisting": "all", "ap": None, "prevalence": None}]
    return [about | {key: row[key] for key in COLUMNS if key in row} for row in scores]


def write(table: pd.DataFrame, path: Path) -> None:
    """Write the table; six digits, which say more than the seeds do."""
    text = table.astype({"cells": "Int64", "width": "Int64"})
    provenance.write_text(path, text.to_csv(index=False, lineterminator="\n", float_format="%.6g"))


def read(path: str | Path, protocol: Protocol) -> pd.DataFrame:
    """A table as `write` leaves it.

    Raises:
        RFBenchError: there is none, it lacks columns, or a row is of another protocol.
    """
    table = read_numbers(Path(path), WORDS, NUMBERS, "snakemake probe")
    if lacking := [column for column in COLUMNS if column not in table]:
        raise RFBenchError(f"{path}: expected the columns of probe.csv, found none named {', '.join(lacking)}.")
    for digest in table["protocol"].unique():
        _require(digest, protocol, str(path))
    return table
