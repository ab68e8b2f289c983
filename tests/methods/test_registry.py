"""How methods are found, and what is said about mistakes."""

import shutil
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

import operators
import rfbench.methods
from rfbench.competitors import methods
from rfbench.competitors.method import Method
from rfbench.errors import RFBenchError

TINY = Path(__file__).parent / "tiny.py"


@pytest.fixture(autouse=True)
def _as_before():
    yield
    methods._loaded.clear()
    methods._forget()


def written(folder: Path, text: str, name: str = "box") -> Path:
    path = folder / f"{name}.py"
    path.write_text(text)
    return path


def test_a_method_is_found_by_its_file(monkeypatch, tmp_path):
    shutil.copy(TINY, tmp_path / "found_here.py")
    (tmp_path / "parts").mkdir()
    (tmp_path / "parts" / "__init__.py").write_text("raise RuntimeError('nothing is looked for in parts')")
    monkeypatch.setattr(methods, "FOLDER", tmp_path)
    monkeypatch.setattr(rfbench.methods, "__path__", [*rfbench.methods.__path__, str(tmp_path)])
    methods._forget()
    assert methods.available() == ["found_here"]
    assert methods.method("found_here").label == methods.row("found_here") == "Tiny"
    assert methods.module_of("found_here") == "rfbench.methods.found_here"


def test_an_installed_package_brings_a_method(monkeypatch):
    class Dist:
        name = "rf-tiny"

    entry = EntryPoint("tiny", "json", methods.GROUP)
    object.__setattr__(entry, "dist", Dist)
    monkeypatch.setattr(methods, "entry_points", lambda group: [entry])
    methods._forget()
    assert "tiny" in methods.available()
    with pytest.raises(RFBenchError, match=r"rf-tiny.*'tiny'.*expected METHOD = Method"):
        methods.method("tiny")
    assert methods.files("tiny")[0].name == "__init__.py"  # json is a package: all of its files count


def test_a_file_from_anywhere_is_loaded_once():
    assert methods.load_file(TINY) == methods.load_file(TINY) == "tiny"
    assert isinstance(methods.method("tiny"), Method)
    assert methods.files("tiny") == [TINY]
    assert methods.module_of("tiny") == ""


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "expected METHOD = Method"),
        ("METHOD = 3", "found int"),
        ("import nowhere_at_all", "cannot be imported .ModuleNotFoundError"),
        ("def broken(:", "SyntaxError"),
    ],
)
def test_a_wrong_file_is_named_and_left_out(tmp_path, text, said):
    path = written(tmp_path, text)
    with pytest.raises(RFBenchError, match=said) as raised:
        methods.load_file(path)
    assert str(path) in str(raised.value)
    assert "box" not in methods.available()


def test_names_are_unique_and_fit_file_names(tmp_path):
    methods.load_file(TINY)
    other = tmp_path / "tiny.py"
    shutil.copy(TINY, other)
    with pytest.raises(RFBenchError, match=r"tests/methods/tiny.py and .*both declare the method 'tiny'"):
        methods.load_file(other)
    shutil.copy(TINY, tmp_path / "Not-A-Name.py")
    with pytest.raises(RFBenchError, match="small letters"):
        methods.load_file(tmp_path / "Not-A-Name.py")


def test_an_unknown_method_is_told_with_its_neighbour():
    methods.load_file(TINY)
    with pytest.raises(RFBenchError, match=r"Unknown method 'tinny'\. Did you mean 'tiny'\?"):
        methods.method("tinny")


def test_a_file_tells_without_import_whether_it_is_a_method(tmp_path):
    assert methods.declares(TINY)
    assert methods.declares(written(tmp_path, "METHOD: object = raise_if_imported()"))
    assert not methods.declares(written(tmp_path, "PAIRS = ()"))
    assert not methods.declares(written(tmp_path, "METHOD = ("))
    assert not methods.declares(tmp_path / "none.py")


def test_methods_and_pairs_share_one_namespace_and_one_column_of_rows():
    names, rows = methods.available(), [methods.row(name) for name in methods.available()]
    assert not set(names) & set(operators.available())
    assert len(rows) == len(set(rows))
    assert not set(rows) & {operators.get(pair).published_name for pair in operators.available()}
