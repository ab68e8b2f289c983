"""From the tensor names of ImageNet files to those of networks."""

import re
from collections.abc import Callable, Mapping, Sequence

from torch import Tensor

from rfbench.errors import RFBenchError

TENSOR = r"(?:weight|bias|running_mean|running_var|num_batches_tracked)"


def renamer(rules: Sequence[tuple[str, str]]) -> Callable[[Mapping[str, Tensor]], dict[str, Tensor]]:
    """A function that renames the tensors of a file, each by the first rule whose expression is its whole name.

    Args:
        rules: (regular expression, replacement) each.

    Returns:
        state_dict of the file -> state_dict under the network's names; it raises RFBenchError at a name that
        is of no rule.
    """

    def rename(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        named, unknown = {}, []
        for name, tensor in state.items():
            new = next((re.sub(pattern, to, name) for pattern, to in rules if re.fullmatch(pattern, name)), None)
            if new is None:
                unknown.append(name)
            else:
                named[new] = tensor
        if unknown:
            first = ", ".join(unknown[:3]) + (", …" if len(unknown) > 3 else "")
            raise RFBenchError(
                f"{len(unknown)} of the file's {len(state)} tensors are of no known name ({first}). "
                "Give the file of the network that the method names."
            )
        return named

    return rename
