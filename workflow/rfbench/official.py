"""Loading an operator's weights under its authors' names."""

from collections.abc import Mapping

from torch import Tensor, nn


def load_official(
    module: nn.Module,
    state_dict: Mapping[str, Tensor],
    names: Mapping[str, str] | None = None,
    constants: Mapping[str, tuple[int, ...]] | None = None,
) -> None:
    """Load the authors' whole state_dict of one operator, strictly.

    Args:
        module: the operator.
        state_dict: the authors' tensors by name. Counters of batch norms may be absent.
        names: the authors' name or prefix -> ours, where they differ, e.g. {"up_dwc.1": "conv"}.
        constants: buffers of the authors' that hold no weights -> their shape. They may be absent.

    Raises:
        RuntimeError: a weight is missing, a name is unknown, or a tensor has another shape; also a constant's, since
            then the authors' operator had another setting.
    """
    ours = {}
    for key, tensor in state_dict.items():
        if key in (constants or {}):
            if tuple(tensor.shape) != constants[key]:
                kind, expected, found = type(module).__name__, constants[key], tuple(tensor.shape)
                raise RuntimeError(
                    f"{kind}: expected the constant {key} of shape {expected}, found {found}: weights of another "
                    "setting than this module's."
                )
            continue
        for theirs, own in (names or {}).items():
            if key == theirs or key.startswith(f"{theirs}."):
                key = own + key.removeprefix(theirs)
                break
        ours[key] = tensor
    module.load_state_dict(ours, strict=True)
