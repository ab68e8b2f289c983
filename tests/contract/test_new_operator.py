"""A new operator from nothing: the file that is written, the line that is added, the names that are refused."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

import operators
from rfbench import cli
from rfbench.contract.beginning import with_name
from rfbench.contract.conformance import CLAUSES, Subject
from rfbench.contract.new_operator import write_operator
from rfbench.errors import RFBenchError

from ..checkout import CONFIGS, ROOT


@pytest.fixture
def _registry(monkeypatch):
    """The registry as it was, after the test."""
    monkeypatch.setattr(operators, "_loaded", [])
    yield
    monkeypatch.undo()
    operators._forget()


@pytest.mark.slow
@pytest.mark.usefixtures("_registry")
def test_the_written_operator_is_in_the_house_style_and_keeps_every_fast_clause(tmp_path):
    file, pair = write_operator("box_pool", tmp_path)
    assert (file.name, pair) == ("box_pool.py", "box_pool_bilinear")
    for command in (["check"], ["format", "--check"]):
        done = subprocess.run(
            [Path(sys.executable).with_name("ruff"), *command, "--config", ROOT / "pyproject.toml", file],
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stdout
    assert operators.load_file(file) == [pair]
    assert operators.get(pair).params is None
    subject = Subject(pair)
    for clause in CLAUSES.values():
        if not clause.slow:
            clause.check(subject)


@pytest.mark.slow
@pytest.mark.usefixtures("_registry")
@pytest.mark.parametrize(("name", "pair"), [("BoxPool", "box_bilinear"), ("GatedCopy", "strideconv_gatedcopy")])
def test_the_worked_examples_of_the_contract_keep_it(name, pair, tmp_path):
    text = (ROOT / "operators" / "README.md").read_text()
    (example,) = [code for code in re.findall(r"```python\n(.*?)```", text, re.S) if f"class {name}" in code]
    (tmp_path / "example.py").write_text(example)
    assert operators.load_file(tmp_path / "example.py") == [pair]
    subject = Subject(pair)
    for clause in CLAUSES.values():
        if not clause.slow:
            clause.check(subject)


def test_the_contract_lists_every_clause():
    text = (ROOT / "operators" / "README.md").read_text()
    for clause in CLAUSES.values():
        name = f"{clause.name} (slow)" if clause.slow else clause.name
        assert f"| {name} | {clause.promise} |" in text


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("Box", "small letters"),
        ("2box", "small letters"),
        ("box-pool", "small letters"),
        ("../box", "small letters"),
        ("class", "no word of Python's own"),
        ("lip", "operators/lip.py declares the operator 'lip'"),
        ("strideconv", "operators/strideconv.py declares the operator 'strideconv'"),
        ("max_pool", "operators/maxpool.py declares the path 'MaxPool'"),
        ("m2mrf_onestep", "operators/m2mrf.py declares the pair 'm2mrf_onestep_bilinear'"),
        ("there", "exists already"),
    ],
)
def test_names_that_cannot_be_are_refused_and_nothing_is_written(tmp_path, name, message):
    (tmp_path / "there.py").write_text("mine")
    with pytest.raises(RFBenchError, match=message):
        write_operator(name, tmp_path)
    assert [file.name for file in tmp_path.iterdir()] == ["there.py"]
    assert (tmp_path / "there.py").read_text() == "mine"


SHIPPED = {file.name: file.read_text() for file in CONFIGS}


@pytest.mark.parametrize("shipped", [name for name, text in SHIPPED.items() if "pairs: paper" not in text])
def test_the_line_is_the_only_change_of_a_shipped_configuration(tmp_path, shipped):
    config = tmp_path / shipped
    before = SHIPPED[shipped]
    config.write_text(before)
    after, added = with_name(config, "pairs", "box_bilinear")
    assert added == "box_bilinear added to pairs"
    old, new = ({"probe": {}, **yaml.safe_load(text)} for text in (before, after))
    section = old["probe"] if old["probe"] else old
    section["pairs"].append("box_bilinear")
    assert new == old
    removed = [line for line in before.splitlines() if line not in after.splitlines()]
    assert all(line.strip().startswith("pairs: [") for line in removed)


@pytest.mark.parametrize(("rows", "told"), [(True, "set paper_rows_only to false"), (False, "`pairs: all`")])
def test_all_pairs_need_no_line(tmp_path, rows, told):
    config = tmp_path / "all.yaml"
    before = f"pairs: all\npaper_rows_only: {str(rows).lower()}\n"
    config.write_text(before)
    after, added = with_name(config, "pairs", "box_bilinear")
    assert told in added
    assert after == before


def test_the_papers_pairs_take_no_other(tmp_path):
    config = tmp_path / "paper.yaml"
    config.write_text("pairs: paper\n")
    with pytest.raises(RFBenchError, match=r"paper\.yaml: `pairs: paper` stands .* box_bilinear is none; write `all`"):
        with_name(config, "pairs", "box_bilinear")


@pytest.mark.parametrize("text", ["pairs: [\n  a,\n  b]\n", "seeds: [1]\n", "pairs: &p\n  - a\nother: *p\n"])
def test_a_configuration_in_another_form_is_refused_before_anything_is_written(tmp_path, capsys, text):
    config = tmp_path / "odd.yaml"
    config.write_text(text)
    assert cli.main(["new-operator", "box", "--config", str(config)]) == 1
    assert f"{config}: " in capsys.readouterr().err
    assert config.read_text() == text
    assert not (Path(operators.__file__).parent / "box.py").exists()


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (b"# \xe9\npairs: [a]\n", "line 1: expected UTF-8, found the byte 0xe9"),
        (b"pairs: [a]\npairs: [b]\n", "line 2: the key pairs stands in line 1, too"),
        (b"pairs: " + b"[" * 3000, "expected at most 20 levels"),
        (b"- a list\n", "a mapping of keys is expected, found list"),
        (b"pairs: 7\n", "expected a configuration with a list 'pairs'"),
        (b"probe: 7\n", "expected a configuration with a list 'pairs'"),
    ],
)
def test_a_file_that_is_no_configuration_is_one_sentence(tmp_path, content, found):
    config = tmp_path / "odd.yaml"
    config.write_bytes(content)
    with pytest.raises(RFBenchError, match=found) as caught:
        with_name(config, "pairs", "box_bilinear")
    assert str(caught.value).startswith(str(config))
    assert "\n" not in str(caught.value)


def test_a_missing_configuration_is_named_before_anything_is_written(capsys):
    assert cli.main(["new-operator", "box", "--config", "/nowhere.yaml"]) == 1
    assert "/nowhere.yaml: no such file; nothing was written" in capsys.readouterr().err
    assert not (Path(operators.__file__).parent / "box.py").exists()
