"""The paper's tables from results/metrics.csv and results/profile.json. Needs neither torch nor the runs themselves.

What a table holds is decided here; rendering.py writes it as CSV, Markdown and TeX.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from rfbench.names import BASELINE_ROW
from rfbench.published import TABLES, Table, published_costs, published_means, read_published
from rfbench.report.ranking import rank
from rfbench.report.reading import METHOD

INDEX = "tables.json"  # beside the tables: which files they were rendered from
# Our metric, its heading, the name under which the papers print it (exact AP they do not print), its full heading.
COLUMNS = (
    ("aupr11", "mAUPR", "mAUPR", "mAUPR (11 thresholds)"),
    ("f", "mF", "mF", "mF"),
    ("iou", "mIoU", "mIoU", "mIoU"),
    ("ap", "mAP", None, "mAP (exact)"),
    ("ap_untrained", "mAP before training", None, "mAP before training"),
)


@dataclass
class Cell:
    """Our value with its spread, the published one, and its place in its column (`best`, `second` or none).

    Accuracy: percent, mean and sample standard deviation over n seeds. Param: millions. FPS: ratio to the baseline,
    with the smallest and the largest of the rounds.
    """

    n: int
    mean: float
    std: float = math.nan
    published: float = math.nan
    low: float = math.nan
    high: float = math.nan
    frames: float = math.nan  # published frames per second
    mark: str = ""
    letters: str = ""  # rows that share one are not told apart (ranking.py)

    @property
    def text(self) -> str:
        """`mean ± std`, `mean` for a single value, `ratio (low–high)` for speeds, a dash for none."""
        if self.n == 0:
            return "–"
        if not math.isnan(self.low):
            return f"{self.mean:.2f} ({self.low:.2f}–{self.high:.2f})"
        return f"{self.mean:.2f}" if self.n == 1 else f"{self.mean:.2f} ± {self.std:.2f}"

    @property
    def published_text(self) -> str:
        """The published value, speeds with their frames per second, or a dash."""
        if math.isnan(self.published):
            return "–"
        return f"{self.published:.2f}" + ("" if math.isnan(self.frames) else f" ({self.frames:.2f})")


def select(metrics: pd.DataFrame, table: Table) -> pd.DataFrame:
    """Metrics of the table: its data sets; its rows, and those that no table of the paper on them has.

    Operators since the paper are in the tables of their own only, with the baseline, and methods in methods.py's.
    """
    if table.since:
        later = (metrics["since"] != "") | (metrics["row"] == BASELINE_ROW)
        return metrics[(metrics["layout"] == table.layout) & later]
    siblings = [other for other in TABLES.values() if other.layout == table.layout]
    printed = {row for other in siblings for row, _ in published_means(other)}
    own = {row for row, _ in published_means(table)}
    rows = metrics["row"].isin(own) | ~metrics["row"].isin(printed)
    if table.number:
        rows &= (metrics["since"] == "") & ~of_methods(metrics)
    return metrics[(metrics["layout"] == table.layout) & rows]


def of_methods(metrics: pd.DataFrame) -> pd.Series:
    """Whether a row of the metrics is a whole method's, which has tables of its own."""
    return metrics[METHOD] != "" if METHOD in metrics else pd.Series(False, index=metrics.index)


def competing(metrics: pd.DataFrame) -> str:
    """What the rows of the metrics are, for the head of a legend or a column."""
    whole = of_methods(metrics)
    return "RF operators" if not whole.any() else "Methods" if whole.all() else "RF operators and methods"


def headings(metrics: pd.DataFrame) -> list[tuple[str, str, str | None, str]]:
    """Those of COLUMNS that the metrics hold; the untrained network is evaluated only where configured."""
    present = set(metrics["metric"])
    return [column for column in COLUMNS if column[0] in present]


