"""The evaluation that a training's process leaves: the bytes that the evaluation's job would compute, or nothing."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from rfbench import stages
from rfbench.cli import main
from rfbench.evaluation import ahead
from rfbench.runs import run_folder
from rfbench.settings import Settings, evaluation_settings, load

from ..tiny_run import PAIR, evaluated, make_settings, plain

TIMES = "evaluation_times.json"


def command(verb: str, manifest: Path, folder: Path, *more: str | Path) -> list[str]:
    """Arguments of `rfbench train` or `evaluate` for the smallest run, its configuration beside its results."""
    config = folder / "config.yaml"
    config.write_text(yaml.safe_dump({**plain(make_settings()), "results": str(folder)}))
    run = run_folder(folder, "SYN", PAIR, 0)
    own = ["--config", config, "--dataset", "SYN", "--pair", PAIR, "--seed", "0", "--manifest", manifest]
    return [verb, *map(str, [*own, "--work", run / "work", *more])]


@pytest.fixture(scope="module")
def trained(manifest, tmp_path_factory) -> Path:
    """Results folder of a run that the command has trained."""
    folder = tmp_path_factory.mktemp("ahead")
    record = run_folder(folder, "SYN", PAIR, 0) / "train.json"
    assert main(command("train", manifest, folder, "--output", record)) == 0
    return folder


def settings_of(folder: Path) -> Settings:
    return load(folder / "config.yaml")


def test_it_is_taken_without_torch_and_has_the_bytes_that_the_job_computes(trained, manifest, tmp_path):
    run = run_folder(trained, "SYN", PAIR, 0)
    taken = tmp_path / "taken" / "evaluation.json"
    options = ["--record", run / "train.json", "--output", taken, "--code", stages.code_digest("evaluate", PAIR)]
    arguments = command("evaluate", manifest, trained, *options)
    script = "import sys; from rfbench.cli import main; status = main(sys.argv[1:]); print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", script, *arguments], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
    assert "AUPR(11)" in done.stderr
    computed = tmp_path / "computed" / "evaluation.json"
    evaluated(settings_of(trained), "SYN", PAIR, 0, manifest, run / "train.json", run / "work", computed)
    names = {path.name for path in computed.parent.iterdir()}
    assert names == {path.name for path in taken.parent.iterdir()} == {ahead.RECORD, *ahead.BESIDE}
    for name in names - {TIMES}:
        assert taken.with_name(name).read_bytes() == computed.with_name(name).read_bytes(), name


@pytest.mark.parametrize("what", ["code", "evaluation", "checkpoint", "settings", "file"])
def test_what_is_of_something_else_is_not_taken(trained, tmp_path, what):
    run = run_folder(trained, "SYN", PAIR, 0)
    training = json.loads((run / "train.json").read_text())
    evaluation = evaluation_settings(settings_of(trained), "SYN")
    code = stages.code_digest("evaluate", PAIR)
    work = tmp_path / "work"
    (work / ahead.FOLDER).mkdir(parents=True)
    for path in (run / "work" / ahead.FOLDER).iterdir():
        (work / ahead.FOLDER / path.name).write_bytes(path.read_bytes())
    output = tmp_path / "run" / "evaluation.json"
    assert ahead.take(training, evaluation, code, work=work, output=tmp_path / "own" / "evaluation.json")
    if what == "code":
        code = "0" * 12
    elif what == "evaluation":
        evaluation = evaluation.model_copy(update={"untrained": False})
    elif what == "checkpoint":
        training["checkpoint_sha256"] = "0" * 64
    elif what == "settings":
        training["settings"]["seed"] = 1
    else:  # the process was killed before the record, which is written last
        (work / ahead.FOLDER / ahead.RECORD).unlink()
    assert ahead.take(training, evaluation, code, work=work, output=output) is None
    assert not output.parent.exists()


def test_a_failure_is_left_to_the_evaluations_job(manifest, tmp_path, monkeypatch, capsys):
    def failing(*_, **__):
        raise ValueError("no such thing")

    monkeypatch.setattr("rfbench.evaluation.run.evaluate", failing)
    record = run_folder(tmp_path, "SYN", PAIR, 0) / "train.json"
    assert main(command("train", manifest, tmp_path, "--output", record)) == 0
    assert json.loads(record.read_text())["state"] == "done"
    assert "not evaluated yet (ValueError: no such thing)" in capsys.readouterr().err
    assert not (record.parent / "work" / "error.json").exists(), "the training has not failed"
