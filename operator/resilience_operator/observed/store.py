"""All that is known of the cluster, and which objects have to be looked at again after a change.

Filled by adapters/watch and by our own writes (the answer of a patch); read by reconcile and cli. It is the only
mutable value between the watch and the rules, is used from one thread, and does no I/O.
"""

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from typing import Any

from resilience_operator.core.kinds import (
    APPLICATION,
    BUDGET,
    CONFIG_MAP,
    DAEMON_SET,
    DEPLOYMENT,
    HPA,
    NAMESPACE,
    NODE,
    POD,
    REPLICA_SET,
    SCALED_OBJECT,
    SERVICE,
    VOLUME_CLAIM,
    Kind,
)
from resilience_operator.core.refs import Key
from resilience_operator.observed import addons
from resilience_operator.observed.index import Index, service_selects
from resilience_operator.observed.objects import (
    AddonReading,
    Application,
    ConfigMap,
    DaemonSet,
    Deployment,
    HorizontalPodAutoscaler,
    Namespace,
    Node,
    Object,
    PersistentVolumeClaim,
    Pod,
    PodDisruptionBudget,
    ReplicaSet,
    ScaledObject,
    Service,
)
from resilience_operator.observed.shelf import Shelf, version
from resilience_operator.observed.touch import Dirty, Touch
from resilience_operator.observed.view import DeploymentView, View
from resilience_operator.observed.views import Views

__all__ = ["Store", "service_selects"]

Server = tuple[int, int]
"""(major, minor) of the API server."""

MANY = 100
"""More of them in a list make everything dirty: to find what each selects would cost more."""


class Store:
    """The cluster as last heard of. `on_dirty` is called when the first key becomes dirty, to wake somebody."""

    def __init__(self, on_dirty: Callable[[], None] = lambda: None) -> None:
        self._dirty = Dirty(on_dirty)
        self._index = Index()
        self._deployments: Shelf[Deployment] = Shelf()
        self._namespaces: Shelf[Namespace] = Shelf()
        self._claims: Shelf[PersistentVolumeClaim] = Shelf()
        self._nodes: Shelf[Node] = Shelf()
        self._rewound: set[Kind] = set()
        self._config_maps: Shelf[ConfigMap] = Shelf()
        self._budgets: Shelf[PodDisruptionBudget] = Shelf()
        self._shelves: dict[Kind, Shelf[Any]] = {
            DEPLOYMENT: self._deployments,
            REPLICA_SET: Shelf[ReplicaSet](),
            POD: Shelf[Pod](),
            SERVICE: Shelf[Service](),
            NAMESPACE: self._namespaces,
            NODE: self._nodes,
            VOLUME_CLAIM: self._claims,
            HPA: Shelf[HorizontalPodAutoscaler](),
            SCALED_OBJECT: Shelf[ScaledObject](),
            CONFIG_MAP: self._config_maps,
            BUDGET: self._budgets,
            DAEMON_SET: Shelf[DaemonSet](),
            APPLICATION: Shelf[Application](),
        }
        self._views = Views(self._shelves, self._index)
        self._touch = Touch(self._dirty, self._index, self._views, self._deployments)

    def wake_with(self, on_dirty: Callable[[], None]) -> None:
        """From now on call this when the first key becomes dirty."""
        self._dirty.on_dirty = on_dirty

    def put(self, kind: Kind, new: Object) -> None:
        """An object as the watch or the answer of our own write gives it; refused where we know a newer one."""
        shelf = self._shelves[kind]
        if shelf.admits(new):
            self._touch.follow[kind](shelf.set(new), new)

    def delete(self, kind: Kind, namespace: str, name: str, uid: str) -> None:
        """The object with that uid is gone; a later one of the same name stays."""
        old = self._shelves[kind].remove(namespace, name, uid)
        if old is not None:
            self._touch.follow[kind](old, None)

    def replace(self, kind: Kind, objects: Sequence[Object], resource_version: str) -> None:
        """A whole list as of `resource_version`: what is not in it is gone, unless we know it from later."""
        shelf, follow = self._shelves[kind], self._touch.follow[kind]
        rewound = kind in self._rewound
        self._rewound.discard(kind)
        if kind in (SERVICE, BUDGET) and len(objects) > MANY:
            self._dirty.mark_all()
        for new in objects:
            if rewound or shelf.admits(new):
                follow(shelf.set(new), new)
        listed = {(each.metadata.namespace, each.metadata.name) for each in objects}
        as_of = version(resource_version)
        for old in list(shelf):
            meta = old.metadata
            # Without a version the list says that there is no such kind: nothing of it is later.
            later = not rewound and bool(resource_version) and version(meta.resource_version) > as_of
            if (meta.namespace, meta.name) not in listed and not later:
                self.delete(kind, meta.namespace, meta.name, meta.uid)

    def rewound(self, kind: Kind) -> None:
        """The server's history went back (etcd was restored): the next list counts, however old it seems."""
        self._rewound.add(kind)
        self._shelves[kind].forget_deletions()

    def take_dirty(self) -> set[Key]:
        """The key of each object to decide about that changed, or beside which something did; also of those gone."""
        taken, self._dirty = self._dirty, Dirty(self._dirty.on_dirty)
        self._touch.dirty = self._dirty
        dirty, moved = taken.keys, taken.moved
        if taken.everything or len(moved) > MANY:
            dirty.update(self.subjects())
            return dirty
        if taken.applications:
            dirty.update(key for key in self.subjects() if self._views.belongs(key, taken.applications))
        moved.sort(
            key=lambda each: each.metadata.namespace
        )  # What is shared is kept of one namespace at a time.
        dirty = dirty.union(*(self._views.sharing.around(each) for each in moved))
        dirty.update(self._views.together.around(taken.resized, self._views.budgets))
        return dirty.union(*(self._views.judged_by(key) for key in dirty))

    def subjects(self) -> Iterator[Key]:
        """The key of every object that may be decided about."""
        return self._views.subjects()

    def put_addon(self, reading: AddonReading) -> None:
        """What AWS says of the EKS add-on that keeps cluster DNS."""
        if reading != self._views.reading:
            self._views.reading = reading
            self._dirty.mark((addons.PLACE, addons.KEY))

    def nodes(self) -> Iterator[Node]:
        """Every node that is known."""
        return iter(self._nodes)

    def deployments(self) -> Iterator[Deployment]:
        """Every Deployment that is known."""
        return iter(self._deployments)

    def deployment(self, namespace: str, name: str) -> Deployment | None:
        """That Deployment, or None where there is none."""
        return self._deployments.get(namespace, name)

    def count(self, kind: Kind) -> int:
        """How many objects of a kind are known."""
        return len(self._shelves[kind])

    def generation(self, key: Key) -> int:
        """metadata.generation of the object with that key; 0 where there is none, or its kind has none."""
        return found.metadata.generation if (found := self._views.find(key)) is not None else 0

    def look(self, key: Key, now: datetime, server: Server = (1, 36)) -> View | None:
        """The view of the object with that key; None where there is none."""
        return self._views.look(key, now, server)

    def view(
        self, namespace: str, name: str, now: datetime, server: Server = (1, 36)
    ) -> DeploymentView | None:
        """A Deployment with all that rules may look at; None where there is none."""
        return self._views.of_deployment(namespace, name, now, server)
