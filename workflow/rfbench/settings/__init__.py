"""The configuration: typed, read, checked, completed; and what of it one run depends on."""

from rfbench.settings.checks import needs_gpu
from rfbench.settings.experiment import (
    every_pretrained,
    network,
    own_recipe,
    recipe_of,
    run_names,
    swept_options,
    variants,
)
from rfbench.settings.models import Dataset, Evaluation, Profile, Protocol, Recipe, Settings, Training
from rfbench.settings.reading import complete, load, read
from rfbench.settings.runsettings import (
    EvaluationSettings,
    RunSettings,
    evaluation_settings,
    profile_settings,
    recorded_settings,
    run_settings,
)
from rfbench.settings.sentences import plain
from rfbench.settings.sources import expand, is_address, missing_sources, preparation, source_path, weights_file
from rfbench.settings.yamlfile import ConfigError

__all__ = [
    "ConfigError",
    "Dataset",
    "Evaluation",
    "EvaluationSettings",
    "Profile",
    "Protocol",
    "Recipe",
    "RunSettings",
    "Settings",
    "Training",
    "complete",
    "evaluation_settings",
    "every_pretrained",
    "expand",
    "is_address",
    "load",
    "missing_sources",
    "needs_gpu",
    "network",
    "own_recipe",
    "plain",
    "preparation",
    "profile_settings",
    "read",
    "recipe_of",
    "recorded_settings",
    "run_names",
    "run_settings",
    "source_path",
    "swept_options",
    "variants",
    "weights_file",
]
