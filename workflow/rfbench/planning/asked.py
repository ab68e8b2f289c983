"""What a run's jobs ask a cluster for: memory and minutes, by what was measured, else by stated defaults."""

import math
from pathlib import Path

from rfbench import provenance
from rfbench.errors import RFBenchError
from rfbench.settings import Settings, network, recipe_of

PLAN = "plan.json"  # in the results folder: `rfbench plan --keep`
MARGIN = 2.0  # times the estimated minutes, since nodes differ and share what the estimate had alone
STARTING = 5  # minutes beside them
UNKNOWN = {"train": 720, "evaluate": 120}  # minutes where nothing was measured
PROCESS, LOADER = 2000, 500  # MB: Python, torch and an evaluated image; one loading process
ON_GPU = 8000  # MB of the machine's memory for one process that computes on a GPU, whose own nobody asks for
BEYOND_SAVED = 2.0  # times what a forward pass keeps for backward, which the profile measures


def read(results: str | Path, name: str) -> dict | None:
    """A record of the results folder (PLAN, profile.json); None where there is none."""
    path = Path(results) / name
    return provenance.read_json(path) if path.exists() else None


def megabytes(settings: Settings, dataset: str, competitor: str, profile: dict | None) -> int:
    """Memory of one training, in MB.

    Args:
        settings, dataset, competitor: whose training; the competitor may be a variant of the sweep, or a method.
        profile: content of profile.json, if there is one. On a CPU it tells what a training step keeps.
    """
    recipe = recipe_of(settings, competitor)
    loading = LOADER * recipe.workers
    if settings.device == "cuda":
        return recipe.gpus * ON_GPU + loading
    measured = (profile or {}).get("pairs", {}).get(network(settings, competitor)[0])
    if not measured or profile.get("memory_kind") != "saved for backward":
        return ON_GPU + loading
    pixels = math.prod(settings.datasets[dataset].crop) * recipe.batch_size / recipe.micro_batches
    step = BEYOND_SAVED * measured["memory"] * pixels / math.prod(profile["size"]) / 1e6
    return math.ceil(PROCESS + loading + step)


def minutes(settings: Settings, stage: str, dataset: str, competitor: str, plan: dict | None) -> int:
    """Minutes of a run's training or evaluation.

    Args:
        settings, dataset, competitor: whose.
        stage: train (which evaluates, too) or evaluate.
        plan: content of PLAN, if there is one.

    Raises:
        RFBenchError: the plan is none of this version.
    """
    if plan is None or competitor not in plan.get("measured", {}).get("networks", {}):
        return UNKNOWN[stage]
    from rfbench.planning.estimate import evaluation_seconds, training_seconds  # torch

    own, measured = settings.datasets[dataset], plan["measured"]
    try:
        about = measured["networks"][competitor], measured["images"][dataset]
        seconds = measured["start"] + evaluation_seconds(own, settings.evaluation, *about)
        seconds += training_seconds(own, recipe_of(settings, competitor), *about) if stage == "train" else 0.0
    except (KeyError, TypeError) as error:
        raise RFBenchError(f"{settings.results}/{PLAN}: expected a plan, found no {error}. Plan again.") from None
    return STARTING + math.ceil(MARGIN * seconds / 60)
