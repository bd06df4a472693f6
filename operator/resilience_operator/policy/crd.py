"""The CustomResourceDefinition, printed from the structs that declare the policy. Called by cli.

What is no field of spec (names, columns, status) lies in data/crd.yaml. crds/resiliencepolicies.yaml is what
`make docs` prints; a test fails on a difference.
"""

import ast
import sys
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.resources import files
from inspect import cleandoc, getsource
from itertools import pairwise
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
    spec: Schema = {"description": "What is demanded, of what, and how carefully it is enforced."}
    spec |= _schema(inspect.type_info(spec_struct(catalog)))
    for section, target in catalog.targets.items():
        spec["properties"][section] = {"description": _paragraph(target.settings.__doc__)} | spec[
            "properties"
        ][section]
    root["properties"] |= {"spec": spec, "status": said}
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
            return {"type": "array"} | _said(bounds) | {"items": _entry(kind.item_type)}
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
    said = _described(cls)
    required = [field.encode_name for field in kind.fields if field.required]
    rules = [rule.schema for rule in cls.cel]
    properties = {field.encode_name: _field(field, said.get(field.name, "")) for field in kind.fields}
    return {
        "type": "object",
        **({"required": required} if required else {}),
        **cls.schema,
        "properties": properties,
        **({"x-kubernetes-validations": rules} if rules else {}),
    }


def _field(field: inspect.Field, said: str) -> Schema:
    """A field with its description, the string under it."""
    schema = _schema(field.type)
    return {"description": said} | schema if said else schema


def _entry(kind: inspect.Type) -> Schema:
    """An entry of a list; a struct is described by its docstring."""
    schema = _schema(kind)
    return (
        {"description": _paragraph(kind.cls.__doc__)} | schema
        if isinstance(kind, inspect.StructType)
        else schema
    )


def _paragraph(text: str | None) -> str:
    """The first paragraph of a docstring, on one line."""
    return " ".join(cleandoc(text or "").partition("\n\n")[0].split())


def _described(cls: type[Settings]) -> dict[str, str]:
    """Field -> its description, the string under it, of a struct and of those that it is made on."""
    said: dict[str, str] = {}
    for each in reversed([one for one in cls.__mro__ if issubclass(one, Settings)]):
        body = _classes(each.__module__).get(each.__name__, ())
        for one, following in pairwise(body):
            if isinstance(one, ast.AnnAssign) and isinstance(one.target, ast.Name):
                text = following.value if isinstance(following, ast.Expr) else None
                if isinstance(text, ast.Constant) and isinstance(text.value, str):
                    said[one.target.id] = _paragraph(text.value)
    return said


@cache
def _classes(module: str) -> Mapping[str, Sequence[ast.stmt]]:
    """Class -> its statements, of a module that declares settings."""
    parsed = ast.parse(getsource(sys.modules[module]))
    return {node.name: node.body for node in parsed.body if isinstance(node, ast.ClassDef)}


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
