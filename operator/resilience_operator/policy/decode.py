"""A ResiliencePolicy from what the API server or a file gave, by the structs that declare its fields.

Called through targets.parse by policy handlers and the command line. Tolerant where the schema is strict: what an API
server accepted (perhaps with the schema of a newer version) never raises here. What cannot be honoured is a Problem,
and a policy with problems writes nothing. Each field is read by itself, so that no problem hides another one.
"""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, time
from functools import cache
from typing import Any, TypeVar, cast

import msgspec
from msgspec import inspect

from resilience_operator.core.paths import JSON
from resilience_operator.core.target import Catalog
from resilience_operator.policy.common import OnRelease, Problem, Settings, spec_struct
from resilience_operator.policy.policy import Policy

RETRY = "resilience.dev/retry"
"""Annotation of a policy: counted up by `kubectl resilience retry`."""

_Kind = TypeVar("_Kind", bound=Settings)


class _Unreadable:
    """In the place of a value that cannot be read."""


_UNREADABLE = _Unreadable()


class Metadata(Settings, frozen=True):
    """What is read of a policy's metadata."""

    open = True

    name: str = ""
    uid: str = ""
    generation: int = 0
    labels: dict[str, str] = {}
    finalizers: tuple[str, ...] = ()
    deletion_timestamp: str | None = None


def parse(raw: Mapping[str, Any], catalog: Catalog) -> tuple[Policy, tuple[Problem, ...]]:
    """Read a decoded ResiliencePolicy of the declared targets; never raises on one that an API server accepted.

    With problems the policy is suspended and retains what it holds: half a policy must not write, and a
    selector that cannot be read must not give values back either.
    """
    problems: list[Problem] = []
    meta = read(Metadata, _part(raw, "metadata", problems), "metadata", problems)
    source = _part(raw, "spec", problems)
    spec = read(spec_struct(catalog), source, "spec", problems)
    said = msgspec.structs.asdict(spec)
    asked = {name: said.pop(name) for name in catalog.targets}
    sections = {name: section for name, section in asked.items() if section is not None}
    example = next(iter(catalog.targets), "")
    policy = Policy(
        name=meta.name,
        uid=meta.uid,
        generation=meta.generation,
        digest=digest(source),
        labels=tuple(sorted(meta.labels.items())),
        finalizers=meta.finalizers,
        deleting=meta.deletion_timestamp is not None,
        **said,
        sections=sections,
        warnings=() if sections else (f"spec has no section, such as {example}: nothing is judged",),
        catalog=catalog,
    )
    if problems:
        policy = replace(policy, suspend=True, on_release=OnRelease.RETAIN)
    policy = replace(policy, digest=_retried(policy.digest, raw))
    return policy, tuple(dict.fromkeys(problems))


def _retried(before: str, raw: Mapping[str, Any]) -> str:
    """The digest with the number of `kubectl resilience retry`: what failed or was refused counts no more."""
    meta = raw.get("metadata")
    notes = meta.get("annotations") if isinstance(meta, Mapping) else None
    number = notes.get(RETRY) if isinstance(notes, Mapping) else None
    return digest({"spec": before, "retry": number}) if number else before


