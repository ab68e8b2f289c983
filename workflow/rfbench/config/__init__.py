"""Configuration: read, validated against the schema, its defaults filled in; and what one run of it depends on.

Used as a whole: ``from rfbench import config as configuration``.
"""

from rfbench.config.checks import network_problems
from rfbench.config.experiment import (
    evaluation_settings,
    network,
    profile_settings,
    run_settings,
    runs,
    swept_options,
    variants,
)
from rfbench.config.protocol import (
    SCHEMA,
    deviations,
    published_layout,
)
from rfbench.config.reading import ConfigError, complete, load
from rfbench.config.sources import expand, missing_sources, preparation, source_fingerprint

__all__ = [
    "SCHEMA",
    "ConfigError",
    "complete",
    "deviations",
    "evaluation_settings",
    "expand",
    "load",
    "missing_sources",
    "network",
    "network_problems",
    "preparation",
    "profile_settings",
    "published_layout",
    "run_settings",
    "runs",
    "source_fingerprint",
    "swept_options",
    "variants",
]
