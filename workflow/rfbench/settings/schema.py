"""The JSON schema of a configuration, for editors and readers; `make schema` writes it."""

import json
from pathlib import Path
from typing import Any

from pydantic.json_schema import GenerateJsonSchema

from rfbench.files import write_whole
from rfbench.settings.models import Settings

SCHEMA = Path(__file__).parents[2] / "schemas" / "config.schema.json"


class _WithoutTitles(GenerateJsonSchema):
    """pydantic would entitle every key with its own name."""

    def field_title_should_be_set(self, schema: Any) -> bool:
        return False


def schema_text() -> str:
    """Every key with its meaning, type, limits and default, as JSON."""
    schema = Settings.model_json_schema(schema_generator=_WithoutTitles)
    named = {"$schema": GenerateJsonSchema.schema_dialect, **schema, "title": "RFBench configuration"}
    return json.dumps(_in_lines(named), indent=2, ensure_ascii=False) + "\n"


def _in_lines(value: Any) -> Any:
    """Every description, which may be wrapped in the source, in one line."""
    if isinstance(value, list):
        return [_in_lines(entry) for entry in value]
    if not isinstance(value, dict):
        return value
    whole = {key: _in_lines(entry) for key, entry in value.items()}
    if isinstance(whole.get("description"), str):
        whole["description"] = " ".join(whole["description"].split())
    return whole


if __name__ == "__main__":
    write_whole(SCHEMA, schema_text().encode())
