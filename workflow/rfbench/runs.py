"""A run: one data set, one operator pair (or a variant of it), one seed. Where its records lie, and which are its own.

A record is a run's own if it was computed with the settings that the configuration gives the run today; the pipeline
meets no others, `snakemake partial` and `rfbench plan` do after an edit of the configuration.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from rfbench import config as configuration
from rfbench import provenance
from rfbench.data import manifest
from rfbench.errors import RFBenchError


def run_folder(results: str | Path, dataset: str, pair: str, seed: int | str) -> Path:
    """Folder of one run's records."""
    return Path(results) / "runs" / dataset / pair / f"seed{seed}"


PREPARED = "prepared.json"  # beside a manifest: the code that prepared it


def manifest_path(results: str | Path, dataset: str) -> Path:
    """Where a data set is, or will be, prepared."""
    return Path(results) / "data" / dataset / manifest.NAME


@dataclass(frozen=True)
class Run:
    """One run of a configuration; `of` and `configured` make it.

    Args:
        dataset, pair, seed: which run.
        folder: of its records; the training's work folder is below it.
        settings: everything in the configuration that can change its numbers (`config.run_settings`).
        evaluation: how it is evaluated (`config.evaluation_settings`).
    """

    dataset: str
    pair: str
    seed: int
    folder: Path
    settings: dict = field(repr=False, compare=False)
    evaluation: dict = field(repr=False, compare=False)

    def training_record(self) -> dict | None:
        """The record of its training; None if there is none of these settings."""
        record = self._record("train.json")
        return record if record and record["settings"] == self.settings else None

    def evaluation_record(self) -> dict | None:
        """The record of its evaluation; None if there is none of these settings."""
        record = self._record("evaluation.json")
        wanted = (self.settings, self.evaluation)
        return record if record and (record["settings"], record["evaluation"]) == wanted else None

    def hole(self) -> tuple[str, str]:
        """State and reason to show where it has no evaluation of these settings: error or missing."""
        error = self._record("work/error.json")
        if error:
            return "error", error["reason"]
        if self._record("evaluation.json"):
            return "missing", "recorded with other settings, to be run again"
        return "missing", "trained, not evaluated yet" if (self.folder / "train.json").exists() else "not trained yet"

    def require_own(self, training: dict, path: Path) -> None:
        """Refuse the record of a training with other settings.

        Raises:
            RFBenchError: it names the settings that differ.
        """
        differing = [key for key in self.settings if training["settings"].get(key) != self.settings[key]]
        if differing:
            raise RFBenchError(
                f"{path}: was trained with other settings ({', '.join(differing)}) than this configuration's. "
                "Run snakemake, which trains it again, or give the configuration that it was trained with."
            )

    def _record(self, name: str) -> dict | None:
        path = self.folder / name
        return provenance.read_json(path) if path.exists() else None


def of(config: dict, dataset: str, pair: str, seed: int) -> Run:
    """The run of that name in a complete configuration."""
    return Run(
        dataset,
        pair,
        seed,
        run_folder(config["results"], dataset, pair, seed),
        configuration.run_settings(config, dataset, pair, seed),
        configuration.evaluation_settings(config, dataset),
    )


def configured(config: dict) -> Iterator[Run]:
    """Every run of a complete configuration, in its order."""
    return (of(config, *run) for run in configuration.runs(config))
