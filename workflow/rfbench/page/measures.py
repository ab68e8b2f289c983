"""What a page shows of a data set, number by number: a `Measure` for each metric, lesion and size.

A `Line` of it is a competitor's: an operator pair's or a method's.
"""

import functools
import math
from dataclasses import dataclass

import pandas as pd

from rfbench.names import BASELINE_ROW
from rfbench.published import SAME_ROW, printed_cells
from rfbench.published.protocol import DATASET_NAMES
from rfbench.report import plotting, ranking, rows, tables
from rfbench.report.lesions import SIZE_NAMES, Found
from rfbench.report.ranking import SAME, Difference
from rfbench.report.tables import Cell
from rfbench.report.verdicts import OURS

MEAN = "mean"
PIXELS = {  # of metrics.csv, in percent: name, name of the mean over lesions
    "ap": ("AP (exact)", "mAP"),
    "aupr11": ("AUPR (11 thresholds)", "mAUPR"),
    "f": ("F (at 0.5)", "mF"),
    "iou": ("IoU (at 0.5)", "mIoU"),
    "precision": ("precision (at 0.5)", "mean precision"),
    "recall": ("recall (at 0.5)", "mean recall"),
}
LESIONS = {  # metric: name, heading in the table of lesions; in percent but the last
    "lesion_recall": ("lesions found (at 0.5)", "all sizes"),
    "lesion_precision": ("true regions (at 0.5)", "precision"),
    "lesion_f1": ("F1 of lesions (at 0.5)", "F1"),
    "cpm": ("CPM", "CPM"),
    "fp_per_image": ("false regions per image (at 0.5)", "FP/image"),
}
NAMES = {metric: name for metric, (name, _) in (PIXELS | LESIONS).items()}
HEADINGS = {"mAUPR": "aupr11", "mAP": "ap", "mF": "f", "mIoU": "iou"}  # of the tables: metric


@dataclass(frozen=True)
class Line:
    """One competitor's value of a measure.

    Attributes:
        row, pair: as the tables name it.
        n, configured: finished runs, and all.
        cell: mean and SD over the finished runs, as the tables have them.
        values: of each finished run, by seed, in the measure's unit.
        difference: to the baseline, None where there is none.
        published: NaN for none.
    """

    row: str
    pair: str
    n: int
    configured: int
    cell: Cell | Found
    values: tuple[tuple[int, float], ...]
    difference: Difference | None = None
    published: float = math.nan

    @functools.cached_property
    def half(self) -> float:
        """Half width of the mean's 95 % t interval over seeds, as figures draw it; 0 for fewer than three runs."""
        return plotting.interval(pd.Series([value for _, value in self.values], dtype=float)) if self.values else 0.0

    @property
    def text(self) -> str:
        """The mean, or the counts where there are too few lesions for a share."""
        if self.values:
            return f"{self.cell.mean:.2f}"
        return getattr(self.cell, "counts", "") or "–"

    @property
    def spread(self) -> str:
        """The SD over n runs, or a dash."""
        return "–" if math.isnan(self.cell.std) else f"{self.cell.std:.2f}"


@dataclass(frozen=True)
class Measure:
    """A metric of a data set for one lesion, or the mean of the lesions, of one size or all; its lines in order."""

    metric: str
    lesion: str
    size: str
    lines: tuple[Line, ...]

    @property
    def key(self) -> str:
        """`ap|EX`, `lesion_recall|MA|lt74`."""
        return "|".join(filter(None, (self.metric, self.lesion, self.size)))

    @property
    def name(self) -> str:
        """`mAP`, `AP (exact), EX`, `lesions found (at 0.5), MA, < 74 px`."""
        if self.lesion == MEAN:
            return PIXELS[self.metric][1]
        size = f", {SIZE_NAMES[self.size]} px" if self.size else ""
        return f"{NAMES[self.metric]}, {self.lesion}{size}"


def measures(
    data: pd.DataFrame, table_rows: list[dict], lesion_rows: list[dict], differences: pd.DataFrame | None
) -> dict[str, Measure]:
    """Every measure of one data set, by key.

    Args:
        data: the data set's rows of metrics.csv.
        table_rows: its rows as `tables.rows_of` makes them; their means over lesions are taken from there.
        lesion_rows: its rows as `lesions.rows_of` makes them; what is counted by lesions is taken from there.
        differences: content of differences.csv.
    """
    configured = [row for row in table_rows if row["configured"]]
    stored, values, printed = _stored(differences, data), _values(data), _published(data)
    found = {}
    columns = [(metric, metric, None, "") for metric in PIXELS if metric in set(data["metric"])]
    of_pixels = data[data["metric"].isin(list(PIXELS))][
        ["pair", "seed", "metric", "lesion", "value", "state", "reason"]
    ]
    for lesion in (MEAN, *rows.lesions(data)):
        runs = of_pixels[(of_pixels["lesion"] == lesion) | (of_pixels["state"] != "done")].assign(lesion=MEAN)
        cells = {row["pair"]: _pixel_cells(row, lesion, runs, columns) for row in configured}
        for metric, *_ in columns:
            found |= _measure(metric, lesion, "", configured, {p: cells[p][metric] for p in cells}, values, printed)
    by_pair = {(row["lesion"], row["pair"]): row["cells"] for row in lesion_rows}
    for lesion in rows.lesions(data) if by_pair else []:
        for metric, size, heading in _lesion_columns():
            cells = {row["pair"]: by_pair[lesion, row["pair"]][heading] for row in configured}
            found |= _measure(metric, lesion, size, configured, cells, values, printed)
    return {key: _compared(measure, configured, stored) for key, measure in found.items()}


