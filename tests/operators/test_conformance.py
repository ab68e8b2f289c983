"""Every registered pair keeps every clause of the contract; a new operator file is tested here without an edit."""

import pytest

import operators
from rfbench.contract.conformance import CLAUSES, Subject

# Together they hold every kind of path; all pairs would take a quarter of an hour to compile.
COMPILED = {"a2u", "carafe_carafe", "indexnet", "lip_bilinear", "m2mrf_c", "maxpool_maxunpool", "strideconv_deconv"}
PAPERS = set(operators.available()) - {
    pair for pair in operators.available() if operators.get(pair).confidence == "own"
}


@pytest.fixture(scope="module", params=operators.available())
def subject(request) -> Subject:
    return Subject(request.param)


@pytest.mark.parametrize(
    "clause", [pytest.param(name, marks=[pytest.mark.slow] * clause.slow) for name, clause in CLAUSES.items()]
)
def test_the_pair_keeps_the_clause(subject, clause):
    if clause == "compilation" and subject.pair.name in PAPERS - COMPILED:
        pytest.skip("compiled through the pairs that share its paths")
    CLAUSES[clause].check(subject)  # raises ConformanceError, as test_clauses.py shows of each clause
