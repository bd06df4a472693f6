"""What decides how many replicas a Deployment has, and what limits how many may go: as structs.

Part of cluster/objects/workloads, which names all that others import. CPA (cluster-proportional-autoscaler) keeps its
parameters in a ConfigMap; of other ConfigMaps nothing is kept but their names.
"""

from typing import Final

from resilience_operator.cluster.objects.meta import Claim, Meta, Observed, Selector
from resilience_operator.core.refs import ObjectRef


class ScaleTarget(Observed, frozen=True):
    """What is scaled: CrossVersionObjectReference; KEDA lets kind and API version out for a Deployment."""

    kind: str = "Deployment"
    name: str = ""
    api_version: str = "apps/v1"


class HPASpec(Observed, frozen=True):
    """An HPA's spec; `min_replicas` None: the API server's default, 1."""

    scale_target_ref: ScaleTarget = ScaleTarget()
    min_replicas: int | None = None
    max_replicas: int = 0


class HorizontalPodAutoscaler(Observed, frozen=True):
    """autoscaling/v2 HorizontalPodAutoscaler, projected."""

    metadata: Meta
    spec: HPASpec = HPASpec()
    claims: tuple[Claim, ...] = ()
    chosen: frozenset[str] = frozenset()

    @property
    def ref(self) -> ObjectRef:
        """This HPA as a reference."""
        meta = self.metadata
        return ObjectRef("autoscaling/v2", "HorizontalPodAutoscaler", meta.namespace, meta.name, meta.uid)


class ScaledObjectSpec(Observed, frozen=True):
    """A ScaledObject's spec; KEDA's defaults are 0 and 100 replicas."""

    scale_target_ref: ScaleTarget = ScaleTarget()
    min_replica_count: int | None = None
    max_replica_count: int | None = None
    idle_replica_count: int | None = None


class ScaledObject(Observed, frozen=True):
    """keda.sh/v1alpha1 ScaledObject, projected."""

    metadata: Meta
    spec: ScaledObjectSpec = ScaledObjectSpec()
    claims: tuple[Claim, ...] = ()
    chosen: frozenset[str] = frozenset()

    @property
    def ref(self) -> ObjectRef:
        """This ScaledObject as a reference."""
        meta = self.metadata
        return ObjectRef("keda.sh/v1alpha1", "ScaledObject", meta.namespace, meta.name, meta.uid)


class ConfigMap(Observed, frozen=True):
    """v1 ConfigMap: `data` whole where it may be CPA's, else empty."""

    metadata: Meta
    data: dict[str, str] = {}
    claims: tuple[Claim, ...] = ()
    chosen: frozenset[str] = frozenset()

    @property
    def ref(self) -> ObjectRef:
        """This ConfigMap as a reference."""
        meta = self.metadata
        return ObjectRef("v1", "ConfigMap", meta.namespace, meta.name, meta.uid)


MIN_AVAILABLE: Final = "spec.minAvailable"
MAX_UNAVAILABLE: Final = "spec.maxUnavailable"
SELECTOR: Final = "spec.selector"
EVICTION_POLICY: Final = "spec.unhealthyPodEvictionPolicy"
"""The written paths of what we set in a budget of ours, and of minAvailable, which others may set in its place."""


class BudgetSpec(Observed, frozen=True):
    """A PodDisruptionBudget's spec; the limits are numbers or percentages, None where absent."""

    min_available: int | str | None = None
    max_unavailable: int | str | None = None
    selector: Selector | None = None
    unhealthy_pod_eviction_policy: str = ""


class PodDisruptionBudget(Observed, frozen=True):
    """policy/v1 PodDisruptionBudget, projected; what it allows at this moment is no reason to decide anew.

    `claims`: who set the fields of its spec, kept of those that we made.
    """

    metadata: Meta
    spec: BudgetSpec = BudgetSpec()
    claims: tuple[Claim, ...] = ()

    @property
    def ref(self) -> ObjectRef:
        """This budget as a reference."""
        meta = self.metadata
        return ObjectRef("policy/v1", "PodDisruptionBudget", meta.namespace, meta.name, meta.uid)


class AddonReading(Observed, frozen=True):
    """What AWS says of the add-on; `configuration`: configurationValues as they were written, "" where there are none.

    `in_flight`: EKS takes no update now. `problem`: why AWS does not say it, "" where it does.
    """

    cluster: str = ""
    version: str = ""
    status: str = ""
    configuration: str = ""
    in_flight: bool = False
    issues: tuple[str, ...] = ()
    modified: str = ""
    problem: str = ""


class Addon(Observed, frozen=True):
    """The Amazon EKS add-on that keeps a Deployment, made by coredns/addon_state: no object of the API server.

    `metadata` is made of the Deployment's. `busy`: why nothing of it may be changed now, "" where it may be.
    """

    metadata: Meta
    reading: AddonReading = AddonReading()
    busy: str = ""
    claims: tuple[Claim, ...] = ()
    chosen: frozenset[str] = frozenset()

    @property
    def ref(self) -> ObjectRef:
        """This add-on as a reference."""
        meta = self.metadata
        return ObjectRef("eks.amazonaws.com/v1", "Addon", meta.namespace, meta.name, meta.uid)


Scaler = HorizontalPodAutoscaler | ScaledObject | ConfigMap | Addon
"""Any object through which a number of replicas is set."""
