"""Render the paper's tables from results/metrics.csv. Needs neither torch nor the runs themselves."""

import argparse
import math
import sys
from dataclasses import dataclass
from pathlib import Path

import jinja2
import pandas as pd

from rfbench import provenance
from rfbench.errors import RFBenchError

HERE = Path(__file__).parent
PUBLISHED = HERE / "published.csv"
# Our metric, its heading, and the name under which the papers print it (exact AP they do not print).
COLUMNS = (
    ("aupr11", "mAUPR", "mAUPR"),
    ("f", "mF", "mF"),
    ("iou", "mIoU", "mIoU"),
    ("ap", "mAP", None),
    ("ap_untrained", "mAP before training", None),
)


@dataclass(frozen=True)
class Table:
    """A table of the paper (v2): the data sets that it is about, its number in published.csv, its title."""

    layout: str  # idrid, ddr, or folder for own data, which the paper knows nothing of
    dataset: str  # as published.csv names it
    number: str
    title: str


TABLES = {
    "table2_ds": Table("ddr", "DDR", "2-DS", "Table 2, downsampling operators on DDR"),
    "table2_us": Table("ddr", "DDR", "2-US", "Table 2, upsampling operators on DDR"),
    "table3": Table("ddr", "DDR", "3", "Table 3, operator pairs on DDR"),
    "table5": Table("idrid", "IDRiD", "5", "Table 5, operator pairs on IDRiD"),
    "table_own": Table("folder", "", "", "Operator pairs on own data"),
}


@dataclass(frozen=True)
class Cell:
    """Mean and standard deviation over n seeds, in percent, and the published value where there is one."""

    n: int
    mean: float
    std: float
    published: float

    @property
    def text(self) -> str:
        """`mean ± std`, `mean` for a single seed, a dash for none."""
        if self.n == 0:
            return "–"
        return f"{self.mean:.2f}" if self.n == 1 else f"{self.mean:.2f} ± {self.std:.2f}"

    @property
    def published_text(self) -> str:
        """The published value, or a dash."""
        return "–" if math.isnan(self.published) else f"{self.published:.2f}"


def published_means(table: Table, source: str = "arxiv-v2") -> dict[tuple[str, str], float]:
    """Published values of one table in percent by (row, metric); see published.csv."""
    data = pd.read_csv(PUBLISHED, dtype={"table": str})
    data = data[(data["source"] == source) & (data["table"] == table.number) & (data["dataset"] == table.dataset)]
    return {(row.name_, row.metric): row.value for row in data.rename(columns={"name": "name_"}).itertuples()}


def names_for(layouts: set[str]) -> list[str]:
    """Names of the tables that data sets of these layouts appear in."""
    return [name for name, table in TABLES.items() if table.layout in layouts]


def select(metrics: pd.DataFrame, table: Table) -> pd.DataFrame:
    """Metrics of the table: its data sets; its rows, and those that no table of the paper on them has."""
    siblings = [other for other in TABLES.values() if other.layout == table.layout]
    printed = {row for other in siblings for row, _ in published_means(other)}
    own = {row for row, _ in published_means(table)}
    rows = metrics["row"].isin(own) | ~metrics["row"].isin(printed)
    return metrics[(metrics["layout"] == table.layout) & rows]


def columns(metrics: pd.DataFrame) -> list[tuple[str, str, str | None]]:
    """Those of COLUMNS that the metrics hold; the untrained network is evaluated only where configured."""
    present = set(metrics["metric"])
    return [column for column in COLUMNS if column[0] in present]


def rows_of(metrics: pd.DataFrame, table: Table) -> list[dict]:
    """Rows of a table: one per data set and pair, with a cell per metric.

    Args:
        metrics: the table's part of results/metrics.csv (`select`).
        table: which table of the paper it stands beside.

    Returns:
        Dicts of dataset, synthetic, pair, downsample, upsample, n (seeds that are done), configured (seeds in
        all), holes (reasons of the others) and cells by heading. Published values only for real data.
    """
    rows = []
    for (dataset, pair), runs in metrics.groupby(["dataset", "pair"], sort=False):
        first = runs.iloc[0]
        published = {} if first["synthetic"] else published_means(table)
        means = runs[runs["lesion"] == "mean"]
        seeds = means.drop_duplicates("seed")
        cells = {}
        for metric, heading, printed in columns(metrics):
            values = 100 * means.loc[(means["metric"] == metric) & (means["state"] == "done"), "value"]
            cells[heading] = Cell(
                len(values), values.mean(), values.std(), published.get((first["row"], printed), math.nan)
            )
        holes = [
            f"seed {hole.seed}: {hole.state}{f' ({hole.reason})' if hole.reason and hole.state != 'missing' else ''}"
            for hole in seeds[seeds["state"] != "done"].itertuples()
        ]
        done = seeds[seeds["state"] == "done"]
        rows.append(
            {
                "dataset": dataset,
                "synthetic": bool(first["synthetic"]),
                "pair": pair,
                "downsample": first["downsample"],
                "upsample": first["upsample"],
                "n": len(done),
                "configured": len(seeds),
                "holes": holes,
                "cells": cells,
            }
        )
    return rows


