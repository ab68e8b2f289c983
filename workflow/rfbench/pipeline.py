"""What the Snakemake rules ask the library: paths, inputs and the digests that decide what runs again.

The rules themselves hold no logic. Input functions take Snakemake's `wildcards`, an object with the attributes
dataset, pair and seed.
"""

import importlib.util
import os
import sys
from pathlib import Path
from typing import IO

import yaml

import operators
from rfbench import config as configuration
from rfbench import devices, flocks, provenance
from rfbench.data import manifest
from rfbench.errors import RFBenchError
from rfbench.report import tables
from rfbench.training import watchdog


def _files(folder: str, *names: str) -> list[str]:
    return [f"rfbench/{folder}/{name}" for name in names]


# Library code by stage: a changed digest runs the stage again, a touched file does not.
CODE = {
    "data": ["rfbench/data/*.py"],
    "model": ["rfbench/models/*.py", "rfbench/losses.py", "rfbench/reassembly.py", "rfbench/guided.py",
              "rfbench/official.py", "rfbench/wavelets.py", "operators/__init__.py"],
    "train": [*_files("training", "train.py", "workfolder.py"), "rfbench/data/training.py"],
    "evaluate": ["rfbench/evaluate.py", "rfbench/metrics.py"],
    "profile": [*_files("profiling", "profile.py", "flops.py", "memory.py"), "rfbench/inference/fuse.py"],
    "aggregate": ["rfbench/report/aggregate.py"],
    "tables": _files("report", "tables.py", "rendering.py", "templates/*", "published.csv"),
    "costs": _files("report", "costs.py", "tables.py", "plotting.py", "published.csv"),
    "figures": _files("report", "figures.py", "tables.py", "plotting.py", "charts.py", "curves.py", "published.csv"),
    "ablation": _files("report", "ablation.py", "tables.py", "rendering.py", "plotting.py", "templates/ablation.*",
                       "templates/artefacts.*", "published.csv"),
}  # fmt: skip

RENDERING_ONLY = (
    "torch is not installed, so nothing is computed: tables and figures are rendered from what the results folder "
    "holds, and pairs and options in the configuration are not checked. `make env` installs torch."
)


