"""The whole network: HRNetV2 with an operator pair and an FCN head, or a method's; one sigmoid output per lesion."""

import torch.nn.functional as F
from mmengine.model import BaseModule
from mmseg.models.decode_heads import FCNHead
from torch import Tensor, nn

import operators
from rfbench import competitors
from rfbench.errors import RFBenchError
from rfbench.models import backbones
from rfbench.models.hrnet import OperatorHRNet
from rfbench.models.method import MethodSegmentor, build_method
from rfbench.models.normalise import Normalise
from rfbench.names import MIN_SIZE


def build_model(
    pair: str,
    backbone: str = "hrnetv2_w48",
    num_lesions: int = 4,
    *,
    operator_options: operators.Options | None = None,
    method_options: operators.Options | None = None,
    normalise: Normalise | None = None,
) -> "LesionSegmentor | MethodSegmentor":
    """HRNetV2 with an operator pair, or a method's network, initialised from torch's global random state.

    Nothing is downloaded.

    Args:
        pair: name of an operator pair, one of ``operators.available()``, or a method, of ``methods.available()``.
        backbone: ``hrnetv2_w48`` (the papers'), ``hrnetv2_reduced`` or ``hrnetv2_embedded``. A method has its
            published size for the first, its embedded one for the others.
        num_lesions: outputs; each is an independent sigmoid, there is no background channel.
        operator_options: operator -> its options, e.g. ``{"m2mrf": {"patch_size": 4, "alpha": 16}}``; those
            of operators that the pair does not use have no effect, so one setting can serve many pairs.
        method_options: method -> its options, likewise.
        normalise: what makes a batch of photographs, for a network that is handed such.

    Returns:
        A module: normalised images (N, 3, H, W) -> logits (N, num_lesions, H, W), H and W at least 64.
    """
    options = {"operator_options": operator_options, "method_options": method_options}
    model = assemble(pair, backbone, num_lesions, **options, normalise=normalise)
    if isinstance(model, LesionSegmentor):
        model.init_weights()
    return model


def assemble(
    pair: str,
    backbone: str = "hrnetv2_w48",
    num_lesions: int = 4,
    *,
    operator_options: operators.Options | None = None,
    method_options: operators.Options | None = None,
    normalise: Normalise | None = None,
) -> "LesionSegmentor | MethodSegmentor":
    """`build_model` without a pair's initialisation; under ``torch.device("meta")`` it costs no memory."""
    if competitors.is_method(pair):
        return build_method(pair, backbone, num_lesions, (method_options or {}).get(pair), normalise)
    try:
        network = OperatorHRNet(backbones.configuration(backbone), pair, operator_options)
    except ValueError as error:  # an operator's setting that does not fit the backbone's channels
        raise RFBenchError(f"Cannot build '{pair}' on '{backbone}': {error}") from error
    head = fcn_head(backbones.widths(backbone), num_lesions)
    return LesionSegmentor(network, head, normalise)


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


class LesionSegmentor(BaseModule):
    """Backbone and head with one logit map per lesion; mmengine's BaseModule initialises it.

    Args:
        normalise: makes the batch of photographs; `forward` takes it, and does not call it.
    """

    own_loss = False  # but the recipe's (see MethodSegmentor)

    def __init__(self, backbone: nn.Module, decode_head: nn.Module, normalise: Normalise | None = None):
        super().__init__()
        self.normalise = normalise
        self.backbone = backbone
        self.decode_head = decode_head

    def forward(self, images: Tensor) -> Tensor:
        """Normalised images (N, 3, H, W) -> logits (N, L, H, W), float32 under autocast, too."""
        if min(images.shape[2:]) < MIN_SIZE:
            height, width = images.shape[2:]
            raise RFBenchError(
                f"Images must be at least {MIN_SIZE} px high and wide; these are {height} px high and "
                f"{width} px wide. Pad or enlarge them."
            )
        logits = self.decode_head(self.backbone(images)).float()  # (N, L, H/4, W/4); bfloat16 has 8 bits to interpolate
        return F.interpolate(logits, images.shape[2:], mode="bilinear", align_corners=False)

    def _dump_init_info(self) -> None:
        """Deliberately nothing: mmengine's own would log several lines for every tensor."""
