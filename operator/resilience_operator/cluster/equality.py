"""Whether a change of an object is one that a rule could notice. Asked by the store for every event.

Most events are none: heartbeats of nodes, counters, versions. Each that is recognised saves an evaluation.
"""

from resilience_operator.cluster.objects.workloads import (
    Application,
    DaemonSet,
    Deployment,
    Namespace,
    Node,
    PersistentVolumeClaim,
    Pod,
    PodDisruptionBudget,
    ReplicaSet,
    Service,
    Taint,
)

Neighbour = ReplicaSet | Pod | Service | Namespace | PodDisruptionBudget | DaemonSet | Application


def alike(old: Neighbour | None, new: Neighbour | None) -> bool:
    """True where both are the same object and differ in nothing but their version."""
    if old is None or new is None:
        return old is new
    was, now = old.metadata, new.metadata
    return (
        was.uid == now.uid
        and was.deletion_timestamp == now.deletion_timestamp
        and was.labels == now.labels
        and was.annotations == now.annotations
        and was.owner_references == now.owner_references
        and getattr(old, "spec", None) == getattr(new, "spec", None)
        and getattr(old, "status", None) == getattr(new, "status", None)
    )


def alike_node(old: Node | None, new: Node | None) -> bool:
    """True where readiness, schedulability, labels and taints are the same: a heartbeat."""
    if old is None or new is None:
        return old is new
    return _facts(old) == _facts(new)


def _facts(node: Node) -> tuple[bool, bool, dict[str, str], tuple[Taint, ...]]:
    return (node.ready, node.spec.unschedulable, node.metadata.labels, node.spec.taints)


def alike_claim(old: PersistentVolumeClaim | None, new: PersistentVolumeClaim | None) -> bool:
    """True where the access modes are the same."""
    if old is None or new is None:
        return old is new
    return old.spec.access_modes == new.spec.access_modes


def alike_pods(old: Deployment | None, new: Deployment | None) -> bool:
    """True where the pods have the same labels, and the same are selected."""
    if old is None or new is None:
        return old is new
    was, now = old.spec, new.spec
    return was.selector == now.selector and was.template.metadata.labels == now.template.metadata.labels


def alike_spread(old: Deployment | None, new: Deployment | None) -> bool:
    """True where both say the same of where their pods are to run."""
    if old is None or new is None:
        return False
    was, said = old.spec.template.spec, new.spec.template.spec
    return (was.topology_spread_constraints, was.affinity) == (
        said.topology_spread_constraints,
        said.affinity,
    )
