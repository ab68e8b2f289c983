"""torch.compile: whether it works on this machine, and the network under it."""

import torch
from torch import nn

VERSIONS = 256  # of one forward; every pair and type is another, and beyond torch's eight the next would run eagerly


def compiled(model: nn.Module) -> nn.Module:
    """The model under `torch.compile`, which shares its parameters; the first pass of a shape compiles."""
    torch._dynamo.config.recompile_limit = VERSIONS
    return torch.compile(model)


def problem(device: torch.device) -> str | None:
    """Why torch.compile does not work on a device, in a line; None where it does.

    It needs a C++ compiler on a CPU, Triton and a C compiler with Python's headers on a GPU; whether all is there and
    fits together, only trying tells, with a function of one addition.
    """

    def probe(x: torch.Tensor) -> torch.Tensor:
        return x + 1

    try:
        torch.compile(probe)(torch.zeros(2, device=device))
    except Exception as error:  # of many kinds, by what is missing
        cause = error.__cause__ or error
        told = next(filter(None, str(cause).splitlines()), "")
        return f"{type(cause).__name__}: {told}"
    return None
