"""What the Snakemake rules ask the library: paths, inputs and the digests that decide what runs again.

The rules themselves hold no logic. Input functions take Snakemake's `wildcards`, an object with the attributes
dataset, pair and seed; `pair` holds what competes, a variant or a method as well.
"""

import functools
import importlib.util
import os
import platform
import signal
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import IO

import yaml

from rfbench import devices, flocks, kept, provenance, records, runs, stages
from rfbench.data.archive import fingerprint
from rfbench.errors import RFBenchError, print_lines
from rfbench.lesions import truth
from rfbench.planning import asked
from rfbench.published import METHOD_TABLES, names_for
from rfbench.report import lesions, tables
from rfbench.report.reading import read_metrics
from rfbench.runs import run_folder
from rfbench.settings import (
    complete,
    evaluation_settings,
    every_pretrained,
    missing_sources,
    network,
    preparation,
    profile_settings,
    read,
    run_names,
    source_path,
    weights_file,
)
from rfbench.training import watchdog

RENDERING_ONLY = (
    "torch is not installed, so nothing is computed: tables and figures are rendered from what the results folder "
    "holds, and pairs, methods and options in the configuration are not checked. `make env` installs torch."
)


def _told(function: Callable) -> Callable:
    """A function that Snakemake calls while it plans its jobs: of what is told a user, it would show a traceback."""

    @functools.wraps(function)
    def call(*arguments):
        try:
            return function(*arguments)
        except RFBenchError as error:
            print(error, file=sys.stderr, flush=True)
            os._exit(1)

    return call


