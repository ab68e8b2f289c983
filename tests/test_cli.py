"""The command line: help that helps, errors that are one message, light start."""

import hashlib
import json
import re
import subprocess
import sys

import pytest

from rfbench import cli, provenance
from rfbench.commands import doctor
from rfbench.errors import RFBenchError
from rfbench.training import weights

from .checkout import ROOT


def rfbench(*arguments) -> subprocess.CompletedProcess:
    """Run the command as a user does."""
    return subprocess.run([sys.executable, "-m", "rfbench", *map(str, arguments)], capture_output=True, text=True)


def test_help_lists_every_verb_without_torch():
    code = "import sys, rfbench.cli as c; c.build_parser(None).print_help(); sys.exit('torch' in sys.modules)"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert shown.returncode == 0
    for verb in ("prepare", "train", "evaluate", "profile", "tables", "operators", "doctor"):
        assert verb in shown.stdout


@pytest.mark.parametrize("verb", list(cli.VERBS))
def test_every_verb_has_help(verb, capsys):
    with pytest.raises(SystemExit) as caught:
        cli.main([verb, "--help"])
    assert caught.value.code == 0
    assert f"rfbench {verb}" in capsys.readouterr().out


def test_what_imports_make_is_left_out_of_garbage_collection():
    code = "import gc, sys, rfbench.cli as c; c.main(['plan', 'absent.yaml']); "
    code += "sys.exit(not (gc.isenabled() and gc.get_freeze_count() > 100_000))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True).returncode == 0


def test_errors_are_one_message_and_status_1(tmp_path):
    done = rfbench("aggregate", "--config", tmp_path / "absent.yaml", "--output", tmp_path / "m.csv")
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "absent.yaml: no such configuration file" in done.stderr


def test_unknown_verb_is_refused():
    done = rfbench("trian")
    assert done.returncode == 2
    assert "invalid choice" in done.stderr


def test_every_rule_calls_the_verb_of_its_name():
    rules = "".join(file.read_text() for file in (ROOT / "workflow" / "rules").glob("*.smk"))
    calls = {
        name: re.findall(r"rfbench ([a-z-]+)", body)
        for name, body in re.findall(r"^rule (\w+):\n(.*?)(?=^rule |\Z)", rules, re.S | re.M)
    }
    calls.pop("partial")  # aggregates, tabulates and draws what there is
    assert {"prepare", "train", "evaluate", "tables"} <= calls.keys()
    assert calls == {name: [name] for name in calls}
    assert calls.keys() <= cli.VERBS.keys()


def test_doctor_finds_this_environment_complete():
    findings = doctor.check_environment(ROOT / "envs" / "cpu.txt")
    assert [finding for finding in findings if finding[0] == "packages" and finding[1] != "ok"] == []


def test_doctor_names_what_is_missing(tmp_path, monkeypatch):
    lock = tmp_path / "lock.txt"
    lock.write_text("numpy==0.0.1\nno-such-package==1.0\n")
    (finding,) = [f for f in doctor.check_environment(lock) if f[0] == "packages"]
    assert finding[1] == "missing"
    assert "numpy" in finding[2]
    assert "no-such-package not installed (expected 1.0)" in finding[2]
    monkeypatch.setenv("RFBENCH_DATA", str(tmp_path))
    (finding,) = doctor.check_configurations([ROOT / "config" / "idrid.yaml"])
    assert finding[1] == "missing"
    assert "A. Segmentation.zip does not exist" in finding[2]


def test_weights_are_checked_and_copied_whole(tmp_path):
    source, output = tmp_path / "w.pth", tmp_path / "out" / "w.pth"
    source.write_bytes(b"weights")
    digest = hashlib.sha256(b"weights").hexdigest()
    weights.fetch(str(source), digest[:8], output)
    assert output.read_bytes() == b"weights"
    with pytest.raises(RFBenchError, match="expected SHA-256 00000000, found"):
        weights.fetch(str(source), "00000000", tmp_path / "out" / "other.pth")
    with pytest.raises(RFBenchError, match="cannot be read"):
        weights.fetch(str(tmp_path / "absent.pth"), digest, tmp_path / "out" / "other.pth")
    assert [file.name for file in (tmp_path / "out").iterdir()] == ["w.pth"], "nothing half written stays"


def test_records_are_written_whole_and_damaged_ones_are_named(tmp_path):
    path = tmp_path / "deep" / "record.json"
    provenance.write_json(path, {"b": 1, "a": [1.5]})
    assert provenance.read_json(path) == {"b": 1, "a": [1.5]}
    assert [file.name for file in path.parent.iterdir()] == ["record.json"]
    path.write_text("{")
    with pytest.raises(RFBenchError, match=r"record\.json: expected a record"):
        provenance.read_json(path)
    with pytest.raises(RFBenchError, match="found no file"):
        provenance.read_json(tmp_path / "absent.json")


def test_provenance_says_where_a_number_comes_from():
    record = provenance.collect("cpu")
    assert set(record) == {"commit", "dirty", "python", "versions", "device"}
    assert record["versions"]["torch"].startswith("2.13.0")
    json.dumps(record)


def test_a_copy_without_git_takes_its_commit_from_the_environment(monkeypatch):
    def no_git(*_):
        raise FileNotFoundError("git")

    monkeypatch.setattr(provenance, "_git", no_git)
    monkeypatch.delenv("RFBENCH_COMMIT", raising=False)
    assert provenance.commit() == ("unknown", True)
    monkeypatch.setenv("RFBENCH_COMMIT", "abc")
    assert provenance.commit() == ("abc", True)
