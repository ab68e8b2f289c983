"""What all heads and segmentors of methods share."""

from typing import Any

from torch import Tensor, nn

from rfbench.errors import RFBenchError
from rfbench.models.segmentor import LesionSegmentor
from rfbench.names import MIN_SIZE


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


def check_size(images: Tensor) -> None:
    """Refuse images that the benchmark takes no network to, as `LesionSegmentor` does; for networks without it."""
    height, width = images.shape[2:]
    if min(height, width) < MIN_SIZE:
        raise RFBenchError(
            f"Images must be at least {MIN_SIZE} px high and wide; these are {height} px high and {width} px wide. "
            "Pad or enlarge them."
        )
