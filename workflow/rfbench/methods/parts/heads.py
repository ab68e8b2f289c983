"""What all heads and segmentors of methods share."""

from typing import Any

from torch import nn

from rfbench.models.segmentor import LesionSegmentor


def outputs(num_lesions: int) -> dict[str, Any]:
    """Arguments of mmseg's heads: one logit map a lesion, batch norm, bilinear interpolation of cells."""
    return {
        "num_classes": num_lesions,
        "out_channels": num_lesions,
        "norm_cfg": {"type": "BN"},
        "align_corners": False,
        # Both unused, since the training computes the loss and thresholds nothing; the defaults warn.
        "threshold": 0.5,
        "loss_decode": {"type": "DiceLoss"},
    }


def segmentor(backbone: nn.Module, head: nn.Module) -> LesionSegmentor:
    """Backbone and head, initialised as their classes say; on the meta device there is nothing to initialise."""
    network = LesionSegmentor(backbone, head)
    if not next(network.parameters()).is_meta:
        network.init_weights()
    return network
