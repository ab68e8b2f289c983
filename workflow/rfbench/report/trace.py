"""The runs behind one cell of a table: values, states, records and their provenance, computed again from the records.

A cell agrees if the metrics file is the one that the table was rendered from, every run's record holds the value of
the metrics file, and mean and sample standard deviation of the records' values are the cell's.
"""

import math
import os
import shlex
import statistics
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd
from pydantic import Field

from rfbench import provenance, records
from rfbench.checked import Foreign, checked
from rfbench.errors import RFBenchError
from rfbench.report.methods import MEASURES, headings
from rfbench.report.reading import read_metrics, read_numbers, read_profile
from rfbench.report.tables import COLUMNS, INDEX
from rfbench.runs import manifest_path, run_folder

# Accuracies: heading -> (metric, lesion). Tables of methods have them by lesion, too.
MEANS = {heading: (metric, "mean") for metric, heading, _, _ in COLUMNS}
BY_LESION = {
    heading: (metric, lesion)
    for metric, measure in MEASURES.items()
    for heading, (_, lesion) in headings(measure).items()
    if lesion != "mean"
}
METRICS = MEANS | BY_LESION
TEXTS, COUNTS = ("row", "pair", "dataset", "data"), ("configured", "n")  # columns of a table
COSTS = {"Param": ("Param_M", "params_w48", 1e6), "FPS": ("FPS_ratio", "fps_ratio", 1)}  # column, key, unit
DIGITS = 5.1e-5  # the tables' CSV has four digits


@dataclass
class Trace:
    """What was found on the way from a cell to its records: lines to print, and what does not agree."""

    lines: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


def trace(path: Path, competitor: str, heading: str, dataset: str | None = None) -> Trace:
    """Follow a cell of a table to its runs.

    Args:
        path: a table's CSV file as `rfbench tables` wrote it, with tables.json beside it.
        competitor: name of the operator pair or method, as in the column `pair`.
        heading: mAUPR, mF, mIoU, mAP, `mAP before training` or, in tables of methods, such as `AUPR EX`, whose runs
            are followed; Param or FPS, which have none but a profile.
        dataset: needed where the table holds the competitor on several data sets.

    Raises:
        RFBenchError: no such table, row or metric; the message lists the ones it has.
    """
    row, index = _cell_row(path, competitor, heading, dataset), _index(path)
    results = Path(os.path.relpath(path.parent / index.results))
    found = Trace([f"{path}: {row['row']} ({competitor}) on {row['dataset']} ({row['data']}), {heading}"])
    if heading in COSTS:
        _follow_cost(found, row, heading, results / "profile.json")
        return found
    metrics_path = Path(os.path.relpath(path.parent / index.metrics))
    metrics = read_metrics(metrics_path)
    found.lines.append(f"metrics: {metrics_path}")
    if provenance.sha256(metrics_path) != index.metrics_sha256:
        found.problems.append(f"{path} is stale: {metrics_path} has changed since. Run `snakemake tables`.")
    runs = metrics[(metrics["dataset"] == row["dataset"]) & (metrics["pair"] == competitor)]
    values = [_run(found, results, seed, rows, *METRICS[heading]) for seed, rows in runs.groupby("seed")]
    _compare(found, row, heading, [100 * value for value in values if value is not None])
    return found


def _follow_cost(found: Trace, row: pd.Series, heading: str, path: Path) -> None:
    """Describe the profile behind Param or FPS, and compare."""
    column, key, unit = COSTS[heading]
    profile = read_profile(path.parent) or {"pairs": {}}
    costs = profile["pairs"].get(row["pair"])
    value = costs[key] / unit if costs else math.nan
    printed = row[column]
    found.lines += ["", f"in the profile  {value:.4f}  {path}", f"in the table    {printed:.4f}"]
    if costs:
        found.lines += _origin("profiled", profile["provenance"])
    if not _same(value, printed):
        found.problems.append(f"{heading}: the table's cell is not what {path} says. Run `snakemake tables`.")


class Index(Foreign):
    """Where the tables of a folder come from: paths relative to it, and the digest of the metrics."""

    metrics: str = Field(description="the path of a metrics file")
    metrics_sha256: str = Field(description="a digest")
    results: str = Field(description="the path of a results folder")


def _index(path: Path) -> Index:
    index = path.with_name(INDEX)
    if not index.exists():
        raise RFBenchError(f"{index}: not found; it says where {path.name} comes from. Run `snakemake tables`.")
    return checked(Index, provenance.read_json(index), lambda key: f"{index}, {key}", "`snakemake tables` writes it.")


