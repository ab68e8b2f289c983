"""A training that needs more memory than there is: how it is known, and what to do."""

import torch

from rfbench.settings import Training

SAYINGS = ("out of memory", "can't allocate memory", "_ALLOC_FAILED")  # CUDA, the CPU's allocator, cuBLAS and cuDNN


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory, the GPU's or the machine's, is used up."""
    return isinstance(error, (torch.OutOfMemoryError, MemoryError)) or any(text in str(error) for text in SAYINGS)


def reason(error: BaseException, recipe: Training) -> str:
    """What happened, and what a user can do."""
    told = (str(error) or "The machine's memory is used up.").splitlines()[0]
    return f"{told} {advice(recipe)}"


def advice(recipe: Training) -> str:
    """What a user can do, one sentence."""
    size, ways = recipe.batch_size, []
    more = [parts for parts in range(recipe.micro_batches + 1, size + 1) if size % parts == 0]
    if more:
        ways.append(f"recipe.micro_batches: {more[0]} (batch norm then sees {size // more[0]} images)")
    if recipe.amp == "none":
        ways.append("recipe.amp: bfloat16")
    ways.append("a device with more memory, once this run's train.json is deleted")
    return f"Train it with {', or '.join(ways)}."
