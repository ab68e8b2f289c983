"""The one place where pydantic's errors become sentences: the key, what was expected, what was found."""

import difflib
import re
from collections.abc import Iterable
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

import yaml
from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from rfbench.checked import shown
from rfbench.errors import printable
from rfbench.settings.types import FORMS

Place = tuple[int | str, ...]

_KINDS = {"int_type": "a whole number", "float_type": "a number", "finite_number": "a number",
          "bool_type": "true or false", "string_type": "a text", "string_unicode": "a text", "tuple_type": "a list",
          "dict_type": "a mapping", "model_type": "a mapping"}  # fmt: skip
_LIMITS = {"greater_than": ("more than", "gt"), "greater_than_equal": ("at least", "ge"),
           "less_than": ("less than", "lt"), "less_than_equal": ("at most", "le"),
           "too_short": ("at least", "min_length"), "too_long": ("at most", "max_length")}  # fmt: skip
_EXPONENT = re.compile(r"[-+]?\d+(\.\d*)?e[-+]?\d{1,2}", re.IGNORECASE)  # YAML wants a point and the exponent's sign
_UNKNOWN = ("extra_forbidden", "invalid_key")


def sentences(error: ValidationError, model: type[BaseModel] | None = None) -> list[str]:
    """What is wrong, one sentence a problem, in the order of the keys; a section's missing keys share one, unknown too.

    Args:
        error: what validating a mapping raised.
        model: as what it was validated; a whole configuration (Settings) by default.
    """
    from rfbench.settings.models import Settings

    problems: dict[tuple[Place, str], list[ErrorDetails]] = {}
    for detail in error.errors(include_url=False):
        problems.setdefault(_place(detail), []).append(detail)
    found = []
    for place, kind in sorted(problems, key=lambda problem: list(map(str, problem[0]))):
        # A default that waits for a wrong key, or a list that is short of its wrong entries, is no problem of its own.
        within = any(other[: len(place)] == place != other for other, _ in problems)
        if kind != "default_factory_not_called" and not (kind in ("too_short", "too_long") and within):
            found.append(_sentence(place, problems[place, kind], *_at(place, model or Settings)))
    return list(dict.fromkeys(found))


def _place(detail: ErrorDetails) -> tuple[Place, str]:
    """The key that a sentence is about, and the kind of problem that shares it."""
    place, kind = detail["loc"], detail["type"]
    if place and place[-1] == "[key]":  # of a mapping: the sentence is about the mapping
        return place[:-2], kind
    if kind in ("missing", "missing_of_kind"):
        return place[:-1], "missing"
    return (place[:-1] if kind in _UNKNOWN else place), kind


def _at(place: Place, model: type[BaseModel]) -> tuple[FieldInfo | None, type[BaseModel] | None]:
    """The nearest field that a place lies in, and the section that lies at the place, if one does."""
    field, kind = None, model
    for part in place:
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            field = kind.model_fields.get(str(part))
            kind = _bare(field.annotation) if field else None
        else:
            arguments = get_args(kind)  # of a dict or a tuple
            kind = _bare(arguments[get_origin(kind) is dict]) if arguments else None
    return field, kind if isinstance(kind, type) and issubclass(kind, BaseModel) else None


def _bare(kind: Any) -> Any:
    """A type without its annotations and without None."""
    while get_origin(kind) in (Annotated, Union, UnionType):
        kind = next(part for part in get_args(kind) if part is not type(None))
    return kind


def _sentence(
    place: Place, details: list[ErrorDetails], field: FieldInfo | None, section: type[BaseModel] | None
) -> str:
    detail, key, names = details[0], dotted(place), [str(detail["loc"][-1]) for detail in details]
    if detail["type"] in _UNKNOWN:
        unknown = ", ".join(map(printable, names))
        return f"{key}: unknown key {unknown}.{near(names[0], section.model_fields if section else ())}"
    if detail["type"] == "missing" and not section:  # the entries of a pair
        return f"{key}: expected a list of at least {int(names[-1]) + 1}, found {shown(detail['input'])}."
    if detail["type"].startswith("missing"):
        required = [name for name, about in section.model_fields.items() if about.is_required()]
        needed = ", ".join(dict.fromkeys([*required, *names]))
        return f"{key}: expected the keys {needed}; {', '.join(names)} is missing."
    about = field.json_schema_extra if field and isinstance(field.json_schema_extra, dict) else {}
    why = f": {about['why']}" if detail["type"] == "less_than_equal" and "why" in about else ""
    return f"{key}: expected {_expected(detail, field)}, found {shown(detail['input'])}{why}.{_hint(detail)}"


def _expected(detail: ErrorDetails, field: FieldInfo | None) -> str:
    kind, context = detail["type"], detail.get("ctx", {})
    if kind in _KINDS:
        return _KINDS[kind] + " or null" * bool(field and type(None) in get_args(field.annotation))
    if kind == "literal_error":
        return f"one of {context['expected'].replace(' or ', ', ').replace(chr(39), '')}"
    if kind == "string_pattern_mismatch":
        return FORMS.get(context["pattern"], f"the form {context['pattern'].strip('^$')}")
    if kind not in _LIMITS:
        return context.get("expected", detail["msg"])  # `types.unexpected`
    words, limit = _LIMITS[kind][0], context[_LIMITS[kind][1]]
    whole = int(limit) if limit == int(limit) else limit
    lists = {"Dictionary": "a mapping of ", "Tuple": "a list of "}
    return f"{lists.get(context.get('field_type', ''), '')}{words} {whole}"


def _hint(detail: ErrorDetails) -> str:
    """How to write what was probably meant, where YAML reads it as something else."""
    kind, found = detail["type"], detail["input"]
    if kind == "string_type" and isinstance(found, int | float):
        return " Write it in quotes."
    if kind == "float_type" and isinstance(found, str) and _EXPONENT.fullmatch(found):
        return f" YAML reads that as a text; write {yaml.safe_dump(float(found)).split()[0]}."
    return ""


def dotted(place: Place) -> str:
    """A key with the sections that it lies in."""
    return ".".join(printable(str(part)) for part in place) or "top level"


def plain(value) -> str:
    """A setting as words: sizes as 96x96, ranges as 0.5 to 2, sections joined by spaces."""
    if isinstance(value, BaseModel):
        section = value.model_dump(mode="json").items()
        return " ".join(f"{key} {item}" if key != "type" else str(item) for key, item in section)
    if isinstance(value, (list, tuple)):
        return ("x" if all(isinstance(item, int) for item in value) else " to ").join(map(str, value))
    return str(value)


def near(word: str, known: Iterable[str]) -> str:
    """The known word that was probably meant, or all of them."""
    known = list(known)
    close = difflib.get_close_matches(str(word), known, n=1)
    return f" Did you mean {close[0]}?" if close else f" Known: {', '.join(known) or 'none'}."
