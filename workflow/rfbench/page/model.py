"""What the page shows, as one value: gathered from results/ by what the tables and figures are made by."""

from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd

from rfbench import records
from rfbench.names import STATES
from rfbench.page import charts, curves, findings, grids, origins, sections
from rfbench.page.figure import Figure, signs
from rfbench.page.grids import Grid, Hole
from rfbench.page.measures import Measure, measures
from rfbench.page.origins import Origin
from rfbench.page.strips import Strips, of_examples
from rfbench.published import METHOD_TABLES, TABLES, names_for
from rfbench.report import examples, methods, power, ranking, tables, verdicts
from rfbench.report import lesions as found_lesions
from rfbench.report.reading import read_differences, read_profile
from rfbench.runs import run_folder
from rfbench.statistics import verdicts as words

OWN = TABLES["table_own"]


@dataclass(frozen=True)
class DataSet:
    """One data set.

    Attributes:
        name, synthetic: its name, and whether its images are drawn.
        about: what the tables' notes say of it, and split, network, recipe and manifests.
        states: number of runs by state.
        holes: row and reasons of runs that are not done.
        finding: sentences, the answer first.
        table: the main table.
        methods: Table 4 or 6 of the paper with its notes; None where no methods are configured.
        measures: by key.
        metrics: a table for each metric.
        figures: by name, or why there is none.
        statistics: differences to the baseline, or why there are none.
        blind, contrast: the lists of examples, or why there are none.
        strips: the strip plot of the contrast set that is drawn; None where there is none.
        origins: of its rows.
    """

    name: str
    synthetic: bool
    about: dict
    states: dict[str, int]
    holes: tuple[tuple[str, str], ...]
    finding: tuple[str, ...]
    table: Grid
    methods: sections.Methods | None
    measures: dict[str, Measure]
    metrics: tuple[Grid, ...]
    figures: dict[str, Figure | Hole]
    statistics: Grid | Hole
    blind: Grid | Hole
    contrast: Grid | Hole
    strips: Strips | None
    origins: tuple[Origin, ...]


@dataclass(frozen=True)
class Page:
    """The whole page; `date` is that of the newest evaluation (UTC), or empty where no record says when."""

    datasets: tuple[DataSet, ...]
    states: dict[str, int]
    date: str
    commits: tuple[str, ...]
    kept: tuple[str, ...]
    verdicts: Grid
    verdict_counts: dict[str, int]
    compared: Grid | Hole
    claims: Grid
    claim_counts: dict[str, int]
    power: Grid | Hole
    noise: tuple[str, ...]
    costs: Grid | Hole
    conditions: str
    ablation: Grid | Hole
    probe: Grid | Hole
    size_classes: tuple[tuple[str, str], ...]
    rule: tuple[str, ...]

    @property
    def all_synthetic(self) -> bool:
        """Whether no image is real."""
        return all(data.synthetic for data in self.datasets)

    @property
    def figures(self) -> list[Figure]:
        """Every figure of every data set."""
        return [one for data in self.datasets for one in data.figures.values() if isinstance(one, Figure)]


def build(
    metrics: pd.DataFrame, results: Path, folder: Path, differences: Path | None = None, probe: Path | None = None
) -> Page:
    """Gather the page.

    Args:
        metrics: content of metrics.csv.
        results: the results folder: profile.json, differences.csv, curves and records of runs; whatever of them is
            missing is a hole of the page with its reason.
        folder: of the tables that the commands name.
        differences: folder of differences.csv, where it is another one than `results`.
        probe: the probe's table as CSV, where it is another one than probe.csv in `folder`.
    """
    profile, compared = read_profile(results), read_differences(differences or results)
    ours = verdicts.read_ours(metrics, profile)
    judged, claimed = verdicts.cells(ours), verdicts.claims(ours)
    datasets = [
        _dataset(data, results, folder, profile, compared) for _, data in metrics.groupby("dataset", sort=False)
    ]
    done = metrics[metrics["state"] == "done"]
    spread = power.spreads(metrics)
    return Page(
        datasets=tuple(datasets),
        states={state: sum(data.states[state] for data in datasets) for state in STATES},
        date=_newest(done, results),
        commits=tuple(tables.commits(done)),
        kept=tuple(tables.keepings(done)),
        verdicts=sections.verdict_counts(judged),
        verdict_counts={word: int((judged["verdict"] == word).sum()) for word in words.VERDICTS},
        compared=sections.compared(judged),
        claims=sections.claims(claimed),
        claim_counts={word: int((claimed["claim"] == word).sum()) for word in words.CLAIMS},
        power=sections.spreads(spread),
        noise=tuple(sections.noise(spread)),
        costs=sections.costs_of(profile),
        conditions=tables.conditions(profile) if profile else "",
        ablation=sections.sweep(metrics),
        probe=sections.probe(probe or folder / "probe.csv"),
        size_classes=tuple(found_lesions.SIZE_NAMES.items()),
        rule=examples.RULE,
    )


def _newest(done: pd.DataFrame, results: Path) -> str:
    """When the last of these runs was evaluated: a record's date, so that the same input gives the same bytes."""
    runs = done[["dataset", "pair", "seed"]].drop_duplicates().itertuples(index=False)
    paths = [run_folder(results, *run) / "evaluation_times.json" for run in runs]
    moments = [records.read_moment(path) for path in paths if path.exists()]
    return max(filter(None, moments), default="")[:10]


