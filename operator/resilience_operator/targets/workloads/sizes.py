"""How many replicas a Deployment has as it is to be judged: now, and at the least.

Used by every rule that counts replicas. In a cluster spec.replicas is the truth, for whoever scales writes it there. A
file says it only where nobody scales: charts leave it out where an autoscaler is on, and the API server's 1 is not
what will run.
"""

from dataclasses import dataclass

from resilience_operator.cluster.objects.workloads import (
    Addon,
    ConfigMap,
    HorizontalPodAutoscaler,
    ScaledObject,
)
from resilience_operator.targets.coredns import addon_configuration as eks_addon
from resilience_operator.targets.workloads import cpa
from resilience_operator.targets.workloads.autoscalers import autoscaler_of, stands_still
from resilience_operator.targets.workloads.scaling import By, Scaling, who_scales
from resilience_operator.targets.workloads.view import DeploymentView

KEDA_MAXIMUM = 100
"""maxReplicaCount where a ScaledObject says nothing (KEDA's documentation of the ScaledObject)."""

PAUSED = "autoscaling.keda.sh/paused"
PAUSED_REPLICAS = "autoscaling.keda.sh/paused-replicas"
"""Annotations with which KEDA leaves the number alone, or holds another one (KEDA's "Pausing autoscaling")."""


def replicas_of(view: DeploymentView) -> int:
    """How many replicas to judge by: in files, whose pods nobody knows, no fewer than its only scaler keeps."""
    written = view.deployment.replicas
    if view.known.pods or written == 0:
        return written
    scaling = who_scales(view)
    return max(written, 0 if scaling.still or _paused(scaling) else _kept(scaling, view))


@dataclass(frozen=True, slots=True)
class Minimum:
    """The least pods with which a Deployment runs."""

    pods: int | None
    """At least 1; None where somebody scales it and how far down is not known."""
    scaler: str = ""
    """Who may leave it with so few; "" where they are as many as it has."""


def minimum_of(view: DeploymentView) -> Minimum:
    """What its only scaler may leave, and as many as it has where nobody scales it."""
    written, scaling = Minimum(max(view.deployment.replicas, 1)), who_scales(view)
    if scaling.by is By.NOBODY or scaling.still or _paused(scaling):
        return written
    unread = scaling.target is None
    if scaling.by is By.CPA:
        unread = _parameters(scaling, view) is None
    elif isinstance(scaling.target, Addon):
        unread = not lowest(scaling)
    return Minimum(None if unread else max(_kept(scaling, view), 1), scaling.who)


def _kept(scaling: Scaling, view: DeploymentView) -> int:
    """The same as `lowest` on a cluster of two nodes or more; of a CPA without a ConfigMap by what it makes one of."""
    found = _parameters(scaling, view) if scaling.by is By.CPA else None
    if found is None:
        return lowest(scaling)
    several = len(view.nodes) > 1 or not view.nodes
    return max(found.least, 2 if found.prevents and several else 0)


def _parameters(scaling: Scaling, view: DeploymentView) -> cpa.Reading | None:
    """What the only CPA goes by: its ConfigMap, else its --default-params; None where that cannot be read."""
    running = (autoscaler_of(each) for each in view.autoscalers if not stands_still(each))
    described = next((one for one in running if one is not None), None)
    if isinstance(scaling.target, ConfigMap):
        found = cpa.read(scaling.target.data)
    else:
        found = cpa.read_default_params(described.default_params if described is not None else "")
    return None if found.problem else found


def lowest(scaling: Scaling) -> int:
    """The least number that a scaler may choose, as it is written now; 0 where that is not known."""
    match scaling.target:
        case ConfigMap() as found:
            return cpa.read(found.data).least
        case HorizontalPodAutoscaler() as hpa:
            return 1 if hpa.spec.min_replicas is None else hpa.spec.min_replicas
        case ScaledObject() as keda:
            return keda.spec.min_replica_count or 0
        case Addon() as addon:
            said = eks_addon.read(addon.reading.configuration)
            return 0 if said.problem else said.least if said.enabled else said.first
    return 0


def keda_maximum(keda: ScaledObject) -> int:
    """maxReplicaCount as it counts."""
    return KEDA_MAXIMUM if keda.spec.max_replica_count is None else keda.spec.max_replica_count


def _paused(scaling: Scaling) -> bool:
    if not isinstance(scaling.target, ScaledObject):
        return False
    said = scaling.target.metadata.annotations
    return PAUSED_REPLICAS in said or said.get(PAUSED, "").lower() == "true"
