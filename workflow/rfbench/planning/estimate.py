"""Hours and bytes of a configuration's stages, computed from a sample of the machine (`rfbench.planning.sample`).

A network's update and pass are taken as a constant plus a part proportional to the pixels, work on photographs as
proportional to theirs. Other jobs, a bottleneck in memory and another algorithm of cuDNN at full size are not accounted
for. A run is taken as finished by the settings of its records, a table or figure by its file; `snakemake -n` also looks
at code and data.
"""

import json
import math
from pathlib import Path

from rfbench import provenance
from rfbench.lesions import evidence, truth
from rfbench.names import BASELINE_PAIR
from rfbench.profiling import profile
from rfbench.report import tables
from rfbench.runs import Run, configured, manifest_path
from rfbench.settings import Dataset, Evaluation, Recipe, Settings, every_pretrained, recipe_of, run_names
from rfbench.training.workfolder import KEPT

# Stages that follow the runs or the profile, and a file of each.
LAST = {
    "costs": "{reports}/tables/profile.csv",
    "aggregate": "{results}/metrics.csv",
    "statistics": "{results}/differences.csv",
    "tables": f"{{reports}}/tables/{tables.INDEX}",
    "verdicts": "{reports}/tables/verdicts.csv",
    "figures": "{reports}/figures/figures.txt",
    "ablation": "{reports}/tables/table1.csv",
}
STAGES = ("prepare", "lesions", "weights", "train", "evaluate", "profile", *LAST)


def training_seconds(dataset: Dataset, recipe: Recipe, network: dict, images: dict) -> float:
    """Seconds of one training.

    Args:
        dataset, recipe: as configured.
        network: a competitor's entry of `measure_network`.
        images: the data set's entry of `measure_images`.
    """
    update, loading = update_seconds(dataset, recipe, network, images)
    cached = recipe.train_source == "cached_2x"
    once = images["train"] * images["read"] * (cached and not recipe.store)
    return once + dataset.iterations * (max(update, loading) if recipe.workers else update + loading)


def update_seconds(dataset: Dataset, recipe: Recipe, network: dict, images: dict) -> tuple[float, float]:
    """Seconds of an update on the device that computes, and of loading its samples; arguments as `training_seconds`.

    The longer one bounds a training with loading processes (recipe.workers); without, they follow one another.
    """
    constant, slope = network["update"]
    decoded = recipe.train_source == "cached_2x" or recipe.store
    sample = images["load"] + (0 if decoded else images["read"] / max(recipe.workers, 1))
    return constant + slope * math.prod(dataset.crop), recipe.batch_size * sample


def bounds(settings: Settings, measured: dict) -> list[dict]:
    """What bounds the trainings on each data set, the network or the loader of samples.

    Returns:
        Dicts of dataset; `update`, seconds of the fastest and the slowest competitor's update; `loading`, seconds of
        loading its samples; `network` and `loader`, how many competitors each of them bounds; `workers`, how many
        processes would load as fast as the fastest one takes samples, by what one of them draws.
    """
    rows, recipe = [], settings.recipe
    for name, dataset in settings.datasets.items():
        images = measured["images"][name]
        competitors = dict.fromkeys(competitor for own, competitor, _ in run_names(settings) if own == name)
        networks = measured["networks"]
        seconds = [update_seconds(dataset, recipe_of(settings, own), networks[own], images) for own in competitors]
        updates, loading = [update for update, _ in seconds], seconds[0][1]
        by_loader = sum(loading > update for update in updates)
        one = loading if not recipe.workers else recipe.batch_size * images["draw"]
        rows.append({
            "dataset": name,
            "update": [min(updates), max(updates)],
            "loading": loading,
            "network": len(updates) - by_loader,
            "loader": by_loader,
            "workers": math.ceil(one / min(updates)),
        })  # fmt: skip
    return rows


def evaluation_seconds(dataset: Dataset, evaluation: Evaluation, network: dict, images: dict) -> float:
    """Seconds of one evaluation; the untrained network doubles it where it is configured."""
    constant, slope = network["forward"]
    image = images["read"] + images["judge"] + constant + slope * math.prod(dataset.scale)
    return (1 + evaluation.untrained) * images[evaluation.split] * image


def profile_seconds(conditions: profile.Conditions, networks: dict, counting: float) -> float:
    """Seconds of `rfbench profile`: counting all, then two passes and the rounds of each form of each network.

    The fused form is taken to be as fast as the pair's own.
    """
    timing = 0.0
    for competitor in {BASELINE_PAIR, *conditions.pairs}:
        constant, slope = networks[competitor]["forward"]
        once = constant + slope * math.prod(conditions.size)
        repeats = math.ceil(profile.LEAST_SECONDS / once)
        timing += (1 + (competitor in conditions.fused)) * (2 + conditions.rounds * repeats) * once
    return len(conditions.pairs) * counting + timing


