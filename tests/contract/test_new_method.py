"""A new method from nothing: the file that is written, the line that is added, the names that are refused."""

import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from rfbench import cli
from rfbench.competitors import methods
from rfbench.contract.beginning import with_name
from rfbench.contract.method_conformance import CLAUSES, MethodSubject
from rfbench.contract.new_method import write_method
from rfbench.errors import RFBenchError

from ..checkout import ROOT


@pytest.fixture
def _registry():
    yield
    methods._loaded.clear()
    methods._forget()


@pytest.mark.usefixtures("_registry")
def test_the_written_method_is_in_the_house_style_and_keeps_every_clause(tmp_path):
    file = write_method("my_net", tmp_path)
    assert file == tmp_path / "my_net.py"
    for command in (["check"], ["format", "--check"]):
        ruff = [Path(sys.executable).with_name("ruff"), *command, "--config", ROOT / "pyproject.toml", file]
        done = subprocess.run(ruff, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout
    assert methods.load_file(file) == "my_net"
    assert methods.row("my_net") == "MyNet"
    subject = MethodSubject("my_net")
    for clause in CLAUSES.values():
        clause.check(subject)


@pytest.mark.usefixtures("_registry")
def test_a_files_clauses_are_checked_by_its_path(tmp_path, capsys):
    file = write_method("my_net", tmp_path)
    assert cli.main(["check", str(file), "--only", "parameters", "declaration"]) == 0
    assert "2 of 2 clauses kept" in capsys.readouterr().out
    text = file.read_text()
    file.write_text(text.replace("parameters=", "parameters=1_"))
    methods._loaded.clear()
    methods._forget()
    assert cli.main(["check", str(file), "--only", "parameters"]) == 1
    assert "0 of 1 clauses kept" in capsys.readouterr().out
    assert cli.main(["check", "my_net", "--only", "paths"]) == 1
    assert "--only: Unknown clause 'paths'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("Net", "small letters"),
        ("2net", "small letters"),
        ("../net", "small letters"),
        ("class", "a word of Python's own"),
        ("parts", "nor parts"),
        ("m2mrf_a", "operators/m2mrf.py declares the pair m2mrf_a"),
        ("there", "exists already"),
    ],
)
def test_names_that_cannot_be_are_refused_and_nothing_is_written(tmp_path, name, message):
    (tmp_path / "there.py").write_text("mine")
    with pytest.raises(RFBenchError, match=message):
        write_method(name, tmp_path)
    assert [file.name for file in tmp_path.iterdir()] == ["there.py"]


@pytest.mark.parametrize("name", ["ci.yaml", "default.yaml", "idrid.yaml", "methods.yaml"])
def test_the_line_is_the_only_change_of_a_configuration(name):
    config = ROOT / "config" / name
    before = config.read_text()
    if "\nmethods: paper" in before:
        with pytest.raises(RFBenchError, match="`methods: paper` stands for the paper's rows, and my_net is none"):
            with_name(config, "methods", "my_net")
        return
    after, added = with_name(config, "methods", "my_net")
    assert added == "my_net added to methods"
    assert yaml.safe_load(after) == {**yaml.safe_load(before), "methods": ["my_net"]}
    assert set(after.splitlines()) - set(before.splitlines()) == {"methods: [my_net]"}
    assert [line for line in after.splitlines() if line != "methods: [my_net]"] == before.splitlines()


@pytest.mark.parametrize(
    ("listed", "expected"),
    [
        ("methods: [hed, dnl]\n", "methods: [hed, dnl, my_net]\n"),
        ("methods:\n  - hed # edges\n  - dnl\n", "methods:\n  - hed # edges\n  - dnl\n  - my_net\n"),
    ],
)
def test_a_list_that_is_there_is_continued(tmp_path, listed, expected):
    config = tmp_path / "my.yaml"
    config.write_text(f"pairs: [m2mrf_c]\n{listed}seeds: [0]\n")
    assert with_name(config, "methods", "my_net")[0] == f"pairs: [m2mrf_c]\n{expected}seeds: [0]\n"


def test_all_methods_need_no_line():
    config = ROOT / "config" / "methods_ci.yaml"
    assert with_name(config, "methods", "my_net") == (config.read_text(), "my_net is one of `methods: all`")


def test_a_missing_configuration_is_named_before_anything_is_written(capsys):
    assert cli.main(["new-method", "my_net", "--config", "/nowhere.yaml"]) == 1
    assert "/nowhere.yaml: no such file; nothing was written" in capsys.readouterr().err
    assert not (methods.FOLDER / "my_net.py").exists()
