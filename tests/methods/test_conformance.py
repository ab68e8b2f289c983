"""Every method that is there keeps every clause of the contract; a new file is tested here without an edit."""

import pytest

from rfbench.competitors import methods
from rfbench.contract.method_conformance import CLAUSES, MethodSubject

from ..checkout import ROOT


def case(method: str, name: str):
    return pytest.param(method, name, marks=[pytest.mark.slow] * CLAUSES[name].slow, id=f"{method}-{name}")


@pytest.fixture(scope="module")
def subject(request) -> MethodSubject:
    return MethodSubject(request.param)


@pytest.mark.parametrize(
    ("subject", "clause"),
    [case(method, name) for method in methods.available() for name in CLAUSES],
    indirect=["subject"],
)
def test_the_method_keeps_the_clause(subject, clause):
    CLAUSES[clause].check(subject)  # raises ConformanceError, as test_clauses.py shows of each clause


def test_the_contract_lists_every_clause():
    text = (ROOT / "docs" / "methods.md").read_text()
    for clause in CLAUSES.values():
        name = f"{clause.name} (slow)" if clause.slow else clause.name
        assert f"| {name} | {clause.promise} |" in text


def test_every_method_is_described():
    text = (ROOT / "docs" / "methods.md").read_text()
    for name in methods.available():
        about = methods.method(name)
        assert f"| `{name}` | {methods.row(name)} | {about.parameters / 1e6:.2f} | {about.paper} |" in text
