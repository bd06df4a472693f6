"""The published leaves of a raw Deployment, written down once more: the product's own list does not test itself."""

import json
from typing import Any

Raw = dict[str, Any]
Leaf = tuple[str, ...]
"""("grace",), ("dns",), ("constraint", topologyKey, whenUnsatisfiable), ("hook", container), ("state",)."""

GRACE: Leaf = ("grace",)
DNS: Leaf = ("dns",)
STATE: Leaf = ("state",)
STATE_KEY = "resilience.dev/state"

PUBLISHED = frozenset(
    {
        "spec.template.spec.terminationGracePeriodSeconds",
        "spec.template.spec.dnsConfig.options",
        "spec.template.spec.topologySpreadConstraints",
        "spec.template.spec.containers[].lifecycle.preStop",
        "metadata.annotations.resilience.dev/state",
    }
)
"""All that the operator may ever change on a Deployment (API: the published list)."""


BOOKKEEPING = frozenset({"metadata.resourceVersion", "metadata.generation"})
"""What the API server changes with every write."""


def changed(before: Any, after: Any, path: str = "") -> set[str]:
    """The paths at which two objects differ; list entries by position, what is published as a whole."""
    if before == after or path in BOOKKEEPING:
        return set()
    if path in PUBLISHED or not isinstance(before or after, dict | list):
        return {path}
    if isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        pairs = zip(before, after, strict=True)
        return {one for old, new in pairs for one in changed(old, new, f"{path}[]")}
    if isinstance(before or {}, dict) and isinstance(after or {}, dict):
        old, new = before or {}, after or {}
        inner = {name: f"{path}.{name}" if path else name for name in {*old, *new}}
        return {one for name, at in inner.items() for one in changed(old.get(name), new.get(name), at)}
    return {path}


def pod_spec(raw: Raw) -> Raw:
    """The pod spec of the template."""
    found: Raw = raw["spec"]["template"]["spec"]
    return found


def present(raw: Raw) -> dict[Leaf, Any]:
    """Every published leaf that is there, with its value."""
    spec, found = pod_spec(raw), {}
    if "terminationGracePeriodSeconds" in spec:
        found[GRACE] = spec["terminationGracePeriodSeconds"]
    if "options" in spec.get("dnsConfig", {}):
        found[DNS] = spec["dnsConfig"]["options"]
    for entry in spec.get("topologySpreadConstraints", []):
        found[("constraint", entry["topologyKey"], entry["whenUnsatisfiable"])] = entry
    for container in spec.get("containers", []):
        if "preStop" in container.get("lifecycle", {}):
            found[("hook", container["name"])] = container["lifecycle"]["preStop"]
    if STATE_KEY in raw["metadata"].get("annotations", {}):
        found[STATE] = raw["metadata"]["annotations"][STATE_KEY]
    return found


def put(raw: Raw, leaf: Leaf, value: Any) -> None:
    """Set one leaf."""
    spec = pod_spec(raw)
    match leaf:
        case ("grace",):
            spec["terminationGracePeriodSeconds"] = value
        case ("dns",):
            spec.setdefault("dnsConfig", {})["options"] = value
        case ("constraint", key, when):
            entries = spec.setdefault("topologySpreadConstraints", [])
            for entry in entries:
                if (entry["topologyKey"], entry["whenUnsatisfiable"]) == (key, when):
                    entry.clear()
                    entry.update(value)
                    return
            entries.append(value)
        case ("hook", name):
            (container,) = [one for one in spec["containers"] if one["name"] == name]
            container.setdefault("lifecycle", {})["preStop"] = value
        case ("state",):
            raw["metadata"].setdefault("annotations", {})[STATE_KEY] = value


def drop(raw: Raw, leaf: Leaf) -> None:
    """Remove one leaf as server-side apply does: what becomes empty goes, a defaulted field gets its default."""
    spec = pod_spec(raw)
    match leaf:
        case ("grace",):
            spec["terminationGracePeriodSeconds"] = 30
        case ("dns",):
            _drop_in(spec, "dnsConfig", "options")
        case ("constraint", key, when):
            kept = [
                entry
                for entry in spec["topologySpreadConstraints"]
                if (entry["topologyKey"], entry["whenUnsatisfiable"]) != (key, when)
            ]
            spec["topologySpreadConstraints"] = kept
            if not kept:
                del spec["topologySpreadConstraints"]
        case ("hook", name):
            for container in spec["containers"]:
                if container["name"] == name:
                    _drop_in(container, "lifecycle", "preStop")
        case ("state",):
            _drop_in(raw["metadata"], "annotations", STATE_KEY)


def _drop_in(outer: Raw, field: str, inner: str) -> None:
    outer[field].pop(inner)
    if not outer[field]:
        del outer[field]


def fields_v1(owned: frozenset[Leaf]) -> Raw:
    """managedFields' form of a set of leaves."""
    root: Raw = {}
    for leaf in owned:
        at = root
        for step in _steps(leaf):
            at = at.setdefault(step, {})
        if leaf[0] == "constraint":
            at |= {"f:maxSkew": {}, "f:labelSelector": {}}
    return root


def _steps(leaf: Leaf) -> list[str]:
    template = ["f:spec", "f:template", "f:spec"]
    match leaf:
        case ("grace",):
            return [*template, "f:terminationGracePeriodSeconds"]
        case ("dns",):
            return [*template, "f:dnsConfig", "f:options"]
        case ("constraint", key, when):
            keys = json.dumps({"topologyKey": key, "whenUnsatisfiable": when}, separators=(",", ":"))
            return [*template, "f:topologySpreadConstraints", f"k:{keys}"]
        case ("hook", name):
            keys = json.dumps({"name": name}, separators=(",", ":"))
            return [*template, "f:containers", f"k:{keys}", "f:lifecycle", "f:preStop"]
    return ["f:metadata", "f:annotations", f"f:{STATE_KEY}"]