class Pipeline:
    """One configuration as the rules see it.

    Args:
        config: Snakemake's `config`, as the user wrote it.

    Raises:
        ConfigError: the configuration cannot be run; one sentence per problem.
    """

    def __init__(self, config: dict) -> None:
        # An operator file declares its pairs in Python, so only importing it, and torch with it, tells them.
        self.rendering_only = importlib.util.find_spec("torch") is None
        self.config = configuration.complete(config, registry=not self.rendering_only)
        self.results, self.reports = self.config["results"], self.config["reports"]
        self.run = str(run_folder(self.results, "{dataset}", "{pair}", "{seed}"))  # Snakemake's wildcards
        self.threads = self.config["recipe"]["threads"]
        # A job that computes on a GPU asks for one of the pool; on a CPU it asks for none.
        visible = len(devices.visible())
        self.gpus = int(self.config["device"] == "cuda" or (self.config["device"] == "auto" and visible > 0))
        self.gpu_pool = max(visible, 1)  # where none is visible, a job of `device: cuda` says so itself
        self.missing = [] if self.rendering_only else configuration.missing_sources(self.config)
        for sentence in [RENDERING_ONLY] if self.rendering_only else self.missing:
            print(f"warning: {sentence}", file=sys.stderr)
        # The jobs read the complete configuration from this file. Its name changes with its content, so that a job
        # waiting in a queue never reads another one; it is no input, since each rule's params name what matters to it.
        self.config_file = f"{self.results}/configurations/{configuration.digest(self.config)}.yaml"
        os.environ["RFBENCH_CONFIG"] = self.config_file

    def start(self) -> None:
        """Before the first job (not in a dry run): refuse what cannot run, write the configuration for the jobs."""
        if self.rendering_only:
            return  # those jobs read none
        if self.missing:
            raise RFBenchError("Nothing was started, since input is missing:\n" + "\n".join(self.missing))
        if problems := configuration.network_problems(self.config):
            raise RFBenchError("Nothing was started:\n" + "\n".join(problems))
        provenance.write_text(self.config_file, yaml.safe_dump(self.config, sort_keys=False))

    def code(self, *stages: str) -> str:
        """Digest of the library code of these stages."""
        return configuration.code_digest(*(pattern for stage in stages for pattern in CODE[stage]))

    def every_run(self, name: str) -> list[str]:
        """A file of each configured run; without torch, of each run that has one."""
        if self.rendering_only:
            return sorted(map(str, Path(self.results).glob(f"runs/*/*/seed*/{name}")))
        return [
            f"{self.run}/{name}".format(dataset=dataset, pair=pair, seed=seed)
            for dataset, pair, seed in configuration.runs(self.config)
        ]

    def table_files(self) -> list[str]:
        """The tables that the configured data sets appear in, as CSV, Markdown and TeX, and what they were made of."""
        layouts = {configuration.published_layout(dataset) for dataset in self.config["datasets"].values()}
        if self.config["evaluation"]["split"] == "val":
            layouts = set()  # the paper's tables but the ablation are about test images
        names = [f"{name}.{kind}" for name in tables.names_for(layouts) for kind in ("csv", "md", "tex")]
        return [f"{self.reports}/tables/{name}" for name in [*names, tables.INDEX]]

    def tables_folder(self, wildcards) -> str:
        """Where the tables go, be there any or not."""
        return f"{self.reports}/tables"

    def profile_digest(self) -> str:
        """Digest of everything in the configuration that says what is profiled, and how."""
        return configuration.digest(configuration.profile_settings(self.config))

    def ablation_files(self) -> list[str]:
        """Table 1 and its figure, where the configuration sweeps options."""
        if not self.config["sweep"]:
            return []
        kinds = {"tables": ("csv", "md", "tex"), "figures": ("png", "pdf")}
        return [f"{self.reports}/{folder}/table1.{kind}" for folder, own in kinds.items() for kind in own]

    def operator_files(self, wildcards) -> list[str]:
        """Sources of the run's own operators: editing another operator leaves the run alone."""
        pair, _ = configuration.network(self.config, wildcards.pair)
        return [_named(file) for file in operators.files(pair)]

    def all_operator_files(self) -> list[str]:
        """Sources of every configured pair's operators."""
        return sorted({_named(file) for pair in self.config["pairs"] for file in operators.files(pair)})

    def weight_files(self, wildcards) -> list[str]:
        """The ImageNet checkpoint, where the configuration names one."""
        pretrained = self.config["model"]["pretrained"]
        return [] if pretrained == "none" else [f"{self.results}/weights/{pretrained['sha256']}.pth"]

    def weight_source(self, wildcards) -> str:
        """File or URL of the ImageNet checkpoint."""
        return self.config["model"]["pretrained"]["source"]

    def weight_option(self, wildcards, input) -> str:
        """Command line option for the ImageNet checkpoint."""
        return f"--weights '{input.weights}'" if input.weights else ""

    def run_digest(self, wildcards) -> str:
        """Digest of everything in the configuration that can change this run's numbers."""
        settings = configuration.run_settings(self.config, wildcards.dataset, wildcards.pair, int(wildcards.seed))
        return configuration.digest(settings)

    def continuations(self, wildcards) -> str:
        """After how many timeouts the run went, or will go, on: a raised `recipe.time_limit` changes it, so train runs.

        A timeout counts once its record is gone or the limit is above the one that it names.
        """
        folder = run_folder(self.results, wildcards.dataset, wildcards.pair, wildcards.seed)
        count, path, limit = (
            watchdog.timeouts(folder / "work"),
            folder / "train.json",
            self.config["recipe"]["time_limit"],
        )
        record = provenance.read_json(path) if path.exists() else {"state": "missing"}
        stays = record["state"] == "timeout" and limit is not None and limit <= record["time_limit"]
        return f"continued after {count - stays} timeouts"

    def evaluation_digest(self, wildcards) -> str:
        """Digest of how a data set's runs are evaluated."""
        return configuration.digest(configuration.evaluation_settings(self.config, wildcards.dataset))

    def preparation(self, wildcards) -> str:
        """Arguments of `rfbench prepare` for one data set."""
        return configuration.preparation(self.config["datasets"][wildcards.dataset])

    def source_fingerprint(self, wildcards) -> str:
        """Digest of a real archive's table of contents: its content counts, neither its date nor its place."""
        dataset = self.config["datasets"][wildcards.dataset]
        return "" if dataset["kind"] == "synthetic" else configuration.source_fingerprint(dataset)


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


def _named(file: Path) -> str:
    """A source file as an input: relative in the working directory, absolute elsewhere (an installed package's)."""
    return os.path.relpath(file) if file.is_relative_to(Path.cwd()) else str(file)


def manifest_path(results: str | Path, dataset: str) -> Path:
    """Where a data set is, or will be, prepared."""
    return Path(results) / "data" / dataset / manifest.NAME


def run_folder(results: str | Path, dataset: str, pair: str, seed: int | str) -> Path:
    """Folder of one run's records."""
    return Path(results) / "runs" / dataset / pair / f"seed{seed}"
