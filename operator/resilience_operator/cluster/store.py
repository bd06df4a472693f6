"""All that is known of the cluster, and which objects have to be looked at again after a change.

Filled by api/watch, by our own writes (the answer of a patch) and by the command line from files; read by the pass
and the command line. It knows no kind: what is watched, and what an event touches, the targets declare. It is the
only mutable value between the watch and the rules, is used from one thread, and does no I/O.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime
from typing import Any

from resilience_operator.cluster.cache import Cache, version
from resilience_operator.cluster.decode import Decoders
from resilience_operator.cluster.dirty import DirtyKeys
from resilience_operator.core.kinds import Kind
from resilience_operator.core.refs import Key
from resilience_operator.core.target import Handler, Target, Views

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

    def put(self, kind: Kind, new: Any) -> None:
        """An object as the watch or the answer of our own write gives it; refused where we know a newer one."""
        cache = self.cache[kind]
        if cache.admits(new):
            self._follow(kind, cache.set(new), new)

    def put_outside(self, kind: Kind, reading: Any) -> None:
        """What a system that is no API server says of its object of that kind."""
        old = self._outside.get(kind)
        if reading != old:
            self._outside[kind] = reading
            self._follow(kind, old, reading)

    def delete(self, kind: Kind, namespace: str, name: str, uid: str) -> None:
        """The object with that uid is gone; a later one of the same name stays."""
        old = self.cache[kind].remove(namespace, name, uid)
        if old is not None:
            self._follow(kind, old, None)

    def replace(self, kind: Kind, objects: Sequence[Any], resource_version: str) -> None:
        """A whole list as of `resource_version`: what is not in it is gone, unless we know it from later."""
        cache = self.cache[kind]
        rewound = kind in self._rewound
        self._rewound.discard(kind)
        if len(objects) > MANY and any(kind in one.broad for one in self.views):
            self._dirty.mark_all()
        for new in objects:
            if rewound or cache.admits(new):
                self._follow(kind, cache.set(new), new)
        listed = {(each.metadata.namespace, each.metadata.name) for each in objects}
        as_of = version(resource_version)
        for old in list(cache):
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
        return keys.union(*(one.widen(keys, everything=everything) for one in self.views))

    def subjects(self) -> Iterator[Key]:
        """The key of every object that may be decided about."""
        for one in self.views:
            yield from one.subjects()

    def get(self, kind: Kind, namespace: str, name: str) -> Any | None:
        """The object that is there, or None."""
        return self.cache[kind].get(namespace, name)

    def objects(self, kind: Kind) -> Iterator[Any]:
        """Every object of a kind that is known."""
        return iter(self.cache[kind])

    def count(self, kind: Kind) -> int:
        """How many objects of a kind are known."""
        return len(self.cache[kind])

    def generation(self, key: Key) -> int:
        """metadata.generation of the object with that key; 0 where there is none, or its kind has none."""
        found = next((found for one in self.views if (found := one.subject(key)) is not None), None)
        return found.metadata.generation if found is not None else 0

    def look(self, key: Key, now: datetime, server: Server = (1, 36)) -> Any | None:
        """The view of the object with that key; None where there is none."""
        views = (one.look(key, now, server) for one in self.views)
        return next((view for view in views if view is not None), None)

    def _follow(self, kind: Kind, old: Any, new: Any) -> None:
        for handler in self._handlers.get(kind, ()):
            handler(old, new)
