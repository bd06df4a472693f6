"""The objects of one kind by namespace and name, and which of two versions of an object is the newer one.

Used by the store alone. Versions come by two ways, the watch and the answers of our own writes, in any order:
nothing older ever replaces what is newer, and what was deleted does not come back.
"""

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Generic, Protocol, TypeVar

from resilience_operator.cluster.objects.meta import Meta
from resilience_operator.cluster.unreadable_keys import Unreadable
from resilience_operator.core.numbers import whole_number


class Described(Protocol):
    """Anything with metadata: every watched object."""

    @property
    def metadata(self) -> Meta:
        """Its metadata."""
        ...


T = TypeVar("T", bound=Described)

MAX_TOMBSTONES = 10_000
"""Deletions remembered per kind; an event about an object deleted that long ago is not on its way any more."""

_EMPTY: Mapping[str, object] = MappingProxyType({})


def version(resource_version: str) -> int:
    """A resourceVersion as the number that it is (KEP-5504: comparable within a kind); 0 where there is none."""
    return whole_number(resource_version) or 0


class Cache(Generic[T]):
    """One kind's objects."""

    def __init__(self) -> None:
        self._namespaces: dict[str, dict[str, T]] = {}
        self._tombstones: dict[str, None] = {}
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[T]:
        for objects in self._namespaces.values():
            yield from objects.values()

    def get(self, namespace: str, name: str) -> T | None:
        """The object that is there, or None."""
        objects = self._namespaces.get(namespace)
        return objects.get(name) if objects else None

    def within(self, namespace: str) -> Iterator[T]:
        """The objects of a namespace."""
        return iter(self._namespaces.get(namespace, {}).values())

    def admits(self, new: T | Unreadable) -> bool:
        """False where `new` is not newer than what is here, or was deleted already."""
        meta = new.metadata
        if meta.uid and meta.uid in self._tombstones:
            return False
        old = self.get(meta.namespace, meta.name)
        return old is None or is_newer(old.metadata.resource_version, meta.resource_version)

    def set(self, new: T) -> T | None:
        """Put it in its place, whatever its version; gives what was there."""
        objects = self._namespaces.setdefault(new.metadata.namespace, {})
        old = objects.get(new.metadata.name)
        objects[new.metadata.name] = new
        self._count += old is None
        return old

    def remove(self, namespace: str, name: str, uid: str) -> T | None:
        """Take the object with that uid away ("": whichever is there), never to come back; None: it is not here."""
        if uid:
            self._bury(uid)
        old = self.get(namespace, name)
        if old is None or (uid and old.metadata.uid != uid):
            return None
        objects = self._namespaces[namespace]
        del objects[name]
        if not objects:
            del self._namespaces[namespace]
        self._count -= 1
        return old

    def forget_deletions(self) -> None:
        """What was deleted may come back: the server was restored from a backup."""
        self._tombstones.clear()

    def _bury(self, uid: str) -> None:
        self._tombstones[uid] = None
        if len(self._tombstones) > MAX_TOMBSTONES:
            del self._tombstones[next(iter(self._tombstones))]


def is_newer(old: str, new: str) -> bool:
    """True where `new` is above `old`, or one of them is no number, so that nobody can say."""
    before, after = whole_number(old), whole_number(new)
    return before is None or after is None or after > before
