"""Foreign values: one sentence for what breaks a schema, never long, whatever the value is."""

from typing import Any

import pytest
from pydantic import Field, field_validator

from rfbench.checked import Foreign, checked, shown
from rfbench.errors import DataError, RFBenchError, printable


class Box(Foreign):
    side: int = Field(ge=1, description="a whole number of px above 0")
    name: str | None = Field(None, description="a text")
    corner: tuple[int, int] = Field((0, 0), description="two whole numbers")


def box(values: object) -> Box:
    return checked(Box, values, "box.json: {}".format, "Mend it.", DataError)


def test_what_fits_is_taken_and_other_keys_are_passed_over():
    assert box({"side": 3, "other": object()}).model_dump() == {"side": 3, "name": None, "corner": (0, 0)}


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"side": 0}, "box.json: side: expected a whole number of px above 0, found 0. Mend it."),
        ({"side": True}, "box.json: side: expected a whole number of px above 0, found True. Mend it."),
        ({"side": "3"}, "box.json: side: expected a whole number of px above 0, found '3'. Mend it."),
        ({}, "box.json: side: expected a whole number of px above 0, which is missing. Mend it."),
        ({"side": 1, "name": b"x"}, "box.json: name: expected a text, found b'x'. Mend it."),
        ({"side": 1, "corner": (5,)}, "box.json: corner: expected two whole numbers, found (5,). Mend it."),
        ([], "box.json: expected a mapping, found []. Mend it."),
    ],
)
def test_what_does_not_fit_is_one_sentence(values, sentence):
    with pytest.raises(DataError) as error:
        box(values)
    assert str(error.value) == sentence


def test_values_too_deep_to_walk():
    deep: list = []
    for _ in range(100_000):
        deep = [deep]

    class Nested(Foreign):
        values: list[Any]

        @field_validator("values")
        @classmethod
        def _walk(cls, values: list) -> list:
            return [cls._walk(value) for value in values]

    with pytest.raises(RFBenchError, match="found lists too deep"):
        checked(Nested, {"values": deep}, "box.json: {}".format, "Mend it.")


class Loud:
    def __repr__(self):
        raise RuntimeError


@pytest.mark.parametrize(
    "value", ["x" * 10**6, [["y" * 999] * 99] * 99, 10**999, [10**9999], {1: {2: {3: "z" * 999}}}, Loud()]
)
def test_no_value_is_shown_at_length(value):
    assert len(shown(value)) <= 201


def test_printable():
    assert printable("Ångström ‒ é 眼") == "Ångström ‒ é 眼"
    assert printable("a\x1b[2J\r\nb\u202e\udcff\x9b\x00") == "a\\x1b[2J\\r\\nb\\u202e\\udcff\\x9b\\x00"


def test_no_line_of_an_error_is_endless():
    sentence = f"a.zip: expected a file, found {'x' * 65_535}. Download it again."
    first, second = str(RFBenchError(sentence, "- short")).split("\n")
    assert (len(first), second) == (1500, "- short")
    assert first.startswith("a.zip: expected a file, found xxx")
    assert first.endswith("xxx. Download it again.")


def test_an_error_s_arguments_are_its_lines():
    assert str(RFBenchError("two problems:", "- a\nb", "- c")) == "two problems:\n- a\\nb\n- c"
