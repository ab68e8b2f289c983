"""Stages follow imports: what counts for a stage, and which changes of a file count at all."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import operators
from rfbench import stages

from .checkout import ROOT


def imported(name: str) -> set[str]:
    """Modules of ours that a module's source imports anywhere in it, by reading the statements (not by the graph)."""
    package, file = name.rpartition(".")[0], stages._file(name)
    found = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            node.body.clear()
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = node.module if not node.level else f"{package}.{node.module}"
            found |= {base, *(f"{base}.{alias.name}" for alias in node.names)}
    ours = {name for name in found if name.partition(".")[0] in stages.FOLDERS and stages._file(name).exists()}
    return {name for name in ours if not name.startswith("operators.")}


@pytest.mark.parametrize("stage", stages.STAGES)
def test_a_stage_covers_what_its_modules_import_but_the_neutral_list(stage):
    found = set(stages.modules(stage))
    assert {f"rfbench.{entry}" for entry in stages.STAGES[stage].entries} <= found
    for name in found:
        assert stages._file(name).exists()
        for other in imported(name) - found:
            assert any(other == room or other.startswith(f"{room}.") for room in stages.NEUTRAL), f"{name}: {other}"


def test_neutral_modules_exist_and_each_has_its_reason():
    for name, reason in stages.NEUTRAL.items():
        assert stages._file(name).exists()
        assert len(reason) > 10


def test_what_a_training_draws_from_and_learns_by_counts():
    named = {name.removeprefix("rfbench.") for name in stages.modules("train", "carafe_bilinear")}
    assert {"data.manifest", "training.stream", "losses", "models.hrnet", "reassembly"} <= named
    assert not named & {"data.summary", "report.tables", "metrics", "commands.train", "cli"}
    assert "rfbench.reassembly" not in stages.modules("train", "strideconv_bilinear")


def test_commands_are_no_part_of_any_stage():
    for stage in stages.STAGES:
        assert not [name for name in stages.modules(stage) if name.startswith("rfbench.commands")]


SOURCE = '''"""Doc."""
import os

LIMIT = 3  # px


def area(side: int) -> int:
    """Of a square."""
    return side * side  # px


class Box:
    """A box."""

    def size(self):
        """Of it."""
        return LIMIT
'''


def pieces(tmp_path: Path, text: str) -> dict[str, str]:
    file = tmp_path / f"m{abs(hash(text))}.py"
    file.write_text(text)
    return stages._pieces(file)


@pytest.mark.parametrize(
    ("old", "new", "changed"),
    [
        ("# px\n\n", "# pixels\n\n", set()),
        ('"""Of a square."""', '"""Its sides\' product."""', set()),
        ('    """Of a square."""\n', "", set()),
        ('"""Doc."""', '"""Another."""', set()),
        ("side * side", "(side\n        * side)", set()),
        ("side * side", "side ** 2", {":area"}),
        ("LIMIT = 3", "LIMIT = 4", {""}),
        ("return LIMIT", "return LIMIT + 1", {":Box"}),
        ("side: int) -> int", "side: float) -> int", {":area"}),
        ("import os", "import sys", {""}),
    ],
)
def test_only_what_runs_counts(tmp_path, old, new, changed):
    assert old in SOURCE
    before, now = pieces(tmp_path, SOURCE), pieces(tmp_path, SOURCE.replace(old, new, 1))
    assert set(stages.changed(before, now)) == changed


def test_a_function_that_is_only_a_docstring_is_not_one_that_returns(tmp_path):
    a = pieces(tmp_path, 'def f():\n    """Nothing."""\n')
    b = pieces(tmp_path, 'def f():\n    """Nothing."""\n    return 1\n')
    assert stages.changed(a, b) == [":f"]


def test_data_files_of_a_stage_exist():
    for name, stage in stages.STAGES.items():
        for pattern in stage.data:
            assert list((ROOT / "workflow" / "rfbench").glob(pattern)), f"{name}: {pattern}"


def test_naming_the_modules_needs_no_torch():
    pytest.importorskip("torch")
    script = "import sys; from rfbench import stages; stages.code_digest('train'); print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_a_pairs_own_files_count_for_its_runs():
    own = set(stages.parts("train", "lip_bilinear")) - set(stages.parts("train"))
    files = {name.partition(":")[0] for name in own}
    assert files == {f"operators/{file.name}" for file in operators.files("lip_bilinear")}
