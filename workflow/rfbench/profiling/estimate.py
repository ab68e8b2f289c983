"""Hours and bytes of a configuration's stages, computed from a sample of the machine (`rfbench.profiling.sample`).

A network's pass is taken as a constant plus a part proportional to the pixels, work on photographs as proportional to
theirs. Other jobs, a bottleneck in memory or another algorithm of cuDNN at full size are not in it. What is finished is
judged by the records' settings, tables and figures by being there; `snakemake -n` also looks at code and data.
"""

import json
import math
from pathlib import Path

from rfbench import config as configuration
from rfbench import provenance
from rfbench.pipeline import manifest_path, run_folder
from rfbench.profiling import profile
from rfbench.report import tables
from rfbench.training.workfolder import KEPT

# Stages that follow the runs or the profile, and a file of each.
LAST = {
    "costs": "{reports}/tables/profile.csv",
    "aggregate": "{results}/metrics.csv",
    "tables": f"{{reports}}/tables/{tables.INDEX}",
    "figures": "{reports}/figures/figures.txt",
    "ablation": "{reports}/tables/table1.csv",
}
STAGES = ("prepare", "weights", "train", "evaluate", "profile", "costs", "aggregate", "tables", "figures", "ablation")


def training_seconds(section: dict, recipe: dict, network: dict, images: dict) -> float:
    """Seconds of one training.

    Args:
        section: the data set's section of a complete configuration.
        recipe: the configuration's recipe.
        network: a pair's entry of `measure_network`.
        images: the data set's entry of `measure_images`.
    """
    constant, slope = network["step"]
    size, pixels = recipe["batch_size"] / recipe["micro_batches"], math.prod(section["crop"])
    update = recipe["micro_batches"] * (constant + slope * size * pixels) + network["optimizer"]
    cached, stored = recipe["train_source"] == "cached_2x", recipe["store"]
    loading = recipe["batch_size"] * (images["draw"] + (0 if cached or stored else images["read"]))
    once = images["train"] * images["read"] * (cached and not stored)
    if not recipe["workers"]:
        return once + section["iterations"] * (update + loading)
    return once + section["iterations"] * max(update, loading / recipe["workers"])


def evaluation_seconds(section: dict, evaluation: dict, network: dict, images: dict) -> float:
    """Seconds of one evaluation; the untrained network doubles it where it is configured."""
    constant, slope = network["forward"]
    image = images["read"] + images["judge"] + constant + slope * math.prod(section["scale"])
    return (1 + evaluation["untrained"]) * images[evaluation["split"]] * image


def profile_seconds(settings: profile.Settings, networks: dict, counting: float) -> float:
    """Seconds of `rfbench profile`: counting each pair, then two passes and the rounds of each form of each network.

    The fused form is taken to be as fast as the pair's own.
    """
    timing = 0.0
    for pair in {profile.BASELINE, *settings.pairs}:
        constant, slope = networks[pair]["forward"]
        once = constant + slope * math.prod(settings.size)
        repeats = math.ceil(profile.LEAST_SECONDS / once)
        timing += (1 + (pair in settings.fused)) * (2 + settings.rounds * repeats) * once
    return len(settings.pairs) * counting + timing


def stages(config: dict, measured: dict, jobs: int) -> list[dict]:
    """One row a stage: jobs in all and to do, seconds one after another and `jobs` at a time, bytes.

    Args:
        config: a complete configuration.
        measured: content of `measure`.
        jobs: runs at the same time.
    """
    networks, images, start = measured["networks"], measured["images"], measured["start"]
    runs = configuration.runs(config)
    state = {run: _state(config, *run) for run in runs}
    stored = {name: config["recipe"]["store"] * images[name]["train"] for name in images}  # images decoded on disk
    prepared = {name: manifest_path(config["results"], name).exists() for name in config["datasets"]}
    counts = {name: sum(images[name][split] for split in ("train", "val", "test")) for name in images}
    kept = sum(networks[pair]["bytes"] for _, pair, _ in runs)
    running = min(jobs, len(runs)) * (KEPT + 1) * max(networks[pair]["checkpoint"] for _, pair, _ in runs)
    seconds = {
        "prepare": [
            0.0 if prepared[name] else counts[name] * images[name]["prepare"] + stored[name] * images[name]["read"]
            for name in images
        ],
        "train": [
            training_seconds(config["datasets"][name], config["recipe"], networks[pair], images[name])
            for (name, pair, seed) in runs if state[name, pair, seed] == "missing"
        ],
        "evaluate": [
            evaluation_seconds(config["datasets"][name], config["evaluation"], networks[pair], images[name])
            for (name, pair, seed) in runs if state[name, pair, seed] != "done"
        ],
    }  # fmt: skip
    seconds["prepare"] = [value for value in seconds["prepare"] if value]
    seconds = {stage: values for stage, values in seconds.items() if values}
    if not _profiled(config):
        seconds["profile"] = [profile_seconds(profile.from_config(config), networks, measured["counting"])]
    seconds |= {stage: [0.0] for stage in _due(config, set(seconds))}
    seconds["weights"] = [0.0] * (config["model"]["pretrained"] != "none")
    total = {"prepare": len(images), "weights": len(seconds["weights"]), "train": len(runs), "evaluate": len(runs)}
    size = {
        "prepare": sum(counts[name] * images[name]["bytes"] + stored[name] * images[name]["stored"] for name in images),
        "train": kept + running,
    }
    rows = []
    for stage in STAGES[: None if config["sweep"] else -1]:
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


def _state(config: dict, dataset: str, pair: str, seed: int) -> str:
    """Whether a run is `done`, only `trained`, or `missing`, by its records' settings."""
    folder = run_folder(config["results"], dataset, pair, seed)
    settings = configuration.run_settings(config, dataset, pair, seed)
    wanted = {"settings": settings, "evaluation": configuration.evaluation_settings(config, dataset)}
    for name, keys, state in (("evaluation", tuple(wanted), "done"), ("train", ("settings",), "trained")):
        path = folder / f"{name}.json"
        if path.exists():
            record = provenance.read_json(path)
            if all(record.get(key) == wanted[key] for key in keys):
                return state
    return "missing"


def _due(config: dict, begun: set[str]) -> list[str]:
    """Stages of `LAST` that a stage begun before them makes due, or whose file is missing."""
    before = {"aggregate": {"evaluate"}, "costs": {"profile"}}
    return [
        stage for stage, file in LAST.items()
        if begun & before.get(stage, {"evaluate", "profile"}) or not Path(file.format(**config)).exists()
    ]  # fmt: skip


def _profiled(config: dict) -> bool:
    """Whether results/profile.json holds what this configuration profiles."""
    path = Path(config["results"]) / "profile.json"
    if not path.exists():
        return False
    wanted = json.loads(json.dumps(profile.recorded(profile.from_config(config))))
    pairs, record = set(wanted.pop("pairs")), provenance.read_json(path)
    return set(record["pairs"]) == pairs and all(record.get(key) == value for key, value in wanted.items())
