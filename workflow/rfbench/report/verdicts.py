"""Every published number beside ours: inside, outside, cannot tell, not comparable or not run; and the claims.

All 927 cells of results.csv stay in the denominator, whatever was run. Needs neither torch nor the
runs themselves.
"""

import math
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from rfbench import provenance
from rfbench.names import BASELINE_ROW
from rfbench.published import PAPER_NAMES, SAME_ROW, printed_cells
from rfbench.report import power as power_table
from rfbench.report import rendering
from rfbench.report.reading import options_of
from rfbench.statistics import retraining, spread, verdicts
from rfbench.statistics.scores import Scores, scores_of

OURS = {"mAUPR": "aupr11", "mF": "f", "mIoU": "iou", "AUPR": "aupr11", "F": "f", "IoU": "iou"}
CLAIMED = ("mAUPR", "mF", "mIoU")
NO_VERDICT = {
    "best_of_3": "best of three runs",
    "published_elsewhere": "taken by the papers from elsewhere, number of runs unknown",
}
PARAMS_DIGITS = 0.005  # millions: the papers print two decimals
CELLS = [
    *("source", "table", "dataset", "split", "kind", "row", "patch_size", "r", "alpha", "metric", "lesion"),
    *("published", "aggregation", "ours", "n", "difference", "sd", "df", "low", "high", "margin", "verdict", "reason"),
]
CLAIM = [
    *("table", "dataset", "row", "metric", "published_gain", "gain", "n", "low", "high", "claim", "reason"),
]


@dataclass
class Row:
    """One row of ours: its place in the tables of scores, how many seeds count, and why none or nothing does.

    Attributes:
        scores: of its data set.
        place: its row there.
        seeds: how many count, from seed 0 on; 0 with a `reason`.
        state: empty, or the verdict that all its cells have: not run, not comparable, cannot tell.
        reason: why.
    """

    scores: Scores
    place: int
    seeds: int = 0
    state: str = ""
    reason: str = ""

    def table(self, metric: str, lesion: str) -> np.ndarray:
        """Scores (competitors, seeds) of the seeds that count, in percent."""
        whole = self.scores.tables.get((metric, lesion))
        return np.full((len(self.scores.competitors), 1), np.nan) if whole is None else whole[:, : self.seeds]


@dataclass
class Ours:
    """Our rows by published data set, split and row, or options of the ablation; parameters by row, in millions."""

    rows: dict[tuple, Row] = field(default_factory=dict)
    params: dict[str, float] = field(default_factory=dict)


def read_ours(metrics: pd.DataFrame, profile: dict | None) -> Ours:
    """Our rows on real data. Where two data sets have the layout of one published, the first configured counts.

    Args:
        metrics: content of metrics.csv.
        profile: content of profile.json; without it, no parameters.
    """
    found = Ours(
        params={pair["row"]: pair["params_w48"] / 1e6 for pair in (profile or {"pairs": {}})["pairs"].values()}
    )
    for dataset, layout in power_table.LAYOUTS.items():
        own = metrics[(metrics["layout"] == layout) & ~metrics["synthetic"].astype(bool)]
        for split, data in own.groupby("split", sort=False):
            data = data[data["dataset"] == data["dataset"].iloc[0]]
            scores = scores_of(data)
            for competitor, runs in data.groupby("pair", sort=False):
                row = _row(scores, competitor, runs)
                found.rows.setdefault((dataset, split, *_key(runs.iloc[0])), row)
    return found


def _key(run: pd.Series) -> tuple:
    """A row's name; for a run of a sweep its pair's name and options, as the ablation prints them."""
    if not run["base"]:
        return (run["row"],)
    options = options_of(run["options"])
    return (run["row"].partition(",")[0], *(float(options.get(option, "nan")) for option in PAPER_NAMES))


