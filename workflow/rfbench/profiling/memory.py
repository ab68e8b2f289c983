"""Memory of a training step: what autograd keeps for backward."""

import torch
from torch import Tensor, nn


def saved_bytes(model: nn.Module, shape: tuple[int, ...], dtype: torch.dtype = torch.float32) -> int:
    """Bytes of the tensors that a forward pass keeps for backward, parameters excluded.

    Counted by storage, each once, whole: a saved view keeps the map it looks at. What is recomputed in backward is
    not kept and not counted.

    Args:
        model: in the mode to measure; batch norms in training mode update their statistics. On the device `meta`
            nothing is computed or allocated, and the count is the same.
        shape: of the random input, e.g. (1, 3, 512, 512).
        dtype: of the random input; the model's.
    """
    device = next(model.parameters()).device
    parameters = {_identity(parameter) for parameter in model.parameters()}
    kept = {}  # identity -> the tensor, so that no identity is given twice

    def keep(tensor: Tensor) -> Tensor:
        if _identity(tensor) not in parameters:
            kept[_identity(tensor)] = tensor.detach()
        return tensor

    with torch.enable_grad(), torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        model(torch.randn(shape, device=device, dtype=dtype))
        return sum(tensor.untyped_storage().nbytes() for tensor in kept.values())


def take_lone_values(model: nn.Module) -> None:
    """Let batch norms that see one value a channel, a pooled map of one image, run on their statistics.

    In training torch refuses such a map, whose variance is none; it keeps next to nothing.
    """
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.register_forward_pre_hook(_on_statistics)


def _on_statistics(norm: nn.Module, inputs: tuple[Tensor, ...]) -> None:
    if inputs[0].numel() == inputs[0].shape[1]:
        norm.eval()


def _identity(tensor: Tensor) -> int:
    """Which storage a tensor looks at; its data's address would not tell, since on `meta` every one is 0."""
    return tensor.untyped_storage()._cdata
