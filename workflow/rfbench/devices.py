"""Which device this process computes on: one GPU per job, or the CPU; and the claim of a free GPU.

A claim is a lock on a file per physical device, in a folder that all users and projects of the machine share:
/tmp/rfbench-gpus, unless RFBENCH_GPU_LOCKS names another (containers that share GPUs need a common one). It ends with
its process, however that ends.
"""

import contextlib
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from rfbench import flocks
from rfbench.errors import RFBenchError

if TYPE_CHECKING:  # what asks for names and locks alone need not wait for torch
    import torch

_claimed: list[str] = []  # by this process


def visible() -> list[str]:
    """NVIDIA GPUs that this process may use: their UUIDs or, without nvidia-smi, the words of CUDA_VISIBLE_DEVICES.

    Ordinals in CUDA_VISIBLE_DEVICES are nvidia-smi's. Empty where there is no driver.
    """
    named, uuids = os.environ.get("CUDA_VISIBLE_DEVICES"), _listed()
    if named is None:
        return uuids
    words = [word.strip() for word in named.split(",") if word.strip()]
    return [uuids[int(word)] if word.isdigit() and int(word) < len(uuids) else word for word in words]


def _listed() -> list[str]:
    try:
        listing = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, check=True).stdout
    except (FileNotFoundError, subprocess.CalledProcessError):
        return []
    return [line.rsplit("UUID: ", 1)[1].rstrip(")") for line in listing.splitlines() if line.startswith("GPU ")]


def claim() -> str | None:
    """Take one free GPU for the life of this process, waiting if all are taken, and hide the others from torch.

    Call it before torch touches a GPU. The one device that SLURM gave a job is taken as it is.

    Returns:
        The device (an entry of `visible`), or None where there is no GPU.
    """
    devices = visible()
    if _claimed or not devices:
        return _claimed[0] if _claimed else None
    if not ("SLURM_JOB_ID" in os.environ and len(devices) == 1):
        devices = [_first_free(devices)]
    _claimed.extend(devices)
    os.environ["CUDA_VISIBLE_DEVICES"] = devices[0]
    print(f"GPU {devices[0]}", file=sys.stderr, flush=True)
    return devices[0]


def _first_free(devices: list[str]) -> str:
    folder = Path(os.environ.get("RFBENCH_GPU_LOCKS", "/tmp/rfbench-gpus"))
    with contextlib.suppress(FileExistsError):
        folder.mkdir(parents=True)
        folder.chmod(0o1777)  # every user of the machine may add a file, none may remove another's
    told = False
    while True:
        for device in devices:
            if flocks.take(folder / f"{device.replace('/', '-')}.lock", 0o666):
                return device
        if not told:
            print(f"waiting for a GPU: all {len(devices)} are taken by other jobs", file=sys.stderr, flush=True)
            told = True
        time.sleep(1)


def pick_device(name: str) -> "torch.device":
    """Device of a configuration's `device`; a GPU is claimed for the life of this process (`claim`).

    Raises:
        RFBenchError: cuda is asked for and none is visible.
    """
    import torch

    if name != "cpu" and not torch.cuda.is_initialized():  # a process that already computes on a GPU keeps it
        claim()
    if name == "cuda" and not torch.cuda.is_available():
        raise RFBenchError(
            "device: cuda is configured, but no GPU is visible. Use `device: cpu`, or see `rfbench doctor`."
        )
    return torch.device("cuda" if name != "cpu" and torch.cuda.is_available() else "cpu")


def device_name(device: "torch.device") -> str:
    """Name of a device for records, such as `cpu` or the GPU's model."""
    if device.type != "cuda":
        return "cpu"
    import torch

    return torch.cuda.get_device_name(device)