def rows_of(
    metrics: pd.DataFrame, table: Table, profile: dict | None = None, differences: pd.DataFrame | None = None
) -> list[dict]:
    """Rows of a table: for each data set those of the paper in its order, configured or not, then our own.

    Args:
        metrics: results/metrics.csv, or a part of it.
        table: which table of the paper it stands beside.
        profile: content of results/profile.json; without it, our Param and FPS are dashes.
        differences: content of results/differences.csv; without it, no intervals for new patients.

    Returns:
        Dicts of dataset, synthetic, row, pair, downsample, upsample, n (seeds that are done), configured (seeds in
        all, 0 for a row outside the configuration), holes (reasons of the others), cells by heading, and what
        `ranking.rank` adds: ranked, differences to the baseline by heading.
        Published accuracies and speeds only for real data, the published Param for all.
    """
    names = read_published()
    names = names[names["table"] == table.number].drop_duplicates("row")
    rows = []
    for _, data in metrics[metrics["layout"] == table.layout].groupby("dataset", sort=False):
        chosen, found = select(data, table), []
        for name in [*names["row"], *(row for row in chosen["row"].unique() if row not in set(names["row"]))]:
            pairs = chosen[chosen["row"] == name].groupby("pair", sort=False)
            found += [_row(data, table, runs, profile) for _, runs in pairs] or [
                _row(data, table, names[names["row"] == name].assign(pair=""), profile)
            ]
        rank(found, data, differences)
        rows += found
    return rows


def _row(data: pd.DataFrame, table: Table, runs: pd.DataFrame, profile: dict | None) -> dict:
    """One row of a data set; `runs` are its metrics, or its line of published.csv if it is not configured."""
    first, synthetic, configured = runs.iloc[0], bool(data["synthetic"].iloc[0]), "seed" in runs
    published = {} if synthetic else published_means(table)
    said = {printed: value for (row, printed), value in published.items() if row == first["row"]}
    measured = summary(runs if configured else data.iloc[:0], headings(data), said)
    return {
        "dataset": data["dataset"].iloc[0],
        "synthetic": synthetic,
        **{key: first[key] for key in ("row", "pair", "downsample", "upsample")},
        **measured,
        "cells": measured["cells"] | costs(first, profile, compared=bool(table.number) and not synthetic),
    }


def summary(runs: pd.DataFrame, columns: Sequence[tuple], published: dict[str, float]) -> dict:
    """n (seeds that are done), configured (seeds in all), holes (reasons of the others) and cells of a row's runs.

    Args:
        runs: the metrics of one row; empty for one that is not configured.
        columns: those of COLUMNS to show.
        published: published percent by the papers' name of the metric.
    """
    means = runs[runs["lesion"] == "mean"]
    seeds, cells = means.drop_duplicates("seed"), {}
    for metric, heading, printed, _ in columns:
        values = 100 * means.loc[(means["metric"] == metric) & (means["state"] == "done"), "value"]
        cells[heading] = Cell(len(values), values.mean(), values.std(), published.get(printed, math.nan))
    holes = seeds[seeds["state"] != "done"]
    return {"n": len(seeds) - len(holes), "configured": len(seeds), "holes": _holes(holes), "cells": cells}


def costs(row: pd.Series, profile: dict | None, compared: bool) -> dict[str, Cell]:
    """Param and FPS of a row: ours from the profile, the published ones from whichever table of the paper has it."""
    own, published = (profile or {"pairs": {}})["pairs"].get(row["pair"]), published_costs()
    frames = published.get((row["row"], "fps"), math.nan) if compared else math.nan
    param = Cell(0, math.nan, published=published.get((row["row"], "params_M"), math.nan))
    speed = Cell(0, math.nan, published=frames / published[BASELINE_ROW, "fps"], frames=frames)
    if own:
        param.n, param.mean = 1, own["params_w48"] / 1e6
        speed.n, speed.mean, speed.low, speed.high = 1, own["fps_ratio"], own["fps_ratio_min"], own["fps_ratio_max"]
    return {"Param": param, "FPS": speed}


def _holes(runs: pd.DataFrame) -> list[str]:
    """Seeds that are not done, those with the same reason together."""
    texts = []
    for (state, reason), same in runs.fillna({"reason": ""}).groupby(["state", "reason"], sort=False):
        seeds = ", ".join(map(str, same["seed"]))
        word, why = "seed" if len(same) == 1 else "seeds", f" ({reason})" if reason else ""
        texts.append(f"{word} {seeds}: {state}{why}")
    return texts


