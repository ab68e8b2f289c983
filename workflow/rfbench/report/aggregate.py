"""Gather the evaluations of all configured runs into one tidy table.

One row per data set × pair × seed × metric × lesion. Times have no place here, so the same computation done
twice gives the same bytes.
"""

import argparse
import sys
from pathlib import Path

import pandas as pd

import operators
from rfbench import config as configuration
from rfbench import provenance
from rfbench.pipeline import run_folder

COLUMNS = [
    *("dataset", "pair", "seed", "metric", "lesion", "value", "n", "state", "reason"),
    *("kind", "layout", "split", "eval_size", "synthetic", "base", "options"),
    *("row", "downsample", "upsample", "backbone", "recipe", "deviations"),
    *("settings", "manifest", "commit", "dirty", "torch", "device"),
]
METRICS = ("aupr11", "ap", "f", "iou", "precision", "recall")


def aggregate(config: dict) -> pd.DataFrame:
    """Rows of every configured run.

    `base` and `options` are empty but for the runs of a sweep: the pair, and all options of the swept operators.

    A run without an evaluation of these settings has one row per metric with an empty value and the state `missing`,
    or `error` if its training or evaluation failed; a run that diverged or timed out likewise. Each names its reason.
    Values are fractions; `n` is the number of evaluated images.
    """
    rows = []
    for dataset, pair, seed in configuration.runs(config):
        rows += _rows(config, dataset, pair, seed)
    return pd.DataFrame(rows, columns=COLUMNS)


def _rows(config: dict, dataset: str, pair: str, seed: int) -> list[dict]:
    section, swept = config["datasets"][dataset], configuration.swept_options(config, pair)
    base, variant = configuration.network(config, pair)[0], configuration.variants(config).get(pair)
    about = operators.get(base)
    settings = configuration.run_settings(config, dataset, pair, seed)
    common = {
        "dataset": dataset,
        "pair": pair,
        "seed": seed,
        "kind": section["kind"],
        "layout": configuration.published_layout(section),
        "split": config["evaluation"]["split"],
        "eval_size": section["eval_size"],
        "synthetic": section["kind"] == "synthetic",
        "base": base if swept else "",
        "options": " ".join(f"{option}={value}" for option, value in swept.items()),
        "row": about.published_name + (f", {variant.option} {variant.value}" if variant else ""),
        "downsample": about.down,
        "upsample": about.up,
        "backbone": config["model"]["backbone"],
        "recipe": config["recipe"]["name"],
        "deviations": "; ".join(configuration.deviations(settings)),
    }
    folder = run_folder(config["results"], dataset, pair, seed)
    hole = _hole(folder, settings, configuration.evaluation_settings(config, dataset))
    if hole:
        return [{**common, **hole, "lesion": "mean", "n": 0, "metric": metric} for metric in METRICS]
    record = provenance.read_json(folder / "evaluation.json")
    trained = record["training_provenance"]
    common |= {
        "state": record["state"],
        "reason": record["reason"],
        "n": record.get("n_images", 0),
        "settings": record["identity"]["settings"],
        "manifest": record["identity"]["manifest"][:12],
        "commit": trained["commit"],
        "dirty": trained["dirty"],
        "torch": trained["versions"]["torch"],
        "device": trained["device"],
    }
    if record["state"] != "done":
        return [{**common, "metric": metric, "lesion": "mean"} for metric in METRICS]
    measured = {metric: record["metrics"][metric] for metric in METRICS}
    measured["ap_error"] = {lesion: detail["ap_error"] for lesion, detail in record["details"].items()}
    measured["aupr11_artefact"] = {
        lesion: float(detail["aupr11_artefact"]) for lesion, detail in record["details"].items()
    }
    if "untrained" in record:
        measured["ap_untrained"] = record["untrained"]["ap"]
    return [
        {**common, "metric": metric, "lesion": lesion, "value": value}
        for metric, by_lesion in measured.items()
        for lesion, value in by_lesion.items()
    ]


def _hole(folder: Path, settings: dict, evaluation: dict) -> dict | None:
    """State and reason of a run that has no evaluation with these settings; None if it has one.

    The pipeline never meets another configuration's records, `snakemake partial` does after an edit.
    """
    path, error = folder / "evaluation.json", folder / "work" / "error.json"
    record = provenance.read_json(path) if path.exists() else None
    if record and (record["settings"], record["evaluation"]) == (settings, evaluation):
        return None
    if error.exists():
        return {"state": "error", "reason": provenance.read_json(error)["reason"]}
    if record:
        return {"state": "missing", "reason": "recorded with other settings, to be run again"}
    reason = "trained, not evaluated yet" if (folder / "train.json").exists() else "not trained yet"
    return {"state": "missing", "reason": reason}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    configuration.add_argument(parser)
    parser.add_argument("--output", type=Path, required=True, help="metrics.csv to write")


def run(args: argparse.Namespace) -> int:
    """Run the command."""
    config = configuration.load(args.config)
    table = aggregate(config)
    provenance.write_text(args.output, table.to_csv(index=False, lineterminator="\n"))
    runs = table.drop_duplicates(["dataset", "pair", "seed"])
    states = ", ".join(f"{count} {state}" for state, count in runs["state"].value_counts().items())
    print(f"{args.output}: {len(runs)} runs ({states})", file=sys.stderr)
    return 0
