"""What belongs together: ReplicaSets and pods by owner, Services by what they select, claims by who uses them,
scalers by what they scale.

Kept by the store, one `add` and `remove` per object that comes and goes. Deployments are not indexed by their
labels: that would cost more memory than a Deployment itself, to make rare events cheaper.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import TypeVar

from resilience_operator.cluster.objects.workloads import (
    Addon,
    ConfigMap,
    Deployment,
    HorizontalPodAutoscaler,
    Pod,
    ReplicaSet,
    ScaledObject,
    Scaler,
    Service,
)
from resilience_operator.core.refs import Key
from resilience_operator.targets.workloads.autoscalers import autoscaler_of

K = TypeVar("K")
O = TypeVar("O", ReplicaSet, Pod, Service)  # noqa: E741 - an object
T = TypeVar("T")


def service_selects(service: Service, labels: Mapping[str, str]) -> bool:
    """True where the Service sends traffic to pods with those labels: a selector that is not empty, all of it.

    A Service of type ExternalName gets no endpoints, whatever its selector says.
    """
    selector = service.spec.selector
    if not selector or service.spec.type == "ExternalName":
        return False
    return all(labels.get(key) == text for key, text in selector.items())


def claims_used(deployment: Deployment) -> list[str]:
    """Names of the PersistentVolumeClaims that the template mounts; ephemeral ones have no claim before a pod."""
    volumes = deployment.spec.template.spec.volumes
    return [each.persistent_volume_claim.claim_name for each in volumes if each.persistent_volume_claim]


def scaled_by(found: Scaler) -> Key | None:
    """The Deployment that an HPA or ScaledObject names as its target; None where it names another kind."""
    if isinstance(found, Addon):
        return (found.metadata.namespace, found.metadata.name)
    if isinstance(found, ConfigMap):
        return None
    target = found.spec.scale_target_ref
    group = target.api_version.rpartition("/")[0]
    fits = (target.kind or "Deployment") == "Deployment" and group in {"apps", "extensions", ""}
    return (found.metadata.namespace, target.name) if fits else None


class Index:
    """The relations of the objects that are known, in both directions where an event needs it."""

    def __init__(self) -> None:
        self._deployments: dict[str, Key] = {}
        self._replica_sets: dict[str, dict[str, ReplicaSet]] = {}
        self._pods: dict[str, dict[str, Pod]] = {}
        self._owners: dict[str, str] = {}
        self._services: dict[tuple[str, str, str], dict[str, Service]] = {}
        self._users: dict[Key, set[str]] = {}
        self._scalers: dict[Key, dict[str, HorizontalPodAutoscaler | ScaledObject]] = {}
        self._autoscalers: dict[Key, set[Key]] = {}
        self._parameters: dict[Key, set[Key]] = {}

    def add_deployment(self, found: Deployment) -> None:
        """By uid, and as user of its claims."""
        meta = found.metadata
        self._deployments[meta.uid] = (meta.namespace, meta.name)
        for claim in claims_used(found):
            self._users.setdefault((meta.namespace, claim), set()).add(meta.name)
        for mapping, key in self._scaled_by(found):
            mapping.setdefault(key, set()).add((meta.namespace, meta.name))

    def remove_deployment(self, gone: Deployment) -> None:
        """The opposite of add_deployment."""
        meta = gone.metadata
        self._deployments.pop(meta.uid, None)
        for claim in claims_used(gone):
            _discard(self._users, (meta.namespace, claim), meta.name)
        for mapping, key in self._scaled_by(gone):
            _discard(mapping, key, (meta.namespace, meta.name))

    def _scaled_by(self, found: Deployment) -> Iterator[tuple[dict[Key, set[Key]], Key]]:
        """Where a CPA is entered: by each Deployment that it says it scales, and by its ConfigMap."""
        autoscaler = autoscaler_of(found)
        if autoscaler is None:
            return
        for scaled in autoscaler.claimed:
            yield self._autoscalers, scaled
        yield self._parameters, (autoscaler.namespace, autoscaler.config_map)

    def add_scaler(self, found: HorizontalPodAutoscaler | ScaledObject) -> None:
        """By the Deployment that it scales."""
        if key := scaled_by(found):
            self._scalers.setdefault(key, {})[_kind_and_name(found)] = found

    def remove_scaler(self, gone: HorizontalPodAutoscaler | ScaledObject) -> None:
        """The opposite of add_scaler."""
        if key := scaled_by(gone):
            entries = self._scalers.get(key, {})
            entries.pop(_kind_and_name(gone), None)
            if not entries:
                self._scalers.pop(key, None)

    def scalers_of(self, key: Key) -> tuple[HorizontalPodAutoscaler | ScaledObject, ...]:
        """The HPAs and ScaledObjects that scale that Deployment, by name."""
        return tuple(each for _, each in sorted(self._scalers.get(key, {}).items()))

    def autoscalers_of(self, key: Key) -> list[Key]:
        """The Deployments of CPAs that say they scale that Deployment."""
        return sorted(self._autoscalers.get(key, ()))

    def readers_of(self, config_map: Key) -> list[Key]:
        """The Deployments of CPAs that take their parameters from that ConfigMap."""
        return sorted(self._parameters.get(config_map, ()))

    def add_replica_set(self, found: ReplicaSet) -> None:
        """By the Deployment that controls it."""
        if owner := _controller(found, "Deployment"):
            _enter(self._replica_sets, owner, found)
            self._owners[found.metadata.uid] = owner

    def remove_replica_set(self, gone: ReplicaSet) -> None:
        """The opposite of add_replica_set."""
        if owner := _controller(gone, "Deployment"):
            _leave(self._replica_sets, owner, gone)
            self._owners.pop(gone.metadata.uid, None)

    def add_pod(self, found: Pod) -> None:
        """By the ReplicaSet that controls it."""
        if owner := _controller(found, "ReplicaSet"):
            _enter(self._pods, owner, found)

    def remove_pod(self, gone: Pod) -> None:
        """The opposite of add_pod."""
        if owner := _controller(gone, "ReplicaSet"):
            _leave(self._pods, owner, gone)

    def add_service(self, found: Service) -> None:
        """By the first pair of its selector, which all that it selects must bear."""
        if key := _first_pair(found):
            _enter(self._services, key, found)

    def remove_service(self, gone: Service) -> None:
        """The opposite of add_service."""
        if key := _first_pair(gone):
            _leave(self._services, key, gone)

    def deployment_of(self, found: ReplicaSet | Pod) -> Key | None:
        """The Deployment that a ReplicaSet or pod belongs to; None where it belongs to none that is known."""
        if isinstance(found, Pod):
            uid = self._owners.get(_controller(found, "ReplicaSet"), "")
        else:
            uid = _controller(found, "Deployment")
        return self._deployments.get(uid)

    def users_of(self, namespace: str, claim: str) -> Iterator[Key]:
        """The Deployments that mount a claim."""
        return ((namespace, name) for name in self._users.get((namespace, claim), ()))

    def replica_sets_of(self, deployment: Deployment) -> tuple[ReplicaSet, ...]:
        """Its ReplicaSets, by name."""
        return _by_name(self._replica_sets.get(deployment.metadata.uid, {}).values())

    def pods_of(self, replica_sets: Iterable[ReplicaSet]) -> tuple[Pod, ...]:
        """Their pods, by name."""
        return _by_name(
            pod for each in replica_sets for pod in self._pods.get(each.metadata.uid, {}).values()
        )

    def services_of(self, deployment: Deployment) -> tuple[Service, ...]:
        """The Services that select its pods, by name."""
        labels, namespace = deployment.spec.template.metadata.labels, deployment.metadata.namespace
        return _by_name(
            service
            for key, text in labels.items()
            for service in self._services.get((namespace, key, text), {}).values()
            if service_selects(service, labels)
        )


def _kind_and_name(found: HorizontalPodAutoscaler | ScaledObject) -> str:
    return f"{found.ref.kind}/{found.metadata.name}"


def _controller(found: ReplicaSet | Pod, kind: str) -> str:
    owner = found.metadata.controller
    return owner.uid if owner is not None and owner.kind == kind else ""


def _first_pair(service: Service) -> tuple[str, str, str] | None:
    if not service.spec.selector:
        return None
    key, text = min(service.spec.selector.items())
    return (service.metadata.namespace, key, text)


def _by_name(objects: Iterable[O]) -> tuple[O, ...]:
    return tuple(sorted(objects, key=lambda each: each.metadata.name))


def _enter(index: dict[K, dict[str, O]], key: K, found: O) -> None:
    index.setdefault(key, {})[found.metadata.name] = found


def _leave(index: dict[K, dict[str, O]], key: K, gone: O) -> None:
    if (entries := index.get(key)) is not None:
        entries.pop(gone.metadata.name, None)
        if not entries:
            del index[key]


def _discard(index: dict[K, set[T]], key: K, name: T) -> None:
    if (names := index.get(key)) is not None:
        names.discard(name)
        if not names:
            del index[key]
