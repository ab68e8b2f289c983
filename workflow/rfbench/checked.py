"""Values that came from outside, checked where they are read: a typed schema, and one sentence for what breaks it."""

import reprlib
from collections.abc import Callable, Mapping
from typing import TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from rfbench.errors import RFBenchError

LONGEST = 200  # characters of a value in a message

_REPR = reprlib.Repr()
_REPR.maxlist = _REPR.maxtuple = _REPR.maxdict = 12
_REPR.maxstring = _REPR.maxother = 120


class Foreign(BaseModel):
    """Base of the schemas. Types are not bent (no text is a number), numbers are finite, other keys are passed over.

    A field's description says what is expected of it, in the words of a message ("two whole numbers …").
    """

    model_config = ConfigDict(strict=True, extra="ignore", frozen=True, allow_inf_nan=False)


T = TypeVar("T", bound=Foreign)


def checked(
    schema: type[T], values: object, name: Callable[[str], str], advice: str, error: type[RFBenchError] = RFBenchError
) -> T:
    """`values` as `schema`.

    Args:
        name: a key to what a message calls it, the file included.
        advice: what to do about a wrong value, a sentence.
        error: class of the error.

    Raises:
        error: a key is missing or its value is not what its description says; the first one is named.
    """
    whole = name("").rstrip(" :.")
    if not isinstance(values, Mapping):
        raise error(f"{whole}: expected a mapping, found {shown(values)}. {advice}")
    try:
        return schema.model_validate({key: values[key] for key in schema.model_fields if key in values})
    except RecursionError:
        raise error(f"{whole}: expected plain values, found lists too deep within one another. {advice}") from None
    except ValidationError as found:
        first = found.errors(include_url=False, include_context=False)[0]
    key, *within = map(str, first["loc"])
    expected = f"expected {schema.model_fields[key].description}"
    if key not in values:
        raise error(f"{name(key)}: {expected}, which is missing. {advice}")
    if isinstance(values[key], Mapping) and within:
        what = "nothing" if first["type"] == "missing" else shown(first["input"])
        raise error(f"{name(key)}: {expected}, found {what} at {shown('.'.join(within))}. {advice}")
    raise error(f"{name(key)}: {expected}, found {shown(values[key])}. {advice}")


def shown(value: object) -> str:
    """A value as a message shows it: never long, whatever it is."""
    try:
        text = _REPR.repr(value)
    except Exception:  # an object's own, or a number of more digits than Python writes
        return f"a value of type {type(value).__name__}"
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}…"