def _row(scores: Scores, competitor: str, runs: pd.DataFrame) -> Row:
    """A row of ours, under the rules of `rfbench.statistics.verdicts`."""
    states = dict(zip(runs["seed"], runs["state"], strict=False))
    deviations, place = runs["deviations"].iloc[0], scores.competitors.index(competitor)
    if "done" not in states.values() and "diverged" not in states.values():
        return Row(scores, place, 0, verdicts.NOT_RUN, "no run is done")
    if deviations:
        return Row(scores, place, 0, verdicts.NOT_COMPARABLE, f"deviations from the protocol: {deviations}")
    seeds, reason = verdicts.look(states)
    return Row(scores, place, seeds, verdicts.CANNOT_TELL if reason else "", reason)


def cells(ours: Ours) -> pd.DataFrame:
    """The verdict on every published cell (CELLS), in the order of results.csv; accuracies in percent.

    `low` and `high` are the ends of the interval that `outside` asks for, at one of three looks: 98.3 %.
    """
    data, margins = printed_cells().rename(columns={"name": "row", "value": "published"}), verdicts.margins()
    judged = [_cell(cell, ours, margins) for cell in data.to_dict("records")]
    return pd.DataFrame([{**cell, **found} for cell, found in zip(data.to_dict("records"), judged, strict=True)])[CELLS]


def _cell(cell: dict, ours: Ours, margins: dict) -> dict:
    """Ours beside one published cell, and the verdict."""
    found = dict.fromkeys(("ours", "n", "difference", "sd", "df", "low", "high", "margin"), math.nan)
    if cell["metric"] == "params_M":
        return found | _params(cell, ours)
    if cell["metric"] == "fps":
        return found | {"verdict": verdicts.NOT_COMPARABLE, "reason": "speed of the authors' machine"}
    if cell["aggregation"] in NO_VERDICT:
        return found | {"verdict": verdicts.NOT_COMPARABLE, "reason": NO_VERDICT[cell["aggregation"]]}
    row = ours.rows.get((cell["dataset"], cell["split"], *_published_key(cell)))
    if row is None:
        return found | {"verdict": verdicts.NOT_RUN, "reason": "not configured"}
    if row.state:
        return found | {"verdict": row.state, "reason": row.reason}
    table, margin = row.table(OURS[cell["metric"]], cell["lesion"]), margins[cell["metric"]][cell["dataset"]]
    (s, df), mean = spread(table), float(table[row.place].mean())
    difference, error = mean - cell["published"], verdicts.standard_error(s, row.seeds)
    found |= {"ours": mean, "n": row.seeds, "difference": difference, "sd": s, "df": df, "margin": margin}
    if not math.isfinite(error):
        return found | {"verdict": verdicts.CANNOT_TELL, "reason": "no spread of ours"}
    low, high = verdicts.interval(difference, error, df)
    return found | {
        "low": low, "high": high, "verdict": verdicts.verdict(difference, error, df, margin), "reason": "",
    }  # fmt: skip


def _published_key(cell: dict) -> tuple:
    if cell["kind"] == "ablation":
        return (cell["row"], *(cell[column] for column in PAPER_NAMES.values()))
    return (SAME_ROW.get(cell["row"], cell["row"]) if cell["kind"] == "method" else cell["row"],)


def _params(cell: dict, ours: Ours) -> dict:
    """Parameters are counted, so they are the published ones or not."""
    own = ours.params.get(cell["row"])
    if own is None:
        return {"verdict": verdicts.NOT_RUN, "reason": "not profiled"}
    difference = own - cell["published"]
    same = abs(difference) <= PARAMS_DIGITS + 1e-9
    return {"ours": own, "n": 1, "difference": difference, "margin": PARAMS_DIGITS, "reason": "",
            "verdict": verdicts.INSIDE if same else verdicts.OUTSIDE}  # fmt: skip


def claims(ours: Ours) -> pd.DataFrame:
    """What becomes of every published gain over the baseline (CLAIM): operator tables of the paper's second version."""
    data = power_table.published_means()
    data, found = data[(data["source"] == power_table.SOURCE) & (data["kind"] == "operator")], []
    for (table, dataset, metric), rows in data.groupby(["table", "dataset", "metric"], sort=False):
        values = dict(zip(rows["row"], rows["value"], strict=True))
        for name, value in values.items():
            if metric in CLAIMED and value > values[BASELINE_ROW]:
                pair, baseline = (ours.rows.get((dataset, "test", row)) for row in (name, BASELINE_ROW))
                found.append({"table": table, "dataset": dataset, "row": name, "metric": metric,
                              "published_gain": value - values[BASELINE_ROW],
                              **_claim(pair, baseline, OURS[metric], value - values[BASELINE_ROW])})  # fmt: skip
    return pd.DataFrame(found, columns=CLAIM)


