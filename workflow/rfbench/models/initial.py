"""The network of a run before its first update."""

import random
from pathlib import Path

import numpy as np
import torch

from rfbench.models.checkpoint import load_backbone_weights
from rfbench.models.segmentor import build_model


def initial_model(settings: dict, weights: Path | None) -> tuple[torch.nn.Module, dict | None]:
    """The network of a run before its first update, drawn from the run's seed.

    Args:
        settings: a run's settings (`config.run_settings`).
        weights: ImageNet checkpoint of the backbone, where the configuration names one.

    Returns:
        The model and the report of the loaded weights (None without weights).
    """
    seed, dataset = settings["seed"], settings["dataset"]
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002 (mmcv's transforms use the global generator)
    torch.manual_seed(seed)
    width, height = dataset["crop"]
    model = build_model(
        settings["pair"],
        settings["model"]["backbone"],
        len(dataset["lesions"]),
        operator_options=settings["model"]["operator_options"],
        data_preprocessor={
            "type": "SegDataPreProcessor",
            "mean": dataset["mean"],
            "std": dataset["std"],
            "bgr_to_rgb": True,
            "size": (height, width),  # a smaller crop is padded right and below after normalisation
            "pad_val": 0,
            "seg_pad_val": 0,
        },
    )
    if weights is None:
        return model, None
    return model, load_backbone_weights(model, weights)