def _dataset(
    data: pd.DataFrame, results: Path, folder: Path, profile: dict | None, differences: pd.DataFrame | None
) -> DataSet:
    name, first = data["dataset"].iloc[0], data.iloc[0]
    synthetic = bool(first["synthetic"])
    rows, named = _rows(data, profile, differences)
    about = _about(data, profile)
    counted = found_lesions.rows_of(data)
    found = measures(data, rows, counted, differences)
    by_metric: dict[str, list[Measure]] = {}
    for measure in found.values():
        by_metric.setdefault(measure.metric, []).append(measure)
    labels = {heading: label for _, heading, _, label in tables.headings(data)}
    labels |= {"Param": "Param, M", "FPS": "FPS, × baseline"}
    compared = [] if synthetic or not first["layout"] or first["split"] == "val" else ["mAUPR", "mF", "mIoU", "FPS"]
    printed = [heading for heading in [*compared, "Param"] if any(
        row["cells"][heading].published_text != "–" for row in rows if heading in row["cells"])]  # fmt: skip
    files = {row: folder / f"{table}.csv" for row, table in named.items()}
    runs = data.drop_duplicates(["pair", "seed"])
    states = Counter(runs["state"])
    return DataSet(
        name=name,
        synthetic=synthetic,
        about=about,
        states={state: states.get(state, 0) for state in STATES},
        holes=tuple((row["row"], "; ".join(row["holes"])) for row in rows if row["holes"]),
        finding=tuple(findings.sentences(name, synthetic, rows, about["learned"], about["runs"])),
        table=grids.headline(name, rows, labels, printed),
        methods=sections.methods_of(data, profile, differences),
        measures=found,
        metrics=tuple(grids.measured(name, metric, group) for metric, group in by_metric.items()),
        figures=_figures(name, data, results, profile, found, counted),
        statistics=sections.differences_of(data, differences),
        blind=sections.blind_set(data, results),
        contrast=sections.contrast_set(data, results),
        strips=of_examples(sections.differences_by_image(data, results)),
        origins=tuple(origins.origins(data, rows, results, files)),
    )


def _rows(data: pd.DataFrame, profile: dict | None, differences: pd.DataFrame | None) -> tuple[list[dict], dict]:
    """The data set's rows over all tables of the paper that it appears in, and by row the first table with it."""
    since = bool((data["since"] != "").any())
    own = names_for({data["layout"].iloc[0]}, since) if data["split"].iloc[0] != "val" else []
    found, named = {}, {}
    # The papers' tables are about test images: the rows of a validation split stand beside none of them.
    of_tables = [(table, TABLES[table], data) for table in own] or [("table_own", OWN, data.assign(layout=OWN.layout))]
    made = [(table, row) for table, about, part in of_tables for row in tables.rows_of(part, about, profile)]
    whole = set(data.loc[tables.of_methods(data), "pair"])
    for table in methods.names_for(data) if own else ():
        made += [(table, row) for row in methods.rows_of(data, METHOD_TABLES[table], profile) if row["pair"] in whole]
    for table, row in made:
        cells = {key: replace(cell, mark="", letters="") for key, cell in row["cells"].items()}
        found.setdefault((row["row"], row["pair"]), {**row, "cells": cells})
        named.setdefault(row["row"], table)
    ranking.rank(list(found.values()), data, differences)
    return list(found.values()), named


def _about(data: pd.DataFrame, profile: dict | None) -> dict:
    """What the tables' notes say of a data set, over all its rows, and what they leave to the reader."""
    notes = tables.notes(data.assign(layout=OWN.layout), OWN, profile)
    first = data.iloc[0]
    return notes["datasets"][0] | {
        "split": "validation" if first["split"] == "val" else "test",
        "backbone": ", ".join(notes["backbones"]),
        "recipe": ", ".join(notes["recipes"]),
        "layout": first["layout"],
        "manifests": sorted({text for text in data["manifest"].astype(str) if text}),
        "ap_bound": notes["ap_bound"],
    }


def _figures(
    name: str, data: pd.DataFrame, results: Path, profile: dict | None, found: dict[str, Measure], counted: list[dict]
) -> dict[str, Figure | Hole]:
    shown = signs(data)
    numbers = {row["lesion"]: row["numbers"] for row in counted}
    done = (data["state"] == "done").any()
    why = {
        "tradeoff": "no finished run is profiled (profile.json, which `rfbench profile` writes)",
        "pr": f"no run has left its curves in {results}/runs",
        "sizes": "the runs were recorded before lesions were counted; evaluate them again",
        "published": "published accuracies belong to real test images and the papers' operators",
        "training": f"no run has left its loss in {results}/runs",
    }
    drawn = {
        "tradeoff": charts.tradeoff(name, found, profile, shown, ranked=not data["synthetic"].iloc[0]),
        "pr": curves.precision_recall(name, data, results),
        "sizes": charts.sizes(name, found, numbers, shown),
        "published": charts.published(name, found, shown),
        "training": curves.training(name, data, results),
    }
    return {key: figure or Hole(why[key] if done else "no run is done") for key, figure in drawn.items()}
