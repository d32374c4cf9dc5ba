"""Validation of events against the official OpenLineage schemas in tests/openlineage, without any network."""

import datetime as dt
import json
import uuid
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from jsonschema import Draft202012Validator, FormatChecker
from referencing import Registry, Resource

FOLDER = Path(__file__).parent / "openlineage"


def _is_uuid(value: object) -> bool:
    return str(uuid.UUID(str(value))) == value


def _is_time(value: object) -> bool:
    return dt.datetime.fromisoformat(str(value)).tzinfo is not None


def _is_uri(value: object) -> bool:
    return bool(urlsplit(str(value)).scheme)


CHECKER = FormatChecker(formats=())
for name, test in (("uuid", _is_uuid), ("date-time", _is_time), ("uri", _is_uri)):
    CHECKER.checks(name, raises=ValueError)(test)


def _registry() -> Any:
    schemas = [json.loads(p.read_text()) for p in FOLDER.rglob("*.json")]
    return Registry().with_resources([(s["$id"], Resource.from_contents(s)) for s in schemas])


REGISTRY = _registry()


def check_event(event: dict[str, Any]) -> None:
    """Raise `jsonschema.ValidationError` unless the event and each of its facets are valid by their own schemas."""
    _check(event, event["schemaURL"])
    for facet in _facets(event):
        _check(facet, facet["_schemaURL"])


def _check(value: dict[str, Any], url: str) -> None:
    Draft202012Validator({"$ref": url}, registry=REGISTRY, format_checker=CHECKER).validate(value)


def _facets(value: Any) -> list[dict[str, Any]]:
    """All facets of an event, at any depth; a schema that is not kept here cannot be resolved, and fails the check."""
    if isinstance(value, list):
        return [f for v in value for f in _facets(v)]
    if not isinstance(value, dict):
        return []
    return ([value] if "_schemaURL" in value else []) + [f for v in value.values() for f in _facets(v)]
