"""A real SLURM on this machine: slurmctld and two slurmds, each a node of invented size with a null device as GPU.

SLURM reads /etc/slurm/slurm.conf, since its commands are given no other one within a job; so this needs root, and
refuses a machine that has a cluster of its own.
"""

import os
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

CONFIGURATION = Path("/etc/slurm")
OURS = "# Written by tests/cluster/slurm.py of RFBench."
NODES = ("node1", "node2")
CORES, MEMORY = 4, 12000  # of a node, as SLURM is told

MAIN = """{ours}
ClusterName=rfbench
SlurmctldHost={host}(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
CredType=cred/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
ReturnToService=2
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SlurmdParameters=config_overrides
SchedulerParameters=sched_interval=2,sched_min_interval=0
MinJobAge=300
KillWait=10
SlurmdTimeout=15
OverTimeLimit=0
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/none
GresTypes=gpu
{nodes}
PartitionName=main Nodes=node[1-2] Default=YES MaxTime=INFINITE State=UP PriorityTier=1 GraceTime=10 PreemptMode=REQUEUE
PartitionName=urgent Nodes=node[1-2] MaxTime=INFINITE State=UP PriorityTier=2 PreemptMode=OFF
"""
NODE = "NodeName={name} NodeAddr=127.0.0.1 NodeHostname={host} Port={port} CPUs={cores} RealMemory={memory} Gres=gpu:1"
PORT = 17100


def missing() -> str | None:
    """Why no cluster can be started here; None where one can."""
    absent = [name for name in ("slurmctld", "slurmd", "sbatch", "munged") if not which(name)]
    if absent:
        return f"SLURM is not installed ({', '.join(absent)}): apt-get install slurm-wlm munge"
    if os.geteuid() != 0:
        return "SLURM's daemons are started as root"
    main = CONFIGURATION / "slurm.conf"
    if main.exists() and OURS not in main.read_text():
        return f"{main} belongs to a cluster of this machine"
    return None


def which(name: str) -> str | None:
    """A program, also of those that only root is expected to start."""
    return shutil.which(name, path=f"{os.environ['PATH']}{os.pathsep}/usr/sbin{os.pathsep}/sbin")


class Cluster:
    """Two nodes that answer; a context.

    Args:
        folder: of their state, logs and devices; short, since sockets are in it.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.daemons: dict[str, subprocess.Popen] = {}

    def __enter__(self) -> "Cluster":
        self._configure()
        self._munge()
        self._start("slurmctld", "-D", "-c")
        for node in NODES:
            self.start_node(node)
        self._wait(lambda: run("sinfo", "-h", "-N", "-t", "idle", "-o", "%N").split(), lambda up: set(up) >= set(NODES))
        return self

    def __exit__(self, *error: object) -> None:
        run("scancel", "--full", "-s", "KILL", "-u", "root", check=False)
        for process in reversed(self.daemons.values()):
            process.send_signal(signal.SIGCONT)
            process.terminate()
        for process in self.daemons.values():
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        for name in ("slurm.conf", "gres.conf"):
            (CONFIGURATION / name).unlink(missing_ok=True)

    def start_node(self, name: str) -> None:
        """Start, or start again, the daemon of a node."""
        self._start(name, "-N", name, "-D", program="slurmd")

    def kill_node(self, name: str) -> None:
        """Kill -9 a node: its daemon, what watches over its steps and all that runs in them."""
        self.daemons.pop(name).kill()
        for pid in self.processes(name):
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue  # it went with another one

    def processes(self, name: str) -> list[int]:
        """What runs in a node's jobs, with the steps' own daemons, by the name that SLURM gives every process there."""
        found = []
        for process in Path("/proc").glob("[0-9]*"):
            try:
                environment = (process / "environ").read_bytes().split(b"\0")
            except (FileNotFoundError, ProcessLookupError, PermissionError):
                continue
            if f"SLURMD_NODENAME={name}".encode() in environment:
                found.append(int(process.name))
        return found

    def jobs(self) -> dict[str, str]:
        """State of every job that SLURM remembers, by its number."""
        lines = run("squeue", "-h", "-t", "all", "-o", "%i %T").splitlines()
        return dict(line.split() for line in lines)

    def _configure(self) -> None:
        for name in ("state", *NODES):
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        host = socket.gethostname().partition(".")[0]
        nodes = [
            NODE.format(name=name, host=host, port=PORT + k, cores=CORES, memory=MEMORY) for k, name in enumerate(NODES)
        ]
        CONFIGURATION.mkdir(exist_ok=True)
        text = MAIN.format(ours=OURS, host=host, folder=self.folder, nodes="\n".join(nodes))
        (CONFIGURATION / "slurm.conf").write_text(text)
        devices = []
        for k, name in enumerate(NODES):
            device = self.folder / f"gpu{k}"
            if not device.exists():
                os.mknod(device, 0o666 | 0o020000, os.makedev(1, 3))  # a null device
            devices.append(f"NodeName={name} Name=gpu File={device}")
        (CONFIGURATION / "gres.conf").write_text("\n".join([OURS, *devices, ""]))

    def _munge(self) -> None:
        if subprocess.run(["munge", "-n"], capture_output=True).returncode == 0:
            return
        Path("/run/munge").mkdir(exist_ok=True)
        shutil.chown("/run/munge", "munge", "munge")
        run("runuser", "-u", "munge", "--", which("munged"))

    def _start(self, name: str, *arguments: str, program: str | None = None) -> None:
        with (self.folder / f"{name}.out").open("w") as file:
            self.daemons[name] = subprocess.Popen(
                [which(program or name), *arguments], stdout=file, stderr=file, start_new_session=True
            )

    def _wait(self, ask, good, seconds: float = 60) -> None:
        until = time.monotonic() + seconds
        while not good(found := ask()):
            if time.monotonic() > until:
                logs = [file.read_text()[-2000:] for file in self.folder.glob("*.log")]
                raise RuntimeError(f"SLURM does not come up, found {found}:\n" + "\n".join(logs))
            time.sleep(0.5)


def run(*command: str, check: bool = True) -> str:
    """What a command says."""
    done = subprocess.run(command, capture_output=True, text=True)
    assert not check or done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
    return done.stdout
