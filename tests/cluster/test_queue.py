"""PBS and Grid Engine: the profile `queue` and its scripts, against a stub of qsub, qstat and qacct."""

import os
import subprocess
from pathlib import Path

import pytest

from ..checkout import ROOT, Checkout

SCRIPTS = ROOT / "workflow" / "profiles" / "queue"
# The stub runs a job at once, notes what it was asked for, and answers as the two queues do.
QSUB = """#!/usr/bin/env bash
number=$(($(ls "$STUB" | grep -c asked) + 1))
printf '%s\\n' "$@" > "$STUB/$number.asked"
script=${!#}
(setsid bash "$script" > "$STUB/$number.said" 2>&1; echo $? > "$STUB/$number.ended") > /dev/null 2>&1 &
echo "$number"
"""
QSTAT = """#!/usr/bin/env bash
number=${!#}
[ -f "$STUB/$number.asked" ] || exit 35
if [ "$1" = -j ]; then [ ! -f "$STUB/$number.ended" ]; exit; fi
echo "Job Id: $number"
if [ -f "$STUB/$number.ended" ]; then
    printf '    job_state = F\\n    Exit_status = %s\\n' "$(cat "$STUB/$number.ended")"
else
    echo "    job_state = R"
fi
"""
QACCT = """#!/usr/bin/env bash
[ -f "$STUB/$2.ended" ] || exit 1
printf 'jobnumber    %s\\nexit_status  %s\\n' "$2" "$(cat "$STUB/$2.ended")"
"""


@pytest.fixture(params=["pbs", "sge"])
def queue(request, tmp_path) -> dict[str, str]:
    """The environment of a machine with such a queue; $STUB is the folder of what it was asked for."""
    for name, text in {"qsub": QSUB, "qstat": QSTAT, "qacct": QACCT}.items():
        (tmp_path / "bin").mkdir(exist_ok=True)
        (tmp_path / "bin" / name).write_text(text)
        (tmp_path / "bin" / name).chmod(0o755)
    (tmp_path / "stub").mkdir()
    path = f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}"
    return {**os.environ, "PATH": path, "STUB": str(tmp_path / "stub"), "RFBENCH_QUEUE": request.param}


def submit(queue: dict[str, str], folder: Path, script: str, *asked: str) -> tuple[str, list[str]]:
    """Number of a submitted script, and the options that qsub was given."""
    (folder / "job.sh").write_text(script)
    command = [SCRIPTS / "submit", *asked, folder / "job.sh"]
    done = subprocess.run(command, cwd=folder, env=queue, capture_output=True, text=True, check=True)
    return done.stdout.strip(), (Path(queue["STUB"]) / f"{done.stdout.strip()}.asked").read_text().splitlines()


def status(queue: dict[str, str], number: str) -> str:
    """What the script says of a job."""
    return subprocess.run([SCRIPTS / "status", number], env=queue, capture_output=True, text=True).stdout.strip()


def wait(queue: dict[str, str], number: str) -> str:
    """What it says once the job has ended."""
    while not (Path(queue["STUB"]) / f"{number}.ended").exists():
        pass
    return status(queue, number)


def test_what_a_queue_is_asked_for(queue, tmp_path):
    _, options = submit(queue, tmp_path, "exit 0", "4", "9000", "125", "2")
    if queue["RFBENCH_QUEUE"] == "pbs":
        assert options[-5:-1] == ["-l", "select=1:ncpus=4:mem=9000mb:ngpus=2", "-l", "walltime=2:05:00"]
    else:
        assert "h_vmem=2250M" in options, "by core"
        assert "h_rt=2:05:00,s_rt=2:00:00" in options, "warned five minutes before the end"
        assert options[-3:-1] == ["-l", "gpu=2"]
    assert "-V" in options, "the jobs have Snakemake's environment"
    _, options = submit(queue, tmp_path, "exit 0", "1", "4000", "60", "0")
    assert not any("gpu" in option for option in options)


def test_what_became_of_a_job(queue, tmp_path):
    number, _ = submit(queue, tmp_path, "sleep 2", "1", "100", "5", "0")
    assert status(queue, number) == "running"
    assert wait(queue, number) == "success"
    assert wait(queue, submit(queue, tmp_path, "exit 3", "1", "100", "5", "0")[0]) == "failed"
    assert status(queue, "999") == "running", "a queue that does not know it, or does not answer now"


def test_another_queue_is_refused(queue, tmp_path):
    command = [SCRIPTS / "submit", "1", "100", "5", "0", tmp_path / "job.sh"]
    done = subprocess.run(command, cwd=tmp_path, env={**queue, "RFBENCH_QUEUE": "lsf"}, capture_output=True, text=True)
    assert done.returncode == 1
    assert "expected pbs or sge, found lsf" in done.stderr


@pytest.mark.slow
def test_a_data_set_is_prepared_by_a_job_of_the_queue(queue, tmp_path):
    reason = "pip install snakemake-executor-plugin-cluster-generic"
    plugin = pytest.importorskip("snakemake_executor_plugin_cluster_generic", reason=reason)
    checkout = Checkout(tmp_path / "checkout")
    checkout.environment["PYTHONPATH"] += f"{os.pathsep}{Path(plugin.__file__).parents[1]}"
    for name in ("STUB", "RFBENCH_QUEUE"):
        checkout.environment[name] = queue[name]
    checkout.environment["PATH"] = f"{tmp_path / 'bin'}{os.pathsep}{checkout.environment['PATH']}"
    manifest = "results/ci/data/SYN-IDRiD/manifest.csv"
    checkout.snakemake("--workflow-profile", "workflow/profiles/queue", "--latency-wait", "5", "--", manifest)
    assert (checkout.folder / manifest).exists()
    assert [file.read_text() for file in Path(queue["STUB"]).glob("*.ended")] == ["0\n"], "one job, which ended well"
