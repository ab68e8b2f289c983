"""Names that become columns and file names."""

import pytest

from rfbench.names import composed, is_generated, is_stem, lesion_problem


@pytest.mark.parametrize("stem", ["IDRiD_01", "007-1774-100", "Eye 1 (left).a", "rétine", "眼" * 60, "a" * 100])
def test_stems(stem):
    assert is_stem(stem)


@pytest.mark.parametrize(
    "stem",
    ["", ".", "..", "/../../x", "a/b", "a\\b", "a\n", "a\n\x1b[2J", "-x", " x", "x ", "x.", "a\0", "a" * 101, "眼" * 90,
     "\udcff", "a*b", "a:b", "~"],
)  # fmt: skip
def test_names_that_are_no_stems(stem):
    assert not is_stem(stem)


def test_generated_stems_in_any_case():
    assert is_generated("SYN_01")
    assert is_generated("syn_007-0001-100")
    assert not is_generated("SYNE_01")


@pytest.mark.parametrize("lesions", [("EX",), ("EX", "HE", "SE", "MA"), ("Drusen", "A-1")])
def test_lesions(lesions):
    assert lesion_problem(lesions) is None


@pytest.mark.parametrize(
    "lesions", [(), ("EX",) * 2, ("ex",), ("EX\n",), ("../x",), (1,), (None,), ("A" * 21,), ("EX", ["MA"]),
                tuple(f"A{i}" for i in range(256))]
)  # fmt: skip
def test_lesions_that_can_be_no_names(lesions):
    assert lesion_problem(lesions).startswith("expected ")


def test_composed():
    assert composed("e\u0301") == "\xe9"
