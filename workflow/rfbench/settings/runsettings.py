"""What of a configuration one run depends on: everything that can change its numbers, and nothing else."""

from typing import Annotated, Any

from pydantic import Field, ValidationError

from rfbench.provenance import digest
from rfbench.settings.experiment import network, pretrained_of, recipe_of
from rfbench.settings.models import EvalSize, Evaluation, Network, Protocol, Section, Settings, Training
from rfbench.settings.types import Line, Name, Whole


class RunDataset(Protocol):
    """The data set of a run: neither where its archive lies nor how runs are evaluated on it."""

    name: Name


class RunModel(Network):
    """The network of a run; its options are those of the pair's own operators."""

    pretrained: Line = "none"
    """`none`, or the first 8 digits of the ImageNet weights' digest: wherever they were fetched, they are the same. A
    training's record holds the whole digest of the weights that it began with."""
    weights: Annotated[Line | None, Field(exclude_if=lambda value: value is None)] = None
    """Which of a method's ImageNet files those are; None for a pair."""


class RunSettings(Section):
    """All settings that can change the numbers of one training.

    Paths, labels, intervals of logging, the evaluation and the other runs stay outside, so that editing them retrains
    nothing. Of two runs with equal settings (and data, and code) one is enough.
    """

    dataset: RunDataset
    pair: Line
    """What competes, an operator pair or a method; under the name that records have for it."""
    seed: Whole
    model: RunModel
    recipe: Training

    @property
    def digest(self) -> str:
        """Short digest of these settings, by which a run's record and checkpoints are known as its own."""
        return digest(self.model_dump(mode="json"))


def run_settings(settings: Settings, dataset: str, competitor: str, seed: int) -> RunSettings:
    """The settings of one run of a configuration; `competitor` may be a variant of its sweep, or a method."""
    base, options = network(settings, competitor)
    whole, pretrained = competitor in settings.methods, pretrained_of(settings, competitor)
    return RunSettings.model_construct(
        dataset=RunDataset.model_construct(name=dataset, **_part(settings.datasets[dataset], Protocol)),
        pair=base,
        seed=seed,
        model=RunModel.model_construct(
            backbone=settings.model.backbone,
            operator_options={} if whole else options,
            method_options=options if whole else {},
            pretrained=pretrained.name if pretrained else "none",
            weights=pretrained.file if whole and pretrained else None,
        ),
        recipe=Training.model_construct(**_part(recipe_of(settings, competitor), Training)),
    )


def _part(whole: Section, part: type[Section]) -> dict[str, Any]:
    return {key: getattr(whole, key) for key in part.model_fields}


class EvaluationSettings(Evaluation):
    """How a data set's runs are evaluated."""

    eval_size: EvalSize


def evaluation_settings(settings: Settings, dataset: str) -> EvaluationSettings:
    """How a configuration's runs on this data set are evaluated."""
    eval_size = settings.datasets[dataset].eval_size
    return EvaluationSettings(eval_size=eval_size, **_part(settings.evaluation, Evaluation))


def profile_settings(settings: Settings) -> dict:
    """What a configuration profiles, and how, as JSON holds it."""
    own = {"methods": list(settings.methods), "method_options": settings.model.method_options}
    return {
        **settings.profile.model_dump(mode="json"),
        **(own if settings.methods else {}),
        "pairs": list(settings.pairs),
        "backbone": settings.model.backbone,
        "operator_options": settings.model.operator_options,
        "threads": settings.recipe.threads,
        "device": settings.device,
    }


def recorded_settings(record: dict) -> RunSettings | None:
    """The settings that a training's or evaluation's record holds; None if they are none.

    A record may be of a version that wrote the recipe's label and the place of the ImageNet weights as well, or 6 for
    6.0; such a run is still the same run.
    """
    try:
        values, model = record["settings"], record["settings"]["model"]
        weights = model["pretrained"]
        return RunSettings.model_validate(
            {
                **values,
                "model": {**model, "pretrained": weights if isinstance(weights, str) else weights["sha256"][:8]},
                "recipe": {key: value for key, value in values["recipe"].items() if key != "name"},
            }
        )
    except (KeyError, TypeError, AttributeError, ValidationError):
        return None
