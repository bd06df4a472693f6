"""The CustomResourceDefinition, printed from the structs that declare the policy. Called by cli.

What is no field of spec (names, columns, status) lies in data/crd.yaml. crds/resiliencepolicies.yaml is what
`make docs` prints; a test fails on a difference.
"""

from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Any, cast

import yaml
from msgspec import inspect

from resilience_operator.core.target import Catalog
from resilience_operator.policy.common import Schema, Settings, spec_struct

HEAD = """\
# Printed by `make docs` from the settings of policy/common.py and of the targets; do not edit. The only schema of a
# ResiliencePolicy: the API server, `kubectl resilience check` and the documentation read it.
# Only spec.mode has a default here: a default further in would switch inheritance off. What is left out elsewhere
# gets its default in the operator, and the description says which.
"""


@cache
def crd(catalog: Catalog) -> dict[str, Any]:
    """The CustomResourceDefinition of a policy with the sections of these targets."""
    text = files("resilience_operator").joinpath("data/crd.yaml").read_text(encoding="utf-8")
    body: dict[str, Any] = yaml.safe_load(text)
    root = body["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    said = root["properties"].pop("status")
    spec = {"description": "What is demanded, of what, and how carefully it is enforced."}
    root["properties"] |= {"spec": spec | _schema(inspect.type_info(spec_struct(catalog))), "status": said}
    return body


def spec_schema(catalog: Catalog) -> Schema:
    """The schema of spec."""
    root = crd(catalog)["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    return cast("Schema", root["properties"]["spec"])


def printed(catalog: Catalog) -> str:
    """The CustomResourceDefinition as YAML."""
    return HEAD + yaml.dump(crd(catalog), Dumper=_Plain, sort_keys=False, width=116, allow_unicode=True)


class _Plain(yaml.SafeDumper):
    """Writes everything out: an alias would have to be followed by whoever reads the file."""

    def ignore_aliases(self, _data: Any) -> bool:
        return True


def _schema(kind: inspect.Type) -> Schema:
    match kind:
        case inspect.Metadata():
            extra = dict(kind.extra_json_schema or {})
            said = {"description": extra.pop("description")} if "description" in extra else {}
            return said | _schema(kind.type) | extra
        case inspect.UnionType():
            return _union([one for one in kind.types if not isinstance(one, inspect.NoneType)])
        case inspect.StructType():
            return _object(kind)
        case inspect.VarTupleType():
            bounds = {"minItems": kind.min_length, "maxItems": kind.max_length}
            return {"type": "array"} | _said(bounds) | {"items": _schema(kind.item_type)}
        case inspect.DictType():
            rest = {"additionalProperties": _schema(kind.value_type)}
            return {"type": "object"} | _said({"maxProperties": kind.max_length}) | rest
        case inspect.EnumType():
            return {"type": "string", "enum": [str(one.value) for one in kind.cls]}
        case inspect.IntType():
            return {"type": "integer", "format": "int32"} | _bounds(kind)
        case inspect.BoolType():
            return {"type": "boolean"}
        case inspect.StrType() | inspect.TimeType() | inspect.DateTimeType():
            return {"type": "string"} | _bounds(kind)
    raise TypeError(
        f"a field of a policy cannot be a {type(kind).__name__}: declare it as policy/common.py says"
    )


def _object(kind: inspect.StructType) -> Schema:
    cls = cast("type[Settings]", kind.cls)
    required = [field.encode_name for field in kind.fields if field.required]
    rules = [rule.schema for rule in cls.cel]
    return {
        "type": "object",
        **({"required": required} if required else {}),
        **cls.schema,
        "properties": {field.encode_name: _schema(field.type) for field in kind.fields},
        **({"x-kubernetes-validations": rules} if rules else {}),
    }


def _union(kinds: list[inspect.Type]) -> Schema:
    """One type, or a number or text."""
    if len(kinds) == 1:
        return _schema(kinds[0])
    schema: Schema = {"x-kubernetes-int-or-string": True}
    for kind in kinds:
        schema |= _bounds(kind)
    return schema


def _bounds(kind: inspect.Type) -> Schema:
    match kind:
        case inspect.IntType():
            return _said({"minimum": kind.ge, "maximum": kind.le})
        case inspect.StrType():
            return _said(
                {"minLength": kind.min_length, "maxLength": kind.max_length, "pattern": kind.pattern}
            )
    return {}


def _said(keywords: Mapping[str, Any]) -> Schema:
    return {name: value for name, value in keywords.items() if value is not None}