def _cell_row(path: Path, competitor: str, heading: str, dataset: str | None) -> pd.Series:
    """The table's line of a competitor."""
    if not path.exists() or path.suffix != ".csv":
        raise RFBenchError(
            f"{path}: expected a table's .csv file, as in reports/tables. `snakemake tables` writes them."
        )
    table = read_numbers(path, TEXTS, COUNTS, "rfbench tables")
    known = [name for name in METRICS if f"{name}_mean" in table]
    if not known:
        raise RFBenchError(f"{path}: expected a table of `rfbench tables`, found the columns {', '.join(table)}.")
    known += [name for name, (column, _, _) in COSTS.items() if column in table]
    if heading not in known:
        raise RFBenchError(f"--metric {heading}: {path} has {', '.join(known)}.")
    cell = (COSTS[heading][0],) if heading in COSTS else (f"{heading}_mean", f"{heading}_std")
    table = read_numbers(path, TEXTS, (*COUNTS, *cell), "rfbench tables")
    rows = table[table["configured"] > 0]
    if dataset is not None:
        if dataset not in set(rows["dataset"]):
            names = ", ".join(rows["dataset"].unique())
            raise RFBenchError(f"--dataset {dataset}: {path} has no such data set; it has {names}.")
        rows = rows[rows["dataset"] == dataset]
    # Table 1 has a pair's own setting in each block.
    chosen = rows[rows["pair"] == competitor].drop_duplicates("dataset")
    if chosen.empty:
        competitors = ", ".join(rows["pair"].unique()) or "none"
        raise RFBenchError(f"--pair {competitor}: {path} has no runs of it; it has those of {competitors}.")
    if len(chosen) > 1:
        names = ", ".join(chosen["dataset"])
        raise RFBenchError(f"{path} has {competitor} on several data sets. Add --dataset with one of {names}.")
    return chosen.iloc[0]


def _run(found: Trace, results: Path, seed: int, rows: pd.DataFrame, metric: str, lesion: str) -> float | None:
    """Describe one run; its value as its record has it, None for a run that is not done."""
    first = rows.iloc[0]
    folder = run_folder(results, first["dataset"], first["pair"], seed)
    path = folder / "evaluation.json"
    if first["state"] != "done":
        found.lines += ["", f"seed {seed}: {first['state']} – {first['reason'] or 'no reason recorded'}"]
        found.lines += [f"  record      {path}"] if path.exists() else []
        return None
    record = records.read_evaluation(path)
    measured = record["untrained"]["ap"] if metric == "ap_untrained" else record["metrics"][metric]
    value, listed = measured[lesion], rows.loc[(rows["metric"] == metric) & (rows["lesion"] == lesion), "value"].item()
    if not math.isclose(value, listed, rel_tol=1e-12):
        found.problems.append(f"seed {seed}: {path} has {value}, the metrics file {listed}. Run `snakemake`.")
    found.lines += [
        "",
        f"seed {seed}: done, {100 * value:.4f} %, {record['evaluation']['split']} images: {record['n_images']}",
        f"  record      {path}",
    ]
    found.lines += _provenance(found, record, folder, results)
    return value


def _provenance(found: Trace, record: dict, folder: Path, results: Path) -> list[str]:
    """Lines on where a record comes from; whatever of it still lies on disk is checked against the record's digests."""
    identity, name = record["identity"], record["settings"]["dataset"]["name"]
    if provenance.digest(record["settings"]) != identity["settings"]:
        found.problems.append(f"{folder}: the record's settings are not those of its digest {identity['settings']}.")
    manifest = _check(found, manifest_path(results, name), identity["manifest"])
    weights = _check(found, folder / "work" / "model.pth", record["checkpoint_sha256"])
    lines = [f"  settings    {identity['settings']}", f"  manifest    {manifest}", f"  checkpoint  {weights}"]
    return lines + _origin("trained", record["training_provenance"]) + _origin("evaluated", record["provenance"])


def command(table: Path, competitor: str, heading: str, dataset: str) -> str:
    """The command that traces a cell of a table."""
    words = ["rfbench", "trace", str(table), "--pair", competitor, "--metric", heading, "--dataset", dataset]
    return shlex.join(words)


def _origin(stage: str, origin: dict) -> list[str]:
    """Lines on commit, device and versions."""
    dirty = " with uncommitted changes" if origin["dirty"] else ""
    versions = ", ".join(f"{package} {version}" for package, version in origin["versions"].items())
    return [
        f"  {stage:11} commit {origin['commit']}{dirty}; {origin['device']}",
        f"  {'':11} python {origin['python']}, {versions}",
    ]


def _check(found: Trace, path: Path, digest: str) -> str:
    """A digest with the word whether the file that it describes is still there and the same."""
    if not path.exists():
        return f"{digest} (file no longer there)"
    if provenance.sha256(path) == digest:
        return f"{digest} (file checked)"
    found.problems.append(f"{path}: is not the file of the record's digest {digest[:12]}….")
    return f"{digest} (another file lies there)"


def _compare(found: Trace, row: pd.Series, heading: str, values: list[float]) -> None:
    """Compare mean and sample standard deviation of the records with the cell."""
    again = {
        "mean": statistics.fmean(values) if values else math.nan,
        "std": statistics.stdev(values) if len(values) > 1 else math.nan,
    }
    printed = {key: row[f"{heading}_{key}"] for key in again}
    found.lines += ["", f"from the records  {_numbers(again)}, n = {len(values)}",
                    f"in the table      {_numbers(printed)}, n = {row['n']:g}"]  # fmt: skip
    if len(values) != row["n"] or not all(_same(again[key], printed[key]) for key in again):
        found.problems.append(f"{heading}: the table's cell is not what the records give. Run `snakemake tables`.")


def _same(value: float, printed: float) -> bool:
    """Whether a value is the printed one; two missing values are the same."""
    return abs(value - printed) <= DIGITS or (math.isnan(value) and math.isnan(printed))


def _numbers(cell: dict[str, float]) -> str:
    return ", ".join(f"{key} –" if math.isnan(value) else f"{key} {value:.4f}" for key, value in cell.items())