def notes(metrics: pd.DataFrame, table: Table) -> dict:
    """What a reader must know beside the numbers: data, network, recipe, images, commits, flagged values."""
    done = metrics[metrics["state"] == "done"]
    artefacts = done[(done["metric"] == "aupr11_artefact") & (done["value"] == 1)]
    bounds = done.loc[done["metric"] == "ap_error", "value"]
    datasets = []
    for name, group in metrics.groupby("dataset", sort=False):
        flagged = artefacts[artefacts["dataset"] == name]
        images = sorted(done.loc[done["dataset"] == name, "n"].astype(int).unique())
        means = done[(done["dataset"] == name) & (done["lesion"] == "mean")]
        paired = means.pivot(index=["pair", "seed"], columns="metric", values="value")
        learned = (paired["ap"] >= 2 * paired["ap_untrained"]).sum() if "ap_untrained" in paired else None
        datasets.append(
            {
                "name": name,
                "synthetic": bool(group["synthetic"].iloc[0]),
                "compared": bool(table.number) and not group["synthetic"].iloc[0],
                "images": " or ".join(map(str, images)) or "no",
                "eval_size": group["eval_size"].iloc[0],
                "runs": len(paired),
                "learned": learned,
                "deviations": _union(group["deviations"]),
                "artefacts": [f"{row.pair} seed {row.seed} {row.lesion}" for row in flagged.itertuples()],
            }
        )
    absent = list(dict.fromkeys(row for row, _ in published_means(table) if row not in set(metrics["row"])))
    return {
        "title": table.title,
        "number": table.number.partition("-")[0],
        "absent": absent,
        "datasets": datasets,
        "backbones": sorted(metrics["backbone"].unique()),
        "recipes": sorted(metrics["recipe"].unique()),
        "commits": sorted(
            f"{str(row.commit)[:12]}{' with uncommitted changes' if row.dirty else ''}"
            for row in done.drop_duplicates(["commit", "dirty"]).itertuples()
        ),
        "ap_bound": f"{100 * bounds.max():.4f}" if len(bounds) else None,
        "headings": [{"name": heading, "printed": printed is not None} for _, heading, printed in columns(metrics)],
        "any_synthetic": bool(metrics["synthetic"].any()),
    }


def _union(joined: pd.Series) -> list[str]:
    """Every entry of "; "-joined texts once, in order of appearance."""
    return list(dict.fromkeys(entry for text in joined.unique() if text for entry in text.split("; ")))


def to_csv(rows: list[dict]) -> str:
    """The table as CSV: numbers in percent, one column per mean, std and published value."""
    about = ["dataset", "pair", "downsample", "upsample", "n", "configured"]
    flat = []
    for row in rows:
        line = {key: row[key] for key in about}
        line["data"] = "SYN" if row["synthetic"] else "real"
        line["holes"] = "; ".join(row["holes"])
        for heading, cell in row["cells"].items():
            line |= {f"{heading}_mean": cell.mean, f"{heading}_std": cell.std}
            if not row["synthetic"]:
                line[f"{heading}_published"] = cell.published
        flat.append(line)
    frame = pd.DataFrame(flat) if flat else pd.DataFrame(columns=[*about, "data", "holes"])
    return frame.to_csv(index=False, lineterminator="\n", float_format="%.4f")


def render(template: Path, **values) -> str:
    """Render a template of workflow/rfbench/templates. TeX templates get their own delimiters and escaping."""
    marks = {}
    if template.name.endswith(".tex.j2"):
        marks = {"block_start_string": "<%", "block_end_string": "%>", "variable_start_string": "<<",
                 "variable_end_string": ">>", "comment_start_string": "<#", "comment_end_string": "#>"}  # fmt: skip
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(template.parent), undefined=jinja2.StrictUndefined, trim_blocks=True,
        lstrip_blocks=True, keep_trailing_newline=True, **marks,
    )  # fmt: skip
    environment.filters["tex"] = escape_tex
    return environment.get_template(template.name).render(**values)


def escape_tex(text: str) -> str:
    """Escape TeX's special characters and set the signs that text fonts lack in mathematics."""
    for sign, code in (("\\", r"\textbackslash{}"), ("&", r"\&"), ("%", r"\%"), ("_", r"\_"), ("#", r"\#"),
                       ("±", r"$\pm$"), ("–", "--"), ("×", r"$\times$")):  # fmt: skip
        text = text.replace(sign, code)
    return text


def read_metrics(path: Path) -> pd.DataFrame:
    """Read results/metrics.csv.

    Raises:
        RFBenchError: the file is missing or is not one that `rfbench aggregate` wrote.
    """
    if not path.exists():
        raise RFBenchError(f"{path}: not found. Run `snakemake`, or `rfbench aggregate`, which writes it.")
    metrics = pd.read_csv(path, keep_default_na=False, na_values={"value": [""], "n": [""]})
    missing = {"layout", "dataset", "pair", "seed", "metric", "lesion", "value", "n", "state"} - set(metrics.columns)
    if missing:
        raise RFBenchError(
            f"{path}: expected the columns of `rfbench aggregate`, missing {', '.join(sorted(missing))}."
        )
    return metrics


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument("--metrics", type=Path, required=True, help="results/metrics.csv")
    parser.add_argument("--output", type=Path, required=True, help="folder of the tables (.csv, .md, .tex)")


def run(args: argparse.Namespace) -> int:
    """Run the command."""
    metrics = read_metrics(args.metrics)
    metrics = metrics[metrics["split"] != "val"]  # the paper's tables but the ablation are about test images
    for name in names_for(set(metrics["layout"])):
        part = select(metrics, TABLES[name])
        if part.empty:
            print(f"{args.output}/{name}: none of its rows is configured", file=sys.stderr)
        rows, about = rows_of(part, TABLES[name]), notes(part, TABLES[name])
        provenance.write_text(args.output / f"{name}.csv", to_csv(rows))
        for kind in ("md", "tex"):
            text = render(HERE / "templates" / f"table.{kind}.j2", rows=rows, about=about)
            provenance.write_text(args.output / f"{name}.{kind}", text)
        print(f"{args.output}/{name}.csv, .md, .tex: {len(rows)} rows", file=sys.stderr)
    return 0
