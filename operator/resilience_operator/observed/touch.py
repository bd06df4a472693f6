"""What an event touches: the keys of the objects that have to be decided about again. Used by the store alone.

One method per kind; each keeps the index up to date first. A change that no rule could notice touches nothing.
"""

from collections.abc import Callable, Iterable
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
from resilience_operator.core.refs import Key, key_of
from resilience_operator.core.state import ANNOTATION
from resilience_operator.observed.alike import alike, alike_claim, alike_node, alike_pods
from resilience_operator.observed.dns import matters
from resilience_operator.observed.index import Index, scaled_by
from resilience_operator.observed.objects import (
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
from resilience_operator.observed.shelf import Shelf
from resilience_operator.observed.strangers import beside, stranger_of
from resilience_operator.observed.views import Views


class Dirty:
    """What is to be looked at again. `on_dirty` is called when the first key is marked, to wake somebody.

    `moved`: Deployments, as they were and are, whose pods or selector changed. `resized`: those whose number of pods,
    or what limits it, changed, or which came, went or moved. `applications`: names of Applications that changed; what
    belongs to them is looked for once, when all is taken.
    """

    def __init__(self, on_dirty: Callable[[], None]) -> None:
        self.on_dirty = on_dirty
        self.keys: set[Key] = set()
        self.everything = False
        self.moved: list[Deployment] = []
        self.resized: list[Deployment] = []
        self.applications: set[str] = set()

    @property
    def clean(self) -> bool:
        """True where there is nothing to be looked at."""
        return not (self.keys or self.everything or self.applications)

    def mark(self, keys: Iterable[Key | None]) -> None:
        """These are to be looked at again."""
        clean = self.clean
        self.keys.update(key for key in keys if key is not None)
        if clean and self.keys:
            self.on_dirty()

    def mark_all(self) -> None:
        """All are."""
        clean, self.everything = self.clean, True
        if clean:
            self.on_dirty()

    def mark_application(self, name: str) -> None:
        """What belongs to an Application of that name is."""
        clean = self.clean
        self.applications.add(name)
        if clean:
            self.on_dirty()


class Touch:
    """Follows every change of every kind."""

    def __init__(self, dirty: Dirty, index: Index, views: Views, deployments: Shelf[Deployment]) -> None:
        self.dirty = dirty
        self._index = index
        self._views = views
        self._deployments = deployments
        self.follow: dict[Kind, Callable[[Any, Any], None]] = {
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
        """Kind -> what takes (old, new), None where it was not, or is no more."""

    def _deployment_changed(self, old: Deployment | None, new: Deployment | None) -> None:
        if old is not None:
            self._index.remove_deployment(old)
        if new is not None:
            self._index.add_deployment(new)
        known = [each for each in (old, new) if each is not None]
        if not alike_pods(old, new):
            self.dirty.moved += known
            self._views.sharing.changed(known[0].metadata.namespace)
            self._views.together.changed(known[0].metadata.namespace)
        if old is None or new is None or old.replicas != new.replicas or not alike_pods(old, new):
            self.dirty.resized += known
        self.dirty.mark(map(_key, known))
        beside = [key for each in known for key in self._views.beside(each)]
        self.dirty.mark(beside)
        self._limits_changed(beside)

    def _limits_changed(self, scaled: Iterable[Key | None]) -> None:
        """What scales these Deployments may go up to another number."""
        found = (self._deployments.get(key[0], key[1]) for key in scaled if key is not None and len(key) == 2)
        self.dirty.resized += [one for one in found if one is not None]

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
            scaled = [scaled_by(each) for each in known]
            self.dirty.mark(scaled)
            self._limits_changed(scaled)

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
            scaled = [key for each in known for key in self._views.scaled(each)]
            self.dirty.mark(scaled)
            self._limits_changed(scaled)
        if any(map(matters, known)) and (old is None or new is None or old.data != new.data):
            self.dirty.mark(self._views.cluster_dns())

    def _daemon_set_changed(self, old: DaemonSet | None, new: DaemonSet | None) -> None:
        if not alike(old, new) and any(matters(each) for each in (old, new) if each is not None):
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
            self.dirty.mark_application(known[0].metadata.name)

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


def _key(found: Deployment | Scaler) -> Key:
    return key_of(found.ref)
