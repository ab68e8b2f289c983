"""The experiment as it was laid down before its first run (preregistration.yaml), typed; and departures from it.

A configuration may depart from it, as continuous integration must; its digest is then another one, its records never
meet those of the registered experiment, and every table names the departures.
"""

import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError, model_validator

from rfbench import provenance
from rfbench.settings.models import Section, Seed
from rfbench.settings.sentences import sentences
from rfbench.settings.types import EachOnce, Line, Number, Options, Whole
from rfbench.settings.yamlfile import ConfigError, read_yaml

REGISTERED = Path(__file__).parent / "preregistration.yaml"
Count = Annotated[Whole, Field(ge=1, le=100_000)]
Cells = Annotated[Whole, Field(ge=1, le=100)]
Seeds = Annotated[tuple[Seed, ...], Field(min_length=1), EachOnce()]


class Images(Section):
    """What is drawn."""

    side: Annotated[Whole, Field(ge=16, le=256)]
    """Cells of an image's side."""
    train: Count
    """Training images of a seed."""
    test: Count
    """Test images of a seed."""
    discs: Annotated[dict[Cells, Count], Field(min_length=2)]
    """Cells of a disc: discs of that size inside the regions of an image, and outside. The largest stand in every
    second image only."""
    contrasts: tuple[Annotated[Whole, Field(ge=1, le=100)], ...]
    """Contrasts of discs, in SD of the background; each disc has one of them."""
    noise: Annotated[Number, Field(gt=0, lt=1)]
    """SD of the white noise; with the texture it makes 1."""
    region_noise: Annotated[Number, Field(gt=1, le=10)]
    """Factor of the noise inside the regions (arm fusion)."""
    region_scale: Annotated[Number, Field(gt=0, le=100)]
    """SD in cells of the Gaussian whose smoothed noise makes the regions."""

    @property
    def sizes(self) -> tuple[int, ...]:
        """Cells of the discs, smallest first."""
        return tuple(sorted(self.discs))


class Network(Section):
    """What stands around the operators."""

    channels: Annotated[Whole, Field(ge=1, le=1024)]
    """Channels of both branches."""
    width: Annotated[Whole, Field(ge=1, le=1024)]
    """Channels inside the low branch's 1x1 convolutions; more of them match parameters."""
    operator_options: Options
    """Options that differ from the operators' defaults, which are made for 48 to 384 channels."""


class Training(Section):
    """How a network is trained: Adam, the rate falling linearly to zero."""

    steps: Count
    batch: Count
    learning_rates: Annotated[tuple[Annotated[Number, Field(gt=0)], ...], Field(min_length=1), EachOnce()]
    """Tried on the tuning seeds, for every pair and arm; the best mean AP over all sizes wins, the lower rate in a
    tie."""
    loss: Literal["sizes", "pixels"]
    """sizes: Dice of each size against background, averaged over sizes. pixels: one Dice of all lesions."""


class SeedSets(Section):
    """Seeds of images, weights and batches. No two of the sets share one."""

    tuning: Seeds
    """On which learning rates are chosen."""
    test: Seeds
    """On which everything is judged."""
    again: Seeds
    """Of the reference's second set of runs (control "again")."""

    @model_validator(mode="after")
    def _disjoint(self) -> "SeedSets":
        sets = [set(self.tuning), set(self.test), set(self.again)]
        if len(set().union(*sets)) != sum(map(len, sets)):
            raise ValueError("expected seeds.tuning, seeds.test and seeds.again to share no seed")
        return self


class Copies(Section):
    """Further runs of the fusion arm, with the learning rate of the pair's own."""

    matched_within: Annotated[Number, Field(gt=0, lt=1)]
    """A pair and the reference have equally many parameters if they differ by no larger share."""
    loss: Literal["sizes", "pixels"]
    """The second loss, of the copies "loss"."""
    sweep: dict[Line, Options]
    """Options to vary, by pair, operator and option: a list of values."""


class Analysis(Section):
    """How the records are judged."""

    reference: Line
    """The pair that all others are compared with."""
    headline: tuple[Line, ...]
    """Pairs whose verdicts make H1's and H2's: the paper's best on each data set."""
    tiny: tuple[Cells, ...]
    """Sizes whose mean AP is "tiny"."""
    large: tuple[Cells, ...]
    """Sizes whose mean AP is "large"."""
    margin: Annotated[Number, Field(gt=0, lt=1)]
    """Smallest gain in tiny AP that would matter, and the least by which the sensitive control must win."""
    level: Annotated[Number, Field(gt=0, lt=1)]
    """Of intervals; 1 - level is the familywise error rate of H1 and of H2."""
    again_level: Annotated[Number, Field(gt=0, lt=1)]
    """Of the interval of control "again"."""
    least_correlation: Annotated[Number, Field(gt=0, lt=1)]
    """H3 is falsified if the upper limit of the correlation lies below."""


class Protocol(Section):
    """The whole experiment."""

    hypotheses: dict[Line, str]
    """In words."""
    controls: dict[Line, str]
    """In words; any failure voids the probe."""
    conduct: dict[Line, str]
    """In words: what is done in each case that may come."""
    seeds: SeedSets
    images: Images
    network: Network
    training: Training
    copies: Copies
    analysis: Analysis

    @property
    def digest(self) -> str:
        """Digest of all of it, which every record carries; comments do not count."""
        return provenance.digest(self.model_dump(mode="json"))


@functools.cache
def registered() -> Protocol:
    """The experiment as registered."""
    return _checked(read_yaml(REGISTERED), str(REGISTERED))


def departing(changes: Mapping[str, Any], origin: str) -> Protocol:
    """The registered experiment with some keys changed.

    Args:
        changes: sections and keys as in preregistration.yaml.
        origin: what a message calls them.

    Raises:
        ConfigError: a key or value is wrong.
    """
    return _checked(_merged(registered().model_dump(), changes), origin)


def departures(protocol: Protocol) -> list[str]:
    """What differs from the registered experiment, in words; empty for the registered one."""
    return _differences(registered().model_dump(mode="json"), protocol.model_dump(mode="json"))


def _checked(values: object, origin: str) -> Protocol:
    try:
        return Protocol.model_validate(values)
    except ValidationError as error:
        raise ConfigError(*(f"{origin}: {problem}" for problem in sentences(error, Protocol))) from None


def _merged(own: Mapping, changes: Mapping) -> dict:
    merged = dict(own)
    for key, value in changes.items():
        inner = isinstance(value, Mapping) and isinstance(own.get(key), Mapping) and key not in ("discs", "sweep")
        merged[key] = _merged(own[key], value) if inner else value
    return merged


def _differences(own: Mapping, other: Mapping, place: str = "") -> list[str]:
    found = []
    for key in own.keys() | other.keys():
        a, b = own.get(key), other.get(key)
        if isinstance(a, dict) and isinstance(b, dict):
            found += _differences(a, b, f"{place}{key}.")
        elif a != b:
            found.append(f"{place}{key} {b} instead of {a}")
    return sorted(found)
