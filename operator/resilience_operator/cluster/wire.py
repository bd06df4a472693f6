"""How an object of each kind lies on the wire, of what is read of it at all.

Used by cluster/decode, which decodes straight into these structs, and by cluster/keep, which makes
observed structs of them.
"""

from datetime import datetime

import msgspec

from resilience_operator.cluster.managed_fields import BudgetFields, ManagedFields
from resilience_operator.cluster.objects import workloads as observed


class Wire(msgspec.Struct, gc=False, rename="camel"):
    """Base of what is decoded, reduced and thrown away."""


class Meta(Wire):
    """metadata, of what a rule may look at."""

    name: str = ""
    namespace: str = ""
    uid: str = ""
    resource_version: str = ""
    generation: int = 0
    creation_timestamp: datetime | None = None
    deletion_timestamp: datetime | None = None
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}
    owner_references: tuple[observed.OwnerReference, ...] = ()


class OwnedMeta(Meta):
    """metadata with who owns which field."""

    managed_fields: tuple[ManagedFields, ...] = ()


class WireDeployment(Wire):
    """apps/v1 Deployment."""

    metadata: OwnedMeta
    spec: observed.DeploymentSpec = observed.DeploymentSpec()
    status: observed.DeploymentStatus = observed.DeploymentStatus()


class WireReplicaSet(Wire):
    """apps/v1 ReplicaSet."""

    metadata: Meta
    spec: observed.ReplicaSetSpec = observed.ReplicaSetSpec()


class WirePod(Wire):
    """v1 Pod."""

    metadata: Meta
    spec: observed.PodPlacement = observed.PodPlacement()
    status: observed.PodStatus = observed.PodStatus()


class WireService(Wire):
    """v1 Service."""

    metadata: Meta
    spec: observed.ServiceSpec = observed.ServiceSpec()


class WireNamespace(Wire):
    """v1 Namespace."""

    metadata: Meta


class WireNode(Wire):
    """v1 Node."""

    metadata: Meta
    spec: observed.NodeSpec = observed.NodeSpec()
    status: observed.NodeStatus = observed.NodeStatus()


class WireVolumeClaim(Wire):
    """v1 PersistentVolumeClaim."""

    metadata: Meta
    spec: observed.VolumeClaimSpec = observed.VolumeClaimSpec()


class WireHPA(Wire):
    """autoscaling/v2 HorizontalPodAutoscaler."""

    metadata: OwnedMeta
    spec: observed.HPASpec = observed.HPASpec()


class WireScaledObject(Wire):
    """keda.sh/v1alpha1 ScaledObject."""

    metadata: OwnedMeta
    spec: observed.ScaledObjectSpec = observed.ScaledObjectSpec()


class WireConfigMap(Wire):
    """v1 ConfigMap."""

    metadata: OwnedMeta
    data: dict[str, str] = {}


class BudgetMeta(Meta):
    """metadata with who set the fields of a budget."""

    managed_fields: tuple[BudgetFields, ...] = ()


class WireBudget(Wire):
    """policy/v1 PodDisruptionBudget."""

    metadata: BudgetMeta
    spec: observed.BudgetSpec = observed.BudgetSpec()


class WireApplication(Wire):
    """argoproj.io/v1alpha1 Application."""

    metadata: Meta
    spec: observed.ApplicationSpec = observed.ApplicationSpec()


class WireDaemonSet(Wire):
    """apps/v1 DaemonSet."""

    metadata: Meta
    spec: observed.DaemonSetSpec = observed.DaemonSetSpec()
    status: observed.DaemonSetStatus = observed.DaemonSetStatus()
