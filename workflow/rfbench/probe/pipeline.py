"""What the rules of the probe ask the library: groups, their inputs, the digests that decide what runs again."""

from collections.abc import Mapping
from pathlib import Path

import yaml

from rfbench import provenance, stages
from rfbench.errors import RFBenchError
from rfbench.probe import keeping, settings
from rfbench.probe.groups import Group
from rfbench.probe.run import SUMMARY, identity_of

REGISTERED = Path("config/probe.yaml")
TABLE, FIGURES = "probe", ("probe_sizes", "probe_tradeoff", "probe_external")


class ProbePipeline:
    """The probe as the rules see it.

    Args:
        config: Snakemake's `config`; one without a section `probe` stands for the registered experiment.
        base: folder of the Snakefile.

    Raises:
        ConfigError: the section is not valid.
    """

    def __init__(self, config: Mapping, base: str | Path) -> None:
        self.alone = settings.is_probe(config)
        path = Path(base) / REGISTERED
        self.probe = settings.of(dict(config)) if self.alone else settings.load(path)
        self.results, self.reports = str(self.probe.results), str(self.probe.reports)
        self._written = {"probe": self.probe.chosen.model_dump(mode="json")}
        # Its name changes with its content, as a job that waits in a queue must never read another one. It is no
        # parameter of a rule: another choice of pairs runs no group again.
        self.config_file = str(path)
        if self.alone:
            self.config_file = f"{self.results}/configurations/{provenance.digest(self._written)}.yaml"
        self.protocol_digest = self.probe.protocol.digest

    def start(self) -> None:
        """Before the first job: refuse to repeat hours for a change of code, write the configuration for the jobs."""
        if refused := keeping.refusal(self.probe):
            raise RFBenchError(f"Nothing was started: {refused}")
        if self.alone:
            provenance.write_text(self.config_file, yaml.safe_dump(self._written, sort_keys=False))

    def summaries(self, wildcards) -> list[str]:
        """Of every group."""
        return [self._summary(group) for group in self.probe.groups]

    def own_summaries(self, wildcards) -> list[str]:
        """Of the group that chose a copy's learning rate; for a matched copy the reference's, too, may be it."""
        reference = self.probe.protocol.analysis.reference
        own = [Group(wildcards.arm, network) for network in dict.fromkeys((wildcards.network, reference))]
        return [self._summary(group) for group in (own if wildcards.change == "matched" else own[:1])]

    def _summary(self, group: Group) -> str:
        return str(group.folder(self.probe.results) / SUMMARY)

    def group_code(self, wildcards) -> str:
        """Digest of the code that a group's numbers depend on, its operators' among it."""
        group = Group(wildcards.arm, wildcards.network, getattr(wildcards, "change", ""))
        return identity_of(self.probe.protocol, group)["code"]

    def code(self, stage: str) -> str:
        """Digest of a stage's code."""
        return stages.code_digest(stage)

    @property
    def outcome(self) -> list[str]:
        """What the probe ends with."""
        tables = [f"{self.reports}/tables/{TABLE}.{kind}" for kind in ("csv", "md", "tex")]
        figures = [f"{self.reports}/figures/{name}.{kind}" for name in FIGURES for kind in ("png", "pdf")]
        return [f"{self.results}.csv", *tables, *figures]
