"""What took hours is not repeated for a change of code alone: refusal, `rfbench keep`, and what the tables then say."""

import json

import pytest
import yaml

from rfbench import cli, kept, provenance, runs, stages
from rfbench.errors import RFBenchError
from rfbench.report import tables
from rfbench.report.aggregate import aggregate
from rfbench.settings import load

from .tiny_run import PAIR, changed, evaluated, make_settings, plain, run


@pytest.fixture
def finished(manifest, tmp_path):
    """A configuration with one finished run, of today's code."""
    made = changed(make_settings(), "results", str(tmp_path))
    folder = runs.run_folder(tmp_path, "SYN", PAIR, 0)
    run(made, manifest, folder)
    evaluated(made, "SYN", PAIR, 0, manifest, folder / "train.json", folder / "work", folder / "evaluation.json")
    prepared = runs.manifest_path(tmp_path, "SYN").with_name(runs.PREPARED)
    provenance.write_json(prepared, {"code": stages.code_digest("prepare")})
    for stage in ("train", "evaluate"):
        kept.remember(tmp_path, stage, PAIR)
    return made


def of_other_code(monkeypatch, *changed: str) -> None:
    """Let these stages have other code from now on: one more function in their first file."""
    own = stages.parts

    def parts(stage, competitor=None):
        more = {"rfbench/training/train.py:added": "0"} if stage in changed else {}
        return own(stage, competitor) | more

    monkeypatch.setattr(stages, "parts", parts)
    monkeypatch.setattr(
        stages, "code_digest", lambda stage, competitor=None: provenance.digest(parts(stage, competitor))
    )


def test_runs_of_todays_code_are_repeated_by_nothing(finished):
    assert kept.repeats(finished) == []
    assert kept.refusal(finished.results, [], 0) == ""
    assert set(aggregate(finished)["kept"]) == {""}


@pytest.mark.parametrize("content", [b"", b"\xff\xfe\x00", b"stage,old\ntrain,a\n", b"{}", b'"'])
def test_damaged_decisions_are_one_sentence(tmp_path, content):
    (tmp_path / "kept.csv").write_bytes(content)
    with pytest.raises(RFBenchError, match=r"kept\.csv: expected the decisions of `rfbench keep`") as caught:
        kept.read(tmp_path)
    assert "\n" not in str(caught.value)
    assert (tmp_path / "kept.csv").read_bytes() == content


@pytest.mark.parametrize("stage", ["prepare", "train", "evaluate"])
def test_a_changed_stage_repeats_its_runs(finished, monkeypatch, stage):
    of_other_code(monkeypatch, stage)
    (found,) = kept.repeats(finished)
    assert (found.stage, found.run.competitor, found.old != found.new) == (stage, PAIR, True)


def test_the_refusal_names_runs_hours_what_changed_and_both_ways(finished, monkeypatch):
    times = runs.run_folder(finished.results, "SYN", PAIR, 0) / "times.json"
    provenance.write_json(times, {**json.loads(times.read_text()), "seconds": 7200})
    of_other_code(monkeypatch, "train")
    found = kept.repeats(finished)
    assert found[0].seconds >= 7200
    text = kept.refusal(finished.results, found, 1)
    assert "1 finished runs, 2 hours" in text
    for words in (f"SYN/{PAIR}/seed0", "rfbench/training/train.py (added)", "rfbench keep --because", "retrain=true"):
        assert words in text
    assert kept.refusal(finished.results, found, 3) == "", "within keep_hours"


def test_kept_runs_are_current_and_the_tables_say_so(finished, monkeypatch):
    of_other_code(monkeypatch, "train", "evaluate")
    decided = kept.keep(finished, "only words, moved", "2026-01-02")
    assert [row["stage"] for row in decided] == ["train", "evaluate"]
    assert kept.repeats(finished) == []
    rows = kept.read(finished.results)
    assert {row["reason"] for row in rows} == {"only words, moved"}
    assert all(row["commit"] and row["date"] == "2026-01-02" for row in rows)
    metrics = aggregate(finished)
    said = {"train of earlier code, kept: only words, moved; evaluate of earlier code, kept: only words, moved"}
    assert set(metrics["kept"]) == said
    assert tables.keepings(metrics[metrics["state"] == "done"]) == [f"1 run: {said.pop()}"]


def test_a_decision_holds_for_that_change_alone(finished, monkeypatch):
    with monkeypatch.context() as patch:
        of_other_code(patch, "train")
        kept.keep(finished, "no effect", "2026-01-02")
    of_other_code(monkeypatch, "evaluate")
    assert [found.stage for found in kept.repeats(finished)] == ["evaluate"]


def test_other_settings_are_no_change_of_code(finished, monkeypatch):
    of_other_code(monkeypatch, "train")
    assert kept.repeats(changed(finished, "recipe.power", 0.5)) == []


def test_keep_wants_a_reason_and_says_when_there_is_nothing(finished, tmp_path, capsys):
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump(plain(finished)))
    assert load(path).keep_hours == 1
    assert cli.main(["keep", "--because", " ", "--config", str(path)]) == 1
    assert "--because: expected a reason" in capsys.readouterr().err
    assert cli.main(["keep", "--because", "x", "--config", str(path)]) == 0
    assert "nothing to keep" in capsys.readouterr().err