def _lesion_columns() -> list[tuple[str, str, str]]:
    """Metric, size and heading of what is counted by lesions."""
    sizes = [("lesion_recall", size, name) for size, name in SIZE_NAMES.items()]
    first, *others = [(metric, "", heading) for metric, (_, heading) in LESIONS.items()]
    return [first, *sizes, *others]


def _pixel_cells(row: dict, lesion: str, runs: pd.DataFrame, columns: list[tuple]) -> dict[str, Cell]:
    """A competitor's cells by metric; the means over lesions that the tables show are theirs."""
    cells = tables.summary(runs[runs["pair"] == row["pair"]], columns, {})["cells"]
    if lesion == MEAN:
        cells |= {metric: row["cells"][heading] for heading, metric in HEADINGS.items() if heading in row["cells"]}
    return cells


def _measure(metric, lesion, size, configured, cells, values, printed) -> dict[str, Measure]:
    name = f"{metric}_{size}" if size else metric
    lines = tuple(
        Line(row["row"], row["pair"], row["n"], row["configured"], cells[row["pair"]],
             values.get((name, lesion, row["pair"]), ()), None, printed.get((row["row"], metric, lesion), math.nan))
        for row in configured
    )  # fmt: skip
    measure = Measure(metric, lesion, size, lines)
    return {measure.key: measure}


def _values(data: pd.DataFrame) -> dict[tuple[str, str, str], tuple[tuple[int, float], ...]]:
    """Values of the finished runs by (metric, lesion, competitor): (seed, value) each, in percent but for counts."""
    done = data[(data["state"] == "done") & data["value"].notna()].sort_values("seed")
    found: dict[tuple, tuple] = {}
    columns = (done[column] for column in ("metric", "lesion", "pair", "seed", "value"))
    for metric, lesion, competitor, seed, value in zip(*columns, strict=True):
        one = (int(seed), float(value if metric == "fp_per_image" else 100 * value))
        found[metric, lesion, competitor] = (*found.get((metric, lesion, competitor), ()), one)
    return found


def _stored(differences: pd.DataFrame | None, data: pd.DataFrame) -> dict[tuple, dict]:
    """The data set's lines of differences.csv against the baseline, by (metric, lesion, competitor)."""
    baseline = ranking.baseline_pair(data)
    if differences is None or baseline is None:
        return {}
    own = differences[(differences["dataset"] == data["dataset"].iloc[0]) & (differences["reference"] == baseline)]
    return {(line["metric"], line["lesion"], line["pair"]): line for line in own.to_dict("records")}


def _compared(measure: Measure, configured: list[dict], stored: dict[tuple, dict]) -> Measure:
    """The measure with differences: those of the tables' rows, else those of differences.csv, if it is current."""
    heading = next((name for name, metric in ranking.PRIMARY.items() if metric == measure.metric), None)
    of_tables = {row["pair"]: row["differences"].get(heading) for row in configured}
    metric = f"{measure.metric}_{measure.size}" if measure.size else measure.metric
    means = {line.row: line.cell.mean for line in measure.lines}
    lines = []
    for line in measure.lines:
        told = of_tables[line.pair] if measure.lesion == MEAN else None
        record = stored.get((metric, measure.lesion, line.pair))
        if told is None and record is not None:
            own = line.cell.mean - means.get(BASELINE_ROW, math.nan)
            # Where no image has some lesion, the statistics leave it out of the mean, the tables do not.
            current = abs(record["difference"] - own) <= SAME or (measure.lesion == MEAN and record["absent"])
            ends = ("low", "high", "population_low", "population_high")
            told = Difference(record["difference"], *(record[end] for end in ends)) if current else None
        lines.append(Line(**{**vars(line), "difference": told}))
    return Measure(measure.metric, measure.lesion, measure.size, tuple(lines))


def _published(data: pd.DataFrame) -> dict[tuple[str, str, str], float]:
    """The paper's means of three runs (v2) by (row, metric, lesion), in percent; none for synthetic data or val."""
    first = data.iloc[0]
    if first["synthetic"] or first["split"] == "val" or first["layout"] not in DATASET_NAMES:
        return {}
    printed = printed_cells()
    own = printed[
        (printed["source"] == "arxiv-v2") & (printed["dataset"] == DATASET_NAMES[first["layout"]])
        & (printed["split"] == "test") & (printed["aggregation"] == "mean_of_3") & printed["metric"].isin(OURS)
    ]  # fmt: skip
    found = {}
    for cell in own.to_dict("records"):
        row = SAME_ROW.get(cell["name"], cell["name"]) if cell["kind"] == "method" else cell["name"]
        found.setdefault((row, OURS[cell["metric"]], cell["lesion"] or MEAN), cell["value"])
    return found
