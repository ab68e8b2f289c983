"""Every competitor against the baseline on every metric and lesion, with both intervals: results/differences.csv."""

import os
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from rfbench.errors import RFBenchError
from rfbench.lesions import counts, evidence, truth
from rfbench.runs import manifest_path, run_folder
from rfbench.statistics import comparison, jackknife
from rfbench.statistics.population import UNKNOWN, Population, population
from rfbench.statistics.retraining import retraining, spread, welch
from rfbench.statistics.scores import COUNTED, Scores, scores_of
from rfbench.threads import threads

COLUMNS = [
    *("dataset", "metric", "lesion", "pair", "reference", "n", "difference", "sd", "df", "low", "high"),
    *("population_low", "population_high", "p", "p_holm", "probability", "n_eff"),
    *("n_reference", "probability_low", "probability_high", "practically_equal", "welch_low", "welch_high"),
    *("brown_forsythe_p", "absent"),
]
LEAST_IMAGES = 5  # with the lesion; below, the images that happen to hold it rule the jackknife
TOLERANCE = 1e-9  # by which F and IoU of evidence.npz may differ from metrics.csv: both are ratios of the same integers


@dataclass
class Images:
    """What a data set's runs left of their images.

    Attributes:
        names: the lesions, as the columns of the arrays have them.
        without: by (competitor, seed): the metrics without each image, (N, C) each, in the units of the scores.
        support: by metric, how many images have something to find, (C,).
        missing: runs that are done and left no evidence.
    """

    names: list[str] = field(default_factory=list)
    without: dict[tuple[str, int], dict[str, np.ndarray]] = field(default_factory=dict)
    support: dict[str, np.ndarray] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)


def differences(metrics: pd.DataFrame, results: Path, baseline: str) -> tuple[pd.DataFrame, list[str]]:
    """Differences of every competitor to the baseline.

    Args:
        metrics: content of metrics.csv.
        results: the results folder; evidence.npz of its runs, where they have one, give the population intervals.
        baseline: the reference, as `row` or `pair` of metrics.csv names it.

    Returns:
        The table (COLUMNS; differences and intervals in percentage points), and what could not be done, in sentences.

    Raises:
        RFBenchError: a run is there twice, or its evidence is not that of its evaluation.
    """
    found, notes = [], []
    for dataset, data in metrics.groupby("dataset", sort=False):
        named = data.loc[(data["row"] == baseline) | (data["pair"] == baseline), "pair"].unique()
        if len(named) != 1:
            competitors = ", ".join(data["pair"].unique())
            notes.append(
                f"{dataset}: no differences, since {baseline} is not among what competes there: {competitors}."
            )
            continue
        scores = scores_of(data)
        images = read_images(data, scores, results)
        if images.missing:
            notes.append(
                f"{dataset}: {len(images.missing)} finished runs have no {evidence.NAME}, so these have no "
                f"population interval: {', '.join(images.missing)}. Evaluate them again."
            )
        if scores.absent:
            notes.append(f"{dataset}: no image has {', '.join(scores.absent)}; means are those of the other lesions.")
        found += [
            _compare(scores, key, named[0], images).assign(dataset=dataset, metric=key[0], lesion=key[1])
            for key in scores.tables
        ]
    return pd.concat(found)[COLUMNS] if found else pd.DataFrame(columns=COLUMNS), notes


def _compare(scores: Scores, key: tuple[str, str], baseline: str, images: Images) -> pd.DataFrame:
    """One row for every competitor but the baseline, on one metric and lesion."""
    table, reference = scores.tables[key], scores.competitors.index(baseline)
    got, n = retraining(table, reference), np.isfinite(table).sum(1)
    known = np.isfinite(got.low)
    sd = np.where(known, got.sd, np.nan)
    chances = [comparison.probability(x, sd) for x in (got.difference, got.low, got.high)]
    welch_low, welch_high = welch(table, reference)
    beyond = [
        _population(images, scores, key, competitor, baseline, difference) if has_interval else UNKNOWN
        for competitor, difference, has_interval in zip(scores.competitors, got.difference, known, strict=True)
    ]
    rows = pd.DataFrame({
        "pair": scores.competitors, "reference": baseline, "n": n, "n_reference": n[reference], **vars(got),
        "population_low": [interval.low for interval in beyond],
        "population_high": [interval.high for interval in beyond],
        "n_eff": [interval.n_eff for interval in beyond],
        "probability": chances[0], "probability_low": chances[1], "probability_high": chances[2],
        "practically_equal": np.where(
            known & (key[0] not in COUNTED), comparison.practically_equal(table, reference), None
        ),
        "welch_low": welch_low, "welch_high": welch_high,
        "brown_forsythe_p": comparison.brown_forsythe(table), "absent": " ".join(scores.absent),
    })  # fmt: skip
    return rows.drop(index=reference)