class Pipeline:
    """One configuration as the rules see it.

    Args:
        config: Snakemake's `config`: its configuration files and `--config` put together.
        files: those files, which Snakemake reads less strictly than we do (`settings.read`).

    Raises:
        ConfigError: the configuration cannot be run; one sentence per problem.
    """

    def __init__(self, config: dict, files: Iterable[str | Path] = ()) -> None:
        # An operator file declares its pairs in Python, so only importing it, and torch with it, tells them.
        self.rendering_only = importlib.util.find_spec("torch") is None
        for file in files:
            read(file)
        self.settings = complete(config, registry=not self.rendering_only)
        self.results, self.reports = self.settings.results, self.settings.reports
        self.run = str(run_folder(self.results, "{dataset}", "{pair}", "{seed}"))  # Snakemake's wildcards
        recipe, device = self.settings.recipe, self.settings.device
        self.threads = recipe.threads
        self.training_cores = recipe.gpus * recipe.threads + recipe.workers
        # A resource of the rule, no parameter: to turn the store on or off would prepare, and so train, again.
        self.store = "yes" if recipe.store else "no"
        # A job that computes on a GPU asks for one of the pool; on a CPU it asks for none.
        offered = 0 if self.rendering_only else len(devices.offered(device))
        self.gpus = int(device == "cuda" or offered > 0)
        self.training_gpus = self.gpus * recipe.gpus
        self.gpu_pool = max(offered, recipe.gpus)  # where there is none, a job of `device: cuda` says so itself
        if not self.gpus:
            for name, value in keep_freed_memory().items():
                os.environ.setdefault(name, value)  # for the jobs: a process reads it when it starts
        self.missing = [] if self.rendering_only else missing_sources(self.settings)
        for sentence in [RENDERING_ONLY] if self.rendering_only else self.missing:
            print(f"warning: {sentence}", file=sys.stderr)
        # The jobs read the complete configuration from this file. Its name changes with its content, so that a job
        # waiting in a queue never reads another one; it is no input, since each rule's params name what matters to it.
        whole = self.settings.model_dump(mode="json")
        self.config_file = f"{self.results}/configurations/{provenance.digest(whole)}.yaml"
        os.environ["RFBENCH_CONFIG"] = self.config_file
        # What a cluster is asked for; a machine alone does not ask.
        self._plan, self._profile = (asked.read(self.results, name) for name in (asked.PLAN, "profile.json"))
        self._repeats: set | None = None  # looked up when the first run is planned
        self._refusal = ""

    def start(self) -> None:
        """Before the first job (not in a dry run): refuse what cannot run, write the configuration for the jobs."""
        if self.rendering_only:
            return  # those jobs read none
        if self.missing:
            raise RFBenchError("Nothing was started, since input is missing:", *self.missing)
        from rfbench.models.buildable import network_problems  # torch, which a dry run need not wait for

        if problems := network_problems(self.settings):
            raise RFBenchError("Nothing was started:", *problems)
        provenance.write_text(self.config_file, yaml.safe_dump(self.settings.model_dump(mode="json"), sort_keys=False))

    def code(self, stage: str) -> str:
        """Digest of a stage's code, without any competitor's."""
        return stages.code_digest(stage)

    def run_code(self, stage: str) -> Callable:
        """For each run, the digest of a stage's code and its own competitor's: editing another's leaves it alone."""

        @_told
        def digest(wildcards) -> str:
            self._refuse_repeats(wildcards)
            competitor, _ = network(self.settings, wildcards.pair)
            return stages.code_digest(stage, competitor)

        return digest

    def _refuse_repeats(self, wildcards) -> None:
        """End Snakemake if this run is one of those that a change of code alone would repeat for hours.

        Asked while Snakemake plans its jobs, in a dry run too; an exception would reach the user as a traceback.
        """
        if self._repeats is None:
            found = [] if self.settings.retrain else kept.repeats(self.settings)
            self._refusal = kept.refusal(self.results, found, self.settings.keep_hours)
            self._repeats = {(repeat.run.dataset, repeat.run.competitor, repeat.run.seed) for repeat in found}
        if self._refusal and (wildcards.dataset, wildcards.pair, int(wildcards.seed)) in self._repeats:
            print(self._refusal, file=sys.stderr, flush=True)
            os._exit(1)

    def kept_digest(self) -> str:
        """Digest of what a person decided about runs of earlier code, which the tables say."""
        return provenance.digest(kept.read(self.results))

    def profile_code(self) -> list[str]:
        """Digests of the profile's code with each configured competitor's."""
        return [stages.code_digest("profile", name) for name in (*self.settings.pairs, *self.settings.methods)]

    def every_run(self, name: str) -> list[str]:
        """A file of each configured run; without torch, of each run that has one."""
        if self.rendering_only:
            return sorted(map(str, Path(self.results).glob(f"runs/*/*/seed*/{name}")))
        return [str(run_folder(self.results, *run) / name) for run in run_names(self.settings)]

    def lowest_seed(self, name: str) -> list[str]:
        """A file of each configured run of the lowest seed, which the examples show."""
        lowest = min(self.settings.seeds)
        runs_of = [run for run in run_names(self.settings) if run[2] == lowest]
        return [str(run_folder(self.results, *run) / name) for run in runs_of]

    def photographs_digest(self) -> str:
        """Digest of which photographs the panels may show, and how they are credited."""
        keys = ("photographs", "licence", "attribution")
        return provenance.digest(
            {name: [getattr(one, key) for key in keys] for name, one in self.settings.datasets.items()}
        )

    def table_files(self) -> list[str]:
        """The tables that the configured data sets appear in and that of lesions, and what they were made of."""
        layouts = {dataset.layout for dataset in self.settings.datasets.values()}
        if self.settings.evaluation.split == "val":
            layouts = set()  # the paper's tables but the ablation are about test images
        whole = [name for name, table in METHOD_TABLES.items() if self._has_methods() and table.layout in layouts]
        tabulated = [*names_for(layouts, self._newcomers()), *whole, lesions.NAME]
        names = [f"{name}.{kind}" for name in tabulated for kind in ("csv", "md", "tex")]
        return [f"{self.reports}/tables/{name}" for name in [*names, tables.INDEX]]

    def _newcomers(self) -> bool:
        """Whether operators since the paper are configured; without torch, whether the results hold any."""
        if not self.rendering_only:
            import operators  # and torch

            return any(operators.get(pair).since for pair in self.settings.pairs)
        path = Path(self.results) / "metrics.csv"
        return path.exists() and bool((read_metrics(path)["since"] != "").any())

    def _has_methods(self) -> bool:
        """Whether methods are configured; without torch, whether the results hold any."""
        if not self.rendering_only:
            return bool(self.settings.methods)
        path = Path(self.results) / "metrics.csv"
        return path.exists() and bool(tables.of_methods(read_metrics(path)).any())

    def tables_folder(self, wildcards) -> str:
        """Where the tables go, be there any or not."""
        return f"{self.reports}/tables"

    def probe_files(self) -> list[str]:
        """The controlled experiment's table, where somebody has run it."""
        path = Path(self.reports) / "tables" / "probe.csv"
        return [str(path)] if path.exists() else []

    def profile_digest(self) -> str:
        """Digest of everything in the configuration that says what is profiled, and how."""
        return provenance.digest(profile_settings(self.settings))

    def lesion_files(self) -> list[str]:
        """The lesions of each data set; without torch, where nothing is evaluated, none."""
        if self.rendering_only:
            return []
        return [f"{self.results}/data/{name}/{truth.NAME}" for name in self.settings.datasets]

    def ablation_files(self) -> list[str]:
        """Table 1 and its figure, where the configuration sweeps options."""
        if not self.settings.sweep:
            return []
        kinds = {"tables": ("csv", "md", "tex"), "figures": ("png", "pdf")}
        return [f"{self.reports}/{folder}/table1.{kind}" for folder, own in kinds.items() for kind in own]

    def weight_files(self, wildcards) -> list[str]:
        """The ImageNet checkpoint of a run, where the configuration names one."""
        file = weights_file(self.settings, wildcards.pair)
        return [str(file)] if file else []

    def weight_digest(self, wildcards) -> str:
        """The configured digest of an ImageNet checkpoint. Its source is none of a rule's: the content counts."""
        every = every_pretrained(self.settings).values()
        return next(pretrained.sha256 for pretrained in every if pretrained.name == wildcards.name)

    def weight_option(self, wildcards, input) -> list[str]:
        """Command line option for the ImageNet checkpoint."""
        return ["--weights", str(input.weights)] if input.weights else []

    @_told
    def run_digest(self, wildcards) -> str:
        """Digest of everything in the configuration that can change this run's numbers.

        A record of the same settings names its own digest, which a version that wrote them otherwise computed: what
        changes no setting repeats no run.
        """
        run = runs.of(self.settings, wildcards.dataset, wildcards.pair, int(wildcards.seed))
        record = _if_whole(run.training_record)
        return record["identity"]["settings"] if record else run.settings.digest

    @_told
    def continuations(self, wildcards) -> str:
        """After how many timeouts the run went, or will go, on: a raised `recipe.time_limit` changes it, so train runs.

        A timeout counts once its record is gone or the limit is above the one that it names.
        """
        folder = run_folder(self.results, wildcards.dataset, wildcards.pair, wildcards.seed)
        count, path, limit = (
            watchdog.timeouts(folder / "work"),
            folder / "train.json",
            self.settings.recipe.time_limit,
        )
        record = (_if_whole(lambda: records.read_training(path)) if path.exists() else None) or {"state": "missing"}
        stays = record["state"] == "timeout" and limit is not None and limit <= record["time_limit"]
        return f"continued after {count - stays} timeouts"

    def training_memory(self, wildcards) -> int:
        """MB that a cluster is asked for, in every attempt: most end for want of time, and a node may not have more."""
        return asked.megabytes(self.settings, wildcards.dataset, wildcards.pair, self._profile)

    def training_minutes(self, wildcards) -> int:
        """Minutes of a training with its evaluation that a cluster is asked for."""
        return asked.minutes(self.settings, "train", wildcards.dataset, wildcards.pair, self._plan)

    def evaluation_minutes(self, wildcards) -> int:
        """Minutes of an evaluation that a cluster is asked for."""
        return asked.minutes(self.settings, "evaluate", wildcards.dataset, wildcards.pair, self._plan)

    def lesion_digest(self, wildcards) -> str:
        """Digest of which images of a data set are evaluated, and at what size."""
        dataset, evaluation = self.settings.datasets[wildcards.dataset], self.settings.evaluation
        return provenance.digest([evaluation.split, dataset.eval_size, dataset.scale, dataset.lesions])

    def evaluation_digest(self, wildcards) -> str:
        """Digest of how a data set's runs are evaluated."""
        return provenance.digest(evaluation_settings(self.settings, wildcards.dataset).model_dump(mode="json"))

    def preparation(self, wildcards) -> list[str]:
        """Arguments of `rfbench prepare` for one data set."""
        return preparation(self.settings.datasets[wildcards.dataset])

    def source_fingerprint(self, wildcards) -> str:
        """Digest of a real archive's table of contents: its content counts, neither its date nor its place."""
        dataset = self.settings.datasets[wildcards.dataset]
        return "" if dataset.synthetic else fingerprint(source_path(dataset))


