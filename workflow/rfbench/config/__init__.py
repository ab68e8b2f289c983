"""The configuration as a mapping, for the rooms that do not read `rfbench.settings` yet."""

from rfbench import settings as typed
from rfbench.settings import ConfigError, Settings, expand
from rfbench.settings.experiment import Variant

__all__ = ["ConfigError", "expand"]


def _typed(config: dict) -> Settings:
    return Settings.model_validate(config)


def load(path) -> dict:
    return typed.load(path).model_dump(mode="json")


def complete(config: dict, origin: str = "configuration", registry: bool = True) -> dict:
    return typed.complete(config, origin, registry).model_dump(mode="json")


def runs(config: dict) -> list[tuple[str, str, int]]:
    return typed.runs(_typed(config))


def variants(config: dict) -> dict[str, Variant]:
    return typed.variants(_typed(config))


def swept_options(config: dict, name: str) -> dict:
    return typed.swept_options(_typed(config), name)


def network(config: dict, name: str) -> tuple[str, dict]:
    return typed.network(_typed(config), name)


def network_problems(config: dict) -> list[str]:
    return typed.network_problems(_typed(config))


def published_layout(dataset: dict) -> str:
    return dataset["synthetic"]["layout"] if dataset["kind"] == "synthetic" else dataset["kind"]


def run_settings(config: dict, dataset: str, pair: str, seed: int) -> dict:
    return typed.run_settings(_typed(config), dataset, pair, seed).model_dump(mode="json")


def evaluation_settings(config: dict, dataset: str) -> dict:
    return typed.evaluation_settings(_typed(config), dataset).model_dump(mode="json")


def profile_settings(config: dict) -> dict:
    return typed.profile_settings(_typed(config))


def deviations(run: dict) -> list[str]:
    return typed.deviations(typed.recorded_settings({"settings": run}))


def missing_sources(config: dict) -> list[str]:
    return typed.missing_sources(_typed(config))


def preparation(dataset: dict) -> list[str]:
    return typed.preparation(typed.Dataset.model_validate(dataset))


def source_fingerprint(dataset: dict) -> str:
    return typed.source_fingerprint(typed.source_path(typed.Dataset.model_validate(dataset)))
