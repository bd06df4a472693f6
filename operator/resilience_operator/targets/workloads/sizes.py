"""How many replicas a Deployment has as it is to be judged: now, at the least, and at the most.

Used by every rule that counts replicas. In a cluster spec.replicas is the truth, for whoever scales writes it there. A
file says it only where nobody scales: charts leave it out where an autoscaler is on, and the API server's 1 is not
what will run.
"""

from collections.abc import Iterator

from resilience_operator.cluster.objects.workloads import (
    Addon,
    ConfigMap,
    HorizontalPodAutoscaler,
    ScaledObject,
)
from resilience_operator.targets.coredns import addon_configuration as eks_addon
from resilience_operator.targets.workloads import cpa
from resilience_operator.targets.workloads.autoscalers import stands_still
from resilience_operator.targets.workloads.budgets import UNLIMITED
from resilience_operator.targets.workloads.scaling import Scaling, parameters_of, who_scales
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
    return max(written, 0 if scaling.still or _paused(scaling) else lowest(scaling))


def lowest(scaling: Scaling) -> int:
    """The least number that a scaler may choose, as it is written now; 0 where that is not known."""
    match scaling.target:
        case ConfigMap() as found:
            return cpa.read(found.data).effective_min or 0
        case HorizontalPodAutoscaler() as hpa:
            return 1 if hpa.spec.min_replicas is None else hpa.spec.min_replicas
        case ScaledObject() as keda:
            return keda.spec.min_replica_count or 0
        case Addon() as addon:
            said = eks_addon.read(addon.reading.configuration)
            return 0 if said.problem else said.least if said.enabled else said.first
    return 0


def highest(view: DeploymentView) -> int:
    """The most replicas that its scalers may choose, or that it has; UNLIMITED where nothing says how many."""
    return max([replicas_of(view), *_maxima(view)])


def keda_maximum(keda: ScaledObject) -> int:
    """maxReplicaCount as it counts."""
    return KEDA_MAXIMUM if keda.spec.max_replica_count is None else keda.spec.max_replica_count


def _paused(scaling: Scaling) -> bool:
    if not isinstance(scaling.target, ScaledObject):
        return False
    said = scaling.target.metadata.annotations
    return PAUSED_REPLICAS in said or said.get(PAUSED, "").lower() == "true"


def _maxima(view: DeploymentView) -> Iterator[int]:
    """What each scaler may go up to; of 0 replicas KEDA alone makes some again, and an HPA that made them 0 itself."""
    awake = view.deployment.replicas > 0
    for one in view.scalers:
        if isinstance(one, ScaledObject):
            yield keda_maximum(one)
        elif awake or one.spec.min_replicas == 0:
            yield one.spec.max_replicas
    for autoscaler in view.autoscalers if awake else ():
        if not stands_still(autoscaler):
            found = parameters_of(view, autoscaler)
            yield UNLIMITED if found is None else _most(cpa.read(found.data))


def _most(reading: cpa.Reading) -> int:
    """What a CPA may go up to; one that refuses its parameters scales nobody."""
    if reading.effective_min is None:
        return 0
    return UNLIMITED if reading.effective_max is None else reading.effective_max
