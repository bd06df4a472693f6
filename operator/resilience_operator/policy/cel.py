"""The CEL rules of our own schema, evaluated as the API server does. Called by policy/validate.

Separate from it because only this module knows the CEL library. Rules are compiled at their first use: the
operator itself, which leaves validation to the API server, pays nothing for them.
"""

import sys
from collections.abc import Iterator, Mapping
from datetime import datetime
from functools import cache
from typing import Any

import celpy
from celpy import celtypes
from celpy.adapter import json_to_cel
from celpy.evaluation import CELEvalError

from resilience_operator.core.paths import JSON
from resilience_operator.policy.common import Problem


def broken_rules(schema: Mapping[str, Any], value: JSON, path: str) -> Iterator[Problem]:
    """The rules of one schema node that `value`, which fits the rest of the schema, breaks."""
    rules = schema.get("x-kubernetes-validations", ())
    if not rules:
        return
    self = _as_cel(schema, value)
    for rule in rules:
        if not _holds(rule["rule"], self):
            yield Problem(path + rule.get("fieldPath", ""), rule["message"])


def _holds(rule: str, self: celtypes.Value) -> bool:
    try:
        return bool(_compiled(rule).evaluate({"self": self}))
    except CELEvalError:
        # the API server refuses as well where a rule cannot be evaluated
        return False


@cache
def _compiled(rule: str) -> celpy.Runner:
    environment = _environment()
    return environment.program(environment.compile(rule))


@cache
def _environment() -> celpy.Environment:
    # the library raises the interpreter's recursion limit, which is not its to change
    limit = sys.getrecursionlimit()
    environment = celpy.Environment()
    sys.setrecursionlimit(limit)
    return environment


def _as_cel(schema: Mapping[str, Any], value: JSON) -> celtypes.Value:
    """The value with the types that the API server gives it: a date-time is a timestamp, null is absent."""
    match value:
        case dict():
            fields = schema.get("properties", {})
            rest = schema.get("additionalProperties", {})
            return celtypes.MapType(
                {
                    celtypes.StringType(name): _as_cel(fields.get(name, rest), entry)
                    for name, entry in value.items()
                    if entry is not None
                }
            )
        case list():
            return celtypes.ListType([_as_cel(schema.get("items", {}), entry) for entry in value])
        case str() if schema.get("format") == "date-time":
            return celtypes.TimestampType(datetime.fromisoformat(value.upper()))
        case float() if value.is_integer():
            return celtypes.IntType(int(value))
    return json_to_cel(value)
