"""The views of Services over the cache, and their event handlers. Made by the store.

Of a Service that leads somewhere an event costs one look at its EndpointSlices: pods, Deployments and nodes are looked
at only beside one that does not, of which there are few.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from resilience_operator.cluster.cache import Cache
from resilience_operator.cluster.dirty import DirtyKeys
from resilience_operator.cluster.equality import alike
from resilience_operator.cluster.objects.workloads import (
    Deployment,
    Namespace,
    Node,
    Pod,
    ScaledObject,
    Service,
)
from resilience_operator.core.kinds import DEPLOYMENT, NAMESPACE, NODE, POD, SCALED_OBJECT, SERVICE, Kind
from resilience_operator.core.refs import Key
from resilience_operator.core.target import Handler
from resilience_operator.targets.services.callers import KINDS as CALLING
from resilience_operator.targets.services.callers import Callers, Calls
from resilience_operator.targets.services.endpoints import leads_nowhere
from resilience_operator.targets.services.labels import Gathered, gather
from resilience_operator.targets.services.view import ServiceView
from resilience_operator.targets.workloads.endpoint_slices import ENDPOINT_SLICE, EndpointSlice
from resilience_operator.targets.workloads.relations import scaled_by, service_selects

_PAUSED = ("autoscaling.keda.sh/paused", "autoscaling.keda.sh/paused-replicas")

MANY = 100
"""Of more kinds of labels in a Namespace it is not looked for who selects them."""


def key_of(namespace: str, name: str) -> Key:
    """The key of a Service."""
    return (namespace, name, SERVICE.kind)


class ServiceViews:
    """Follows every change that may matter to a Service, and makes the views."""

    broad: frozenset[Kind] = frozenset()

    def __init__(self, cache: Mapping[Kind, Cache[Any]], dirty: DirtyKeys) -> None:
        self._cache = cache
        self._dirty = dirty
        self._services: Cache[Service] = cache[SERVICE]
        self._slices: dict[tuple[str, str], dict[str, EndpointSlice]] = {}
        self._nowhere: dict[str, dict[str, datetime | None]] = {}
        """Namespace -> name -> since when every look found it so, of each Service that leads nowhere."""
        self._callers = Callers()
        self._gathered: dict[str, Gathered] = {}
        """Namespace -> its pods by label, put together once for the looks of a pass."""
        self._moved: set[str] = set()
        """Namespaces in which all that lead nowhere are to be looked at again."""
        self._touched: dict[str, dict[int, Mapping[str, str]]] = {}
        """Namespace -> labels of pods that changed: what selects them is to be looked at again."""
        self.handlers: dict[Kind, Handler] = {
            SERVICE: self._service_changed,
            ENDPOINT_SLICE: self._slice_changed,
            POD: self._pod_changed,
            DEPLOYMENT: self._deployment_changed,
            SCALED_OBJECT: self._scaled_object_changed,
            NODE: self._node_changed,
            NAMESPACE: self._namespace_changed,
            **dict.fromkeys(CALLING, self._caller_changed),
        }

    def subjects(self) -> Iterator[Key]:
        """The key of every Service."""
        return (key_of(one.metadata.namespace, one.metadata.name) for one in self._services)

    def subject(self, key: Key) -> Service | None:
        """The Service with that key, or None."""
        if len(key) != 3 or key[2] != SERVICE.kind:
            return None
        return self._services.get(key[0], key[1])

    def widen(self, keys: set[Key], *, everything: bool) -> set[Key]:
        """These keys, and those of what leads nowhere beside pods, Deployments and nodes that changed."""
        moved, touched = self._moved, self._touched
        self._moved, self._touched = set(), {}
        self._gathered.clear()
        if everything:
            return keys.union(self.subjects())
        moved |= {namespace for namespace, labels in touched.items() if len(labels) > MANY}
        beside = (self._selecting(namespace, labels.values()) for namespace, labels in touched.items())
        return keys.union(*map(self._leading_nowhere, moved), *beside)

    def look(self, key: Key, now: datetime, server: tuple[int, int]) -> ServiceView | None:
        """The view of the Service with that key; None where there is none."""
        found = self.subject(key)
        if found is None:
            return None
        namespace, name = found.metadata.namespace, found.metadata.name
        slices = self._slices_of(namespace, name)
        around: Namespace | None = self._cache[NAMESPACE].get("", namespace)
        lost = self._nowhere.get(namespace, {})
        if name not in lost:
            return ServiceView(found, now, around, slices)
        lost[name] = first_seen = lost[name] or now
        gathered = self._gathered.get(namespace)
        if gathered is None:
            gathered = self._gathered[namespace] = gather(
                self._cache[POD].within(namespace), self._cache[DEPLOYMENT].within(namespace)
            )
        pods, deployments = gathered.pods(found), gathered.deployments(found)
        return ServiceView(
            service=found,
            now=now,
            namespace=around,
            slices=slices,
            first_seen=first_seen,
            pods=pods,
            deployments=deployments,
            idle=self._idle(namespace, deployments),
            lost_nodes=self._lost_nodes(pods),
            nearby=() if pods or deployments else gathered.nearby,
            callers=self._callers.of(namespace, name),
        )

    def _slices_of(self, namespace: str, name: str) -> tuple[EndpointSlice, ...]:
        known = self._slices.get((namespace, name), {})
        return tuple(one for _, one in sorted(known.items()))

    def _idle(self, namespace: str, deployments: Iterable[Deployment]) -> frozenset[str]:
        """Names of the Deployments that a ScaledObject may let sleep, unless somebody paused it."""
        names = {one.metadata.name for one in deployments if not one.replicas}
        if not names:
            return frozenset()
        return frozenset(
            key[1]
            for one in self._cache[SCALED_OBJECT].within(namespace)
            if (key := scaled_by(one)) is not None and key[1] in names and _may_sleep(one)
        )

    def _lost_nodes(self, pods: Iterable[Pod]) -> frozenset[str]:
        nodes: Cache[Node] = self._cache[NODE]
        named = {pod.spec.node_name for pod in pods if pod.spec.node_name}
        return frozenset(
            name for name in named if (node := nodes.get("", name)) is not None and not node.ready
        )

    def _settle(self, namespace: str, name: str) -> None:
        """Note whether a Service leads nowhere, as of now."""
        found = self._services.get(namespace, name)
        if found is not None and leads_nowhere(found, self._slices_of(namespace, name)):
            self._nowhere.setdefault(namespace, {}).setdefault(name, None)
        elif name in (known := self._nowhere.get(namespace, {})):
            del known[name]
            if not known:
                del self._nowhere[namespace]

    def _service_changed(self, old: Service | None, new: Service | None) -> None:
        changed = new or old
        if changed is None or alike(old, new):
            return
        meta = changed.metadata
        if old is not None and new is not None and old.metadata.uid != new.metadata.uid:
            self._nowhere.get(meta.namespace, {}).pop(meta.name, None)
        self._settle(meta.namespace, meta.name)
        self._dirty.mark([key_of(meta.namespace, meta.name)])

    def _slice_changed(self, old: EndpointSlice | None, new: EndpointSlice | None) -> None:
        if old is not None:
            place = (old.metadata.namespace, old.service)
            known = self._slices.get(place, {})
            known.pop(old.metadata.name, None)
            if not known:
                self._slices.pop(place, None)
        if new is not None and new.service:
            place = (new.metadata.namespace, new.service)
            self._slices.setdefault(place, {})[new.metadata.name] = new
        if old is not None and old.like(new):
            return
        for one in (old, new):
            if one is not None and one.service:
                self._settle(one.metadata.namespace, one.service)
                self._dirty.mark([key_of(one.metadata.namespace, one.service)])

    def _pod_changed(self, old: Pod | None, new: Pod | None) -> None:
        known = [one for one in (old, new) if one is not None]
        namespace = known[0].metadata.namespace
        self._gathered.pop(namespace, None)
        if namespace in self._nowhere and not alike(old, new):
            self._note_labels(namespace, [one.metadata.labels for one in known])

    def _deployment_changed(self, old: Deployment | None, new: Deployment | None) -> None:
        known = [one for one in (old, new) if one is not None]
        namespace = known[0].metadata.namespace
        self._gathered.pop(namespace, None)
        if namespace in self._nowhere:
            self._note_labels(namespace, [one.spec.template.metadata.labels for one in known])

    def _scaled_object_changed(self, old: ScaledObject | None, new: ScaledObject | None) -> None:
        self._note_moved(one.metadata.namespace for one in (old, new) if one is not None)

    def _node_changed(self, old: Node | None, new: Node | None) -> None:
        if old is None or new is None or old.ready != new.ready:
            self._note_moved(self._nowhere)

    def _namespace_changed(self, old: Namespace | None, new: Namespace | None) -> None:
        changed = new or old
        if changed is not None and not alike(old, new):
            within = self._services.within(changed.metadata.name)
            self._dirty.mark(key_of(one.metadata.namespace, one.metadata.name) for one in within)

    def _caller_changed(self, old: Calls | None, new: Calls | None) -> None:
        if old is not None:
            self._callers.remove(old)
        if new is not None:
            self._callers.add(new)
        if old is None or new is None or old.services != new.services:
            every = (key for one in (old, new) if one is not None for key in one.services)
            self._dirty.mark(key_of(*key) for key in every if key[1] in self._nowhere.get(key[0], {}))

    def _note_labels(self, namespace: str, labels: Sequence[Mapping[str, str]]) -> None:
        """Pods with such labels changed; where they are new, or gone, they may be the nearest to any selector."""
        if len(labels) == 1 or labels[0] != labels[1]:
            self._note_moved([namespace])
            return
        self._touched.setdefault(namespace, {})[id(labels[1])] = labels[1]
        self._dirty.note()

    def _note_moved(self, namespaces: Iterable[str]) -> None:
        self._moved.update(namespace for namespace in namespaces if namespace in self._nowhere)
        self._dirty.note()

    def _leading_nowhere(self, namespace: str) -> Iterator[Key]:
        return (key_of(namespace, name) for name in self._nowhere.get(namespace, {}))

    def _selecting(self, namespace: str, labels: Collection[Mapping[str, str]]) -> Iterator[Key]:
        """The Services that lead nowhere and select pods with such labels."""
        for name in self._nowhere.get(namespace, {}):
            found = self._services.get(namespace, name)
            if found is not None and any(service_selects(found, one) for one in labels):
                yield key_of(namespace, name)


def _may_sleep(found: ScaledObject) -> bool:
    """True where KEDA may scale to zero of its own accord (its default), and was not told to stand still."""
    least = found.spec.idle_replica_count
    least = found.spec.min_replica_count if least is None else least
    return not least and not any(text in found.metadata.annotations for text in _PAUSED)