def _if_whole(read: Callable[[], dict | None]) -> dict | None:
    """The record that `read` gives; None, said aloud, where it is damaged: no reason to stop the other runs."""
    try:
        return read()
    except RFBenchError as error:
        print_lines([f"warning: {error}"], file=sys.stderr)
        return None


def leave_signals_to_the_job() -> str:
    """Within a job of a cluster: let the queue's signals reach the training, and nothing of ours end before it.

    A queue signals every process of a job. SIGUSR1, its warning, is ignored here and so in what is started from here,
    until a training heeds it. SIGTERM lets Snakemake wait for its job already; the shell around the job must not die.

    Returns:
        What a rule's shell does first.
    """
    signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    return "trap : TERM; "


def keep_freed_memory() -> dict[str, str]:
    """Environment in which glibc's malloc keeps what a process frees, rather than fetch it anew page by page.

    A network on a CPU allocates and frees every map in every pass: 13 to 21 % of an embedded training's CPU time.
    Numbers do not depend on it. Elsewhere than with glibc nobody reads the variables.
    """
    version = tuple(int(number) for number in platform.libc_ver()[1].split(".") if number.isdigit())
    # In versions before the one that this was tried with, a threshold above 32 MiB is refused, so not set at all.
    largest = 4 << 30 if version >= (2, 36) else 32 << 20
    sizes = {"TRIM_THRESHOLD": 4 << 30, "MMAP_THRESHOLD": largest, "TOP_PAD": 64 << 20}
    return {f"MALLOC_{name}_": str(size) for name, size in sizes.items()}


def own_directory(folder: Path = Path(".snakemake")) -> IO | None:
    """Hold `folder` for this process's life; if nobody else does, clear the lock that a killed Snakemake left.

    Snakemake's own lock files outlive a kill -9 and stop every later run. A flock does not outlive its process, so
    whoever gets it knows that no live Snakemake of this project owns those files.

    Returns:
        The held file, to be kept open; None if another Snakemake is alive here (it will say so itself).
    """
    folder.mkdir(exist_ok=True)
    file = flocks.take(folder / "rfbench.owner")
    if file is None:
        return None
    for stale in (folder / "locks").glob("*.lock"):
        print(f"{stale}: left by a Snakemake that is gone; cleared", file=sys.stderr)
        stale.unlink()
    return file
