"""Swin-B: attention inside shifted windows, with UPerNet's head.

Liu et al., "Swin Transformer: Hierarchical Vision Transformer using Shifted Windows", arXiv:2103.14030. Backbone and
head are mmsegmentation's, without the auxiliary head; the papers start from ImageNet-22K.
"""

import re
from collections.abc import Mapping

from mmseg.models.backbones import SwinTransformer
from mmseg.models.backbones.swin import WindowMSA
from torch import Tensor

from rfbench.competitors.method import Method, Weights
from rfbench.methods.parts.heads import segmentor
from rfbench.methods.parts.naming import renamer
from rfbench.methods.parts.sizes import divisor
from rfbench.methods.parts.transformers import RECIPE, ROUNDING, NumbersOnCPU, silent, uper_head
from rfbench.models.segmentor import LesionSegmentor

DEPTHS = {"published": (2, 2, 18, 2), "embedded": (2, 2, 2, 2)}  # an eighth of the widths alone is too slow for a CPU
HEADS = {"published": (4, 8, 16, 32), "embedded": (1, 2, 4, 8)}


class Swin(SwinTransformer):
    """mmseg's Swin, quiet, its position biases drawn as the paper's code draws them (mmseg leaves them zero)."""

    def init_weights(self) -> None:
        with silent():
            super().init_weights()
        for module in self.modules():
            if isinstance(module, WindowMSA):
                module.init_weights()


def build(num_lesions: int, *, size: str = "published", drop_path: float = 0.3) -> LesionSegmentor:
    """The network.

    Args:
        drop_path: largest rate of stochastic depth, of the last block.
    """
    width = 128 // divisor(size)
    with NumbersOnCPU():
        backbone = Swin(
            embed_dims=width, depths=DEPTHS[size], num_heads=HEADS[size], window_size=7, drop_path_rate=drop_path
        )
    return segmentor(backbone, uper_head([width, 2 * width, 4 * width, 8 * width], num_lesions, size))


_TENSOR = r"(weight|bias)"
_BLOCK = r"backbone.stages.\1.blocks.\2"
_UNUSED = (
    r"(?:backbone\.)?head\..*",
    r"norm\.(?:weight|bias)",
    r".*\.attn_mask",
    r".*\.relative_position_index",
)
_AUTHORS = renamer(
    [
        (rf"patch_embed\.proj\.{_TENSOR}", r"backbone.patch_embed.projection.\1"),
        (rf"patch_embed\.norm\.{_TENSOR}", r"backbone.patch_embed.norm.\1"),
        (rf"layers\.(\d)\.blocks\.(\d+)\.(norm[12]\.{_TENSOR})", rf"{_BLOCK}.\3"),
        (rf"layers\.(\d)\.blocks\.(\d+)\.attn\.((?:qkv|proj)\.{_TENSOR})", rf"{_BLOCK}.attn.w_msa.\3"),
        (r"layers\.(\d)\.blocks\.(\d+)\.attn\.(relative_position_bias_table)", rf"{_BLOCK}.attn.w_msa.\3"),
        (rf"layers\.(\d)\.blocks\.(\d+)\.mlp\.fc1\.{_TENSOR}", rf"{_BLOCK}.ffn.layers.0.0.\3"),
        (rf"layers\.(\d)\.blocks\.(\d+)\.mlp\.fc2\.{_TENSOR}", rf"{_BLOCK}.ffn.layers.1.\3"),
        (rf"layers\.(\d)\.(downsample\.(?:norm|reduction)\.{_TENSOR})", r"backbone.stages.\1.\2"),
    ]
)
_OPENMMLAB = renamer(
    [(rf"(?:backbone\.)?((?:patch_embed|stages)\..*\.{_TENSOR}|.*\.relative_position_bias_table)", r"backbone.\1")]
)


def rename_authors(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The authors' and timm's names -> mmseg's.

    timm counts a downsampling to the stage behind it since version 0.9. The authors concatenate the four cells of a
    patch one after the other, first column first; mmseg keeps the four cells of a channel together, row by row.
    """
    if any(name.startswith("layers.3.downsample.") for name in state):
        state = {re.sub(r"layers\.(\d)\.downsample", _one_stage_earlier, name): state[name] for name in state}
    return {name: _by_channel(tensor) if ".downsample." in name else tensor for name, tensor in _AUTHORS(state).items()}


def _one_stage_earlier(found: re.Match) -> str:
    return f"layers.{int(found[1]) - 1}.downsample"


def _by_channel(tensor: Tensor) -> Tensor:
    """The last axis from (column, row, channel) to (channel, row, column)."""
    return tensor.unflatten(-1, (2, 2, -1)).transpose(-1, -3).flatten(-3)


UNTOUCHED = (r"decode_head\..*", r"backbone\.norm[0-3]\..*", r".*\.relative_position_index")

METHOD = Method(
    label="Swin-B",
    paper="Liu et al., Swin Transformer, ICCV 2021, arXiv:2103.14030; UPerNet's head",
    build=build,
    confidence="Network as mmsegmentation has it, without auxiliary head; the papers name base size and ImageNet-22K. "
    f"Optimiser: AdamW, 6e-5; {ROUNDING}.",
    options={"drop_path": 0.3},
    parameters=119_986_108,
    recipe=RECIPE,
    weights={
        "authors": Weights(
            file="swin_base_patch4_window7_224_22k.pth (its entry 'model'), or timm's of the same name",
            where="https://github.com/SwinTransformer/storage/releases, or timm",
            rename=rename_authors,
            ignored=_UNUSED,
            untouched=UNTOUCHED,
        ),
        "openmmlab": Weights(
            file="swin_base_patch4_window7_224_22k_20220317-4f79f7c0.pth",
            where="OpenMMLab, https://mmassets.onedl.ai/mmsegmentation/v0.5/pretrain/swin/",
            rename=_OPENMMLAB,
            ignored=(*_UNUSED, r"(?:backbone\.)?norm3?\..*"),
            untouched=UNTOUCHED,
        ),
    },
    published="Swin-B",
)
