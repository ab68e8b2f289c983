"""RFBench: a benchmark of feature-reassembly operators for tiny lesions in fundus photographs.

Public functions:

- `build_model(pair, backbone="hrnetv2_w48", num_lesions=4)`: HRNetV2 with an operator pair;
- `load_checkpoint(model, path)`: weights of ours or of the M2MRF authors;
- `fuse(model)`: a copy for inference, batch norms folded, M2MRF in its shorter form;
- `rfbench.profiling.memory.saved_bytes(model, shape)`: what a training step keeps for backward;
- `rfbench.losses.dice_loss(logits, label)`, `operators.available()`, `operators.m2mrf.M2MRF`.

They are imported on first use, so that ``import rfbench`` and commands without a network need no torch.
"""

import importlib
import warnings
from importlib.metadata import version

__version__ = version("rfbench")
__all__ = ["__version__", "build_model", "fuse", "load_checkpoint"]

# mmcv says so at every import; no model here uses one of its compiled ops.
warnings.filterwarnings("ignore", message="Fail to import ``MultiScaleDeformableAttention``")

_LAZY = {
    "build_model": "rfbench.models.segmentor",
    "fuse": "rfbench.models.fuse",
    "load_checkpoint": "rfbench.models.checkpoint",
}


def __getattr__(name: str):
    if name not in _LAZY:
        raise AttributeError(f"module 'rfbench' has no attribute '{name}'")
    return getattr(importlib.import_module(_LAZY[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_LAZY])
