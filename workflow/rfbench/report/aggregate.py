"""Gather the evaluations of all configured runs into one tidy table.

One row per data set × pair × seed × metric × lesion. Times have no place here, so the same computation done
twice gives the same bytes.
"""

import math
import sys

import pandas as pd

import operators
from rfbench import competitors, kept, runs
from rfbench.competitors import methods
from rfbench.errors import RFBenchError, print_lines
from rfbench.names import METRICS
from rfbench.report.deviations import deviations
from rfbench.report.reading import COLUMNS, METHOD
from rfbench.settings import Settings, network, recipe_of, swept_options, variants


def aggregate(settings: Settings) -> pd.DataFrame:
    """Rows of every configured run.

    `base` and `options` say which pair a run of a sweep varies and all options of its operators; else they are empty.
    `since` says where an operator that is not in the papers' comparison was published. A method has neither
    `downsample` nor `upsample`; a column `method`, there if methods are configured, says its paper and confidence.

    A run whose records are damaged is named on standard error and has the state `error`: it costs its own rows only.
    A run without an evaluation of these settings has one row per metric with an empty value and the state `missing`,
    or `error` if its training or evaluation failed; a run that diverged or timed out likewise. Each names its reason.
    Values are fractions, but for the numbers of lesions and regions and what is counted per image; empty where too few
    lesions allow a fraction (`evaluation.lesion_metrics`). `n` is the number of evaluated images.
    """
    rows = []
    for run in runs.configured(settings):
        common = _common(settings, run)
        try:
            rows += _rows(settings, run, common)
        except RFBenchError as error:
            print_lines(error.args, file=sys.stderr)
            rows += _holes(common, "error", str(error).replace("\n", " "))
    return pd.DataFrame(rows, columns=[*COLUMNS, METHOD] if settings.methods else COLUMNS)


def _common(settings: Settings, run: runs.Run) -> dict:
    """What every row of a run says, whatever its records say."""
    dataset, swept = run.settings.dataset, swept_options(settings, run.competitor)
    base, variant = network(settings, run.competitor)[0], variants(settings).get(run.competitor)
    about = None if competitors.is_method(base) else operators.get(base)
    return {
        "dataset": run.dataset,
        "pair": run.competitor,
        "seed": run.seed,
        "kind": dataset.kind,
        "layout": dataset.layout,
        "split": run.evaluation.split,
        "eval_size": run.evaluation.eval_size,
        "synthetic": dataset.kind == "synthetic",
        "base": base if swept else "",
        "options": " ".join(f"{option}={value}" for option, value in swept.items()),
        "row": competitors.row(base) + (f", {variant.option} {variant.value}" if variant else ""),
        "since": about.since if about else "",
        METHOD: "" if about else f"{methods.method(base).paper}; {methods.method(base).confidence.rstrip('.')}",
        "downsample": about.down if about else "",
        "upsample": about.up if about else "",
        "backbone": run.settings.model.backbone,
        "recipe": recipe_of(settings, run.competitor).name,
        "deviations": "; ".join(deviations(run.settings)),
    }


def _holes(common: dict, state: str, reason: str) -> list[dict]:
    """The rows of a run without an evaluation."""
    return [{**common, "state": state, "reason": reason, "n": 0, "metric": name, "lesion": "mean"} for name in METRICS]


def _rows(settings: Settings, run: runs.Run, common: dict) -> list[dict]:
    """The rows of a run by its records, each with what `common` says.

    Raises:
        RFBenchError: a record is damaged.
    """
    record = run.evaluation_record()
    if record is None:
        return _holes(common, *run.hole())
    trained = record["training_provenance"]
    common = common | {
        "state": record["state"],
        "reason": record["reason"],
        "n": record.get("n_images", 0),
        "settings": record["identity"]["settings"],
        "manifest": record["identity"]["manifest"][:12],
        "commit": trained["commit"],
        "dirty": trained["dirty"],
        "torch": trained["versions"]["torch"],
        "device": trained["device"],
        "kept": "; ".join(kept.notes(settings.results, run)),
    }
    if record["state"] != "done":
        return [{**common, "metric": metric, "lesion": "mean"} for metric in METRICS]
    measured = {metric: record["metrics"][metric] for metric in METRICS}
    measured["ap_error"] = {lesion: detail["ap_error"] for lesion, detail in record["details"].items()}
    measured["aupr11_artefact"] = {
        lesion: float(detail["aupr11_artefact"]) for lesion, detail in record["details"].items()
    }
    measured |= record.get("lesions", {})  # runs of earlier versions have none
    if "untrained" in record:
        measured["ap_untrained"] = record["untrained"]["ap"]
    return [
        {**common, "metric": metric, "lesion": lesion, "value": math.nan if value is None else float(value)}
        for metric, by_lesion in measured.items()
        for lesion, value in by_lesion.items()
    ]
