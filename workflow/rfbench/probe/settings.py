"""Which part of the experiment a configuration runs: its section `probe`."""

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, ValidationError

import operators
from rfbench.probe.groups import Group, check_pairs, groups
from rfbench.probe.protocol import Protocol, departing
from rfbench.settings import ConfigError, read
from rfbench.settings.models import Section
from rfbench.settings.sentences import sentences
from rfbench.settings.types import EachOnce, Folder, Pairs, unexpected


def _some(pairs: tuple[str, ...]) -> tuple[str, ...]:
    if not pairs:
        raise unexpected("at least one pair, `paper` or `all`")
    return pairs


class Chosen(Section):
    """The section `probe` of a configuration."""

    pairs: Annotated[Pairs, AfterValidator(_some)] = Field(default_factory=lambda: tuple(operators.published()))
    """Operator pairs; `paper` for those that the paper compares, `all` for every registered one. The reference is
    always among them."""
    arms: Annotated[tuple[Literal["fusion", "serial"], ...], Field(min_length=1), EachOnce()] = ("fusion", "serial")
    """The primary arm is fusion."""
    copies: Annotated[tuple[Literal["matched", "sweep", "loss"], ...], EachOnce()] = ("matched", "sweep", "loss")
    """Further runs of arm fusion: equal parameters, options varied, the second loss."""
    results: Folder = "results/probe"
    """Folder of records and probe.csv."""
    reports: Folder = "reports"
    """Folder of tables and figures."""
    protocol: dict[str, Any] = Field(default_factory=dict)
    """Departures from the registered experiment, as in workflow/rfbench/probe/preregistration.yaml. What departs tests
    no hypothesis; every table says so."""


class _Whole(Section):
    probe: Chosen


class Probe:
    """A configuration's part of the experiment.

    Args:
        chosen: the section, checked.
        origin: what messages call the configuration.
    """

    def __init__(self, chosen: Chosen, origin: str) -> None:
        self.chosen = chosen
        self.results, self.reports = Path(chosen.results), Path(chosen.reports)
        self.protocol: Protocol = departing(chosen.protocol, f"{origin}: probe.protocol")
        self.pairs = tuple(dict.fromkeys([self.protocol.analysis.reference, *chosen.pairs]))
        check_pairs(self.pairs)

    @property
    def groups(self) -> list[Group]:
        """In the order in which they are to run."""
        return groups(self.protocol, self.pairs, self.chosen.arms, self.chosen.copies)


def load(path: str | Path) -> Probe:
    """The probe of a configuration file.

    Raises:
        ConfigError: the file has no section `probe`, or it is not valid.
    """
    return of(read(path), str(path))


def of(written: dict, origin: str = "configuration") -> Probe:
    """The probe of a configuration as written.

    Raises:
        ConfigError: it has no section `probe`, other sections beside it, or it is not valid.
    """
    if "probe" not in written:
        raise ConfigError(f"{origin}: expected the section `probe`, as in config/probe.yaml, found none.")
    if others := [key for key in written if key != "probe"]:
        raise ConfigError(f"{origin}: expected nothing beside the section `probe`, found {', '.join(others)}.")
    section = {} if written["probe"] is None else written["probe"]
    named = {"paper": operators.published, "all": operators.available}
    if isinstance(section, dict) and section.get("pairs") in list(named):
        section = section | {"pairs": named[section["pairs"]]()}
    try:
        return Probe(_Whole.model_validate({"probe": section}).probe, origin)
    except ValidationError as error:
        raise ConfigError(*(f"{origin}: {problem}" for problem in sentences(error, _Whole))) from None


def is_probe(written: dict) -> bool:
    """Whether a configuration is one of the probe."""
    return "probe" in written
