"""The network of a run before its first update."""

import math
import random
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch

from rfbench import provenance
from rfbench.errors import RFBenchError
from rfbench.models.checkpoint import load_backbone_weights
from rfbench.models.method import MethodSegmentor, load_method_weights, set_probability
from rfbench.models.normalise import Normalise
from rfbench.models.segmentor import build_model
from rfbench.settings import RunSettings


def initial_model(run: RunSettings, weights: Path | None) -> tuple[torch.nn.Module, dict | None]:
    """The network of a run before its first update, drawn from the run's seed.

    Args:
        run: a run's settings.
        weights: ImageNet checkpoint of the backbone, where the configuration names one.

    Returns:
        The model and the report of the loaded weights, their whole SHA-256 among it (None without weights).

    Raises:
        RFBenchError: the weights are not those of the run's settings.
    """
    random.seed(run.seed)
    np.random.seed(run.seed)  # noqa: NPY002 (mmcv's transforms use the global generator)
    torch.manual_seed(run.seed)
    model = network_for(
        run.pair,
        run.model.backbone,
        run.model.operator_options,
        run.dataset.lesions,
        method_options=run.model.method_options,
        mean=run.dataset.mean,
        std=run.dataset.std,
    )
    if (p := run.recipe.initial_probability) is not None:
        if isinstance(model, MethodSegmentor):
            set_probability(model, len(run.dataset.lesions), p)
        else:
            torch.nn.init.constant_(model.decode_head.conv_seg.bias, math.log(p / (1 - p)))
    if weights is None:
        return model, None
    sha256 = provenance.sha256(weights)
    if not sha256.startswith(run.model.pretrained):
        raise RFBenchError(
            f"{weights}: expected the weights of SHA-256 {run.model.pretrained}… (model.pretrained), found {sha256}. "
            "Delete the file; snakemake fetches it again."
        )
    if isinstance(model, MethodSegmentor):
        return model, load_method_weights(model, run.model.weights, weights) | {"sha256": sha256}
    return model, load_backbone_weights(model, weights) | {"sha256": sha256}


def network_for(
    pair: str,
    backbone: str,
    operator_options: Mapping[str, Mapping[str, object]],
    lesions: Sequence[str],
    *,
    method_options: Mapping[str, Mapping[str, object]] | None = None,
    mean: Sequence[float],
    std: Sequence[float],
) -> torch.nn.Module:
    """A network that normalises its photographs, its weights drawn from torch's generator.

    Args:
        pair, backbone, operator_options, lesions, method_options: the network (`segmentor.build_model`).
        mean, std: of the training images in RGB, 0 to 255.
    """
    return build_model(
        pair,
        backbone,
        len(lesions),
        operator_options=operator_options,
        method_options=method_options,
        normalise=Normalise(mean, std),
    )
