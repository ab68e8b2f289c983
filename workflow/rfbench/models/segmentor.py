"""The whole network: HRNetV2 with an operator pair, FCN head, one sigmoid output per lesion."""

import torch
import torch.nn.functional as F
from mmengine.model import BaseModel
from mmseg.models.decode_heads import FCNHead
from mmseg.registry import MODELS
from torch import Tensor, nn

import operators
from rfbench.errors import RFBenchError
from rfbench.losses import dice_loss
from rfbench.models import backbones
from rfbench.models.hrnet import OperatorHRNet
from rfbench.names import MIN_SIZE


def build_model(
    pair: str,
    backbone: str = "hrnetv2_w48",
    num_lesions: int = 4,
    *,
    operator_options: operators.Options | None = None,
    data_preprocessor: dict | None = None,
) -> "LesionSegmentor":
    """HRNetV2 with an operator pair, initialised from torch's global random state; nothing is downloaded.

    Args:
        pair: name of an operator pair, one of ``operators.available()``.
        backbone: ``hrnetv2_w48`` (the papers'), ``hrnetv2_reduced`` or ``hrnetv2_embedded``.
        num_lesions: outputs; each is an independent sigmoid, there is no background channel.
        operator_options: operator -> its options, e.g. ``{"m2mrf": {"patch_size": 4, "alpha": 16}}``; those
            of operators that the pair does not use have no effect, so one setting can serve many pairs.
        data_preprocessor: mmseg's preprocessor for a training with mmengine's Runner.

    Returns:
        A module: normalised images (N, 3, H, W) -> logits (N, num_lesions, H, W), H and W at least 64.
    """
    model = assemble(
        pair, backbone, num_lesions, operator_options=operator_options, data_preprocessor=data_preprocessor
    )
    model.init_weights()
    return model


def assemble(
    pair: str,
    backbone: str = "hrnetv2_w48",
    num_lesions: int = 4,
    *,
    operator_options: operators.Options | None = None,
    data_preprocessor: dict | None = None,
) -> "LesionSegmentor":
    """`build_model` without the initialisation; under ``torch.device("meta")`` it costs no memory."""
    try:
        network = OperatorHRNet(backbones.configuration(backbone), pair, operator_options)
    except ValueError as error:  # an operator's setting that does not fit the backbone's channels
        raise RFBenchError(f"Cannot build '{pair}' on '{backbone}': {error}") from error
    head = fcn_head(backbones.widths(backbone), num_lesions)
    return LesionSegmentor(network, head, data_preprocessor)


def fcn_head(widths: tuple[int, ...], num_lesions: int) -> FCNHead:
    """All branches at the highest one's size, concatenated; conv1x1 + BN + ReLU; conv1x1 of N(0, 0.01)."""
    return FCNHead(
        in_channels=list(widths),
        in_index=list(range(len(widths))),
        input_transform="resize_concat",
        channels=sum(widths),
        num_convs=1,
        kernel_size=1,
        concat_input=False,
        dropout_ratio=0,
        norm_cfg={"type": "BN"},
        align_corners=False,
        num_classes=num_lesions,
        out_channels=num_lesions,
        # Both unused, since the segmentor computes the loss and thresholds nothing; the defaults warn.
        threshold=0.5,
        loss_decode={"type": "DiceLoss"},
    )


def count_parameters(model: nn.Module) -> int:
    """Number of learnable parameters."""
    return sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)


class LesionSegmentor(BaseModel):
    """Backbone and head with one logit map per lesion; trains under mmengine's Runner."""

    def __init__(self, backbone: nn.Module, decode_head: nn.Module, data_preprocessor: dict | None = None):
        super().__init__(data_preprocessor and MODELS.build(data_preprocessor))
        self.backbone = backbone
        self.decode_head = decode_head

    def forward(self, inputs: Tensor, data_samples: list | None = None, mode: str = "tensor"):
        """mode "tensor": logits (N, L, H, W) at input size; mode "loss": Dice loss against the data samples.

        Args:
            inputs: normalised images (N, 3, H, W).
            data_samples: one mmseg SegDataSample an image; ``gt_sem_seg.data`` is its label map (1, H', W').
        """
        if mode == "tensor":
            return self._logits(inputs, inputs.shape[2:])
        if mode == "loss":
            label = torch.cat([sample.gt_sem_seg.data for sample in data_samples])  # (N, H', W')
            return {"loss_dice": dice_loss(self._logits(inputs, label.shape[1:]), label.long())}
        raise ValueError(f"Unknown mode {mode!r}; this model takes 'tensor' (logits) and 'loss'.")

    def _logits(self, inputs: Tensor, size: tuple[int, int]) -> Tensor:
        if min(inputs.shape[2:]) < MIN_SIZE:
            height, width = inputs.shape[2:]
            raise RFBenchError(
                f"Images must be at least {MIN_SIZE} px high and wide; these are {height} px high and "
                f"{width} px wide. Pad or enlarge them."
            )
        logits = self.decode_head(self.backbone(inputs))  # (N, L, H/4, W/4)
        return F.interpolate(logits, size, mode="bilinear", align_corners=False)

    def init_weights(self) -> None:
        """Initialise once: mmengine's Runner calls this again and must not undo weights loaded in between."""
        if not self.is_init:
            super().init_weights()

    def _dump_init_info(self) -> None:
        """Deliberately nothing: mmengine's own would log several lines for every tensor."""
