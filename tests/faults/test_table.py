"""docs/faults.md: every test that it names is there, and every sentence that it quotes is in the code."""

import ast
import re

import pytest

from ..checkout import ROOT

ROWS = [line for line in (ROOT / "docs" / "faults.md").read_text().splitlines() if line.startswith("| ")][1:]
CELLS = [[cell.strip() for cell in row.strip("|").split(" | ")] for row in ROWS]


def names_of(file: str) -> set[str]:
    """The tests in a file below tests/."""
    tree = ast.parse((ROOT / "tests" / file).read_text())
    return {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}


def said() -> str:
    """Every text in our code, those that are written in pieces joined, and gaps where values are filled in."""
    found = []
    for path in (ROOT / "workflow" / "rfbench").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.JoinedStr):
                found.append("".join(part.value if isinstance(part, ast.Constant) else "…" for part in node.values))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.append(node.value)
    return "\n".join(found)


def test_every_fault_names_tests_that_exist():
    assert len(CELLS) > 25
    for fault, *_, tests in CELLS:
        named = re.findall(r"`([\w/]+\.py)::(\w+)`", tests)
        assert named, fault
        for file, name in named:
            assert name in names_of(file), f"{fault}: {file}::{name}"


@pytest.mark.parametrize("cells", CELLS, ids=lambda cells: cells[0])
def test_every_quoted_sentence_is_in_the_code(cells):
    """But those that the table ascribes to Snakemake or torch."""
    texts = said()
    for sentence in re.findall(r'(?<!\'s )"([^"]+)"', cells[-2]):
        for fragment in filter(None, (part.strip() for part in sentence.split("…"))):
            assert fragment in texts, f"{cells[0]}: {fragment}"
