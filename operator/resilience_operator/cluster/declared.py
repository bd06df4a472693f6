"""What is kept of an object whose writable leaves a target declares as patterns: all of it follows from the patterns.

Who owns a leaf (managedFields), who chose it (last-applied-configuration), and the part of the object that a JSON patch
needs. Used by targets for what they keep of an object (cluster/objects/declared).
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import msgspec

from resilience_operator.cluster.last_applied import LAST_APPLIED
from resilience_operator.cluster.objects.meta import Claim
from resilience_operator.core.paths import JSON, entry_index
from resilience_operator.core.state import ANNOTATION
from resilience_operator.core.target import Found, Leaf

NOTHING: frozenset[str] = frozenset()

MAX_ENTRIES = 256
"""Entries of one list that are looked at; a longer one is somebody's mistake, or an attack on us."""


class OwnedFields(msgspec.Struct, gc=False):
    """One entry of metadata.managedFields, its fields as they are."""

    manager: str = ""
    operation: str = ""
    subresource: str = ""
    time: str = ""
    fields: dict[str, Any] | None = msgspec.field(default=None, name="fieldsV1")


def tree(found: JSON, leaves: Iterable[Leaf]) -> dict[str, JSON]:
    """Of an object in the API's form what lies on the way to its leaves; entries of keyed lists keep their place."""
    kept: dict[str, JSON] = {}
    for leaf in leaves:
        _keep(kept, found, leaf.steps)
    return kept


def _keep(kept: dict[str, JSON], found: JSON, steps: tuple[tuple[str, tuple[str, ...]], ...]) -> None:
    (field, keys), rest = steps[0], steps[1:]
    if not isinstance(found, Mapping) or field not in found:
        return
    below = found[field]
    if not rest and not keys:
        kept[field] = below
    elif not keys:
        _keep(kept.setdefault(field, {}), below, rest)
    elif isinstance(below, list):
        entries = kept.setdefault(field, [{} for _ in below])
        for entry, one in zip(entries, below, strict=True):
            if isinstance(one, Mapping):
                entry.update({key: one[key] for key in keys if key in one})
                if rest:
                    _keep(entry, one, rest)


def claims(entries: Iterable[OwnedFields], leaves: tuple[Leaf, ...]) -> tuple[Claim, ...]:
    """What each manager owns of these leaves; of a subresource's only where it owns one."""
    made = []
    for entry in entries:
        owned = frozenset(str(path) for leaf in leaves for path in leaf.paths(entry.fields or {}, _owned))
        annotations = _below(_below(entry.fields or {}, "f:metadata"), "f:annotations")
        state = f"f:{ANNOTATION}" in annotations
        if owned or state or not entry.subresource:
            named = (entry.manager, entry.operation, entry.subresource, entry.time)
            made.append(Claim(*named, owned, state))
    return tuple(made)


def chosen(
    annotations: Mapping[str, str], owners: Iterable[Claim], leaves: tuple[Leaf, ...]
) -> frozenset[str]:
    """The leaves that stand in last-applied-configuration, also as `path=value`.

    One that cannot be read hides what was chosen: then everything that anybody owns counts as chosen.
    """
    text = annotations.get(LAST_APPLIED)
    if not text:
        return NOTHING
    try:
        applied = msgspec.json.decode(text)
    except msgspec.DecodeError:
        return NOTHING.union(*(claim.leaves for claim in owners))
    paths = [path for leaf in leaves for path in leaf.paths(applied, _present)]
    return frozenset(map(str, paths)) | {f"{path}={path.read(applied)}" for path in paths}


def _present(found: JSON, field: str, keys: tuple[str, ...]) -> Iterator[Found]:
    """Of an object in the API's form."""
    if not isinstance(found, Mapping) or field not in found:
        return
    if not keys:
        yield (), found[field]
        return
    entries = found[field]
    for entry in entries[:MAX_ENTRIES] if isinstance(entries, list) else ():
        pairs = tuple((key, str(entry.get(key, ""))) for key in keys) if isinstance(entry, Mapping) else ()
        if pairs and entry_index(entries, pairs) is not None:
            yield pairs, entry


def _owned(found: JSON, field: str, keys: tuple[str, ...]) -> Iterator[Found]:
    """Of managedFields (FieldsV1: `f:` a field, `k:` the keys of a list's entry)."""
    below = _below(found, f"f:{field}")
    if not keys:
        if isinstance(found, Mapping) and f"f:{field}" in found:
            yield (), below
        return
    for number, (element, entry) in enumerate(below.items()):
        named = _keys_of(element) if number < MAX_ENTRIES else {}
        if named.keys() == set(keys):
            yield tuple((key, str(named[key])) for key in keys), entry


def _keys_of(element: str) -> Mapping[str, JSON]:
    if not element.startswith("k:"):
        return {}
    try:
        named = json.loads(element[2:])
    except ValueError:
        return {}
    return named if isinstance(named, dict) else {}


def _below(found: JSON, field: str) -> Mapping[str, JSON]:
    below = found.get(field) if isinstance(found, Mapping) else None
    return below if isinstance(below, Mapping) else {}
