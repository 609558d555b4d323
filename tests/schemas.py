"""What ``--json`` prints, held against the schemas that are published in ``docs/schema``."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema

SCHEMAS = Path(__file__).parent.parent / "docs" / "schema"


@cache
def _validator(name: str) -> Any:
    schema = json.loads((SCHEMAS / f"{name}.json").read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(_strict(schema))


def _strict(schema: Any) -> Any:
    """Allow no member that a schema does not describe: a published schema leaves room for new ones, a test does not."""
    if isinstance(schema, list):
        return [_strict(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    made = {name: _strict(each) for name, each in schema.items()}
    return {**made, "additionalProperties": False} if isinstance(schema.get("properties"), dict) else made


def validate(command: str, exit_code: int, printed: str) -> Any:
    """Hold what a command prints with ``--json`` against its schema, and give it."""
    assert printed.endswith("}\n") and printed.count("\n") == 1
    found = json.loads(printed)
    _validator("error" if exit_code == 2 else command).validate(found)
    return found