def digest(spec: Mapping[str, Any]) -> str:
    """12 hexadecimal digits that are equal where spec is equal, whatever the order of its fields."""
    canonical = json.dumps(spec, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(canonical.encode()).hexdigest()[:12]


def read(kind: type[_Kind], source: Mapping[str, Any], path: str, problems: list[Problem]) -> _Kind:
    """An object whose fields have defaults; what cannot be read is noted in `problems`, and has its default."""
    found = _object(_type_of(kind), source, path, problems)
    return kind() if isinstance(found, _Unreadable) else cast("_Kind", found)


def _part(raw: Mapping[str, Any], name: str, problems: list[Problem]) -> Mapping[str, Any]:
    value = raw.get(name)
    if isinstance(value, Mapping):
        return value
    if value is not None:
        problems.append(Problem(name, f"write an object, not {value!r}"))
    return {}


@cache
def _type_of(kind: type[Settings]) -> inspect.StructType:
    return cast("inspect.StructType", inspect.type_info(kind))


def _object(kind: inspect.StructType, source: JSON, path: str, problems: list[Problem]) -> object:
    """The struct that `source` says, or _UNREADABLE where it lacks a required field."""
    if not isinstance(source, Mapping):
        problems.append(Problem(path, f"write an object, not {source!r}"))
        return _UNREADABLE
    cls = cast("type[Settings]", kind.cls)
    values: dict[str, Any] = {}
    whole = True
    for field in kind.fields:
        at, value = (
            f"{path}.{field.encode_name}" if path else field.encode_name,
            source.get(field.encode_name),
        )
        if value is None and field.required:
            problems.append(Problem(at, "is required"))
        found = _UNREADABLE if value is None else _value(field.type, value, at, problems)
        if not isinstance(found, _Unreadable):
            values[field.name] = found
        whole = whole and (field.name in values or not field.required)
    known = {field.encode_name for field in kind.fields}
    if not cls.open:
        message = "this operator does not know this field: remove it, or update the operator"
        problems.extend(Problem(f"{path}.{name}", message) for name in source if name not in known)
    if not whole:
        return _UNREADABLE
    made = cls(**values)
    problems.extend(Problem(f"{path}.{name}", message) for name, message in made.unknown())
    return made.usable()


def _value(kind: inspect.Type, value: JSON, path: str, problems: list[Problem]) -> object:
    """The value of a field, or _UNREADABLE, with the problem noted."""
    kind, extra = _unwrapped(kind)
    if isinstance(kind, inspect.UnionType):
        kinds = [one for one in kind.types if not isinstance(one, inspect.NoneType)]
        if len(kinds) == 1:
            return _value(kinds[0], value, path, problems)
    if isinstance(kind, inspect.StructType):
        return _object(kind, value, path, problems)
    if isinstance(kind, inspect.VarTupleType):
        return _list(kind.item_type, value, path, problems)
    found, message = _leaf(kind, value, tuple(extra.get("enum", ())))
    if message:
        problems.append(Problem(path, message))
        return _UNREADABLE
    return found


def _unwrapped(kind: inspect.Type) -> tuple[inspect.Type, Mapping[str, Any]]:
    """A type, and the keywords that its declaration adds to its schema."""
    extra: Mapping[str, Any] = {}
    while isinstance(kind, inspect.Metadata):
        extra, kind = {**(kind.extra_json_schema or {}), **extra}, kind.type
    return kind, extra


def _list(item: inspect.Type, value: JSON, path: str, problems: list[Problem]) -> object:
    """A list; entries that cannot be read are left out."""
    inner, extra = _unwrapped(item)
    if not isinstance(inner, inspect.StructType):
        if not isinstance(value, list) or not all(isinstance(entry, str) for entry in value):
            problems.append(Problem(path, "write a list of strings"))
            return _UNREADABLE
        known = extra.get("enum", value)
        for index, entry in enumerate(value):
            if entry not in known:
                problems.append(
                    Problem(f"{path}[{index}]", f"write one of {', '.join(known)}, not {entry!r}")
                )
        return tuple(entry for entry in value if entry in known)
    if not isinstance(value, list):
        problems.append(Problem(path, f"write a list of objects, not {value!r}"))
        return _UNREADABLE
    entries = (_object(inner, entry, f"{path}[{index}]", problems) for index, entry in enumerate(value))
    return tuple(entry for entry in entries if not isinstance(entry, _Unreadable))


def _leaf(kind: inspect.Type, value: JSON, known: tuple[str, ...]) -> tuple[object, str]:
    """The value of a field that is neither an object nor a list, and what to write instead where it cannot be read."""
    match kind:
        case inspect.BoolType():
            return value, "" if isinstance(value, bool) else f"write true or false, not {value!r}"
        case inspect.IntType():
            return _whole(kind, value)
        case inspect.UnionType():
            return value, _amount(kind, value)
        case inspect.DictType():
            return _labels(value)
    if not isinstance(value, str):
        return None, f"write a string, in quotes, not {value!r}"
    if isinstance(kind, inspect.EnumType):
        known = tuple(str(one.value) for one in kind.cls)
    if known and value not in known:
        return None, f"write one of {', '.join(known)}; this operator does not know {value!r}"
    match kind:
        case inspect.EnumType():
            return kind.cls(value), ""
        case inspect.TimeType():
            return _clock(value)
        case inspect.DateTimeType():
            return _moment(value)
    return value, ""


def _whole(kind: inspect.IntType, value: JSON) -> tuple[int, str]:
    """A whole number within its bounds; JSON's 1.0 is one."""
    number = int(value) if isinstance(value, float) and value.is_integer() else value
    if isinstance(number, bool) or not isinstance(number, int):
        return 0, f"write a whole number, not {value!r}"
    least, most = kind.ge, kind.le
    if least is not None and most is not None and not least <= number <= most:
        return 0, f"write a whole number from {least} to {most}, not {value!r}"
    return number, ""


def _amount(kind: inspect.UnionType, value: JSON) -> str:
    """What to write instead of a number or text (IntOrString) that is out of bounds."""
    for one in kind.types:
        if isinstance(one, inspect.IntType) and not _whole(one, value)[1]:
            return ""
        if (
            isinstance(one, inspect.StrType)
            and isinstance(value, str)
            and re.fullmatch(one.pattern or "", value)
        ):
            return ""
    return f'write a whole number or a percentage, as 1 or "10%", not {value!r}'


def _labels(value: JSON) -> tuple[dict[str, str], str]:
    """An object of strings; a field that is null is absent."""
    if not isinstance(value, Mapping) or not all(isinstance(entry, str | None) for entry in value.values()):
        return {}, 'write an object of strings, as {team: "shop"}'
    return {str(key): entry for key, entry in value.items() if entry is not None}, ""


def _clock(value: str) -> tuple[time | None, str]:
    try:
        return datetime.strptime(value, "%H:%M").time(), ""  # noqa: DTZ007 (the zone is a field of its own)
    except ValueError:
        return None, f'write the time as "HH:MM" on a clock of 24 hours, not {value!r}'


def _moment(value: str) -> tuple[datetime | None, str]:
    try:
        moment = datetime.fromisoformat(value.upper())
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        return None, f'write a time with its offset, as "2026-11-26T00:00:00Z", not {value!r}'
    return moment, ""
