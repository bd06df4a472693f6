"""The kinds that workloads are made of, and what is kept of an object of each.

Declared by the targets deployments and coreDNS. An object is decoded straight into structs; what no rule reads is
dropped, and what many objects have in common is shared.
"""

from msgspec.structs import force_setattr

from resilience_operator.cluster import wire as wires
from resilience_operator.cluster.interning import interned, share, share_text, shared_labels
from resilience_operator.cluster.keep import meta, ownership
from resilience_operator.cluster.managed_fields import budget_claims
from resilience_operator.cluster.objects import workloads as observed
from resilience_operator.cluster.objects.meta import REVISION
from resilience_operator.core import kinds
from resilience_operator.core.state import ANNOTATION
from resilience_operator.core.target import Watched
from resilience_operator.targets.coredns.cluster_dns import is_cache
from resilience_operator.targets.workloads.autoscalers import looks_like, may_be_parameters
from resilience_operator.targets.workloads.budgets import is_made_by_us

_AWS = "aws:///"
_POD_TEMPLATE_HASH = "pod-template-hash"
_READ = frozenset({"kube-proxy", "kube-proxy-config"})
"""ConfigMaps of which the target conntrack reads what kube-proxy writes."""
_CONDITIONS = frozenset({"Ready", observed.CONNTRACK_PRESSURE})
_REVISION_AND_STATE = frozenset({REVISION, ANNOTATION})


def deployment(wire: wires.WireDeployment) -> observed.Deployment:
    """A Deployment with its claims and what was chosen, in place of managedFields and last-applied."""
    spec, status = wire.spec, wire.status
    for name in ("resources", "os"):
        force_setattr(spec.template.spec, name, share(getattr(spec.template.spec, name)))
    for container in spec.template.spec.containers:
        interned(container, name=container.name, image=container.image)
        force_setattr(container, "resources", share(container.resources))
        if (container.command or container.args) and not looks_like(container.argv):
            force_setattr(container, "command", None)
            force_setattr(container, "args", None)
        for name in ("readiness_probe", "liveness_probe", "startup_probe"):
            if (probe := getattr(container, name)) is not None:
                force_setattr(container, name, share(probe))
    for condition in status.conditions:
        interned(condition, type=condition.type, status=condition.status, reason=condition.reason)
    if spec.selector.match_labels:
        force_setattr(spec.selector, "match_labels", shared_labels(spec.selector.match_labels))
    if spec.template.metadata.labels:
        force_setattr(spec.template.metadata, "labels", shared_labels(spec.template.metadata.labels))
    return observed.Deployment(meta(wire.metadata), spec, status, *ownership(wire.metadata))


def replica_set(wire: wires.WireReplicaSet) -> observed.ReplicaSet:
    """A ReplicaSet with its size; of its labels only the hash of its template."""
    found = wire.metadata
    found.labels = {key: text for key, text in found.labels.items() if key == _POD_TEMPLATE_HASH}
    found.annotations = {key: text for key, text in found.annotations.items() if key in _REVISION_AND_STATE}
    return observed.ReplicaSet(meta(found), share(wire.spec))


def pod(wire: wires.WirePod) -> observed.Pod:
    """A pod with its condition Ready, and with PodScheduled while it is not."""
    status = observed.PodStatus(
        share_text(wire.status.phase),
        share(tuple(_alike(found) for found in wire.status.conditions if _matters(found))),
        share(tuple(map(share, wire.status.container_statuses))),
        share_text(wire.status.nominated_node_name) if not wire.spec.node_name else "",
    )
    return observed.Pod(meta(wire.metadata), share(wire.spec), status)


def _matters(condition: observed.Condition) -> bool:
    return condition.type == "Ready" or (condition.type == "PodScheduled" and condition.status != "True")


def _alike(condition: observed.Condition) -> observed.Condition:
    interned(condition, type=condition.type, status=condition.status)
    interned(condition, reason=condition.reason, message=condition.message)
    return condition


def service(wire: wires.WireService) -> observed.Service:
    """A Service."""
    return observed.Service(meta(wire.metadata), wire.spec)


def namespace(wire: wires.WireNamespace) -> observed.Namespace:
    """A Namespace."""
    return observed.Namespace(meta(wire.metadata))