def _population(
    images: Images, scores: Scores, key: tuple[str, str], competitor: str, baseline: str, difference: float
) -> Population:
    """The population interval; unknown without the evidence of both's runs, or with a lesion in too few images."""
    metric, lesion = key
    lesions = [name for name in images.names if name not in scores.absent] if lesion == "mean" else [lesion]
    if metric not in images.support or not set(lesions) <= set(images.names):
        return UNKNOWN
    columns, table, stacks = [images.names.index(name) for name in lesions], scores.tables[key], []
    if (images.support[metric][columns] < LEAST_IMAGES).any():
        return UNKNOWN
    for name in (competitor, baseline):
        done = np.isfinite(table[scores.competitors.index(name)])
        runs = [images.without.get((name, seed), {}).get(metric) for seed in np.array(scores.seeds)[done]]
        if any(run is None for run in runs):
            return UNKNOWN
        stacks.append(np.stack([run[:, columns].mean(1) for run in runs]))
    return population(difference, *spread(table), *stacks)


def read_images(data: pd.DataFrame, scores: Scores, results: Path) -> Images:
    """What the runs of a data set left of their images.

    Args:
        data: the data set's rows of metrics.csv.
        scores: the same as tables.
        results: the results folder; lesions.npz of its data set gives the sizes of the lesions.
    """
    dataset, found = data["dataset"].iloc[0], Images()
    lesions = manifest_path(results, dataset).with_name(truth.NAME)
    there = truth.read(lesions) if lesions.exists() else None
    done = data[data["state"] == "done"].drop_duplicates(["pair", "seed"])
    files = {
        run: run_folder(results, dataset, *run) / evidence.NAME for run in zip(done["pair"], done["seed"], strict=True)
    }
    found.missing = [f"{competitor} seed {seed}" for (competitor, seed), path in files.items() if not path.exists()]
    files = {run: path for run, path in files.items() if path.exists()}
    # Unpacking and counting, most of the time that statistics take, let other threads run meanwhile.
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    with threads(cores) as pool:
        kept = pool.map(lambda run: _without_each(run, files[run], there, scores), files)
        for run, (without, lesions, support) in zip(files, kept, strict=True):
            found.without[run], found.names, found.support = without, lesions, support
    return found


def _without_each(
    run: tuple[str, int], path: Path, there: truth.Truth | None, scores: Scores
) -> tuple[dict[str, np.ndarray], list[str], dict[str, np.ndarray]]:
    """What `Images` keeps of one run: the metrics without each image, the lesions and the support."""
    own = evidence.read(path)
    _check(own, there, scores, run, path)
    without = {
        metric: values if metric in COUNTED else 100 * values
        for metric, values in jackknife.without_each(own, there).items()
    }
    return without, own.names.tolist(), jackknife.support(own, there)


def _check(own: evidence.Evidence, there: truth.Truth | None, scores: Scores, run: tuple[str, int], path: Path) -> None:
    """Refuse the evidence of another evaluation, or of other lesions."""
    place = scores.competitors.index(run[0]), scores.seeds.index(run[1])
    exact = counts.metrics(own.counts.sum(0), own.positives.sum(0))
    for metric in ("f", "iou"):
        for lesion, value in zip(own.names.tolist(), exact[metric], strict=True):
            if (metric, lesion) not in scores.tables:
                continue
            listed = scores.tables[metric, lesion][place] / 100
            if abs(value - listed) > TOLERANCE:
                raise RFBenchError(
                    f"{path}: expected {metric} of {lesion} = {listed:.6f} as in metrics.csv, found {value:.6f}: it "
                    "is the evidence of another evaluation. Run `snakemake`."
                )
    if there is not None and not np.array_equal(own.lesion_offsets, there.offsets):
        raise RFBenchError(
            f"{path}: expected the lesions of the data set's {truth.NAME}, found others. Run `snakemake`, which writes "
            "both."
        )
