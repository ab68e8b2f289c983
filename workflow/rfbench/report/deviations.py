"""Where a run departs from the published protocol, in words for tables."""

from rfbench import competitors
from rfbench.published.protocol import PUBLISHED_DATASETS
from rfbench.settings import RunSettings, Training, own_recipe, plain

ROUNDING = ("threads", "cudnn_benchmark", "channels_last", "compile", "gpus")  # change low bits alone


def deviations(run: RunSettings) -> list[str]:
    """Where a run's settings differ from the published protocol, a few words each; empty for a reproduction."""
    model, dataset, recipe = run.model, run.dataset, run.recipe
    defaults = Training().model_copy(update=own_recipe(run.pair))  # a method's own recipe is its published one
    word = "embedded size beside" if competitors.is_method(run.pair) else "backbone"
    found = [f"{word} {model.backbone}"] * (model.backbone != "hrnetv2_w48")
    found += ["no ImageNet weights"] * (model.pretrained == "none")
    for operator, options in (model.operator_options | model.method_options).items():
        found.append(f"{operator} with {', '.join(f'{key} {value}' for key, value in options.items())}")
    if dataset.synthetic:
        size = f"{dataset.synthetic.factor:g} of the real size"
        found.append(f"synthetic images at {size}, lesions' contrast x{dataset.synthetic.contrast:g}")
    if dataset.validation:
        found.append(f"{dataset.validation.count} of the training images held out (seed {dataset.validation.seed})")
    published = PUBLISHED_DATASETS.get(dataset.layout, {})
    own = dataset.model_dump(mode="json")
    found += [f"{key} {plain(own[key])}" for key, value in published.items() if own[key] != value]
    return found + [
        f"{key} {plain(getattr(recipe, key))}"
        for key in Training.model_fields
        if key not in ROUNDING and getattr(recipe, key) != getattr(defaults, key)
    ]
