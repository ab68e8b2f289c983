"""What is said while the benchmark runs."""

import os
import pty
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from rfbench.progress import Job, Progress

ROOT = Path(__file__).parents[1]


def job(rule: str, seed: int = 0, **files) -> Job:
    """A job of a run."""
    return Job(rule, {"dataset": "IDRiD", "pair": "m2mrf_c", "seed": str(seed)}, **files)


def test_runs_are_counted_and_the_time_left_is_theirs():
    progress = Progress()
    said = progress.plan({"prepare": 1, "train": 4, "evaluate": 4, "all": 1, "total": 10})
    assert said == "4 runs to do, 10 jobs in all"
    progress.start(9, Job("prepare", {"dataset": "IDRiD"}), 0)
    assert progress.finish(9, 500) == "", "a preparation is no run, and its time is none of theirs"
    for seed, end in ((0, 700), (1, 900)):
        progress.start(seed, job("train", seed), end - 200)
        assert progress.finish(seed, end - 100) == ""
        progress.start(10 + seed, job("evaluate", seed), end - 100)
        line = progress.finish(10 + seed, end)
    # Two runs in 400 s, two to go.
    assert line == "2/4 runs: IDRiD m2mrf_c seed 1; about 7 min left"
    assert progress.status(900) == "2/4 runs · about 7 min left"


@pytest.mark.parametrize(("seconds", "words"), [(40, "under a minute left"), (7200, "about 2.0 h left")])
def test_time_left_in_words(seconds, words):
    progress = Progress()
    progress.plan({"evaluate": 4})
    for number in range(2):
        progress.start(number, job("evaluate", number), 0)
        progress.finish(number, seconds)
    assert progress.left(seconds) == words


def test_the_present_loss(tmp_path):
    progress = Progress()
    progress.plan({"train": 1, "evaluate": 1})
    progress.start(1, job("train", output=[str(tmp_path / "train.json")]), 0)
    assert progress.status(1) == "0/1 runs · IDRiD m2mrf_c seed 0"
    (tmp_path / "work").mkdir()
    (tmp_path / "work" / "curve.csv").write_text("iteration,loss,lr\n5,0.99,0.01\n10,0.93125,0.01\n")
    assert progress.status(1) == "0/1 runs · IDRiD m2mrf_c seed 0 (loss 0.931 at update 10)"


def test_a_failure_shows_the_end_of_its_log(tmp_path):
    log = tmp_path / "train.log"
    log.write_text("".join(f"line {k}\n" for k in range(20)))
    progress = Progress()
    progress.plan({"train": 2, "evaluate": 2})
    said = progress.fail(1, job("train", log=[str(log)]))
    assert said.splitlines()[0] == f"FAILED train IDRiD m2mrf_c seed 0; {log} ends:"
    assert said.splitlines()[1:] == [f"    | line {k}" for k in range(12, 20)]
    assert progress.status(0) == "0/2 runs · 1 failed"


SNAKEFILE = """
rule all:
    input: expand("runs/SYN/a/seed{seed}/evaluation.json", seed=range(3))
rule train:
    output: "runs/{dataset}/{pair}/seed{seed}/train.json"
    log: "logs/{dataset}-{pair}-{seed}.log"
    shell:
        "sleep 1.5; (echo one; test {wildcards.seed} != 2 || (echo 'broken on purpose'; exit 1)) > {log}"
        " && touch {output}"
rule evaluate:
    input: "runs/{dataset}/{pair}/seed{seed}/train.json"
    output: "runs/{dataset}/{pair}/seed{seed}/evaluation.json"
    shell: "touch {output}"
"""


@pytest.fixture
def command(tmp_path):
    """Snakemake with the logger, on three runs of which one fails, and its environment."""
    (tmp_path / "Snakefile").write_text(textwrap.dedent(SNAKEFILE))
    environment = {**os.environ, "PYTHONPATH": f"{ROOT / 'workflow'}:{ROOT}"}
    words = ["--cores", "1", "--keep-going", "--logger", "rfbench"]
    return [sys.executable, "-m", "snakemake", *words], {"cwd": tmp_path, "env": environment}


@pytest.mark.slow
def test_without_a_terminal_there_is_a_line_a_run(command):
    words, options = command
    done = subprocess.run(words, **options, capture_output=True, text=True)
    assert done.returncode == 1
    lines = done.stderr.splitlines()
    assert "3 runs to do, 7 jobs in all" in lines
    assert sum(re.match(r"[12]/3 runs: SYN a seed [01]", line) is not None for line in lines) == 2
    failed = next(k for k, line in enumerate(lines) if line.startswith("FAILED train SYN a seed 2; logs/SYN-a-2.log"))
    assert "    | broken on purpose" in lines[failed:]
    assert sum("FAILED" in line for line in lines) == 1, "once"
    log = re.search(r"Complete log\(s\): (\S+)", done.stderr)[1]
    assert Path(log).read_text().count("Finished jobid") == 4, "the log has what Snakemake says of each job"
    assert max(map(len, lines)) < 500
    assert len(lines) < 20


@pytest.mark.slow
def test_on_a_terminal_the_state_is_renewed_in_place(command):
    words, options = command
    ours, theirs = pty.openpty()
    process = subprocess.Popen(words, **options, stdout=theirs, stderr=theirs)
    os.close(theirs)
    text = b""
    try:
        while part := os.read(ours, 4096):
            text += part
    except OSError:  # the other side is closed
        pass
    assert process.wait() == 1
    shown = text.decode()
    assert re.search(r"\r\x1b\[K0/3 runs · SYN a seed \d", shown)
    assert "FAILED train SYN a seed 2" in shown
    assert shown.count("\n") < 20
