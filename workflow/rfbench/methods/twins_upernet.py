"""Twins-SVT-B: attention inside windows and to a summary of all windows in turns, with UPerNet's head.

Chu et al., "Twins: Revisiting the Design of Spatial Attention in Vision Transformers", arXiv:2104.13840. Backbone and
head are mmsegmentation's, without the auxiliary head.
"""

from collections.abc import Mapping

import torch
from mmseg.models.backbones import SVT
from torch import Tensor

from rfbench.competitors.method import Method, Weights
from rfbench.errors import RFBenchError
from rfbench.methods.parts.heads import segmentor
from rfbench.methods.parts.naming import renamer
from rfbench.methods.parts.sizes import divisor
from rfbench.methods.parts.transformers import RECIPE, ROUNDING, NumbersOnCPU, silent, uper_head
from rfbench.models.segmentor import LesionSegmentor

DEPTHS = {"published": [2, 2, 18, 2], "embedded": [2, 2, 2, 2]}  # an eighth of the widths alone is too slow for a CPU
HEADS = {"published": [3, 6, 12, 24], "embedded": [1, 2, 4, 8]}


class Twins(SVT):
    """mmseg's Twins-SVT, quiet."""

    def init_weights(self) -> None:
        with silent():
            super().init_weights()


def build(num_lesions: int, *, size: str = "published", drop_path: float = 0.2) -> LesionSegmentor:
    """The network.

    Args:
        drop_path: largest rate of stochastic depth, of the last block.
    """
    widths = [width // divisor(size) for width in (96, 192, 384, 768)]
    with NumbersOnCPU():
        backbone = Twins(
            embed_dims=widths,
            num_heads=HEADS[size],
            depths=DEPTHS[size],
            patch_sizes=[4, 2, 2, 2],
            mlp_ratios=[4, 4, 4, 4],
            sr_ratios=[8, 4, 2, 1],
            windiow_sizes=[7, 7, 7, 7],
            qkv_bias=True,
            norm_after_stage=True,
            drop_path_rate=drop_path,
        )
    return segmentor(backbone, uper_head(widths, num_lesions, size))


_TENSOR = r"(weight|bias)"
_BLOCK = r"backbone.layers.\1.\2"
_UNUSED = (r"head\..*", r"norm\.(?:weight|bias)")
_RENAMED = renamer(
    [
        (rf"patch_embeds\.(\d)\.proj\.{_TENSOR}", r"backbone.patch_embeds.\1.projection.\2"),
        (rf"patch_embeds\.(\d)\.norm\.{_TENSOR}", r"backbone.patch_embeds.\1.norm.\2"),
        (rf"pos_block\.(\d)\.proj\.0\.{_TENSOR}", r"backbone.position_encodings.\1.proj.\2"),
        (rf"blocks\.(\d)\.(\d+)\.(norm[12]\.{_TENSOR})", rf"{_BLOCK}.\3"),
        (rf"blocks\.(\d)\.(\d*[02468])\.attn\.((?:qkv|proj)\.{_TENSOR})", rf"{_BLOCK}.attn.\3"),
        (rf"blocks\.(\d)\.(\d*[13579])\.attn\.proj\.{_TENSOR}", rf"{_BLOCK}.attn.attn.out_proj.\3"),
        (rf"blocks\.(\d)\.(\d*[13579])\.attn\.((?:sr|norm)\.{_TENSOR})", rf"{_BLOCK}.attn.\3"),
        (rf"blocks\.(\d)\.(\d*[13579])\.attn\.in_proj_{_TENSOR}", rf"{_BLOCK}.attn.attn.in_proj_\3"),
        (rf"blocks\.(\d)\.(\d+)\.mlp\.fc1\.{_TENSOR}", rf"{_BLOCK}.ffn.layers.0.0.\3"),
        (rf"blocks\.(\d)\.(\d+)\.mlp\.fc2\.{_TENSOR}", rf"{_BLOCK}.ffn.layers.1.\3"),
    ]
)
_OPENMMLAB = renamer([(r"(?:backbone\.)?((?:patch_embeds|position_encodings|layers)\..*)", r"backbone.\1")])


def rename_authors(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The authors' and timm's names -> mmseg's, whose global attention has query, key and value in one tensor."""
    joined = dict(state)
    for name in state:
        if ".attn.q." in name:
            pair = name.replace(".attn.q.", ".attn.kv.")
            if pair not in state:
                raise RFBenchError(f"The file has {name} without {pair}; it is damaged or of another network.")
            joined[name.replace(".attn.q.", ".attn.in_proj_")] = torch.cat([joined.pop(name), joined.pop(pair)])
    return _RENAMED(joined)


UNTOUCHED = (r"decode_head\..*", r"backbone\.norm_list\..*")

METHOD = Method(
    label="Twins-SVT-B",
    paper="Chu et al., Twins, NeurIPS 2021, arXiv:2104.13840; UPerNet's head",
    build=build,
    confidence="Network as mmsegmentation has it, without auxiliary head; the papers name SVT, base size. "
    f"Optimiser: AdamW, 6e-5; {ROUNDING}.",
    options={"drop_path": 0.2},
    parameters=86_725_764,
    recipe=RECIPE,
    weights={
        "authors": Weights(
            file="alt_gvt_base.pth, or timm's twins_svt_base",
            where="https://github.com/Meituan-AutoML/Twins, or timm",
            rename=rename_authors,
            ignored=_UNUSED,
            untouched=UNTOUCHED,
        ),
        "openmmlab": Weights(
            file="alt_gvt_base_20220308-1b7eb711.pth",
            where="OpenMMLab, https://mmassets.onedl.ai/mmsegmentation/v0.5/pretrain/twins/",
            rename=_OPENMMLAB,
            ignored=(*_UNUSED, r"(?:backbone\.)?norm.*"),
            untouched=UNTOUCHED,
        ),
    },
    published="Twins-SVT-B",
)
