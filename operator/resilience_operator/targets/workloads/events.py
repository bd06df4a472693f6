"""The event handlers of workloads, and their views over the cache. Made by the store for the targets that share them.

One method per kind; each keeps the relations up to date first. A change that no rule could notice touches nothing.
"""

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from resilience_operator.cluster.cache import Cache
from resilience_operator.cluster.dirty import DirtyKeys
from resilience_operator.cluster.equality import alike, alike_claim, alike_node, alike_pods, alike_spread
from resilience_operator.cluster.objects.workloads import (
    AddonReading,
    Application,
    ConfigMap,
    DaemonSet,
    Deployment,
    HorizontalPodAutoscaler,
    Namespace,
    Node,
    PersistentVolumeClaim,
    Pod,
    PodDisruptionBudget,
    ReplicaSet,
    ScaledObject,
    Scaler,
    Service,
)
from resilience_operator.cluster.store import Store
from resilience_operator.core.kinds import (
    APPLICATION,
    BUDGET,
    CONFIG_MAP,
    DAEMON_SET,
    DEPLOYMENT,
    EKS_ADDON,
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
from resilience_operator.core.refs import Key, key_of
from resilience_operator.core.state import ANNOTATION
from resilience_operator.core.target import Handler
from resilience_operator.targets.coredns import addon_state as addons
from resilience_operator.targets.coredns.cluster_dns import runs_cache
from resilience_operator.targets.workloads.foreign_pods import beside, stranger_of
from resilience_operator.targets.workloads.mass_restarts import MassRestarts, TooMany
from resilience_operator.targets.workloads.relations import Index, scaled_by
from resilience_operator.targets.workloads.view import View
from resilience_operator.targets.workloads.views import ViewBuilder

MANY = 100
"""More Deployments than that whose pods changed make everything dirty: to find what each touches would cost more."""


class WorkloadViews:
    """Follows every change of every kind that has to do with a Deployment, and makes the views.

    `_moved`: Deployments, as they were and are, whose pods or selector changed. `_applications`: names of Applications
    that changed; what belongs to them is looked for once, when all is taken.
    """

    broad: frozenset[Kind] = frozenset({SERVICE, BUDGET})

    def __init__(self, cache: Mapping[Kind, Cache[Any]], dirty: DirtyKeys) -> None:
        self.dirty = dirty
        self._index = Index()
        self._views = ViewBuilder(cache, self._index)
        self._deployments: Cache[Deployment] = cache[DEPLOYMENT]
        self._restarts = MassRestarts()
        self._moved: list[Deployment] = []
        self._applications: set[str] = set()
        self.handlers: dict[Kind, Handler] = {
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
            EKS_ADDON: self._addon_changed,
        }

    def subjects(self) -> Iterator[Key]:
        """The key of every Deployment, and of everything that may scale one."""
        return self._views.subjects()

    def subject(self, key: Key) -> Deployment | Scaler | None:
        """The object with that key, or None."""
        return self._views.find(key)

    def look(self, key: Key, now: datetime, server: tuple[int, int]) -> View | None:
        """The view of the object with that key; None where there is none."""
        return self._views.look(key, now, server)

    def widen(self, keys: set[Key], *, everything: bool) -> set[Key]:
        """These keys, and those of what shares selectors, budgets, scalers or an Application with what changed."""
        moved, applications = self._moved, self._applications
        self._moved, self._applications = [], set()
        if everything or len(moved) > MANY:
            return keys.union(self.subjects())
        if applications:
            keys = keys.union(key for key in self.subjects() if self._views.belongs(key, applications))
        moved.sort(
            key=lambda each: each.metadata.namespace
        )  # What is shared is kept of one namespace at a time.
        keys = keys.union(*(self._views.sharing.around(each) for each in moved))
        return keys.union(*(self._views.judged_by(key) for key in keys))

    def _addon_changed(self, _: AddonReading | None, new: AddonReading) -> None:
        self._views.reading = new
        self.dirty.mark((addons.PLACE, addons.KEY))

    def too_many_restarts(self, percent: int) -> TooMany | None:
        """Whether others restart more than that share of all Deployments at once."""
        return self._restarts.too_many(len(self._deployments), percent)

    def _deployment_changed(self, old: Deployment | None, new: Deployment | None) -> None:
        self._restarts.follow(old, new)
        if old is not None:
            self._index.remove_deployment(old)
        if new is not None:
            self._index.add_deployment(new)
        known = [each for each in (old, new) if each is not None]
        if not (alike_pods(old, new) and alike_spread(old, new)):
            self._moved += known
            self._views.sharing.changed(known[0].metadata.namespace)
        self.dirty.mark(map(_key, known))
        self.dirty.mark(key for each in known for key in self._views.beside(each))

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
        self.dirty.mark(map(_key, known))
        if old is None or new is None or (old.spec, old.metadata.labels) != (new.spec, new.metadata.labels):
            self.dirty.mark(scaled_by(each) for each in known)

    def _config_map_changed(self, old: ConfigMap | None, new: ConfigMap | None) -> None:
        known = [each for each in (old, new) if each is not None]
        readers = {
            reader
            for each in known
            for reader in self._index.readers_of((each.metadata.namespace, each.metadata.name))
        }
        held = [each for each in known if ANNOTATION in each.metadata.annotations]
        if readers or held:
            self.dirty.mark(map(_key, known))
            self.dirty.mark(readers)
            self.dirty.mark(key for each in known for key in self._views.scaled(each))

    def _daemon_set_changed(self, old: DaemonSet | None, new: DaemonSet | None) -> None:
        if not alike(old, new) and any(runs_cache(each) for each in (old, new) if each is not None):
            self.dirty.mark(self._views.cluster_dns())

    def _budget_changed(self, old: PodDisruptionBudget | None, new: PodDisruptionBudget | None) -> None:
        if old is not None:
            self._views.budgets.remove(old)
        if new is not None:
            self._views.budgets.add(new)
        if not self.dirty.everything and not alike(old, new):
            known = [each for each in (old, new) if each is not None]
            self.dirty.mark(key for each in known for key in self._views.protected_by(each))

    def _application_changed(self, old: Application | None, new: Application | None) -> None:
        known = [each for each in (old, new) if each is not None]
        if old is not None:
            self._views.applications.remove(old)
        if new is not None:
            self._views.applications.add(new)
        if not alike(old, new):
            self._applications.add(known[0].metadata.name)
            self.dirty.note()

    def _replica_set_changed(self, old: ReplicaSet | None, new: ReplicaSet | None) -> None:
        before = self._index.deployment_of(old) if old is not None else None
        if old is not None:
            self._index.remove_replica_set(old)
        if new is not None:
            self._index.add_replica_set(new)
        if not alike(old, new):
            self.dirty.mark((before, self._index.deployment_of(new) if new is not None else None))

    def _pod_changed(self, old: Pod | None, new: Pod | None) -> None:
        if old is not None:
            self._index.remove_pod(old)
        if new is not None:
            self._index.add_pod(new)
        if not alike(old, new):
            self.dirty.mark(self._index.deployment_of(each) for each in (old, new) if each is not None)
        self._strangers_changed(old, new)

    def _strangers_changed(self, old: Pod | None, new: Pod | None) -> None:
        was, now = (stranger_of(each) if each is not None else None for each in (old, new))
        pod, known = new or old, self._views.strangers
        if pod is None or was == now:
            return
        namespace = pod.metadata.namespace
        gone = [was] if was is not None and known.remove(namespace, was) else []
        come = [now] if now is not None and known.add(namespace, now) else []
        if not self.dirty.everything:
            every = (beside(one, self._deployments.within(namespace)) for one in gone + come)
            self.dirty.mark(_key(each) for chosen in every for each in chosen)

    def _service_changed(self, old: Service | None, new: Service | None) -> None:
        if old is not None:
            self._index.remove_service(old)
        if new is not None:
            self._index.add_service(new)
        # to look for what it selects is needless where everything is looked at anyway
        if not self.dirty.everything and not alike(old, new):
            self.dirty.mark(
                key for each in (old, new) if each is not None for key in self._views.selected_by(each)
            )

    def _namespace_changed(self, old: Namespace | None, new: Namespace | None) -> None:
        changed = new or old
        if changed is not None and not alike(old, new):
            self.dirty.mark(map(_key, self._deployments.within(changed.metadata.name)))

    def _node_changed(self, old: Node | None, new: Node | None) -> None:
        self._views.nodes_changed()
        if not alike_node(old, new):
            self.dirty.mark_all()

    def _claim_changed(self, old: PersistentVolumeClaim | None, new: PersistentVolumeClaim | None) -> None:
        changed = new or old
        if changed is not None and not alike_claim(old, new):
            self.dirty.mark(self._index.users_of(changed.metadata.namespace, changed.metadata.name))


def too_many_restarts(store: Store, percent: int) -> TooMany | None:
    """Whether others restart more than that share of a store's Deployments at once."""
    views = next(one for one in store.views if isinstance(one, WorkloadViews))
    return views.too_many_restarts(percent)


def _key(found: Deployment | Scaler) -> Key:
    return key_of(found.ref)
