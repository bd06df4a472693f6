"""Giving leaves back: the JSON patch that restores what was there before us, atomically.

Not "apply without the field": that lets a field fall to its default, or answers 422 for ever (measured). One patch,
guarded by resourceVersion, writes the previous values, and drops or rewrites our annotation; the next lets go.
Used by run/apply with a freshly read object, and by `kubectl resilience revert`.
"""

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from resilience_operator.cluster.leaves import API_DEFAULTS, GRACE
from resilience_operator.core.paths import ABSENT, Path, entry_index
from resilience_operator.core.state import ANNOTATION, FIELD_MANAGER, Held, ObjectState, encode
from resilience_operator.engine.patch import Op, escaped


@dataclass(frozen=True, slots=True)
class Withdrawal:
    """The patch, the written paths that it gives back, and those left alone because somebody changed them since."""

    ops: tuple[Op, ...]
    given_back: tuple[str, ...]
    left_alone: tuple[str, ...]


def withdraw(raw: Mapping[str, Any], leaves: Mapping[str, Held], after: ObjectState) -> Withdrawal:
    """The patch that gives `leaves` (written path -> what we hold) back on the freshly read object `raw`.

    `after`: our state on the object afterwards; where it is empty, the annotation goes.
    """
    # Not of metadata, in which others may nest as deep as they like.
    roots = {Path.parse(text).steps[0].field for text in leaves}
    restored = {root: copy.deepcopy(raw[root]) for root in roots if root in raw}
    given_back, left_alone = [], []
    for text, held in sorted(leaves.items()):
        path = Path.parse(text)
        if path.read(raw) != held.set:
            left_alone.append(text)
            continue
        _restore(restored, path, held)
        given_back.append(text)
    if str(GRACE) in given_back and _sleeps_too_long(restored):
        # Somebody's own sleep needs the time that we gave: the API server would refuse the shorter one.
        restored["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] = leaves[str(GRACE)].set
        given_back.remove(str(GRACE))
        left_alone.append(str(GRACE))
    ops: list[Op] = [_test(raw)]
    ops += _value_ops(raw, restored, given_back)
    ops += _annotation_ops(raw, after)
    return Withdrawal(tuple(ops), tuple(given_back), tuple(left_alone))


def let_go(raw: Mapping[str, Any]) -> tuple[Op, ...]:
    """The second, value-free patch: takes every entry of ours out of managedFields; () where there is none.

    By index, with a test of the manager: beside status updates a test of resourceVersion would often fail (measured).
    """
    entries = raw["metadata"].get("managedFields") or []
    mine = [
        index
        for index, entry in enumerate(entries)
        if entry.get("manager") == FIELD_MANAGER and not entry.get("subresource")
    ]
    return tuple(
        op
        for index in reversed(mine)
        for op in (
            {"op": "test", "path": f"/metadata/managedFields/{index}/manager", "value": FIELD_MANAGER},
            {"op": "remove", "path": f"/metadata/managedFields/{index}"},
        )
    )


def _test(raw: Mapping[str, Any]) -> Op:
    return {"op": "test", "path": "/metadata/resourceVersion", "value": raw["metadata"]["resourceVersion"]}


def _restore(root: dict[str, Any], path: Path, held: Held) -> None:
    """Write the previous value, or remove the leaf and the ancestors that were absent and are empty again."""
    chain: list[tuple[Any, Any]] = []
    at: Any = root
    for step in path.steps:
        chain.append((at, step.field))
        at = at[step.field]
        if step.keys:
            index = entry_index(at, step.keys)
            chain.append((at, index))
            at = at[index]
    parent, key = chain[-1]
    if held.was is not ABSENT:
        parent[key] = copy.deepcopy(held.was)
        return
    del parent[key]
    for parent, key in reversed(chain[_links(path, held.depth) : -1]):
        if parent[key]:
            return
        del parent[key]


def _links(path: Path, depth: int) -> int:
    """How many links of the chain lead through the first `depth` steps: a keyed step has two."""
    return sum(2 if step.keys else 1 for step in path.steps[:depth])


def _sleeps_too_long(root: Mapping[str, Any]) -> bool:
    """True where a native sleep is longer than the grace period: an invalid pod (API validation of lifecycle.sleep)."""
    spec = root["spec"]["template"]["spec"]
    hooks = (one.get("lifecycle", {}).get("preStop", {}).get("sleep", {}) for one in spec["containers"])
    grace = spec.get("terminationGracePeriodSeconds", API_DEFAULTS[GRACE])
    return any(hook.get("seconds", 0) > grace for hook in hooks)


_GRAIN = ("terminationGracePeriodSeconds", "topologySpreadConstraints", "dnsConfig")


def _value_ops(raw: Mapping[str, Any], restored: Mapping[str, Any], given_back: list[str]) -> list[Op]:
    """Replace or remove what differs: of a Deployment's template whole fields, else the leaves themselves."""
    ops = _template_ops(raw, restored) if any(Path.parse(text).in_template for text in given_back) else []
    outside = (path for path in map(Path.parse, given_back) if not path.in_template)
    return ops + [op for path in outside for op in _leaf_ops(raw, restored, path)]


def _leaf_ops(raw: Mapping[str, Any], restored: Mapping[str, Any], path: Path) -> list[Op]:
    """Replace one leaf, or remove it with those of its ancestors that are not to be there either."""
    pointer, before, after = "", raw, restored
    for step in path.steps:
        pointer += f"/{escaped(step.field)}"
        if step.field not in after:
            return [{"op": "remove", "path": pointer}]
        before, after = before[step.field], after[step.field]
        if step.keys:
            index, kept = entry_index(before, step.keys), entry_index(after, step.keys)
            pointer += f"/{index}"
            if index is None or kept is None:
                return [{"op": "remove", "path": pointer}]
            before, after = before[index], after[kept]
    return [] if before == after else [{"op": "replace", "path": pointer, "value": after}]


def _template_ops(raw: Mapping[str, Any], restored: Mapping[str, Any]) -> list[Op]:
    """Replace or remove each field of the pod spec that differs, containers by their lifecycle alone."""
    before, after = raw["spec"]["template"]["spec"], restored["spec"]["template"]["spec"]
    ops = [op for name in _GRAIN for op in _field_op(f"/spec/template/spec/{name}", before, after, name)]
    for index, (old, new) in enumerate(zip(before["containers"], after["containers"], strict=True)):
        for name in ("lifecycle", "command", "args"):
            ops += _field_op(f"/spec/template/spec/containers/{index}/{name}", old, new, name)
    return ops


def _field_op(pointer: str, before: Mapping[str, Any], after: Mapping[str, Any], name: str) -> list[Op]:
    if before.get(name, ABSENT) == after.get(name, ABSENT):
        return []
    if name not in after:
        return [{"op": "remove", "path": pointer}]
    return [{"op": "replace", "path": pointer, "value": after[name]}]


def _annotation_ops(raw: Mapping[str, Any], after: ObjectState) -> list[Op]:
    pointer = "/metadata/annotations/" + ANNOTATION.replace("~", "~0").replace("/", "~1")
    present = ANNOTATION in raw["metadata"].get("annotations", {})
    if after:
        if not raw["metadata"].get("annotations"):
            return [{"op": "add", "path": "/metadata/annotations", "value": {ANNOTATION: encode(after)}}]
        return [{"op": "replace" if present else "add", "path": pointer, "value": encode(after)}]
    return [{"op": "remove", "path": pointer}] if present else []
