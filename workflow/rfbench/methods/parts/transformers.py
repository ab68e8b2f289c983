"""What Swin and Twins share: mmseg's UPerHead, the optimiser of both papers, quiet building."""

import contextlib
import io

import torch
from mmseg.models.decode_heads import UPerHead
from torch.overrides import TorchFunctionMode

from rfbench.methods.parts.heads import outputs
from rfbench.methods.parts.sizes import divisor

# Both papers' recipe for UPerNet on ADE20K (AdamW, 6e-5, weight decay 0.01, linear decay to 0), without their warm-up
# and their exemption of norms from the decay, which the benchmark's recipe has no keys for.
RECIPE = {"optimizer": {"type": "AdamW", "lr": 6e-5, "weight_decay": 0.01}, "power": 1.0, "min_lr": 0.0}
ROUNDING = "the warm-up of 1,500 updates and the exemption of norms from weight decay are left out"


def uper_head(widths: list[int], num_lesions: int, size: str) -> UPerHead:
    """UPerNet's head (Xiao et al., arXiv:1807.10221) on four maps of these channels."""
    return UPerHead(
        in_channels=widths,
        in_index=[0, 1, 2, 3],
        pool_scales=(1, 2, 3, 6),
        channels=512 // divisor(size),
        dropout_ratio=0.1,
        **outputs(num_lesions),
    )


class NumbersOnCPU(TorchFunctionMode):
    """Under ``torch.device("meta")``, keep the one tensor that mmseg's transformers read numbers of (depth rates)."""

    def __torch_function__(self, function, types, args=(), kwargs=None):
        kwargs = dict(kwargs or {})
        if function is torch.linspace:
            kwargs["device"] = "cpu"
        return function(*args, **kwargs)


def silent() -> contextlib.AbstractContextManager:
    """mmseg's transformers print that they start without weights."""
    return contextlib.redirect_stdout(io.StringIO())
