"""Which part of the experiment a configuration runs: its section `probe`."""

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError

import operators
from rfbench.probe.groups import Group, check_pairs, groups
from rfbench.probe.protocol import Protocol, departing
from rfbench.settings import ConfigError, read
from rfbench.settings.models import Section
from rfbench.settings.sentences import sentences
from rfbench.settings.types import EachOnce, Folder, Line


class Chosen(Section):
    """The section `probe` of a configuration."""

    pairs: Literal["paper", "all"] | Annotated[tuple[Line, ...], Field(min_length=1), EachOnce()] = "paper"
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
        named = {"paper": operators.published, "all": operators.available}
        pairs = named[chosen.pairs]() if isinstance(chosen.pairs, str) else chosen.pairs
        self.pairs = tuple(dict.fromkeys([self.protocol.analysis.reference, *pairs]))
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
    try:
        return Probe(Chosen.model_validate(written["probe"] or {}), origin)
    except ValidationError as error:
        raise ConfigError(*(f"{origin}: probe.{problem}" for problem in sentences(error, Chosen))) from None


def is_probe(written: dict) -> bool:
    """Whether a configuration is one of the probe."""
    return "probe" in written
