"""Which NVIDIA GPUs this machine has, and which of them the environment lets this process use.

Nothing here asks CUDA, which would settle what it shows for the rest of the process: nvidia-smi lists the GPUs, or the
driver's files below /proc where there is no nvidia-smi.
"""

import os
import re
import signal
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from rfbench.errors import RFBenchError

PROC = Path("/proc/driver/nvidia")
PATIENCE = 60.0  # seconds for nvidia-smi: it takes several on machines with many GPUs and no persistence daemon
HIDDEN = re.compile(r"(?!\d+$|GPU-|MIG-)")  # what names no device: -1, NoDevFiles, void, none, nothing
_GPU = re.compile(r"GPU (\d+): (.+) \(UUID: (\S+)\)$")
_SLICE = re.compile(r"\s+MIG .* \(UUID: (MIG-\S+)\)$")
# Set in a job of SLURM, PBS, LSF or Grid Engine.
CLUSTER_JOBS = ("SLURM_JOB_ID", "PBS_JOBID", "LSB_JOBID", "SGE_TASK_ID")


@dataclass(frozen=True)
class Gpu:
    """What a process can compute on: a GPU, or a slice of one (MIG).

    Args:
        uuid: GPU-… or MIG-…; where nothing lists the GPUs, the word in CUDA_VISIBLE_DEVICES.
        number: nvidia-smi's, which counts by slot (PCI order).
        model: such as NVIDIA H200.
        parent: UUID of the GPU that a slice is part of.
    """

    uuid: str
    number: int = -1
    model: str = ""
    parent: str = ""

    def is_called(self, uuid: str) -> bool:
        """Whether CUDA's UUID, which has no prefix, is this device's; of a slice CUDA may also tell the GPU's."""
        return any(_bare(own) == _bare(uuid) for own in (self.uuid, self.parent) if own)


def _bare(uuid: str) -> str:
    return re.sub("^(GPU-|MIG-)+", "", uuid).partition("/")[0].lower()


def usable() -> list[Gpu]:
    """The devices that this process may use, by CUDA_VISIBLE_DEVICES as CUDA reads it; all where it is not set.

    It names numbers, UUIDs or beginnings of UUIDs; a word that names no device hides itself and all after it. A number
    is nvidia-smi's. A GPU that is cut into slices stands for its slices.

    Raises:
        RFBenchError: nvidia-smi does not answer, or a word in the variable names more than one device.
    """
    named, gpus = os.environ.get("CUDA_VISIBLE_DEVICES"), listed()
    if named is None:
        return gpus
    chosen: list[Gpu] = []
    for word in map(str.strip, named.split(",")):
        found = [] if HIDDEN.match(word) else _named(word, gpus)
        if not found:
            break
        chosen += [gpu for gpu in found if gpu not in chosen]
    return chosen


def _named(word: str, gpus: list[Gpu]) -> list[Gpu]:
    """The devices that a word of CUDA_VISIBLE_DEVICES names."""
    if not gpus:  # nothing lists them; CUDA will know
        return [Gpu(word)]
    if word.isdigit():
        by_slot = os.environ.get("CUDA_DEVICE_ORDER") == "PCI_BUS_ID" or in_cluster_job()
        if len({gpu.model for gpu in gpus}) > 1 and not by_slot:
            raise RFBenchError(
                f"CUDA_VISIBLE_DEVICES: expected UUIDs, found the number {word}. This machine's GPUs differ, and CUDA "
                "numbers them by speed, nvidia-smi by slot. Name them by UUID (nvidia-smi -L), or set "
                "CUDA_DEVICE_ORDER=PCI_BUS_ID."
            )
        return [gpu for gpu in gpus if gpu.number == int(word)]
    found = [gpu for gpu in gpus if gpu.uuid.startswith(word)] or [gpu for gpu in gpus if gpu.parent.startswith(word)]
    if len({gpu.parent or gpu.uuid for gpu in found}) > 1:
        raise RFBenchError(f"CUDA_VISIBLE_DEVICES: {word} is the beginning of several UUIDs. Write it out.")
    return found


def in_cluster_job() -> bool:
    """Whether a cluster's scheduler started this process."""
    return any(name in os.environ for name in CLUSTER_JOBS)


def listed() -> list[Gpu]:
    """The machine's working GPUs, by slot.

    Raises:
        RFBenchError: nvidia-smi does not answer within PATIENCE.
    """
    output = _nvidia_smi("-L")
    if output is None:
        return _from_proc()
    found: list[Gpu] = []
    whole: list[Gpu] = []  # those with slices, which CUDA cannot use as a whole
    for line in output.splitlines():
        if match := _GPU.match(line):
            found.append(Gpu(match[3], int(match[1]), match[2]))
            gpu = found[-1]
        elif found and (match := _SLICE.match(line)):
            whole.append(gpu)
            found.append(Gpu(match[1], gpu.number, gpu.model, gpu.uuid))
        elif line.strip() and not line.startswith(("No devices", "NVIDIA-SMI has failed")):
            print(f"warning: nvidia-smi -L: {line.strip()}", file=sys.stderr)  # a GPU that is lost, for one
    return [gpu for gpu in found if gpu not in whole] or _from_proc()


def _from_proc() -> list[Gpu]:
    """The GPUs by the driver's own files, one folder each, named by slot."""
    found = []
    for number, file in enumerate(sorted(PROC.glob("gpus/*/information"))):
        fields = dict(line.split(":", 1) for line in file.read_text().splitlines() if ":" in line)
        uuid = fields.get("GPU UUID", "").strip()
        if uuid.startswith("GPU-") and "?" not in uuid:  # question marks: one that the driver could not start
            found.append(Gpu(uuid, number, fields.get("Model", "").strip()))
    return found


def driver() -> str | None:
    """Version of the NVIDIA driver, such as 580.65.06; None where there is none."""
    file = PROC / "version"
    text = file.read_text() if file.exists() else _nvidia_smi("--query-gpu=driver_version", "--format=csv,noheader")
    found = re.search(r"\b\d{3}\.\d+(\.\d+)?\b", text or "")
    return found[0] if found else None


def _nvidia_smi(*arguments: str) -> str | None:
    """What nvidia-smi says, be its status what it may; None where there is no nvidia-smi.

    Raises:
        RFBenchError: it does not answer. Then the driver hangs, and whatever computes on a GPU would hang, too.
    """
    try:
        process = subprocess.Popen(
            ["nvidia-smi", *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
    except (FileNotFoundError, PermissionError):
        return None
    try:
        return process.communicate(timeout=PATIENCE)[0]
    except subprocess.TimeoutExpired:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # and no waiting: within the driver even a kill may not end it
        raise RFBenchError(
            f"nvidia-smi did not answer within {PATIENCE:g} s, so the GPU driver hangs. Restart the machine or its "
            "driver; `device: cpu` computes without."
        ) from None
