"""Memory of a training step: what autograd keeps for backward."""

import torch
from torch import Tensor, nn


def saved_bytes(model: nn.Module, shape: tuple[int, ...]) -> int:
    """Bytes of the tensors that a forward pass keeps for backward, parameters excluded.

    Counted by storage, each once, whole: a saved view keeps the map it looks at. What is recomputed in backward is
    not kept and not counted.

    Args:
        model: in the mode to measure; batch norms in training mode update their statistics.
        shape: of the random input, e.g. (1, 3, 512, 512).
    """
    device = next(model.parameters()).device
    parameters = {parameter.untyped_storage().data_ptr() for parameter in model.parameters()}
    kept = {}  # address -> the tensor, so that no address is given twice

    def keep(tensor: Tensor) -> Tensor:
        address = tensor.untyped_storage().data_ptr()
        if address not in parameters:
            kept[address] = tensor.detach()
        return tensor

    with torch.enable_grad(), torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        model(torch.randn(shape, device=device))
        return sum(tensor.untyped_storage().nbytes() for tensor in kept.values())
