"""Paths to the leaves of an object: the unit in which values are demanded, owned, written and given back.

A path is written `spec.template.spec.containers[name=web].lifecycle.preStop`: a field, or a field and the keys of
one entry of a list that the API server merges by key. Used by rules (demands), planning (ownership, withdrawal) and
the state annotation on changed objects.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from resilience_operator.core.caching import kept

JSON = Any
"""A decoded JSON value: None, bool, int, float, str, list or dict with str keys."""


class _Absent:
    """The value of a path at which there is nothing; distinct from null and from empty."""

    def __repr__(self) -> str:
        return "ABSENT"

    def __bool__(self) -> bool:
        return False


ABSENT: Final = _Absent()


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a path: a field, and for a keyed list the (key, value) pairs that choose one entry."""

    field: str
    keys: tuple[tuple[str, str], ...] = ()

    def __str__(self) -> str:
        if not self.keys:
            return self.field
        return f"{self.field}[{','.join(f'{key}={value}' for key, value in self.keys)}]"


_STEP = re.compile(r"(?P<field>[^.\[\]]+)(?:\[(?P<keys>[^\]]*)\])?(?:\.|$)")


@dataclass(frozen=True, slots=True)
class Path:
    """An ordered tuple of steps from an object's root to a leaf; `text` is its written form, made once."""

    steps: tuple[Step, ...]
    text: str = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "text", ".".join(str(step) for step in self.steps))

    def __str__(self) -> str:
        return self.text

    def __hash__(self) -> int:
        return hash(self.text)

    def __lt__(self, other: "Path") -> bool:
        return self.text < other.text

    @staticmethod
    @kept(4096)
    def parse(text: str) -> "Path":
        """Read the written form. Raises ValueError on anything that is not one."""
        steps, at = [], 0
        while at < len(text):
            match = _STEP.match(text, at)
            if match is None:
                raise ValueError(f"not a path to a field: {text!r} (at character {at})")
            steps.append(Step(match["field"], _keys(match["keys"])))
            at = match.end()
        if not steps or text.endswith("."):
            raise ValueError(f"not a path to a field: {text!r}")
        return Path(tuple(steps))

    def read(self, obj: JSON) -> JSON:
        """The value at this path in a decoded object, or ABSENT."""
        for step in self.steps:
            if not isinstance(obj, Mapping) or step.field not in obj:
                return ABSENT
            obj = obj[step.field]
            if step.keys:
                index = entry_index(obj, step.keys)
                if index is None:
                    return ABSENT
                obj = obj[index]
        return obj

    @property
    def in_template(self) -> bool:
        """True where a change replaces pods: the path lies in a pod template."""
        return len(self.steps) > 1 and self.steps[0].field == "spec" and self.steps[1].field == "template"


def _keys(text: str | None) -> tuple[tuple[str, str], ...]:
    if text is None:
        return ()
    pairs = [pair.partition("=") for pair in text.split(",")]
    if any(not sign for _, sign, _ in pairs):
        raise ValueError(f"list keys are written [key=value,...], not [{text}]")
    return tuple((key, value) for key, _, value in pairs)


def entry_index(entries: JSON, keys: tuple[tuple[str, str], ...]) -> int | None:
    """The index of the entry of a keyed list that bears all `keys`, or None."""
    if not isinstance(entries, list):
        return None
    for index, entry in enumerate(entries):
        if isinstance(entry, Mapping) and all(str(entry.get(key, "")) == value for key, value in keys):
            return index
    return None


def nest(leaves: Mapping[Path, JSON]) -> dict[str, JSON]:
    """The smallest object that has every leaf, keyed list entries with their keys: the body of an apply."""
    root: dict[str, JSON] = {}
    for path in sorted(leaves):
        _set(root, path, leaves[path])
    return root


def _set(root: dict[str, JSON], path: Path, value: JSON) -> None:
    at = root
    for step in path.steps[:-1]:
        at = _enter(at, step)
    last = path.steps[-1]
    if last.keys:
        _enter(at, last).update(value)
    else:
        at[last.field] = value


def _enter(at: dict[str, JSON], step: Step) -> dict[str, JSON]:
    if not step.keys:
        child: dict[str, JSON] = at.setdefault(step.field, {})
        return child
    entries: list[dict[str, JSON]] = at.setdefault(step.field, [])
    index = entry_index(entries, step.keys)
    if index is None:
        entries.append(dict(step.keys))
        index = len(entries) - 1
    return entries[index]


def replacing(observed: JSON, value: JSON) -> JSON:
    """The value as a merge patch that leaves nothing of what is observed beside it: what is to go is null.

    A preStop hook of two handlers would be refused, and a labelSelector of two owners select nothing.
    """
    if not isinstance(observed, Mapping) or not isinstance(value, Mapping):
        return value
    gone = dict.fromkeys(key for key in observed if key not in value)
    return gone | {key: replacing(observed.get(key), one) for key, one in value.items()}


def subpaths(path: Path) -> Iterator[Path]:
    """Every ancestor of `path`, the root's child first, the path itself last."""
    for depth in range(1, len(path.steps) + 1):
        yield Path(path.steps[:depth])
