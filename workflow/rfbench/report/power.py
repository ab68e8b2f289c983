"""What seeds can show, and which published differences survive the noise of retraining: the table `power`.

Our SD of one run over seeds comes from metrics.csv, real data only; the papers print none.
"""

import itertools
import math
from pathlib import Path

import numpy as np
import pandas as pd

from rfbench import provenance
from rfbench.names import BASELINE_ROW
from rfbench.published import printed_cells
from rfbench.published.protocol import DATASET_NAMES
from rfbench.report import rendering
from rfbench.statistics import power, spread
from rfbench.statistics.scores import scores_of

METRICS = {"aupr11": "mAUPR", "f": "mF", "iou": "mIoU", "ap": "mAP"}  # ours: as the papers print it, or would
LAYOUTS = {
    name: layout for layout, name in DATASET_NAMES.items()
}  # data set of results.csv: column `layout` of metrics.csv
POINT = 1.0  # the difference, in points, whose price in seeds is told
SOURCE = "arxiv-v2"  # whose tables the text shows; the CSV has those of both versions
BEST_OF_THREE = (("IDRiD", "mAUPR"), ("DDR", "mIoU"))  # of the authors' README
COLUMNS = [
    *("kind", "dataset", "split", "metric", "sd", "sd_low", "sd_high", "df", "pairs"),
    *("n", "detectable", "detectable_holm", "points", "seeds", "seeds_low", "seeds_high"),
    *("source", "table", "row", "other", "rows", "difference"),
    *("break_even", "break_even_any", "standing", "standing_any"),
]


def published_means() -> pd.DataFrame:
    """Every published mean of three runs over the lesions: one row a source, table, metric and row of the table.

    A row that stands in several blocks of a table is there once; rows of the ablation are named with their options.
    """
    data = printed_cells()
    data = data[(data["aggregation"] == "mean_of_3") & (data["lesion"] == "mean")]
    options = data[["patch_size", "r", "alpha"]].apply(lambda row: ", ".join(f"{value:g}" for value in row), axis=1)
    data = data.assign(row=data["name"].where(data["kind"] != "ablation", data["name"] + " (" + options + ")"))
    return data.drop_duplicates(["source", "table", "metric", "row"])


def spreads(metrics: pd.DataFrame) -> pd.DataFrame:
    """Our SD of one run, in points, pooled over pairs, for every real data set and metric: one row each.

    Columns dataset (ours), layout, split, metric (as printed), sd, sd_low, sd_high (95 %), df, pairs (with runs),
    deviations from the published protocol. Only those that two runs of a pair give an SD.
    """
    found = []
    for dataset, data in metrics[~metrics["synthetic"].astype(bool)].groupby("dataset", sort=False):
        first, tables = data.iloc[0], scores_of(data).tables
        for metric, printed in METRICS.items():
            table = tables.get((metric, "mean"))
            s, df = (math.nan, 0) if table is None else spread(table)
            if not s > 0:
                continue
            low, high = power.sd_interval(s, df)
            found.append({
                "dataset": dataset, "layout": first["layout"], "split": first["split"] or "test", "metric": printed,
                "sd": s, "sd_low": low, "sd_high": high, "df": df, "pairs": int(np.isfinite(table).any(1).sum()),
                "deviations": first["deviations"],
            })  # fmt: skip
    return pd.DataFrame(found, columns=["dataset", "layout", "split", "metric", "sd", "sd_low", "sd_high", "df",
                                        "pairs", "deviations"])  # fmt: skip


def detectable(ours: pd.DataFrame) -> list[dict]:
    """For every SD of ours: the differences that seeds show, and the seeds that one point takes; in points."""
    rows = []
    for own in ours.to_dict("records"):
        if own["pairs"] < 2:
            continue
        first = power.ALPHA / (own["pairs"] - 1)
        for n in power.SEEDS:
            plain, holm = (power.detectable(n, own["pairs"], alpha=alpha) for alpha in (power.ALPHA, first))
            rows.append({**own, "kind": "detectable", "n": n, "detectable": own["sd"] * plain,
                         "detectable_holm": own["sd"] * holm})  # fmt: skip
        seeds = {key: power.seeds_for(POINT, own[sd], own["pairs"]) for key, sd in
                 (("seeds", "sd"), ("seeds_low", "sd_low"), ("seeds_high", "sd_high"))}  # fmt: skip
        rows.append({**own, "kind": "seeds", "points": POINT, **seeds})
    return rows


