"""On which line of a file a field stands. Used by cli/manifests.

Kept of an object are the few lines that findings point to, not its composed nodes: ten thousand have to fit.
"""

import re
from collections.abc import Iterator, Mapping
from functools import lru_cache

import yaml

from resilience_operator.core.paths import Path, subpaths

POD_SPEC = "spec.template.spec"
_NUMBERS = {
    "spec": ("replicas", "minReplicas", "maxReplicas", "minReplicaCount", "maxReplicaCount"),
    "data": ("linear", "ladder"),
}
"""Where a number of replicas is set: of a Deployment, of what scales one."""

_AT = re.compile(r"`\$((?:\.[A-Za-z]\w*)*)")
"""How msgspec ends a message: - at `$.spec.template.spec.containers[...]`."""


def child(node: yaml.Node | None, field: str) -> tuple[int, yaml.Node | None]:
    """(line of the key, node of the value) of a mapping's field; (0, None) where it is not there. Lines from 0."""
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            if key.value == field:
                return key.start_mark.line, value
    return 0, None


def landmarks(node: yaml.Node | None, offset: int) -> dict[str, int]:
    """Written path -> line (from 1) of what a finding may point to; "" is the object itself."""
    if node is None:
        return {}
    return {path: line + offset + 1 for path, line in _landmarks(node)}


def _landmarks(node: yaml.Node) -> Iterator[tuple[str, int]]:
    yield "", node.start_mark.line
    for root, leaves in _NUMBERS.items():
        _, parent = child(node, root)
        for leaf in leaves:
            line, value = child(parent, leaf)
            if value is not None:
                yield f"{root}.{leaf}", line
    at: yaml.Node | None = node
    for field in POD_SPEC.split("."):
        line, at = child(at, field)
        if at is None:
            return
    yield POD_SPEC, line
    for field in ("terminationGracePeriodSeconds", "topologySpreadConstraints", "dnsConfig"):
        line, value = child(at, field)
        if value is not None:
            yield f"{POD_SPEC}.{field}", line
    _, containers = child(at, "containers")
    for container in containers.value if isinstance(containers, yaml.SequenceNode) else ():
        yield from _container(container)


def _container(container: yaml.Node) -> Iterator[tuple[str, int]]:
    _, name = child(container, "name")
    if name is not None:
        path = f"{POD_SPEC}.containers[name={name.value}]"
        yield path, container.start_mark.line
        line, lifecycle = child(container, "lifecycle")
        if lifecycle is not None:
            yield f"{path}.lifecycle", line
        for field in ("command", "args"):
            line, value = child(container, field)
            if value is not None:
                yield f"{path}.{field}", line


def line_of(lines: Mapping[str, int], path: Path | None) -> int:
    """The line of the deepest ancestor of `path` that stands in the file; 1 where none is known."""
    places = _places(path) if path is not None else ()
    return next((lines[place] for place in places if place in lines), lines.get("", 1))


@lru_cache(maxsize=4096)
def _places(path: Path) -> tuple[str, ...]:
    """The written path and its ancestors, the deepest first; lists also without the keys of an entry."""
    written = ((str(part), ".".join(step.field for step in part.steps)) for part in subpaths(path))
    return tuple(place for pair in reversed(list(written)) for place in pair)


def line_of_message(node: yaml.Node | None, message: str) -> int:
    """The line (from 0) of the field that a decoder's message names, as far as it can be followed."""
    line = node.start_mark.line if node is not None else 0
    match = _AT.search(message)
    at = node
    for field in match[1].split(".")[1:] if match is not None else ():
        key_line, at = child(at, field)
        if at is None:
            break
        line = key_line
    return line
