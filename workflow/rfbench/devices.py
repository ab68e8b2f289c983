"""Which device this process computes on: GPUs of its own, or the CPU; and the claim of free GPUs.

A claim is a lock on a file per physical device, in a folder that all users and projects of the machine share:
/tmp/rfbench-gpus, unless RFBENCH_GPU_LOCKS names another (containers that share GPUs need a common one). It ends with
its process, however that ends. It must come before anything asks CUDA, which settles what it shows when it is first
asked: mmengine asks when it is imported. So commands claim first (`claim_for`) and import what computes afterwards,
and `pick_device` compares what CUDA shows with the claim.
"""

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING

from rfbench import flocks, gpus, provenance
from rfbench.errors import RFBenchError
from rfbench.gpus import Gpu

if TYPE_CHECKING:  # what asks for names and locks alone need not wait for torch
    import torch

_claimed: list[Gpu] = []  # by this process
HANDED_ON = "RFBENCH_GPUS_CLAIMED"  # in the environment of processes whose parent has claimed for them


def visible() -> list[str]:
    """UUIDs of the devices that this process may use (`gpus.usable`); empty where there is no driver."""
    return [gpu.uuid for gpu in gpus.usable()]


def offered(name: str) -> list[str]:
    """The visible devices that a configuration's `device` lets jobs use: none with a torch that has no CUDA."""
    import torch

    return [] if name == "cpu" or torch.version.cuda is None else visible()


def claim(count: int = 1) -> list[str]:
    """Take free devices for the life of this process, waiting while too few are free, and hide the others from CUDA.

    Those that a cluster's scheduler gave a job are taken as they are.

    Returns:
        The devices' UUIDs; empty where this process may use none.

    Raises:
        RFBenchError: it may use fewer.
    """
    found = gpus.usable()
    if not _claimed and HANDED_ON in os.environ:
        _claimed.extend(found)
    if _claimed or not found:
        return [gpu.uuid for gpu in _claimed]
    if len(found) < count:
        raise RFBenchError(f"recipe.gpus: expected {count} GPUs that this process may use, found {len(found)}.")
    if not (gpus.in_cluster_job() and len(found) == count):
        found = _free(found, count)
    _claimed.extend(found)
    os.environ["CUDA_VISIBLE_DEVICES"] = ",".join(gpu.uuid for gpu in found)
    print(f"GPU {os.environ['CUDA_VISIBLE_DEVICES']}", file=sys.stderr, flush=True)
    return [gpu.uuid for gpu in found]


def _free(found: list[Gpu], count: int) -> list[Gpu]:
    """So many of the devices, locked, as soon as so many are free; while it waits, it holds none."""
    folder = Path(os.environ.get("RFBENCH_GPU_LOCKS", "/tmp/rfbench-gpus"))
    with suppress(FileExistsError):
        folder.mkdir(parents=True)
        folder.chmod(0o1777)  # every user of the machine may add a file, none may remove another's
    told = False
    while True:
        with _alone(folder):
            taken = _take(folder, found, count)
        if taken:
            return taken
        if not told:
            what = f"a GPU: all {len(found)}" if count == 1 else f"{count} GPUs: too many of {len(found)}"
            print(f"waiting for {what} are taken by other jobs", file=sys.stderr, flush=True)
            told = True
        time.sleep(1)


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Look for free devices while no other process does, so that no two take half of what each needs."""
    while (file := flocks.take(folder / "looking.lock", 0o666)) is None:
        time.sleep(0.01)
    try:
        yield
    finally:
        flocks.release(file)


def _take(folder: Path, found: list[Gpu], count: int) -> list[Gpu]:
    """The first so many free devices, locked; or none of them."""
    locks: dict[Gpu, IO] = {}
    for gpu in found:
        if file := flocks.take(folder / f"{gpu.uuid.replace('/', '-')}.lock", 0o666):
            locks[gpu] = file
        if len(locks) == count:
            return list(locks)
    for file in locks.values():
        flocks.release(file)
    return []


def hand_on() -> None:
    """Let the processes that this one becomes, or starts, compute on what it has claimed, which it goes on to hold."""
    flocks.hand_on()
    os.environ[HANDED_ON] = "yes"


def claim_for(name: str, count: int = 1) -> None:
    """Claim what a configuration's `device` asks for, before anything asks CUDA."""
    if offered(name):
        claim(count)


