"""How many seeds, and hours, a configuration takes to show a difference of so many points (`rfbench plan --detect`)."""

import math
from pathlib import Path

from rfbench.planning.estimate import evaluation_seconds, training_seconds
from rfbench.report.reading import read_metrics
from rfbench.settings import Settings, recipe_of, run_names
from rfbench.statistics import power, spread
from rfbench.statistics.scores import scores_of

METRIC = "ap"  # of the comparison with the baseline
# SDs of one run, in points, to reckon with before any run: those that the authors' README hints at (0.37 on DDR,
# 0.69 on IDRiD) and the upper end of the latter.
ASSUMED = (0.4, 0.7, 1.4)


def detection(settings: Settings, measured: dict, points: float) -> list[dict]:
    """What it takes to show a difference to the baseline with power 0.8, for each data set and SD.

    The SD of one run in mAP is that of this configuration's finished runs, at both ends of its 95 % interval, too;
    without two runs of a competitor, ASSUMED ones.

    Args:
        settings: a configuration.
        measured: content of `rfbench.planning.sample.measure`.
        points: the difference.

    Returns:
        Dicts of dataset, pairs (how many compete), source (`measured`, `measured, low end`, `measured, high end` or
        `assumed`), sd, seeds, runs and hours of all of them one by one, and the same at the first step of Holm's
        correction: seeds_holm, runs_holm, hours_holm. All three are None where it takes more than 10,000 seeds.
    """
    rows = []
    for dataset in settings.datasets:
        first = (dataset, settings.seeds[0])
        competitors = [competitor for name, competitor, seed in run_names(settings) if (name, seed) == first]
        if len(competitors) < 2:
            continue  # `paper_rows_only` may leave a data set with a single competitor
        hours = sum(_seconds(settings, measured, dataset, competitor) for competitor in competitors) / 3600
        for source, sd in _spreads(settings, dataset):
            found = {"dataset": dataset, "pairs": len(competitors), "source": source, "sd": sd}
            for key, alpha in (("", power.ALPHA), ("_holm", power.ALPHA / (len(competitors) - 1))):
                seeds = power.seeds_for(points, sd, len(competitors), alpha=alpha)
                numbers = {"seeds": seeds, "runs": seeds * len(competitors), "hours": seeds * hours}
                found |= {f"{name}{key}": n if math.isfinite(seeds) else None for name, n in numbers.items()}
            rows.append(found)
    return rows


def _seconds(settings: Settings, measured: dict, dataset: str, competitor: str) -> float:
    """Training and evaluating a competitor once."""
    section, network, images = settings.datasets[dataset], measured["networks"][competitor], measured["images"][dataset]
    training = training_seconds(section, recipe_of(settings, competitor), network, images)
    return training + evaluation_seconds(section, settings.evaluation, network, images) + 2 * measured["start"]


def _spreads(settings: Settings, dataset: str) -> list[tuple[str, float]]:
    """SDs of one run to reckon with, in points, and where each is from."""
    path = Path(settings.results) / "metrics.csv"
    metrics = read_metrics(path) if path.exists() else None
    own = None if metrics is None else metrics[metrics["dataset"] == dataset]
    if own is not None and len(own):
        table = scores_of(own).tables.get((METRIC, "mean"))
        s, df = (math.nan, 0) if table is None else spread(table)
        if s > 0:
            low, high = power.sd_interval(s, df)
            return [("measured", s), ("measured, low end", low), ("measured, high end", high)]
    return [("assumed", sd) for sd in ASSUMED]
