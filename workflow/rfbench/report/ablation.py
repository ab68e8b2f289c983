"""The ablation: a configuration's sweep of operator options as the paper's Table 1 and a figure.

One option at a time: a block of the table, or a panel of the figure, holds the runs that differ from the swept pair's
own setting in that option alone, and the pair's own.
"""

import math

import numpy as np
import pandas as pd

from rfbench.published import PAPER_NAMES, published_ablation
from rfbench.report import plotting, tables
from rfbench.report.plotting import plt
from rfbench.report.reading import options_of

METRICS = [column for column in tables.COLUMNS if column[0] != "ap_untrained"]


def rows_of(metrics: pd.DataFrame) -> list[dict]:
    """Rows of the table, block by block; a setting that several blocks share stands in each.

    Returns:
        Dicts of dataset, synthetic, row (of the pair), option, value, options (all of them), pair, n (seeds that are
        done), configured, holes, seeds (see `plotting.means`, of `aupr11`) and cells by heading, published values for
        real data of the paper's ablation only.
    """
    rows = []
    for (dataset, base), runs in metrics[metrics["base"] != ""].groupby(["dataset", "base"], sort=False):
        name = runs.loc[runs["pair"] == base, "row"].iloc[0]
        settings = {text: options_of(text) for text in runs["options"].unique()}
        own = options_of(runs.loc[runs["pair"] == base, "options"].iloc[0])
        for option in own:
            block = [text for text, given in settings.items() if {**given, option: own[option]} == own]
            if len(block) > 1:
                rows += [
                    {"dataset": dataset, "row": name, "option": option, "value": settings[text][option]}
                    | _row(runs[runs["options"] == text], name)
                    for text in sorted(block, key=lambda text: _order(settings[text][option]))
                ]
    return rows


def _order(value: str) -> tuple[float, str]:
    """Numbers by size, then words."""
    try:
        return float(value), ""
    except ValueError:
        return math.inf, value


def _compared(run: pd.Series) -> bool:
    """Whether the paper's ablation is about the same images: DDR's validation split."""
    return not run["synthetic"] and (run["layout"], run["split"]) == ("ddr", "val")


def _row(runs: pd.DataFrame, name: str) -> dict:
    first, options = runs.iloc[0], options_of(runs["options"].iloc[0])
    compared = _compared(first)
    key = (name, *(float(options.get(option, "nan")) for option in PAPER_NAMES))
    printed = published_ablation().get(key, {}) if compared else {}
    return {
        "synthetic": bool(first["synthetic"]),
        "compared": compared,
        "options": options,
        "pair": first["pair"],
        "seeds": plotting.means(runs, "aupr11"),
        **tables.summary(runs, METRICS, printed),
    }


def notes(metrics: pd.DataFrame) -> list[dict]:
    """What a reader must know beside the numbers, for each data set: images, network, recipe, deviations, commits."""
    found = []
    for (dataset, base), runs in metrics[metrics["base"] != ""].groupby(["dataset", "base"], sort=False):
        own = runs[runs["pair"] == base]
        found.append(
            {
                "name": dataset,
                "row": own["row"].iloc[0],
                "setting": own["options"].iloc[0].replace(" ", ", ").replace("=", " "),
                "synthetic": bool(runs["synthetic"].iloc[0]),
                "compared": _compared(runs.iloc[0]),
                "split": "validation" if runs["split"].iloc[0] == "val" else "test",
                "images": tables.images(runs),
                "artefacts": tables.artefacts(runs),
                "eval_size": runs["eval_size"].iloc[0],
                "deviations": own["deviations"].iloc[0],
                "backbone": runs["backbone"].iloc[0],
                "recipe": runs["recipe"].iloc[0],
                "commits": tables.commits(runs[runs["state"] == "done"]),
                "kept": tables.keepings(runs[runs["state"] == "done"]),
            }
        )
    return found


def to_csv(rows: list[dict]) -> str:
    """The table as CSV: percent, one column per mean, std and published value."""
    flat = []
    for row in rows:
        line = {key: row[key] for key in ("dataset", "row", "option", "value", "pair", "n", "configured")}
        line |= {"data": "SYN" if row["synthetic"] else "real", "holes": "; ".join(row["holes"]), **row["options"]}
        for heading, cell in row["cells"].items():
            line |= {f"{heading}_mean": cell.mean, f"{heading}_std": cell.std}
            if row["compared"]:
                line[f"{heading}_published"] = cell.published
        flat.append(line)
    return pd.DataFrame(flat).to_csv(index=False, lineterminator="\n", float_format="%.4f")


def draw(rows: list[dict], about: list[dict]) -> plt.Figure:
    """mAUPR against each option's values: seeds, mean and standard deviation; the published line beside."""
    options = list(dict.fromkeys(row["option"] for row in rows))
    size = (plotting.WIDTH, 38 * plotting.MM * len(about))
    figure, grid = plt.subplots(len(about), len(options), figsize=size, sharey="row", squeeze=False)
    titles, handles = [], {}
    for data, line in zip(about, grid, strict=True):
        own = [row for row in rows if (row["dataset"], row["row"]) == (data["name"], data["row"])]
        for option, axes in zip(options, line, strict=True):
            handles |= _panel(axes, [row for row in own if row["option"] == option])
            axes.set_xlabel(option)
        line[0].set_ylabel(f"{data['name']}: mAUPR, %")
        synthetic = " – SYN: synthetic images, no ranking" if data["synthetic"] else ""
        network = f"{data['backbone']}, recipe {data['recipe']}"
        titles += [
            f"{data['row']} on {data['name']}{synthetic}",
            f"{network}, {data['split']} images: {data['images']}",
        ]
    plotting.entitle(figure, titles)
    plotting.legend(figure, handles)
    return figure


def _panel(axes, rows: list[dict]) -> dict[str, object]:
    """One option: its values at equal distances, as they are usually powers of two. Returns the legend's handles."""
    places, handles = np.arange(len(rows)), {}
    for place, row in zip(places, rows, strict=True):
        handles |= plotting.draw_seeds(axes, row["seeds"], place, upright=True)
    cells = [row["cells"]["mAUPR"] for row in rows]
    spread = [0 if math.isnan(cell.std) else cell.std for cell in cells]
    ours = {"fmt": "D-", "color": plotting.ACCENT, "ms": 3, "capsize": 2}
    handles["mean, SD"] = axes.errorbar(places, [cell.mean for cell in cells], yerr=spread, **ours)
    if not all(math.isnan(cell.published) for cell in cells):
        printed = [cell.published for cell in cells]
        (handles["published"],) = axes.plot(places, printed, "s--", color=plotting.CONTRAST, ms=3)
    axes.set_xticks(places, [f"{row['value']}\nn={row['n']}" for row in rows])
    axes.margins(x=0.15)
    return handles
