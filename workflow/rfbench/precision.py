"""With how many bits a network is computed."""

import torch

AUTOCAST = {"none": None, "bfloat16": torch.bfloat16, "float16": torch.float16}
"""A configuration's `recipe.amp`: the type of convolutions and matrix products."""


def set_precision(*, tf32: bool, cudnn_benchmark: bool) -> None:
    """How this process computes float32 on a GPU; torch's own defaults allow TF32 in convolutions.

    Args:
        tf32: round the factors of products, those of convolutions as well, to TF32's 10 bits.
        cudnn_benchmark: let cuDNN time its algorithms and take the fastest, which may be another one next time.
    """
    torch.set_float32_matmul_precision("high" if tf32 else "highest")
    torch.backends.cudnn.allow_tf32 = tf32
    torch.backends.cudnn.benchmark = cudnn_benchmark


def arithmetic(device: torch.device, amp: str, tf32: bool, compiled: bool = False) -> str:
    """Kind of device and precision, such as "cuda, tf32": trainings that differ in them differ in their rounding."""
    return f"{device.type}, {amp if amp != 'none' else 'tf32' if tf32 else 'float32'}{', compiled' * compiled}"