def comparisons(ours: pd.DataFrame) -> list[dict]:
    """For every two rows of a published table and metric: the break-even SD, and what becomes of it at our SD.

    `break_even` and `standing` are for a pair chosen beforehand, `…_any` for any two of the table's rows. `difference`
    is row minus other, the better first.
    """
    found = []
    for (source, table, metric), data in published_means().groupby(["source", "table", "metric"], sort=False):
        dataset, split = data["dataset"].iloc[0], data["split"].iloc[0]
        own = ours[(ours["layout"] == LAYOUTS[dataset]) & (ours["split"] == split) & (ours["metric"] == metric)]
        limits = tuple(own.iloc[0][["sd_low", "sd_high"]]) if len(own) else (math.nan, math.nan)
        values = dict(zip(data["row"], data["value"], strict=True))
        for one, other in itertools.combinations(sorted(values, key=values.get, reverse=True), 2):
            difference = values[one] - values[other]
            planned, any_two = power.break_even(difference), power.break_even(difference, len(values))
            found.append({
                "kind": "published", "dataset": dataset, "split": split, "metric": metric, "source": source,
                "table": table, "row": one, "other": other, "rows": len(values), "difference": difference,
                "break_even": planned, "break_even_any": any_two,
                "standing": power.standing(planned, *limits), "standing_any": power.standing(any_two, *limits),
            })  # fmt: skip
    return found


def sensitivity() -> list[dict]:
    """The authors' SD as their README hints at it, if its best of three are of the paper's runs, by that metric."""
    data, found = printed_cells(), []
    data = data[(data["kind"] == "operator") & (data["split"] == "test")]
    for dataset, metric in BEST_OF_THREE:
        own = data[(data["dataset"] == dataset) & (data["metric"] == metric)]
        best = own[own["aggregation"] == "best_of_3"].set_index("name")["value"]
        means = own[(own["source"] == SOURCE) & own["name"].isin(best.index)].drop_duplicates("name")
        gains = best - means.set_index("name")["value"]
        sd, low, high = power.sd_of_best(list(gains))
        found.append({"dataset": dataset, "metric": metric, "sd": sd, "low": low, "high": high})
    return found


def write(folder: Path, metrics: pd.DataFrame) -> None:
    """Write power.csv, .md and .tex.

    Args:
        folder: of the tables.
        metrics: content of metrics.csv.
    """
    ours = spreads(metrics)
    shown, published = detectable(ours), comparisons(ours)
    flat = pd.DataFrame([*shown, *published]).reindex(columns=COLUMNS)
    flat = flat.astype(dict.fromkeys(("df", "pairs", "n", "rows"), "Int64"))
    provenance.write_text(folder / "power.csv", flat.to_csv(index=False, lineterminator="\n", float_format="%.4f"))
    about = {
        "ours": [spread_text(row, shown) for row in ours.to_dict("records")],
        "units": [(n, *_units(n)) for n in power.SEEDS],
        "tables": _tables(published, ours),
        "sensitivity": sensitivity(),
        "baseline": BASELINE_ROW,
        "deviations": {row["dataset"]: row["deviations"] for row in ours.to_dict("records")},
    }
    for kind in ("md", "tex"):
        provenance.write_text(folder / f"power.{kind}", rendering.render(f"power.{kind}.j2", **about))


def _units(n: int) -> tuple[float, float]:
    """Detectable difference in SD at the paper's 18 pairs: plain, and at Holm's first step."""
    return power.detectable(n, 18), power.detectable(n, 18, alpha=power.ALPHA / 17)


def spread_text(own: dict, shown: list[dict]) -> dict:
    """One row of the table of our SDs (`spreads`), as texts.

    Args:
        own: the row.
        shown: what `detectable` says of all of them.
    """
    mine = [row for row in shown if (row["dataset"], row["metric"]) == (own["dataset"], own["metric"])]
    by_n = {row["n"]: f"{row['detectable']:.2f} ({row['detectable_holm']:.2f})" for row in mine if "n" in row}
    seeds = next((row for row in mine if row["kind"] == "seeds"), None)
    noise = power.retraining_noise(own["sd"], own["df"])
    return {
        **own,
        "sd_text": f"{own['sd']:.2f} [{own['sd_low']:.2f}, {own['sd_high']:.2f}]",
        "detectable": [by_n.get(n, "–") for n in power.SEEDS],
        "seeds": "–"
        if seeds is None
        else "{} ({}–{})".format(*map(_count, (seeds["seeds"], seeds["seeds_low"], seeds["seeds_high"]))),
        "noise": f"{noise:.2f}",
    }


def _count(seeds: float) -> str:
    return f"{seeds:.0f}" if math.isfinite(seeds) else f"over {power.MOST_SEEDS}"


def _tables(published: list[dict], ours: pd.DataFrame) -> list[dict]:
    """For each operator table and metric of the paper: counts of all pairs of rows, and those with the baseline."""
    found = []
    keyed = [row for row in published if row["source"] == SOURCE]
    for (table, dataset, metric), rows in itertools.groupby(
        keyed, key=lambda row: (row["table"], row["dataset"], row["metric"])
    ):
        rows = list(rows)
        against = [row for row in rows if BASELINE_ROW in (row["row"], row["other"])]
        if against:
            found.append({
                "table": table, "dataset": dataset, "metric": metric, "pairs": len(rows), "rows": rows[0]["rows"],
                "counts": {word: sum(row["standing_any"] == word for row in rows)
                           for word in (power.STANDS, power.FALLS, power.OPEN)},
                "against": against, "measured": bool(len(ours) and (ours["layout"] == LAYOUTS[dataset]).any()),
            })  # fmt: skip
    return found
