"""The few fields of watched objects that rules and planning read, as structs that a decoder fills directly.

Field names are the API's, in snake case. Made by cluster/decode from the API server's answers and by cli
from files; never changed afterwards. Absent lists are empty tuples, absent strings "".
"""

from resilience_operator.cluster.argocd import Application, ApplicationSpec
from resilience_operator.cluster.objects.daemons import DaemonSet, DaemonSetSpec, DaemonSetStatus
from resilience_operator.cluster.objects.declared import Declared as Declared
from resilience_operator.cluster.objects.meta import (
    Claim,
    Condition,
    MatchExpression,
    Meta,
    Observed,
    OwnerReference,
    Selector,
)
from resilience_operator.cluster.objects.neighbours import (
    CONNTRACK_PRESSURE,
    ContainerState,
    ContainerStatus,
    Namespace,
    Node,
    NodeSpec,
    NodeStatus,
    NodeSystemInfo,
    PersistentVolumeClaim,
    Pod,
    PodPlacement,
    PodStatus,
    Service,
    ServicePort,
    ServiceSpec,
    Taint,
    TerminatedState,
    VolumeClaimSpec,
    WaitingState,
)
from resilience_operator.cluster.objects.scalers import (
    EVICTION_POLICY,
    MAX_UNAVAILABLE,
    MIN_AVAILABLE,
    SELECTOR,
    Addon,
    AddonReading,
    BudgetSpec,
    ConfigMap,
    HorizontalPodAutoscaler,
    HPASpec,
    PodDisruptionBudget,
    ScaledObject,
    ScaledObjectSpec,
    Scaler,
    ScaleTarget,
)
from resilience_operator.cluster.objects.templates import (
    Container,
    ContainerPort,
    Lifecycle,
    PodDNSConfig,
    PodDNSOption,
    PodSpec,
    PodTemplate,
    ResourceRequirements,
    TemplateMeta,
    Toleration,
    TopologySpreadConstraint,
    Volume,
    VolumeClaim,
)
from resilience_operator.core.refs import ObjectRef

__all__ = [
    "CONNTRACK_PRESSURE",
    "EVICTION_POLICY",
    "MAX_UNAVAILABLE",
    "MIN_AVAILABLE",
    "SELECTOR",
    "Addon",
    "AddonReading",
    "Application",
    "ApplicationSpec",
    "BudgetSpec",
    "Claim",
    "Condition",
    "ConfigMap",
    "Container",
    "ContainerPort",
    "ContainerState",
    "ContainerStatus",
    "DaemonSet",
    "DaemonSetSpec",
    "DaemonSetStatus",
    "Deployment",
    "DeploymentSpec",
    "DeploymentStatus",
    "HPASpec",
    "HorizontalPodAutoscaler",
    "Lifecycle",
    "MatchExpression",
    "Meta",
    "Namespace",
    "Node",
    "NodeSpec",
    "NodeStatus",
    "NodeSystemInfo",
    "Object",
    "Observed",
    "OwnerReference",
    "PersistentVolumeClaim",
    "Pod",
    "PodDNSConfig",
    "PodDNSOption",
    "PodDisruptionBudget",
    "PodPlacement",
    "PodSpec",
    "PodStatus",
    "PodTemplate",
    "ReplicaSet",
    "ReplicaSetSpec",
    "ResourceRequirements",
    "RollingUpdate",
    "ScaleTarget",
    "ScaledObject",
    "ScaledObjectSpec",
    "Scaler",
    "Selector",
    "Service",
    "ServicePort",
    "ServiceSpec",
    "Strategy",
    "Taint",
    "Target",
    "TemplateMeta",
    "TerminatedState",
    "Toleration",
    "TopologySpreadConstraint",
    "Volume",
    "VolumeClaim",
    "VolumeClaimSpec",
    "WaitingState",
]


class RollingUpdate(Observed, frozen=True):
    """Limits of a rolling update, numbers or percentages as the API gives them; None where absent."""

    max_unavailable: int | str | None = None
    max_surge: int | str | None = None


class Strategy(Observed, frozen=True):
    """A Deployment's strategy."""

    type: str = "RollingUpdate"
    rolling_update: RollingUpdate | None = None


class DeploymentSpec(Observed, frozen=True):
    """A Deployment's spec; `replicas` None: absent in a file (the server defaults it to 1)."""

    replicas: int | None = None
    selector: Selector = Selector()
    template: PodTemplate = PodTemplate()
    strategy: Strategy = Strategy()
    paused: bool = False
    progress_deadline_seconds: int | None = None
    min_ready_seconds: int = 0


class DeploymentStatus(Observed, frozen=True):
    """A Deployment's status."""

    observed_generation: int = 0
    replicas: int = 0
    updated_replicas: int = 0
    ready_replicas: int = 0
    available_replicas: int = 0
    conditions: tuple[Condition, ...] = ()

    def condition(self, kind: str) -> Condition | None:
        """The condition of that type, if there is one."""
        return next((condition for condition in self.conditions if condition.type == kind), None)


class Deployment(Observed, frozen=True):
    """apps/v1 Deployment, projected.

    `chosen`: published leaves that stand in last-applied-configuration, the grace period also as `path=value`.
    """

    metadata: Meta
    spec: DeploymentSpec = DeploymentSpec()
    status: DeploymentStatus = DeploymentStatus()
    claims: tuple[Claim, ...] = ()
    chosen: frozenset[str] = frozenset()

    @property
    def ref(self) -> ObjectRef:
        """This Deployment as a reference."""
        meta = self.metadata
        return ObjectRef("apps/v1", "Deployment", meta.namespace, meta.name, meta.uid)

    @property
    def replicas(self) -> int:
        """spec.replicas as the server defaults it."""
        return 1 if self.spec.replicas is None else self.spec.replicas


class ReplicaSetSpec(Observed, frozen=True):
    """A ReplicaSet's spec."""

    replicas: int = 0


class ReplicaSet(Observed, frozen=True):
    """apps/v1 ReplicaSet, projected: metadata (annotations revision and state) and size."""

    metadata: Meta
    spec: ReplicaSetSpec = ReplicaSetSpec()

    @property
    def revision(self) -> int:
        """The Deployment's revision that this ReplicaSet bears; 0 where it has none yet."""
        return self.metadata.revision

    @property
    def template_hash(self) -> str:
        """The pod-template-hash label."""
        return self.metadata.labels.get("pod-template-hash", "")


Target = Deployment | Scaler | Declared
"""An object that rules demand something of, and that may be changed."""

Object = (
    Target
    | ReplicaSet
    | Pod
    | Service
    | Namespace
    | Node
    | PersistentVolumeClaim
    | PodDisruptionBudget
    | DaemonSet
    | Application
)
"""Any object that is watched."""
