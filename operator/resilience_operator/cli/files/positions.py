"""On which line of a file a field stands. Used by cli/files/manifests.

Kept of an object are the few lines that findings point to, not its composed nodes: ten thousand have to fit.
"""

import re
from collections.abc import Iterator, Mapping
from functools import lru_cache

import yaml

from resilience_operator.core.paths import Path, subpaths

POD_SPEC = "spec.template.spec"
_NUMBERS = frozenset({"replicas", "minReplicas", "maxReplicas", "minReplicaCount", "maxReplicaCount"})
_PARAMETERS = frozenset({"linear", "ladder"})
"""Where a number of replicas is set: of a Deployment, of what scales one."""
_POD_FIELDS = frozenset({"terminationGracePeriodSeconds", "topologySpreadConstraints", "dnsConfig"})
_CONTAINER_FIELDS = frozenset({"lifecycle", "command", "args"})

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
    _, data = child(node, "data")
    yield from _present(data, _PARAMETERS, "data")
    _, spec = child(node, "spec")
    yield from _present(spec, _NUMBERS, "spec")
    _, template = child(spec, "template")
    line, pod = child(template, "spec")
    if pod is None:
        return
    yield POD_SPEC, line
    yield from _present(pod, _POD_FIELDS, POD_SPEC)
    _, containers = child(pod, "containers")
    for container in containers.value if isinstance(containers, yaml.SequenceNode) else ():
        yield from _container(container)


def _present(node: yaml.Node | None, fields: frozenset[str], root: str) -> Iterator[tuple[str, int]]:
    if isinstance(node, yaml.MappingNode):
        for key, _ in node.value:
            if key.value in fields:
                yield f"{root}.{key.value}", key.start_mark.line


def _container(container: yaml.Node) -> Iterator[tuple[str, int]]:
    _, name = child(container, "name")
    if name is not None:
        path = f"{POD_SPEC}.containers[name={name.value}]"
        yield path, container.start_mark.line
        yield from _present(container, _CONTAINER_FIELDS, path)


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