def _claim(pair: Row | None, baseline: Row | None, metric: str, published: float) -> dict:
    """Our gain beside a published one, at the look that both rows have reached."""
    found = dict.fromkeys(("gain", "n", "low", "high"), math.nan)
    for row in (pair, baseline):
        if row is None:
            return found | {"claim": verdicts.NOT_RUN, "reason": "not configured"}
    for state in (verdicts.NOT_RUN, verdicts.NOT_COMPARABLE, verdicts.CANNOT_TELL):
        for row in (pair, baseline):
            if row.state == state:
                return found | {
                    "claim": verdicts.OPEN if state == verdicts.CANNOT_TELL else state, "reason": row.reason,
                }  # fmt: skip
    fewer = min(pair, baseline, key=lambda row: row.seeds)
    got = retraining(fewer.table(metric, "mean"), baseline.place, level=verdicts.LEVEL)
    gain, low, high = (float(values[pair.place]) for values in (got.difference, got.low, got.high))
    return {"gain": gain, "n": fewer.seeds, "low": low, "high": high, "claim": verdicts.claim(low, high, published),
            "reason": ""}  # fmt: skip


def counts(judged: pd.DataFrame) -> list[dict]:
    """Cells by verdict: a row for each source and table, then all of them."""
    found = []
    for (source, table), part in judged.groupby(["source", "table"], sort=False):
        found.append({"source": source, "table": table, "dataset": part["dataset"].unique(), "cells": len(part),
                      **_by(part["verdict"], verdicts.VERDICTS)})  # fmt: skip
    return [*found, {"source": "all", "table": "", "dataset": [], "cells": len(judged),
                     **_by(judged["verdict"], verdicts.VERDICTS)}]  # fmt: skip


def _by(words: pd.Series, order: tuple[str, ...]) -> dict[str, int]:
    return {word: int((words == word).sum()) for word in order}


def write(folder: Path, metrics: pd.DataFrame, profile: dict | None) -> str:
    """Write verdicts.csv, .md, .tex and claims.csv; the counts in a sentence."""
    ours = read_ours(metrics, profile)
    judged, claimed = cells(ours), claims(ours)
    whole = dict.fromkeys(("patch_size", "r", "alpha", "n", "df"), "Int64")
    for name, table in (("verdicts", judged.astype(whole)), ("claims", claimed.astype({"n": "Int64"}))):
        text = table.to_csv(index=False, lineterminator="\n", float_format="%.4f")
        provenance.write_text(folder / f"{name}.csv", text)
    compared = judged[judged["verdict"].isin([verdicts.INSIDE, verdicts.OUTSIDE])]
    reasons = judged[judged["reason"] != ""].groupby(["verdict", "reason"], sort=False).size()
    about = {
        "counts": counts(judged),
        "verdicts": verdicts.VERDICTS,
        "reasons": [{"verdict": verdict, "reason": reason, "cells": n} for (verdict, reason), n in reasons.items()],
        "found": compared[compared["metric"] != "params_M"].to_dict("records"),
        "params": _by(judged.loc[judged["metric"] == "params_M", "verdict"], verdicts.VERDICTS),
        "claims": claimed.to_dict("records"),
        "claim_counts": _by(claimed["claim"], verdicts.CLAIMS),
        "margins": verdicts.margins(),
        "margins_sha256": provenance.sha256(verdicts.MARGINS),
        "level": 100 * verdicts.LEVEL,
        "baseline": BASELINE_ROW,
    }
    for kind in ("md", "tex"):
        provenance.write_text(folder / f"verdicts.{kind}", rendering.render(f"verdicts.{kind}.j2", **about))
    return ", ".join(f"{n} {word}" for word, n in _by(judged["verdict"], verdicts.VERDICTS).items())
