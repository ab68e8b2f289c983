"""Every registered pair keeps every clause of the contract; a new operator file is tested here without an edit."""

import pytest
import yaml

import operators
from rfbench.contract.conformance import CLAUSES, Subject

from ..checkout import ROOT

# Together they hold every kind of path; all pairs would take half an hour to compile. test_blocks.py compiles the
# blocks of all. A newcomer, which is in neither file, is compiled.
COMPILED = {"a2u", "carafe_carafe", "indexnet", "lip_bilinear", "m2mrf_c", "maxpool_maxunpool", "strideconv_deconv",
            "flc_bilinear", "haar_haar", "strideconv_dysample", "strideconv_fade"}  # fmt: skip
KNOWN = {*operators.published(), *yaml.safe_load((ROOT / "config" / "since.yaml").read_text())["pairs"]}


DEAR = {"memory", "extreme inputs"}  # a third of all clauses' time; a newcomer's are as often tested as its others


def case(pair: str, name: str):
    """A pair and a clause, marked as slow where the clause is, or is dear and the pair known."""
    slow = CLAUSES[name].slow or (pair in KNOWN and name in DEAR)
    return pytest.param(pair, name, marks=[pytest.mark.slow] * slow, id=f"{pair}-{name}")


@pytest.fixture(scope="module")
def subject(request) -> Subject:
    return Subject(request.param)


@pytest.mark.parametrize(
    ("subject", "clause"),
    [case(pair, name) for pair in operators.available() for name in CLAUSES],
    indirect=["subject"],
)
def test_the_pair_keeps_the_clause(subject, clause):
    if clause == "compilation" and subject.pair.name in KNOWN - COMPILED:
        pytest.skip("compiled through the pairs that share its paths")
    CLAUSES[clause].check(subject)  # raises ConformanceError, as test_clauses.py shows of each clause
