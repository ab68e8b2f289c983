"""The types that a configuration's keys are made of: strict, as YAML writes them, with the limits that all share."""

from collections.abc import Mapping
from math import isfinite
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, GetCoreSchemaHandler, GetJsonSchemaHandler, WithJsonSchema
from pydantic_core import CoreSchema, PydanticCustomError
from pydantic_core.core_schema import no_info_after_validator_function

from rfbench.names import LESION, MIN_SIZE, NAME

MAX_SIZE = 32767  # px: OpenCV resamples no longer side

LINE = r"^[^\x00-\x1f\x7f]+$"
FOLDER = r"^[^-'{}\x00-\x1f\x7f][^'{}\x00-\x1f\x7f]*$"
FORMS = {LINE: "a text of one line", FOLDER: "a folder without quotes or braces in its path, or a dash before it"}
"""What a message expects instead of a pattern."""


def unexpected(expected: str) -> PydanticCustomError:
    """The error of a value that is not the expected one; sentences.py makes the sentence."""
    return PydanticCustomError("expected", "expected {expected}", {"expected": expected})


class EachOnce:
    """Annotates a list in which no entry stands twice."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return no_info_after_validator_function(self._check, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict:
        return {**handler(schema), "uniqueItems": True}

    @staticmethod
    def _check(values: tuple) -> tuple:
        told_apart = [(isinstance(value, bool), value) for value in values]  # True equals 1
        if any(value in told_apart[:place] for place, value in enumerate(told_apart)):
            raise unexpected("every entry once")
        return values


def _option(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return [_option(entry) for entry in value]
    if isinstance(value, Mapping) and all(isinstance(key, str) for key in value):
        return {key: _option(entry) for key, entry in value.items()}
    if not isinstance(value, str | int | float | None) or (isinstance(value, float) and not isfinite(value)):
        raise unexpected("a number, a text, true, false, null, or a list or mapping of those")
    return value


def _named(what: str) -> BeforeValidator:
    def check(value: Any) -> Any:
        if not isinstance(value, list | tuple):
            raise unexpected(f"`paper`, `all` or a list of {what}")
        return value

    return BeforeValidator(check)


def _lower(value: Any) -> Any:
    return value.lower() if isinstance(value, str) else value


Flag = Annotated[bool, Field(strict=True)]
Whole = Annotated[int, Field(strict=True)]
Number = Annotated[float, Field(strict=True, allow_inf_nan=False)]
Line = Annotated[str, Field(strict=True, pattern=LINE)]
Folder = Annotated[str, Field(strict=True, pattern=FOLDER)]
Name = Annotated[str, Field(strict=True, pattern=f"^{NAME}$")]
Lesion = Annotated[str, Field(strict=True, pattern=f"^{LESION}$")]
Sha256 = Annotated[str, Field(strict=True, pattern="^[0-9a-f]{8,64}$"), BeforeValidator(_lower)]
Side = Annotated[Whole, Field(ge=MIN_SIZE, le=MAX_SIZE)]
Size = tuple[Side, Side]
Level = Annotated[Number, Field(ge=0, le=255)]
Colour = tuple[Level, Level, Level]
Spread = Annotated[Number, Field(gt=0, le=255)]
Spreads = tuple[Spread, Spread, Spread]
Factor = Annotated[Number, Field(gt=0, le=100)]
Updates = Annotated[Whole, Field(ge=1, le=10**8)]
Option = Annotated[Any, AfterValidator(_option)]
"""The value of an operator's option: whatever JSON holds, since records and checkpoints name it."""
Options = dict[str, dict[str, Option]]
_WORDS = WithJsonSchema(
    {"anyOf": [{"enum": ["paper", "all"]}, {"type": "array", "items": {"type": "string"}, "uniqueItems": True}]},
)
Pairs = Annotated[tuple[Line, ...], EachOnce(), _named("pairs"), _WORDS]
Methods = Annotated[tuple[Line, ...], EachOnce(), _named("methods"), _WORDS]
"""`paper` and `all` are replaced by registered pairs and methods before (`reading.complete`)."""
