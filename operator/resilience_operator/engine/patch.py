"""The JSON patch (RFC 6902) that sets leaves of an object that others made. Made by engine/change for api/write.

Decided on what was observed: its first operations test uid and resourceVersion, so the indices of list entries are
right or the patch is refused. A patch leaves the order of the owner's containers as it is; an apply would not.
"""

import copy
from collections.abc import Iterable, Mapping
from typing import Any

from resilience_operator.core.paths import JSON, Path, Step, entry_index

Op = dict[str, JSON]
"""One operation of a JSON patch."""


def preconditions(uid: str, resource_version: str) -> list[Op]:
    """The tests that hold a patch to the object, and the version of it, that was decided on."""
    return [
        {"op": "test", "path": "/metadata/uid", "value": uid},
        {"op": "test", "path": "/metadata/resourceVersion", "value": resource_version},
    ]


def patch(outline: Mapping[str, Any], leaves: Mapping[Path, JSON], removed: Iterable[Path] = ()) -> list[Op]:
    """The operations that remove and set these leaves; `outline`: of the object what lies on the way to any leaf."""
    root: dict[str, Any] = copy.deepcopy(dict(outline))
    ops = [op for path in sorted(removed) for op in _remove(root, path)]
    return ops + [op for path in sorted(leaves) for op in _set(root, path, leaves[path])]


def annotate(annotations: Mapping[str, str] | None, name: str, text: str) -> list[Op]:
    """The operation that sets an annotation; `annotations`: those that are known, None where there are none at all."""
    if annotations is None:
        return [{"op": "add", "path": "/metadata/annotations", "value": {name: text}}]
    return [{"op": "add", "path": f"/metadata/annotations/{escaped(name)}", "value": text}]


def escaped(name: str) -> str:
    """A field's name as a step of a JSON pointer (RFC 6901)."""
    return name.replace("~", "~0").replace("/", "~1")


def _set(root: dict[str, Any], path: Path, value: JSON) -> list[Op]:
    """Set one leaf, and note it in `root`; what is missing on the way is made in the same operation."""
    at, pointer = root, ""
    for number, step in enumerate(path.steps):
        rest = path.steps[number + 1 :]
        pointer += f"/{escaped(step.field)}"
        if step.field not in at or (not step.keys and not rest):
            at[step.field] = _made(step, rest, value)
            return [{"op": "add", "path": pointer, "value": copy.deepcopy(at[step.field])}]
        at = at[step.field]
        if step.keys:
            entries: list[Any] = at
            index = entry_index(entries, step.keys)
            if index is None:
                entries.append(_entry(step, rest, value))
                return [{"op": "add", "path": f"{pointer}/-", "value": copy.deepcopy(entries[-1])}]
            pointer += f"/{index}"
            if not rest:
                entries[index] = value
                return [{"op": "replace", "path": pointer, "value": copy.deepcopy(value)}]
            at = entries[index]
    return []


def _made(step: Step, rest: tuple[Step, ...], value: JSON) -> JSON:
    """What a missing field becomes, with the leaf in it."""
    return [_entry(step, rest, value)] if step.keys else _inner(rest, value)


def _entry(step: Step, rest: tuple[Step, ...], value: JSON) -> JSON:
    return {**dict(step.keys), **_inner(rest, value)}


def _inner(rest: tuple[Step, ...], value: JSON) -> JSON:
    return {rest[0].field: _made(rest[0], rest[1:], value)} if rest else value


def _remove(root: dict[str, Any], path: Path) -> list[Op]:
    """Remove one leaf, and the list with its last entry; nothing where it is not there."""
    chain: list[tuple[Any, str | int, str]] = []
    at: Any = root
    pointer = ""
    for step in path.steps:
        if not isinstance(at, dict) or step.field not in at:
            return []
        pointer += f"/{escaped(step.field)}"
        chain.append((at, step.field, pointer))
        at = at[step.field]
        if step.keys:
            index = entry_index(at, step.keys)
            if index is None:
                return []
            pointer += f"/{index}"
            chain.append((at, index, pointer))
            at = at[index]
    if isinstance(chain[-1][0], list) and len(chain[-1][0]) == 1:
        chain.pop()
    parent, key, pointer = chain[-1]
    del parent[key]
    return [{"op": "remove", "path": pointer}]
