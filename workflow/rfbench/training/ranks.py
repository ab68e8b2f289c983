"""One training by several processes, each on a GPU of its own: torchrun and DistributedDataParallel.

A micro-batch is shared out evenly, and batch norm is synchronised on GPUs, so that an update is the one that a single
GPU with that micro-batch would compute, but for rounding. Process 0 holds the work folder and writes; the others
follow it. Where one process fails, torchrun ends all, and the training goes on from its last checkpoint.
"""

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from rfbench.settings import Recipe


@dataclass(frozen=True)
class Ranks:
    """This process among those of its training: number `rank` of `world`; alone it is number 0 of 1."""

    rank: int = 0
    world: int = 1

    @property
    def leads(self) -> bool:
        """Whether this process writes what the training leaves."""
        return self.rank == 0

    def share(self, recipe: Recipe) -> Recipe:
        """What each process loads: its share of the batch, with its share of the loading processes, one at least."""
        workers = max(recipe.workers // self.world, min(recipe.workers, 1))
        return recipe.model_copy(update={"batch_size": recipe.batch_size // self.world, "workers": workers})

    def draws(self, updates: range, recipe: Recipe) -> Sequence[int]:
        """The draws of this process in the updates of these numbers: its slice of every micro-batch, in order."""
        if self.world == 1:
            return range(updates.start * recipe.batch_size, updates.stop * recipe.batch_size)
        own = recipe.batch_size // recipe.micro_batches // self.world
        return [
            draw
            for update in updates
            for part in range(recipe.micro_batches)
            for draw in range(self._first(update, part, own, recipe), self._first(update, part, own, recipe) + own)
        ]

    def _first(self, update: int, part: int, own: int, recipe: Recipe) -> int:
        return update * recipe.batch_size + (part * self.world + self.rank) * own

    def wrapped(self, model: nn.Module, device: torch.device) -> nn.Module:
        """The network whose backward pass averages the gradients of all processes, and which shares its parameters."""
        if self.world == 1:
            return model
        if device.type == "cuda":  # torch has no synchronised batch norm on a CPU
            nn.SyncBatchNorm.convert_sync_batchnorm(model)
        devices = [device] if device.type == "cuda" else None
        return DistributedDataParallel(model, device_ids=devices, forward_sync_buffers=False)

    def alone(self, model: nn.Module) -> AbstractContextManager:
        """Within it a backward pass of `wrapped`'s network leaves the other processes' gradients alone."""
        return model.no_sync() if self.world > 1 else nullcontext()

    def mean(self, values: Tensor) -> Tensor:
        """The mean over all processes."""
        if self.world > 1:
            dist.all_reduce(values)
            values = values / self.world
        return values

    def told(self, value: object) -> object:
        """What process 0 gives, in every process."""
        if self.world == 1:
            return value
        said = [value if self.leads else None]
        dist.broadcast_object_list(said)
        return said[0]


@contextmanager
def joined(device: torch.device) -> Iterator[Ranks]:
    """Join the processes that torchrun started for this training; alone, do nothing."""
    if not is_one_of_several():
        yield Ranks()
        return
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
    try:
        yield Ranks(dist.get_rank(), dist.get_world_size())
    finally:
        dist.destroy_process_group()


def is_one_of_several() -> bool:
    """Whether torchrun has started this process."""
    return "TORCHELASTIC_RUN_ID" in os.environ


def leads() -> bool:
    """Whether this is, or will be, process 0 of a training, or trains alone."""
    return not is_one_of_several() or os.environ["RANK"] == "0"


def start(count: int, arguments: Sequence[str]) -> None:
    """Become torchrun with so many processes of `rfbench` with these arguments; does not return."""
    words = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={count}", "-m", "rfbench", *arguments]
    sys.stdout.flush()
    sys.stderr.flush()
    os.execv(sys.executable, [sys.executable, *words])