def notes(metrics: pd.DataFrame, table: Table, profile: dict | None = None) -> dict:
    """What a reader must know beside the numbers: data, network, recipe, images, commits, flagged values, speed."""
    data = metrics[metrics["layout"] == table.layout]
    part = select(data, table)
    done = part[part["state"] == "done"]
    bounds = done.loc[done["metric"] == "ap_error", "value"]
    labelled = data.loc[data["row"].str.startswith("M2MRF-")].drop_duplicates("row")
    return {
        "title": table.title,
        "number": table.number.partition("-")[0],
        "datasets": [_about(group, table, part) for _, group in data.groupby("dataset", sort=False)],
        "backbones": sorted(data["backbone"].unique()),
        "recipes": sorted(data["recipe"].unique()),
        "commits": commits(done),
        "kept": keepings(done),
        "ap_bound": f"{100 * bounds.max():.4f}" if len(bounds) else None,
        "all_synthetic": bool(data["synthetic"].all()),
        "baseline": BASELINE_ROW,
        "labelled": [f"{row.row}: {row.downsample} / {row.upsample}" for row in labelled.itertuples()],
        "since": _since(part) if table.since else [],
        "speed": _speed(profile),
        "unprofiled": sorted(set(part["pair"]) - set(profile["pairs"])) if profile else [],
    }


def _about(data: pd.DataFrame, table: Table, part: pd.DataFrame) -> dict:
    """Notes on one data set. `part` are the table's rows."""
    name, synthetic = data["dataset"].iloc[0], bool(data["synthetic"].iloc[0])
    own = part[(part["dataset"] == name) & (part["state"] == "done")]
    paired = own[own["lesion"] == "mean"].pivot(index=["pair", "seed"], columns="metric", values="value")
    compared = bool(table.number) and not synthetic
    return {
        "name": name,
        "synthetic": synthetic,
        "compared": compared,
        "images": images(data),
        "eval_size": data["eval_size"].iloc[0],
        "runs": len(paired),
        "learned": (paired["ap"] >= 2 * paired["ap_untrained"]).sum() if "ap_untrained" in paired else None,
        "deviations": union(data["deviations"]),
        "artefacts": artefacts(own),
        "headings": [
            *({"name": heading, "label": label, "published": compared and bool(printed)}
              for _, heading, printed, label in headings(data)),
            {"name": "Param", "label": "Param, M", "published": True},
            {"name": "FPS", "label": "FPS, × baseline", "published": compared},
        ],
    }  # fmt: skip


def images(data: pd.DataFrame) -> str:
    """How many images the finished runs were evaluated on: `27`, or `none yet`."""
    counts = sorted(data.loc[data["state"] == "done", "n"].astype(int).unique())
    return " or ".join(map(str, counts)) or "none yet"


def commits(done: pd.DataFrame) -> list[str]:
    """Commits of the finished runs' trainings."""
    return sorted(
        f"{str(row.commit)[:12]}{' with uncommitted changes' if row.dirty else ''}"
        for row in done.drop_duplicates(["commit", "dirty"]).itertuples()
    )


def keepings(done: pd.DataFrame) -> list[str]:
    """Why finished runs of earlier code count as current, and how many of them (`rfbench keep`)."""
    runs = done.drop_duplicates(["dataset", "pair", "seed"])
    counts = runs.loc[runs["kept"] != "", "kept"].value_counts(sort=False)
    return [f"{count} run{'s' if count > 1 else ''}: {why}" for why, count in counts.items()]


def artefacts(data: pd.DataFrame) -> list[str]:
    """Pair, seed and lesion of the finished runs whose AUPR of 11 thresholds is an artefact."""
    flagged = data[(data["state"] == "done") & (data["metric"] == "aupr11_artefact") & (data["value"] == 1)]
    return [f"{row.pair} seed {row.seed} {row.lesion}" for row in flagged.itertuples()]


def _since(part: pd.DataFrame) -> list[str]:
    """Where the rows' operators were published, and what was followed where paper and code differ."""
    later = part[part["since"] != ""].drop_duplicates("row")
    return [f"{row.row}: {row.since}" for row in later.itertuples()]


def _speed(profile: dict | None) -> str | None:
    """How the speeds were measured."""
    return profile and f"{conditions(profile)}; median of {profile['rounds']} rounds, smallest–largest"


def conditions(profile: dict) -> str:
    """What the speeds were measured on, in a few words."""
    size, device = "x".join(map(str, profile["size"])), profile["provenance"]["device"]
    words = [profile["backbone"], size, f"batch {profile['batch']}"]
    words.append(f"{profile['dtype']} channels last" if profile["channels_last"] else profile["dtype"])
    words.append(device)
    if device == "cpu":
        words.append("1 thread" if profile["threads"] == 1 else f"{profile['threads']} threads")
    return ", ".join(words)


def union(joined: pd.Series) -> list[str]:
    """Every entry of "; "-joined texts once, in order of appearance."""
    return list(dict.fromkeys(entry for text in joined.unique() if text for entry in text.split("; ")))
