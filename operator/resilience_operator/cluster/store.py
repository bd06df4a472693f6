"""All that is known of the cluster, and which objects have to be looked at again after a change.

Filled by api/watch, by our own writes (the answer of a patch) and by the command line from files; read by the pass
and the command line. It knows no kind: what is watched, and what an event touches, the targets declare. It is the
only mutable value between the watch and the rules, is used from one thread, and does no I/O.
"""

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime
from typing import Any

from resilience_operator.cluster.cache import Cache, is_newer, version
from resilience_operator.cluster.decode import Decoders
from resilience_operator.cluster.dirty import DirtyKeys
from resilience_operator.cluster.unreadable_keys import Blind, Unreadable
from resilience_operator.core.errors import UnreadableObjectError
from resilience_operator.core.kinds import Kind
from resilience_operator.core.refs import Key
from resilience_operator.core.target import Handler, Target, Views

log = logging.getLogger(__name__)

Server = tuple[int, int]
"""(major, minor) of the API server."""

MANY = 100
"""More of them in a list make everything dirty where a kind is `broad`."""


class Store:
    """The cluster as last heard of. `on_dirty` is called when the first key becomes dirty, to wake somebody."""

    def __init__(self, targets: Iterable[Target], on_dirty: Callable[[], None] = lambda: None) -> None:
        targets = tuple(targets)
        self.decoders = Decoders(watched for target in targets for watched in target.watched)
        self._dirty = DirtyKeys(on_dirty)
        self.cache: dict[Kind, Cache[Any]] = {kind: Cache() for kind in self.decoders.kinds}
        self._outside: dict[Kind, Any] = {}
        self._blind = Blind(self.decoders.watched.values())
        makers = dict.fromkeys(target.views for target in targets)
        self.views: tuple[Views, ...] = tuple(maker(self.cache, self._dirty) for maker in makers)
        self._rewound: set[Kind] = set()
        self._handlers: dict[Kind, tuple[Handler, ...]] = {}
        for one in self.views:
            for kind, handler in one.handlers.items():
                self._handlers[kind] = (*self._handlers.get(kind, ()), handler)

    def wake_with(self, on_dirty: Callable[[], None]) -> None:
        """From now on call this when the first key becomes dirty."""
        self._dirty.on_dirty = on_dirty

    def put(self, kind: Kind, new: Any | Unreadable) -> None:
        """An object as the watch or the answer of our own write gives it; refused where we know a newer one."""
        if self._admits(kind, new):
            self._set(kind, new)

    def put_outside(self, kind: Kind, reading: Any) -> None:
        """What a system that is no API server says of its object of that kind."""
        old = self._outside.get(kind)
        if reading != old:
            self._outside[kind] = reading
            self._follow(kind, old, reading)

    def delete(self, kind: Kind, namespace: str, name: str, uid: str) -> None:
        """The object with that uid is gone; a later one of the same name stays."""
        blind = self._blind.get(kind, namespace, name)
        if blind is not None and uid in ("", blind.metadata.uid):
            self._see_again(kind, namespace, name)
        old = self.cache[kind].remove(namespace, name, uid)
        if old is not None:
            self._follow(kind, old, None)

    def replace(self, kind: Kind, objects: Sequence[Any | Unreadable], resource_version: str) -> None:
        """A whole list as of `resource_version`: what is not in it is gone, unless we know it from later."""
        rewound = kind in self._rewound
        self._rewound.discard(kind)
        if len(objects) > MANY and any(kind in one.broad for one in self.views):
            self._dirty.mark_all()
        for new in objects:
            if rewound or self._admits(kind, new):
                self._set(kind, new)
        listed = {(each.metadata.namespace, each.metadata.name) for each in objects}
        as_of = version(resource_version)
        for old in [*self.cache[kind], *self._blind.of(kind)]:
            meta = old.metadata
            # Without a version the list says that there is no such kind: nothing of it is later.
            later = not rewound and bool(resource_version) and version(meta.resource_version) > as_of
            if (meta.namespace, meta.name) not in listed and not later:
                self.delete(kind, meta.namespace, meta.name, meta.uid)

    def rewound(self, kind: Kind) -> None:
        """The server's history went back (etcd was restored): the next list counts, however old it seems."""
        self._rewound.add(kind)
        self.cache[kind].forget_deletions()

    def take_dirty(self) -> set[Key]:
        """The key of each object to decide about that changed, or beside which something did; also of those gone."""
        keys, everything = self._dirty.take()
        return keys.union(*(self._widened(one, keys, everything=everything) for one in self.views))

    def _widened(self, views: Views, keys: set[Key], *, everything: bool) -> set[Key]:
        try:
            return views.widen(keys, everything=everything)
        except Exception:  # What is beside what changed cannot be told: then it may be anything.
            log.exception("all objects are looked at again")
            return set(views.subjects())

    def subjects(self) -> Iterator[Key]:
        """The key of every object that may be decided about."""
        for one in self.views:
            yield from one.subjects()
        yield from (key for key in self._blind if all(one.subject(key) is None for one in self.views))

    def get(self, kind: Kind, namespace: str, name: str) -> Any | None:
        """The object that is there, or None."""
        return self.cache[kind].get(namespace, name)

    def objects(self, kind: Kind) -> Iterator[Any]:
        """Every object of a kind that is known."""
        return iter(self.cache[kind])

    def any_within(self, kind: Kind, namespaces: Iterable[str]) -> tuple[str, str] | None:
        """(namespace, name) of some object of the kind in one of the namespaces, None where there is none."""
        cache = self.cache[kind]
        found = next((one for namespace in namespaces for one in cache.within(namespace)), None)
        return (found.metadata.namespace, found.metadata.name) if found is not None else None

    def count(self, kind: Kind) -> int:
        """How many objects of a kind are known."""
        return len(self.cache[kind])

    def generation(self, key: Key) -> int:
        """metadata.generation of the object with that key; 0 where there is none, or its kind has none."""
        found = next((found for one in self.views if (found := one.subject(key)) is not None), None)
        return found.metadata.generation if found is not None else 0

    def look(self, key: Key, now: datetime, server: Server = (1, 36)) -> Any | None:
        """The view of the object with that key; None where there is none.

        Raises UnreadableObjectError where nothing can be decided about it: it, or what lies beside it, cannot be read.
        """
        if why := self._blind.why(key):
            raise UnreadableObjectError(why)
        views = (one.look(key, now, server) for one in self.views)
        return next((view for view in views if view is not None), None)

    def _admits(self, kind: Kind, new: Any | Unreadable) -> bool:
        meta = new.metadata
        blind = self._blind.get(kind, meta.namespace, meta.name)
        newer = blind is None or is_newer(blind.metadata.resource_version, meta.resource_version)
        return newer and self.cache[kind].admits(new)

    def _set(self, kind: Kind, new: Any | Unreadable) -> None:
        """Take it; of one that cannot be read what can be relied on, else what we knew of it before."""
        meta = new.metadata
        self._see_again(kind, meta.namespace, meta.name)
        known = new.rest if isinstance(new, Unreadable) else new
        if known is not None:
            self._follow(kind, self.cache[kind].set(known), known)
        if isinstance(new, Unreadable):
            self._lose_sight(kind, new)

    def _follow(self, kind: Kind, old: Any, new: Any) -> None:
        """Tell the event handlers; an error of theirs about one object keeps no other from being followed."""
        for handler in self._handlers.get(kind, ()):
            try:
                handler(old, new)
            except Exception as error:
                log.exception("a change of %s cannot be followed", kind)
                why = f"an error of this operator: {type(error).__name__}"
                self._lose_sight(kind, Unreadable((new or old).metadata, why))

    def _see_again(self, kind: Kind, namespace: str, name: str) -> None:
        found = self._blind.discard(kind, namespace, name)
        if found is not None:
            self._concerned(kind, found)

    def _lose_sight(self, kind: Kind, found: Unreadable) -> None:
        self._blind.add(kind, found)
        self._concerned(kind, found)

    def _concerned(self, kind: Kind, found: Unreadable) -> None:
        """Whoever could not be decided about for it, or now cannot, is to be looked at again."""
        own, namespace = self._blind.touched(kind, found)
        beside = [key for key in self.subjects() if key[0] == namespace] if namespace is not None else []
        self._dirty.mark([own, *beside])
