"""Where each number comes from: the runs behind a row with their recorded digests, and the command that checks them."""

from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd

from rfbench import records
from rfbench.page.grids import anchor, number
from rfbench.report import trace
from rfbench.runs import run_folder


@dataclass(frozen=True)
class Source:
    """A run: what metrics.csv and, where it still lies there, its record say of it. Digests are as recorded."""

    seed: int
    state: str
    reason: str
    record: str
    about: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Value:
    """A number of a row: its fragment, heading, text, the values behind it, and the command that follows it."""

    fragment: str
    heading: str
    text: str
    seeds: tuple[tuple[int, str], ...]
    command: str


@dataclass(frozen=True)
class Origin:
    """A row of a data set: its fragment, what all its runs have in common, its runs, its numbers."""

    fragment: str
    row: str
    pair: str
    done: str
    common: tuple[tuple[str, str], ...]
    sources: tuple[Source, ...]
    values: tuple[Value, ...]


def origins(data: pd.DataFrame, rows: list[dict], results: Path, tables: dict[str, Path]) -> list[Origin]:
    """The origin of every configured row of a data set.

    Args:
        data: the data set's rows of metrics.csv.
        rows: as `tables.rows_of` makes them.
        results: the results folder.
        tables: by row, the CSV file of the table that the command names.
    """
    name, found = data["dataset"].iloc[0], []
    finished = data[data["state"] == "done"]
    for row in rows:
        if not row["configured"]:
            continue
        runs = data[data["pair"] == row["pair"]]
        own = finished[finished["pair"] == row["pair"]]
        values = [
            _value(name, row, heading, own, tables[row["row"]]) for heading, cell in row["cells"].items() if cell.n
        ]
        sources = [_source(results, run) for run in runs.drop_duplicates("seed").to_dict("records")]
        common = tuple(pair for pair in sources[0].about if all(pair in source.about for source in sources))
        sources = [
            replace(source, about=tuple(pair for pair in source.about if pair not in common)) for source in sources
        ]
        done = f"{row['n']} of {row['configured']} runs"
        found.append(
            Origin(anchor(name, row["pair"]), row["row"], row["pair"], done, common, tuple(sources), tuple(values))
        )
    return found


def _value(dataset: str, row: dict, heading: str, own: pd.DataFrame, table: Path) -> Value:
    """A number of a row with the runs' values, four digits as in the tables' CSV; a cost has none but the profile's."""
    (metric, lesion), cell = trace.METRICS.get(heading, ("", "")), row["cells"][heading]
    runs = own[(own["metric"] == metric) & (own["lesion"] == lesion)]
    seeds = tuple((int(seed), f"{100 * value:.4f}") for seed, value in zip(runs["seed"], runs["value"], strict=True))
    text = (
        f"mean {cell.mean:.4f}, SD {number(cell.std, '.4f')}, n = {cell.n}" if metric else f"{cell.text} (profile.json)"
    )
    return Value(anchor(dataset, row["pair"], heading), heading, text, seeds,
                 trace.command(table, row["pair"], heading, dataset))  # fmt: skip


def _source(results: Path, run: dict) -> Source:
    path = run_folder(results, run["dataset"], run["pair"], run["seed"]) / "evaluation.json"
    about = {key: str(run.get(key) or "") for key in ("settings", "manifest", "commit", "torch", "device", "kept")}
    about["commit"] = about["commit"][:12] + (" with uncommitted changes" if run.get("dirty") is True else "")
    if path.exists():
        record = records.read_evaluation(path)
        about["checkpoint"] = (record.get("checkpoint_sha256") or "")[:12]
        about["code"] = record["identity"]["code"]
    shown = tuple((key, text) for key, text in about.items() if text.strip())
    return Source(int(run["seed"]), run["state"], run["reason"] or "", str(path) if path.exists() else "", shown)
