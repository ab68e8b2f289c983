"""Locks on a file system that machines share. Another machine is a process that gives another boot as its own."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from rfbench import flocks
from rfbench.errors import RFBenchError

# A process on "node7": takes the lock, says so, and holds it until its input ends.
HOLDING = """
import fcntl, sys
from pathlib import Path
from rfbench import flocks
flocks.OWN, flocks.BEAT = flocks.Holder("", "node7", "another boot"), 0.1
if sys.argv[2] == "keeps to itself":
    flocks._flock = lambda file: True
with flocks.held(Path(sys.argv[1]), "is training"):
    print("held", flush=True)
    sys.stdin.read()
"""


def elsewhere(path: Path, flock: str = "is shared") -> subprocess.Popen:
    """A process on another machine, which holds the lock; the file system either shares its flock or keeps it there."""
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    process = subprocess.Popen([sys.executable, "-c", HOLDING, path, flock], **pipes)
    assert process.stdout.readline() == "held\n"
    return process


@pytest.fixture
def impatient(monkeypatch):
    """Signs of life are due every tenth of a second, and a second of silence is death."""
    monkeypatch.setattr(flocks, "BEAT", 0.1)
    monkeypatch.setattr(flocks, "LOST", 1.0)
    monkeypatch.setattr(flocks, "SETTLED", 0.0)


def test_the_holders_machine_is_named(tmp_path):
    node7 = elsewhere(tmp_path / "lock")
    sentence = rf"another process \({node7.pid} on node7\) is training here"
    with pytest.raises(RFBenchError, match=sentence), flocks.held(tmp_path / "lock", "is training", patience=0):
        pass
    node7.communicate()


@pytest.mark.parametrize("flock", ["is shared", "keeps to itself"])
def test_a_lock_holds_between_machines_whether_or_not_flocks_reach_them(tmp_path, impatient, flock):
    node7 = elsewhere(tmp_path / "lock", flock)
    until = time.monotonic() + 3 * flocks.LOST
    while time.monotonic() < until:
        assert flocks.take(tmp_path / "lock") is None, "it shows signs of life"
        time.sleep(0.1)
    node7.communicate()
    file = flocks.take(tmp_path / "lock")
    assert file is not None, "given back in good order: nobody waits for its silence"
    flocks.release(file)


@pytest.mark.parametrize("flock", ["is shared", "keeps to itself"])
def test_a_machine_that_is_gone_counts_as_lost_after_its_silence(tmp_path, impatient, flock):
    node7 = elsewhere(tmp_path / "lock", flock)
    node7.kill()
    node7.wait()
    assert flocks.take(tmp_path / "lock") is None, "nobody knows yet"
    with flocks.held(tmp_path / "lock", "is training", patience=20):
        assert flocks.holder(tmp_path / "lock").startswith(f"{os.getpid()} on ")


def test_a_lost_lock_that_its_server_keeps_is_replaced_and_its_frozen_holder_ends(tmp_path, impatient, capfd):
    """SIGSTOP stands for a node that has lost its network: its flock stays, its signs of life do not."""
    node7 = elsewhere(tmp_path / "lock")
    node7.send_signal(signal.SIGSTOP)
    with flocks.held(tmp_path / "lock", "is training", patience=20):
        said = capfd.readouterr().err
        assert f"process {node7.pid} on node7, which held it, has shown no sign of life for" in said
        assert flocks.take(tmp_path / "lock") is None, "it is a lock like any other"
        node7.send_signal(signal.SIGCONT)
        assert node7.wait(timeout=20) == 1
        assert f"process {os.getpid()} on {flocks.OWN.host} has taken it over" in node7.stderr.read()
    assert flocks.holder(tmp_path / "lock") == "unknown"


def test_on_one_machine_the_kernel_alone_decides(tmp_path, impatient):
    """A stopped process holds its lock for as long as it exists, and not a moment longer."""
    code = "import pathlib, sys; from rfbench import flocks; file = flocks.take(pathlib.Path(sys.argv[1]));"
    code += "print(file is not None, flush=True); sys.stdin.read()"
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    other = subprocess.Popen([sys.executable, "-c", code, tmp_path / "lock"], **pipes)
    assert other.stdout.readline() == "True\n"
    other.send_signal(signal.SIGSTOP)
    time.sleep(1.5 * flocks.LOST)
    assert flocks.take(tmp_path / "lock") is None
    other.kill()
    other.wait()
    file = flocks.take(tmp_path / "lock")
    assert file is not None
    flocks.release(file)


def test_a_lock_of_a_version_that_named_no_machine_is_the_kernels_word(tmp_path):
    (tmp_path / "lock").write_text("4711\n")
    assert flocks.holder(tmp_path / "lock") == "4711"
    file = flocks.take(tmp_path / "lock")
    assert file is not None
    flocks.release(file)
