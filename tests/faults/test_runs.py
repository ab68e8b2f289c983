"""Faults of one run among others: what it leaves, and that the others keep their rows."""

import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time

import pytest

from rfbench import runs
from rfbench.pipeline import Pipeline
from rfbench.report.aggregate import aggregate
from rfbench.settings import complete
from rfbench.training import loop

from ..checkout import ROOT, SMALLEST, SNAKEMAKE, Checkout
from ..recorded import evaluation, training
from ..tiny_run import make_settings, run, same, weights


@pytest.fixture
def recorded(tmp_path):
    """A configuration whose four runs have records."""
    settings = complete({**SMALLEST, "seeds": [0, 1], "results": str(tmp_path)})
    for one in runs.configured(settings):
        one.folder.mkdir(parents=True)
        (one.folder / "train.json").write_text(json.dumps(training(one)))
        (one.folder / "evaluation.json").write_text(json.dumps(evaluation(one)))
    return settings


BROKEN = {
    "truncated": ("evaluation.json", lambda text: text[: len(text) // 2], "expected a record (JSON)"),
    "edited": ("evaluation.json", lambda text: text.replace('"mean": 0.5', '"mean": 500.0', 1), "found 500.0"),
    "emptied": ("train.json", lambda text: "", "expected a record (JSON)"),
    "another value": ("train.json", lambda text: "[1, 2]", "expected a record (a JSON object)"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_record_is_named_and_costs_its_own_rows(recorded, tmp_path, capsys, case):
    name, broken, sentence = BROKEN[case]
    whole = aggregate(recorded)
    first = next(runs.configured(recorded))
    path = first.folder / name
    path.write_text(broken(path.read_text()))
    found = aggregate(recorded)
    assert sentence in capsys.readouterr().err
    own = (found["pair"] == first.competitor) & (found["seed"] == first.seed)
    assert set(found.loc[own, "state"]) == {"error"}
    assert found.loc[own, "reason"].str.contains(str(path), regex=False).all()
    assert found.loc[own, "value"].isna().all()
    others = (whole["pair"] != first.competitor) | (whole["seed"] != first.seed)
    assert found[~own].to_csv(index=False) == whole[others].to_csv(index=False), "theirs are as they were"


def test_a_broken_record_stops_no_other_run_of_the_pipeline(recorded, tmp_path, capsys):
    pipeline = Pipeline({**SMALLEST, "seeds": [0, 1], "results": str(tmp_path)})
    first = next(runs.configured(recorded))
    wildcards = type("Wildcards", (), {"dataset": first.dataset, "pair": first.competitor, "seed": str(first.seed)})
    whole = pipeline.run_digest(wildcards), pipeline.continuations(wildcards)
    (first.folder / "train.json").write_text("{")
    assert (pipeline.run_digest(wildcards), pipeline.continuations(wildcards)) == whole, "as if it had no record"
    assert f"warning: {first.folder / 'train.json'}: expected a record (JSON)" in capsys.readouterr().err
    assert pipeline.run_code("train")(wildcards)


def test_a_killed_loading_process_fails_its_training_which_goes_on(manifest, tmp_path, monkeypatch):
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    run(make_settings(workers=1), manifest, whole)
    rate = loop.learning_rate

    def killing(done, total, recipe):
        if done == 3:
            (worker,) = multiprocessing.active_children()
            os.kill(worker.pid, signal.SIGKILL)
            worker.join()
            time.sleep(0.1)  # in which Python tells its training
        return rate(done, total, recipe)

    with monkeypatch.context() as patch:
        patch.setattr(loop, "learning_rate", killing)
        with pytest.raises(RuntimeError, match="DataLoader worker"):
            run(make_settings(workers=1), manifest, cut)
    assert "DataLoader worker" in json.loads((cut / "work/error.json").read_text())["reason"]
    run(make_settings(workers=1), manifest, cut)
    assert json.loads((cut / "times.json").read_text())["resumed"] is True
    assert same(weights(cut), weights(whole))


def test_a_clock_that_is_set_back_changes_no_number_and_no_limit(manifest, tmp_path, monkeypatch):
    run(make_settings(), manifest, tmp_path / "whole")
    clock = iter(range(10**9, 0, -3600))
    monkeypatch.setattr(time, "time", lambda: float(next(clock)))
    record = run(make_settings(time_limit=1), manifest, tmp_path / "back")
    assert record["state"] == "done"
    assert json.loads((tmp_path / "back/times.json").read_text())["seconds"] >= 0
    assert same(weights(tmp_path / "back"), weights(tmp_path / "whole"))


LITTLE_MEMORY = """
import resource, sys
from pathlib import Path
from rfbench.training import train
sys.path.insert(0, sys.argv[1])
from tests.tiny_run import make_settings, run

now = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (now + 400_000_000,) * 2)
run(make_settings(batch_size=512, micro_batches=1), Path(sys.argv[2]), Path(sys.argv[3]))
"""


@pytest.mark.slow
def test_a_machine_without_the_memory_is_a_state_with_advice(manifest, tmp_path):
    """The limit is the kernel's own (RLIMIT_AS): 400 MB above what Python and torch take."""
    command = [sys.executable, "-c", LITTLE_MEMORY, ROOT, manifest, tmp_path]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    record = json.loads((tmp_path / "train.json").read_text())
    assert record["state"] == "oom"
    assert "Train it with recipe.micro_batches: 2" in record["reason"]


@pytest.mark.slow
def test_two_snakemakes_in_one_folder(tmp_path):
    """The second says that the first has it, and neither clears its lock nor harms its run."""
    checkout = Checkout(tmp_path)
    manifest = "results/ci/data/SYN-IDRiD/manifest.csv"
    first = checkout.start("config/ci.yaml", tmp_path / "first", "--", manifest)
    while not list(tmp_path.glob(".snakemake/locks/*.lock")):
        assert first.poll() is None, (tmp_path / "first").read_text()
        time.sleep(0.01)
    os.killpg(first.pid, signal.SIGSTOP)  # so that it lives for as long as the second
    command = [SNAKEMAKE, "--cores", "1", "--configfile", "config/ci.yaml", "--", manifest]
    second = subprocess.run(command, cwd=tmp_path, env=checkout.environment, capture_output=True, text=True)
    os.killpg(first.pid, signal.SIGCONT)
    assert second.returncode == 1
    assert "Directory cannot be locked" in second.stdout + second.stderr
    assert "cleared" not in second.stdout + second.stderr
    assert first.wait() == 0, (tmp_path / "first").read_text()
    assert (tmp_path / manifest).exists()
