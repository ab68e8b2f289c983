"""The configuration: typed, read, checked, completed; and what of it one run depends on."""

from rfbench.settings.checks import network_problems
from rfbench.settings.deviations import deviations
from rfbench.settings.experiment import network, runs, swept_options, variants
from rfbench.settings.models import Dataset, Recipe, Settings, Training
from rfbench.settings.reading import complete, load, read
from rfbench.settings.runsettings import (
    EvaluationSettings,
    RunSettings,
    evaluation_settings,
    profile_settings,
    recorded_settings,
    run_settings,
)
from rfbench.settings.sources import expand, is_address, missing_sources, preparation, source_fingerprint, source_path
from rfbench.settings.yamlfile import ConfigError

__all__ = [
    "ConfigError",
    "Dataset",
    "EvaluationSettings",
    "Recipe",
    "RunSettings",
    "Settings",
    "Training",
    "complete",
    "deviations",
    "evaluation_settings",
    "expand",
    "is_address",
    "load",
    "missing_sources",
    "network",
    "network_problems",
    "preparation",
    "profile_settings",
    "read",
    "recorded_settings",
    "run_settings",
    "runs",
    "source_fingerprint",
    "source_path",
    "swept_options",
    "variants",
]