def pick_device(name: str) -> "torch.device":
    """Device of a configuration's `device`; a GPU is claimed for the life of this process (`claim`).

    Raises:
        RFBenchError: cuda is asked for and there is none; a GPU is there and cannot be used, so that nothing computes
            on a CPU for a month because of an old driver; CUDA shows another GPU than the claimed one.
    """
    import torch

    claim_for(name)
    if name == "cpu" or (name == "auto" and torch.version.cuda is None):
        return torch.device("cpu")
    if not torch.cuda.is_available():
        if name == "cuda" or _claimed:
            raise RFBenchError(f"device: {name} is configured, but {_why_not()} `device: cpu` computes without.")
        return torch.device("cpu")
    if HANDED_ON not in os.environ:
        _compare()
        return torch.device("cuda")
    own = int(os.environ["LOCAL_RANK"])  # torchrun's: one process a device
    _compare(own)
    torch.cuda.set_device(own)
    return torch.device("cuda", own)


def _why_not() -> str:
    """Why torch computes on no GPU, and what to do, in a sentence."""
    import torch

    if torch.version.cuda is None:
        return "this torch has no CUDA. Install the GPU environment: make env LOCK=envs/gpu.txt."
    if not _claimed:
        return "no GPU is visible: on a cluster's head node, let jobs run on its nodes; see `rfbench doctor`."
    return driver_problem() or "torch cannot use the GPU that nvidia-smi lists; see `rfbench doctor`."


def driver_problem() -> str | None:
    """What is wrong with the driver for this torch; None where it is new enough, or there is none."""
    import torch

    found, cuda = gpus.driver(), torch.version.cuda
    least = LEAST_DRIVER.get((cuda or "").partition(".")[0])
    if found is None or least is None or int(found.partition(".")[0]) >= least:
        return None
    return f"CUDA {cuda} of this torch needs driver {least} or newer, found {found}. Update the NVIDIA driver."


LEAST_DRIVER = {"12": 525, "13": 580}  # by CUDA's major version, whose minor versions all run on it


def _compare(number: int = 0) -> None:
    """Compare a device that CUDA shows, by its number there, with the claim."""
    import torch

    shown = str(torch.cuda.get_device_properties(number).uuid)
    if not _claimed:
        raise RFBenchError(
            f"CUDA shows the GPU {shown}, which neither nvidia-smi nor {gpus.PROC} lists, so no job can claim it for "
            "itself. Give containers NVIDIA_DRIVER_CAPABILITIES=compute,utility, or name it in CUDA_VISIBLE_DEVICES."
        )
    expected = _claimed[number]
    if expected.uuid.startswith(("GPU-", "MIG-")) and not expected.is_called(shown):
        raise RFBenchError(
            f"claimed the GPU {expected.uuid}, but CUDA shows {shown}: something asked CUDA before the claim. Other "
            "jobs may compute there, so nothing is computed."
        )


def device_name(device: "torch.device") -> str:
    """Name of a device for records, such as `cpu` or the GPU's model."""
    if device.type != "cuda":
        return "cpu"
    import torch

    return torch.cuda.get_device_name(device)


def provenance_on(device: "torch.device") -> dict:
    """`provenance.collect` on a device; on a GPU also what decides its rounding: driver, CUDA, cuDNN and settings."""
    found = provenance.collect(device_name(device))
    if device.type != "cuda":
        return found
    import torch

    return found | {
        "gpu": {
            "driver": gpus.driver(),
            "cuda": torch.version.cuda,
            "cudnn": torch.backends.cudnn.version(),
            "tf32": torch.backends.cudnn.allow_tf32,
            "cudnn_benchmark": torch.backends.cudnn.benchmark,
        }
    }
