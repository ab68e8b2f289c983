"""A run: one data set, one competitor, one seed. Where its records lie, and which are its own.

What competes is an operator pair, a variant of one that a sweep makes, or a method. A record is a run's own if it was
computed with the settings that the configuration gives the run today; the pipeline meets no others, `snakemake partial`
and `rfbench plan` do after an edit of the configuration.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from rfbench import records
from rfbench.data import manifest
from rfbench.errors import RFBenchError
from rfbench.settings import (
    EvaluationSettings,
    RunSettings,
    Settings,
    evaluation_settings,
    recorded_settings,
    run_names,
    run_settings,
)


def run_folder(results: str | Path, dataset: str, competitor: str, seed: int | str) -> Path:
    """Folder of one run's records."""
    return Path(results) / "runs" / dataset / competitor / f"seed{seed}"


T = TypeVar("T")
PREPARED = "prepared.json"  # beside a manifest: the code that prepared it


def manifest_path(results: str | Path, dataset: str) -> Path:
    """Where a data set is, or will be, prepared."""
    return Path(results) / "data" / dataset / manifest.NAME


@dataclass(frozen=True)
class Run:
    """One run of a configuration; `of` and `configured` make it.

    Args:
        dataset, competitor, seed: which run.
        folder: of its records; the training's work folder is below it.
        settings: everything in the configuration that can change its numbers.
        evaluation: how it is evaluated.
    """

    dataset: str
    competitor: str
    seed: int
    folder: Path
    settings: RunSettings = field(repr=False, compare=False)
    evaluation: EvaluationSettings = field(repr=False, compare=False)

    def training_record(self) -> dict | None:
        """The record of its training; None if there is none of these settings."""
        record = self._record("train.json", records.read_training)
        return record if record and recorded_settings(record) == self.settings else None

    def evaluation_record(self) -> dict | None:
        """The record of its evaluation; None if there is none of these settings."""
        record = self._record("evaluation.json", records.read_evaluation)
        own = record and recorded_settings(record) == self.settings
        return record if own and record.get("evaluation") == self.evaluation.model_dump(mode="json") else None

    def hole(self) -> tuple[str, str]:
        """State and reason to show where it has no evaluation of these settings: error or missing."""
        reason = self._record("work/error.json", records.read_error)
        if reason:
            return "error", reason
        if (self.folder / "evaluation.json").exists():
            return "missing", "recorded with other settings, to be run again"
        return "missing", "trained, not evaluated yet" if (self.folder / "train.json").exists() else "not trained yet"

    def require_own(self, training: dict, path: Path) -> None:
        """Refuse the record of a training with other settings.

        Raises:
            RFBenchError: it names the settings that differ.
        """
        found = recorded_settings(training)
        if found != self.settings:
            own = self.settings.model_dump(mode="json")
            theirs = found.model_dump(mode="json") if found else {}
            differing = [key for key in own if theirs.get(key) != own[key]]
            raise RFBenchError(
                f"{path}: was trained with other settings ({', '.join(differing)}) than this configuration's. "
                "Run snakemake, which trains it again, or give the configuration that it was trained with."
            )

    def _record(self, name: str, read: Callable[[Path], T]) -> T | None:
        path = self.folder / name
        return read(path) if path.exists() else None


def of(settings: Settings, dataset: str, competitor: str, seed: int) -> Run:
    """The run of that name in a configuration."""
    return Run(
        dataset,
        competitor,
        seed,
        run_folder(settings.results, dataset, competitor, seed),
        run_settings(settings, dataset, competitor, seed),
        evaluation_settings(settings, dataset),
    )


def configured(settings: Settings) -> Iterator[Run]:
    """Every run of a configuration, in its order."""
    return (of(settings, *names) for names in run_names(settings))