def node(wire: wires.WireNode) -> observed.Node:
    """A Node with two conditions and its cores, without images, addresses, and ids of other clouds than AWS."""
    kept = tuple(_alike(found) for found in wire.status.conditions if found.type in _CONDITIONS)
    if not wire.spec.provider_id.startswith(_AWS):
        force_setattr(wire.spec, "provider_id", "")
    cores = shared_labels({name: text for name, text in wire.status.capacity.items() if name == "cpu"})
    status = observed.NodeStatus(kept, cores, share(wire.status.node_info))
    return observed.Node(meta(wire.metadata), wire.spec, status)


def volume_claim(wire: wires.WireVolumeClaim) -> observed.PersistentVolumeClaim:
    """A PersistentVolumeClaim."""
    return observed.PersistentVolumeClaim(meta(wire.metadata), wire.spec)


def hpa(wire: wires.WireHPA) -> observed.HorizontalPodAutoscaler:
    """An HPA with its claims and what was chosen."""
    return observed.HorizontalPodAutoscaler(meta(wire.metadata), wire.spec, *ownership(wire.metadata))


def scaled_object(wire: wires.WireScaledObject) -> observed.ScaledObject:
    """A ScaledObject with its claims and what was chosen."""
    return observed.ScaledObject(meta(wire.metadata), wire.spec, *ownership(wire.metadata))


def config_map(wire: wires.WireConfigMap) -> observed.ConfigMap:
    """A ConfigMap; nothing of the data of one that is neither an autoscaler's nor kube-proxy's."""
    kept = (
        wire.data if wire.metadata.name in _READ or may_be_parameters(wire.metadata.name, wire.data) else {}
    )
    return observed.ConfigMap(meta(wire.metadata), kept, *ownership(wire.metadata))


def budget(wire: wires.WireBudget) -> observed.PodDisruptionBudget:
    """A PodDisruptionBudget; of one that we made also who set the fields of its spec."""
    found = observed.PodDisruptionBudget(meta(wire.metadata), wire.spec)
    if not is_made_by_us(found):
        return found
    return observed.PodDisruptionBudget(
        found.metadata, found.spec, budget_claims(wire.metadata.managed_fields)
    )


def daemon_set(wire: wires.WireDaemonSet) -> observed.DaemonSet:
    """A DaemonSet; its template where it is the DNS cache of the nodes."""
    found, spec = wire.metadata, wire.spec
    if not is_cache(found.name, found.labels, spec.template.metadata.labels):
        spec = observed.DaemonSetSpec()
    return observed.DaemonSet(meta(found), spec, wire.status)


def application(wire: wires.WireApplication) -> observed.Application:
    """An Application with how it syncs; what it has synced changes with every commit, and is not kept."""
    return observed.Application(meta(wire.metadata), wire.spec)


WATCHED: tuple[Watched, ...] = (
    Watched(kinds.DEPLOYMENT, wires.WireDeployment, deployment, subject=True),
    Watched(kinds.REPLICA_SET, wires.WireReplicaSet, replica_set, beside=True),
    Watched(kinds.POD, wires.WirePod, pod, beside=True),
    Watched(kinds.SERVICE, wires.WireService, service, beside=True),
    Watched(kinds.NAMESPACE, wires.WireNamespace, namespace, beside=True),
    Watched(kinds.NODE, wires.WireNode, node),
    Watched(kinds.VOLUME_CLAIM, wires.WireVolumeClaim, volume_claim, beside=True),
    Watched(kinds.HPA, wires.WireHPA, hpa, subject=True, beside=True),
    Watched(kinds.SCALED_OBJECT, wires.WireScaledObject, scaled_object, subject=True, beside=True),
    Watched(kinds.CONFIG_MAP, wires.WireConfigMap, config_map, subject=True),
    Watched(kinds.BUDGET, wires.WireBudget, budget, beside=True, owners_matter=is_made_by_us),
    Watched(kinds.DAEMON_SET, wires.WireDaemonSet, daemon_set),
    Watched(kinds.APPLICATION, wires.WireApplication, application),
)
"""What the targets whose objects are Deployments watch, and what scales them."""
