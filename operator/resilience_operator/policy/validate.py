"""The verdict of the API server on a ResiliencePolicy, without an API server. Called by the command line.

Takes the one schema there is, that of the CRD, and applies it as `kubectl apply` with strict field validation would:
unknown fields, types, bounds, lists that are sets or maps, and the CEL rules. What is wrong in one field does
not hide what is wrong in another.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from functools import cache
from typing import Any

from resilience_operator.core.paths import JSON
from resilience_operator.policy.cel import broken_rules
from resilience_operator.policy.common import Problem
from resilience_operator.policy.policy import API_VERSION, KIND

Schema = Mapping[str, Any]

KEYWORDS = frozenset(
    {
        *("type", "description", "default", "enum", "format", "pattern", "minimum", "maximum"),
        *("minLength", "maxLength", "minItems", "maxItems", "maxProperties"),
        *("properties", "required", "additionalProperties", "items"),
        *("x-kubernetes-list-type", "x-kubernetes-list-map-keys", "x-kubernetes-map-type"),
        *("x-kubernetes-validations", "x-kubernetes-int-or-string"),
    }
)
"""The keywords of a schema that this module understands; a test holds the CRD to them."""

TOP_LEVEL = frozenset({"apiVersion", "kind", "metadata", "spec", "status"})
METADATA = frozenset(
    {
        *("name", "generateName", "namespace", "labels", "annotations", "finalizers", "ownerReferences"),
        *("uid", "resourceVersion", "generation", "creationTimestamp", "managedFields", "selfLink"),
        *("deletionTimestamp", "deletionGracePeriodSeconds"),
    }
)
_NAME = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_DATE_TIME = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)")


def validate(raw: JSON, schema: Schema) -> tuple[Problem, ...]:
    """Every reason for which an API server would refuse a decoded document; empty where it would not.

    `schema`: of spec, as policy/crd has it.
    """
    if not isinstance(raw, dict):
        return (Problem("", f"write an object of kind {KIND}, not {_shown(raw)}"),)
    return tuple(_envelope(raw)) + tuple(_spec(raw, schema))


def _envelope(raw: dict[str, Any]) -> Iterator[Problem]:
    for name, expected in (("apiVersion", API_VERSION), ("kind", KIND)):
        if raw.get(name) != expected:
            yield Problem(name, f"write {expected}, not {_shown(raw.get(name))}")
    for name in _unknown(raw, TOP_LEVEL):
        yield Problem(name, "unknown field: remove it, or move it into spec")
    metadata = raw.get("metadata")
    if not isinstance(metadata, dict):
        yield Problem("metadata", "write an object with a name")
        return
    for name in _unknown(metadata, METADATA):
        yield Problem(f"metadata.{name}", "unknown field: remove it")
    policy = metadata.get("name", "")
    if not isinstance(policy, str) or len(policy) > 253 or not _NAME.fullmatch(policy):
        yield Problem("metadata.name", "write a name of lower case letters, digits, '-' and '.'")


def _unknown(value: Mapping[str, Any], known: frozenset[str]) -> list[str]:
    return sorted(str(name) for name in value if name not in known)


def _spec(raw: dict[str, Any], schema: Schema) -> Iterator[Problem]:
    if raw.get("spec") is None:
        yield Problem("spec", "is required")
    else:
        yield from _walk(schema, raw["spec"], "spec")


def _walk(schema: Schema, value: JSON, path: str) -> Iterator[Problem]:
    kind = _INT_OR_STRING if schema.get("x-kubernetes-int-or-string") else schema["type"]
    if not _TYPES[kind](value):
        yield Problem(path, f"write {_NOUNS[kind]}, not {_shown(value)}")
        return
    found = [*_enum(schema, value, path), *_CHECKS[kind](schema, value, path)]
    yield from found
    # a rule may rely on the types and bounds of what it looks at
    if not found:
        yield from broken_rules(schema, value, path)


def _enum(schema: Schema, value: JSON, path: str) -> Iterator[Problem]:
    if value not in schema.get("enum", (value,)):
        yield Problem(path, f"write one of {', '.join(schema['enum'])}, not {_shown(value)}")


def _object(schema: Schema, value: dict[str, Any], path: str) -> Iterator[Problem]:
    fields, rest = schema.get("properties", {}), schema.get("additionalProperties")
    if len(value) > schema.get("maxProperties", len(value)):
        yield Problem(path, f"write at most {schema['maxProperties']} fields, not {len(value)}")
    for name in schema.get("required", ()):
        if value.get(name) is None:
            yield Problem(f"{path}.{name}", "is required")
    for name, entry in value.items():
        field = fields.get(name, rest)
        if field is None:
            known = ", ".join(fields)
            yield Problem(f"{path}.{name}", f"unknown field: remove it, or write one of {known}")
        elif entry is not None:  # to the API server, a field that is null is absent
            yield from _walk(field, entry, f"{path}.{name}")


def _array(schema: Schema, value: list[JSON], path: str) -> Iterator[Problem]:
    least, most = schema.get("minItems", 0), schema["maxItems"]
    if len(value) < least:
        yield Problem(path, f"write at least {least} entry, or leave {path.rpartition('.')[2]} out")
    if len(value) > most:
        yield Problem(path, f"write at most {most} entries, not {len(value)}")
    for index, entry in enumerate(value):
        yield from _walk(schema["items"], entry, f"{path}[{index}]")
    yield from _duplicates(schema, value, path)


def _duplicates(schema: Schema, value: list[JSON], path: str) -> Iterator[Problem]:
    keys = schema.get("x-kubernetes-list-map-keys", ())
    if schema.get("x-kubernetes-list-type") not in ("set", "map"):
        return
    seen: list[JSON] = []
    for index, entry in enumerate(value):
        identity = {key: entry.get(key) for key in keys} if keys and isinstance(entry, dict) else entry
        if identity in seen:
            yield Problem(
                f"{path}[{index}]", f"remove this second entry: {_shown(identity)} is there already"
            )
        seen.append(identity)


def _string(schema: Schema, value: str, path: str) -> Iterator[Problem]:
    if len(value) < schema.get("minLength", 0):
        yield Problem(path, f"write at least {schema['minLength']} character")
    if len(value) > schema.get("maxLength", len(value)):
        yield Problem(path, f"write at most {schema['maxLength']} characters, not {len(value)}")
    if schema.get("format") == "date-time" and not _is_date_time(value):
        yield Problem(path, f'write a time with its offset, as "2026-11-26T00:00:00Z", not {_shown(value)}')
    elif "pattern" in schema and not _pattern(schema["pattern"]).search(value):
        yield Problem(path, f"write what matches {schema['pattern']}, not {_shown(value)}")


def _integer(schema: Schema, value: float, path: str) -> Iterator[Problem]:
    least, most = schema["minimum"], schema["maximum"]
    if not least <= value <= most:
        yield Problem(path, f"write a whole number from {least} to {most}, not {_shown(value)}")


def _int_or_string(schema: Schema, value: float | str, path: str) -> Iterator[Problem]:
    """Bounds hold for a number, length and pattern for a string, as the API server has it."""
    return _string(schema, value, path) if isinstance(value, str) else _integer(schema, value, path)


def _boolean(_schema: Schema, _value: bool, _path: str) -> Iterator[Problem]:
    return iter(())


@cache
def _pattern(text: str) -> re.Pattern[str]:
    # in Go "$" is the end of the text, in Python also the newline before it
    return re.compile(re.sub(r"\$$", r"\\Z", text))


def _is_date_time(value: str) -> bool:
    if not _DATE_TIME.fullmatch(value):
        return False
    try:
        datetime.fromisoformat(value.upper())
    except ValueError:
        return False
    return True


def _shown(value: JSON) -> str:
    """The value as an error shows it, cut where it is long."""
    text = "null" if value is None else repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


_INT_OR_STRING = "integer or string"

_TYPES: dict[str, Callable[[JSON], bool]] = {
    "object": lambda value: isinstance(value, dict),
    "array": lambda value: isinstance(value, list),
    "string": lambda value: isinstance(value, str),
    "integer": lambda value: (
        not isinstance(value, bool)
        and (isinstance(value, int) or (isinstance(value, float) and value.is_integer()))
    ),
    "boolean": lambda value: isinstance(value, bool),
}
_TYPES[_INT_OR_STRING] = lambda value: _TYPES["integer"](value) or isinstance(value, str)
_NOUNS = {
    _INT_OR_STRING: "a whole number or a string",
    "object": "an object",
    "array": "a list",
    "string": "a string, in quotes",
    "integer": "a whole number",
    "boolean": "true or false",
}
_CHECKS: dict[str, Callable[[Schema, Any, str], Iterator[Problem]]] = {
    "object": _object,
    "array": _array,
    "string": _string,
    "integer": _integer,
    "boolean": _boolean,
    _INT_OR_STRING: _int_or_string,
}
