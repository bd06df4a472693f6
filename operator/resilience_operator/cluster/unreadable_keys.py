"""Objects that cannot be read: kept by name, so that nothing is decided about them, and everything else goes on.

Made by cluster/decode; the store keeps them in Blind and asks it before it gives a view.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from resilience_operator.cluster.objects.meta import Meta
from resilience_operator.core.kinds import DEPLOYMENT, NAMESPACE, Kind
from resilience_operator.core.refs import Key
from resilience_operator.core.target import Watched


@dataclass(frozen=True, slots=True)
class Unreadable:
    """An object of which something cannot be read, or is too large.

    `metadata`: namespace, name, uid and resourceVersion alone. `why`: a part of a sentence, short, without control
    characters. `rest`: the object without who owns its fields, where that alone cannot be read: good enough for
    decisions about others. None where nothing of it can be relied on.
    """

    metadata: Meta
    why: str
    rest: Any | None = None


class Blind:
    """What cannot be read by now, and about which objects nothing can be decided for it."""

    def __init__(self, watched: Iterable[Watched]) -> None:
        watched = tuple(watched)
        self._subjects = {one.kind: None for one in watched if one.subject}
        self._neighbours = frozenset(one.kind for one in watched if one.beside)
        self._found: dict[tuple[Kind, str, str], Unreadable] = {}
        self._unknown: dict[str, dict[tuple[Kind, str], Unreadable]] = {}

    def get(self, kind: Kind, namespace: str, name: str) -> Unreadable | None:
        """The unreadable object of that place, or None."""
        return self._found.get((kind, namespace, name))

    def of(self, kind: Kind) -> list[Unreadable]:
        """All of a kind."""
        return [found for (one, _, _), found in self._found.items() if one == kind]

    def __iter__(self) -> Iterator[Key]:
        """The keys of the objects that would be decided about if they could be read."""
        return (
            _key(kind, namespace, name) for kind, namespace, name in self._found if kind in self._subjects
        )

    def add(self, kind: Kind, found: Unreadable) -> None:
        """It cannot be read any more, or again."""
        meta = found.metadata
        self.discard(kind, meta.namespace, meta.name)
        self._found[kind, meta.namespace, meta.name] = found
        if found.rest is None and kind in self._neighbours:
            self._unknown.setdefault(_namespace(kind, meta), {})[kind, meta.name] = found

    def discard(self, kind: Kind, namespace: str, name: str) -> Unreadable | None:
        """It can be read, or is gone; gives what was known of it."""
        found = self._found.pop((kind, namespace, name), None)
        if found is not None:
            among = _namespace(kind, found.metadata)
            self._unknown.get(among, {}).pop((kind, name), None)
            if not self._unknown.get(among, True):
                del self._unknown[among]
        return found

    def touched(self, kind: Kind, found: Unreadable) -> tuple[Key | None, str | None]:
        """The key of the object itself, and the namespace in which all are concerned; None where it does not apply."""
        meta = found.metadata
        own = _key(kind, meta.namespace, meta.name) if kind in self._subjects else None
        return own, (_namespace(kind, meta) if found.rest is None and kind in self._neighbours else None)

    def why(self, key: Key) -> str:
        """Why nothing can be decided about the object with that key, as a sentence; "" where it can."""
        if not self._found:
            return ""
        kind = next(
            (one for one in self._subjects if one.kind == (key[2] if len(key) > 2 else "Deployment")), None
        )
        own = self._found.get((kind, key[0], key[1])) if kind is not None else None
        if own is not None:
            return f"it cannot be read: {own.why}"
        unknown = self._unknown.get(key[0])
        if not unknown:
            return ""
        other, name = min(unknown, key=lambda one: (one[0].kind, one[1]))
        return f"{other.kind} {name} beside it cannot be read: {unknown[other, name].why}"


def _key(kind: Kind, namespace: str, name: str) -> Key:
    return (namespace, name) if kind == DEPLOYMENT else (namespace, name, kind.kind)


def _namespace(kind: Kind, meta: Meta) -> str:
    return meta.name if kind == NAMESPACE else meta.namespace