def stages(settings: Settings, measured: dict, jobs: int) -> list[dict]:
    """One row a stage: jobs in all and to do, seconds one after another and `jobs` at a time, bytes.

    Args:
        settings: a configuration.
        measured: content of `measure`.
        jobs: runs at the same time.
    """
    networks, images, start = measured["networks"], measured["images"], measured["start"]
    state = {(run.dataset, run.competitor, run.seed): _state(run) for run in configured(settings)}
    runs = list(state)
    stored = {name: settings.recipe.store * images[name]["train"] for name in images}  # images decoded on disk
    prepared = {name: manifest_path(settings.results, name).exists() for name in settings.datasets}
    counts = {name: sum(images[name][split] for split in ("train", "val", "test")) for name in images}
    kept = sum(networks[competitor]["bytes"] for _, competitor, _ in runs)
    running = min(jobs, len(runs)) * (KEPT + 1) * max(networks[competitor]["checkpoint"] for _, competitor, _ in runs)
    seconds = {
        "prepare": [
            0.0 if prepared[name] else counts[name] * images[name]["prepare"] + stored[name] * images[name]["read"]
            for name in images
        ],
        "lesions": [
            images[name][settings.evaluation.split] * images[name]["read"]
            for name in images if not manifest_path(settings.results, name).with_name(truth.NAME).exists()
        ],
        "train": [
            training_seconds(settings.datasets[name], recipe_of(settings, own), networks[own], images[name])
            for (name, own, seed) in runs if state[name, own, seed] == "missing"
        ],
        "evaluate": [
            evaluation_seconds(settings.datasets[name], settings.evaluation, networks[own], images[name])
            for (name, own, seed) in runs if state[name, own, seed] != "done"
        ],
    }  # fmt: skip
    seconds["prepare"] = [value for value in seconds["prepare"] if value]
    seconds = {stage: values for stage, values in seconds.items() if values}
    if not _profiled(settings):
        seconds["profile"] = [profile_seconds(profile.configured(settings), networks, measured["counting"])]
    seconds |= {stage: [0.0] for stage in _due(settings, set(seconds))}
    seconds["weights"] = [0.0] * len({weights.name for weights in every_pretrained(settings).values()})
    total = {"weights": len(seconds["weights"])}
    total |= dict.fromkeys(("prepare", "lesions"), len(images)) | dict.fromkeys(("train", "evaluate"), len(runs))
    size = {
        "prepare": sum(counts[name] * images[name]["bytes"] + stored[name] * images[name]["stored"] for name in images),
        "train": kept + running,
    }
    rows = []
    for stage in STAGES[: None if settings.sweep else -1]:
        own = [start + value for value in seconds.get(stage, [])]
        wide = jobs if stage in ("train", "evaluate") else 1
        rows.append({
            "stage": stage,
            "jobs": total.get(stage, 1),
            "to_do": len(own),
            "seconds": sum(own),
            "seconds_parallel": max(sum(own) / wide, max(own, default=0.0)),
            "bytes": size.get(stage, 0),
        })  # fmt: skip
    return rows


def _state(run: Run) -> str:
    """Whether a run is `done`, only `trained`, or `missing`, by its records' settings.

    An evaluation of a version that kept no evidence is done again, as in the pipeline.
    """
    evaluated = run.evaluation_record()
    if evaluated and (run.folder / evidence.NAME).exists():
        return "done"
    return "trained" if evaluated or run.training_record() else "missing"


def _due(settings: Settings, begun: set[str]) -> list[str]:
    """Stages of `LAST` that a stage begun before them makes due, or whose file is missing."""
    before = {"aggregate": {"evaluate"}, "statistics": {"evaluate"}, "costs": {"profile"}}
    folders = {"results": settings.results, "reports": settings.reports}
    return [
        stage for stage, file in LAST.items()
        if begun & before.get(stage, {"evaluate", "profile"}) or not Path(file.format(**folders)).exists()
    ]  # fmt: skip


def _profiled(settings: Settings) -> bool:
    """Whether results/profile.json holds what this configuration profiles."""
    path = Path(settings.results) / "profile.json"
    if not path.exists():
        return False
    wanted = json.loads(json.dumps(profile.recorded(profile.configured(settings))))
    profiled, record = set(wanted.pop("pairs")), provenance.read_json(path)
    return set(record["pairs"]) == profiled and all(record.get(key) == value for key, value in wanted.items())
