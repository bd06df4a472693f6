"""All that is known of the cluster, and which objects have to be looked at again after a change.

Filled by adapters/watch and by our own writes (the answer of a patch); read by reconcile and cli. It is the only
mutable value between the watch and the rules, is used from one thread, and does no I/O.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
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
    SCALERS,
    SERVICE,
    VOLUME_CLAIM,
    Kind,
)
from resilience_operator.core.refs import Key, key_of
from resilience_operator.core.state import ANNOTATION
from resilience_operator.observed import addons
from resilience_operator.observed.alike import alike, alike_claim, alike_node, alike_pods
from resilience_operator.observed.dns import matters
from resilience_operator.observed.index import Index, scaled_by, service_selects
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
    Scaler,
    Service,
)
from resilience_operator.observed.shelf import Shelf, version
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
        self.on_dirty = on_dirty
        self._dirty: set[Key] = set()
        self._all_dirty = False
        self._index = Index()
        self._deployments: Shelf[Deployment] = Shelf()
        self._namespaces: Shelf[Namespace] = Shelf()
        self._claims: Shelf[PersistentVolumeClaim] = Shelf()
        self._nodes: Shelf[Node] = Shelf()
        self._rewound: set[Kind] = set()
        self._moved: list[Deployment] = []
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
        self._follow: dict[Kind, Callable[[Any, Any], None]] = {
            DEPLOYMENT: self._deployment_changed,
            REPLICA_SET: self._replica_set_changed,
            POD: self._pod_changed,
            SERVICE: self._service_changed,
            NAMESPACE: self._namespace_changed,
            NODE: self._node_changed,
            VOLUME_CLAIM: self._claim_changed,
            HPA: self._scaler_changed,
            SCALED_OBJECT: self._scaler_changed,
            CONFIG_MAP: self._config_map_changed,
            BUDGET: self._budget_changed,
            DAEMON_SET: self._daemon_set_changed,
            APPLICATION: self._application_changed,
        }

    def put(self, kind: Kind, new: Object) -> None:
        """An object as the watch or the answer of our own write gives it; refused where we know a newer one."""
        shelf = self._shelves[kind]
        if shelf.admits(new):
            self._follow[kind](shelf.set(new), new)

    def delete(self, kind: Kind, namespace: str, name: str, uid: str) -> None:
        """The object with that uid is gone; a later one of the same name stays."""
        old = self._shelves[kind].remove(namespace, name, uid)
        if old is not None:
            self._follow[kind](old, None)

    def replace(self, kind: Kind, objects: Sequence[Object], resource_version: str) -> None:
        """A whole list as of `resource_version`: what is not in it is gone, unless we know it from later."""
        shelf, follow = self._shelves[kind], self._follow[kind]
        rewound = kind in self._rewound
        self._rewound.discard(kind)
        if kind in (SERVICE, BUDGET, APPLICATION) and len(objects) > MANY:
            self._mark_all()
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
        dirty, self._dirty = self._dirty, set()
        moved, self._moved = self._moved, []
        if self._all_dirty or len(moved) > MANY:
            self._all_dirty = False
            dirty.update(self.subjects())
            return dirty
        moved.sort(
            key=lambda each: each.metadata.namespace
        )  # What is shared is kept of one namespace at a time.
        dirty = dirty.union(*(self._views.sharing.around(each) for each in moved))
        return dirty.union(*(self._views.judged_by(key) for key in dirty))

    def subjects(self) -> Iterator[Key]:
        """The key of every object that may be decided about."""
        yield from map(_key, self._deployments)
        for kind in SCALERS:
            yield from map(_key, self._shelves[kind])
        if self._views.addon() is not None:
            yield addons.KEY

    def put_addon(self, reading: AddonReading) -> None:
        """What AWS says of the EKS add-on that keeps cluster DNS."""
        if reading != self._views.reading:
            self._views.reading = reading
            self._mark((addons.PLACE, addons.KEY))

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

    def _mark(self, keys: Iterable[Key | None]) -> None:
        clean = not self._dirty and not self._all_dirty
        self._dirty.update(key for key in keys if key is not None)
        if clean and self._dirty:
            self.on_dirty()

    def _mark_all(self) -> None:
        clean = not self._dirty and not self._all_dirty
        self._all_dirty = True
        if clean:
            self.on_dirty()

    def _deployment_changed(self, old: Deployment | None, new: Deployment | None) -> None:
        if old is not None:
            self._index.remove_deployment(old)
        if new is not None:
            self._index.add_deployment(new)
        known = [each for each in (old, new) if each is not None]
        if not alike_pods(old, new):
            self._moved += known
            self._views.sharing.changed(known[0].metadata.namespace)
        self._mark(map(_key, known))
        self._mark(key for each in known for key in self._views.beside(each))

    def _scaler_changed(
        self,
        old: HorizontalPodAutoscaler | ScaledObject | None,
        new: HorizontalPodAutoscaler | ScaledObject | None,
    ) -> None:
        if old is not None:
            self._index.remove_scaler(old)
        if new is not None:
            self._index.add_scaler(new)
        known = [each for each in (old, new) if each is not None]
        self._mark(map(_key, known))
        if old is None or new is None or (old.spec, old.metadata.labels) != (new.spec, new.metadata.labels):
            self._mark(scaled_by(each) for each in known)

    def _config_map_changed(self, old: ConfigMap | None, new: ConfigMap | None) -> None:
        known = [each for each in (old, new) if each is not None]
        readers = {
            reader
            for each in known
            for reader in self._index.readers_of((each.metadata.namespace, each.metadata.name))
        }
        held = [each for each in known if ANNOTATION in each.metadata.annotations]
        if readers or held:
            self._mark(map(_key, known))
            self._mark(readers)
            self._mark(key for each in known for key in self._views.scaled(each))
        if any(map(matters, known)) and (old is None or new is None or old.data != new.data):
            self._mark(self._views.cluster_dns())

    def _daemon_set_changed(self, old: DaemonSet | None, new: DaemonSet | None) -> None:
        if not alike(old, new) and any(matters(each) for each in (old, new) if each is not None):
            self._mark(self._views.cluster_dns())

    def _budget_changed(self, old: PodDisruptionBudget | None, new: PodDisruptionBudget | None) -> None:
        if old is not None:
            self._views.budgets.remove(old)
        if new is not None:
            self._views.budgets.add(new)
        if not self._all_dirty and not alike(old, new):
            known = [each for each in (old, new) if each is not None]
            self._mark(key for each in known for key in self._views.protected_by(each))

    def _application_changed(self, old: Application | None, new: Application | None) -> None:
        known = [each for each in (old, new) if each is not None]
        if old is not None:
            self._views.applications.remove(old)
        if new is not None:
            self._views.applications.add(new)
        if not self._all_dirty and not alike(old, new):
            names = {each.metadata.name for each in known}
            self._mark(key for key in self.subjects() if self._views.belongs(key, names))

    def _replica_set_changed(self, old: ReplicaSet | None, new: ReplicaSet | None) -> None:
        before = self._index.deployment_of(old) if old is not None else None
        if old is not None:
            self._index.remove_replica_set(old)
        if new is not None:
            self._index.add_replica_set(new)
        if not alike(old, new):
            self._mark((before, self._index.deployment_of(new) if new is not None else None))

    def _pod_changed(self, old: Pod | None, new: Pod | None) -> None:
        if old is not None:
            self._index.remove_pod(old)
        if new is not None:
            self._index.add_pod(new)
        if not alike(old, new):
            self._mark(self._index.deployment_of(each) for each in (old, new) if each is not None)

    def _service_changed(self, old: Service | None, new: Service | None) -> None:
        if old is not None:
            self._index.remove_service(old)
        if new is not None:
            self._index.add_service(new)
        # to look for what it selects is needless where everything is looked at anyway
        if not self._all_dirty and not alike(old, new):
            self._mark(
                key for each in (old, new) if each is not None for key in self._views.selected_by(each)
            )

    def _namespace_changed(self, old: Namespace | None, new: Namespace | None) -> None:
        changed = new or old
        if changed is not None and not alike(old, new):
            self._mark(map(_key, self._deployments.within(changed.metadata.name)))

    def _node_changed(self, old: Node | None, new: Node | None) -> None:
        self._views.nodes_changed()
        if not alike_node(old, new):
            self._mark_all()

    def _claim_changed(self, old: PersistentVolumeClaim | None, new: PersistentVolumeClaim | None) -> None:
        changed = new or old
        if changed is not None and not alike_claim(old, new):
            self._mark(self._index.users_of(changed.metadata.namespace, changed.metadata.name))


def _key(found: Deployment | Scaler) -> Key:
    return key_of(found.ref)
