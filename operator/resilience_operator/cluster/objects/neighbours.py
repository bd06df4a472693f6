"""What stands beside a Deployment: its pods, Services, Namespace and volume claims, and the nodes.

Part of cluster/objects/workloads, which names everything that others import.
"""

from datetime import datetime

import msgspec

from resilience_operator.cluster.objects.meta import (
    Claim,
    Condition,
    Meta,
    Observed,
)
from resilience_operator.core.refs import ObjectRef


class WaitingState(Observed, frozen=True):
    """state.waiting of a container."""

    reason: str = ""


class TerminatedState(Observed, frozen=True):
    """state.terminated or lastState.terminated of a container."""

    finished_at: datetime | None = None
    reason: str = ""


class ContainerState(Observed, frozen=True):
    """State of a container in a pod."""

    waiting: WaitingState | None = None
    terminated: TerminatedState | None = None


class ContainerStatus(Observed, frozen=True):
    """Status of a container in a pod."""

    name: str = ""
    restart_count: int = 0
    state: ContainerState = ContainerState()
    last_state: ContainerState = ContainerState()


class PodPlacement(Observed, frozen=True):
    """A pod's spec: where it runs."""

    node_name: str = ""


class PodStatus(Observed, frozen=True):
    """A pod's status; `nominated_node_name`: where the scheduler evicts others to make room for it."""

    phase: str = ""
    conditions: tuple[Condition, ...] = ()
    container_statuses: tuple[ContainerStatus, ...] = ()
    nominated_node_name: str = ""


class Pod(Observed, frozen=True):
    """v1 Pod, projected."""

    metadata: Meta
    spec: PodPlacement = PodPlacement()
    status: PodStatus = PodStatus()

    @property
    def ready(self) -> bool:
        """Ready, and not on its way out."""
        return self.metadata.deletion_timestamp is None and any(
            condition.type == "Ready" and condition.status == "True" for condition in self.status.conditions
        )

    @property
    def homeless(self) -> bool:
        """The scheduler found no node for it."""
        return not self.spec.node_name and any(
            condition.type == "PodScheduled" and condition.reason == "Unschedulable"
            for condition in self.status.conditions
        )

    @property
    def preempting(self) -> bool:
        """The scheduler evicts others to make room for it."""
        return not self.spec.node_name and bool(self.status.nominated_node_name)


class ServicePort(Observed, frozen=True):
    """A port of a Service; `target_port` a number or a name, None: the port itself."""

    name: str = ""
    port: int = 0
    target_port: int | str | None = None
    protocol: str = "TCP"


class ServiceSpec(Observed, frozen=True):
    """A Service's spec."""

    type: str = "ClusterIP"
    selector: dict[str, str] = {}
    ports: tuple[ServicePort, ...] = ()
    cluster_ip: str = msgspec.field(default="", name="clusterIP")
    """"None" where it is headless."""


class Service(Observed, frozen=True):
    """v1 Service, projected."""

    metadata: Meta
    spec: ServiceSpec = ServiceSpec()

    @property
    def ref(self) -> ObjectRef:
        """This Service as a reference."""
        meta = self.metadata
        return ObjectRef("v1", "Service", meta.namespace, meta.name, meta.uid)

    @property
    def claims(self) -> tuple[Claim, ...]:
        """None are kept: nothing is ever written on a Service."""
        return ()

    @property
    def chosen(self) -> frozenset[str]:
        """Nothing: no leaf of a Service is published."""
        return frozenset()


class Namespace(Observed, frozen=True):
    """v1 Namespace, projected."""

    metadata: Meta


class Taint(Observed, frozen=True):
    """A taint of a Node."""

    key: str = ""
    value: str = ""
    effect: str = ""


CONNTRACK_PRESSURE = "ConntrackPressure"
"""The condition of a Node that the operator writes."""


class NodeSpec(Observed, frozen=True):
    """A Node's spec; `provider_id` of AWS alone: by it the EKS cluster is found."""

    unschedulable: bool = False
    taints: tuple[Taint, ...] = ()
    provider_id: str = msgspec.field(default="", name="providerID")


class NodeSystemInfo(Observed, frozen=True):
    """What a node's kubelet says of itself; `kube_proxy_version` is empty from Kubernetes 1.33 on."""

    kubelet_version: str = ""
    kube_proxy_version: str = ""


class NodeStatus(Observed, frozen=True):
    """A Node's status; of `capacity` the cores alone, of `conditions` Ready and ConntrackPressure."""

    conditions: tuple[Condition, ...] = ()
    capacity: dict[str, str] = {}
    node_info: NodeSystemInfo = NodeSystemInfo()


class Node(Observed, frozen=True):
    """v1 Node, projected."""

    metadata: Meta
    spec: NodeSpec = NodeSpec()
    status: NodeStatus = NodeStatus()

    @property
    def ready(self) -> bool:
        """True where the Ready condition is True."""
        found = self.condition("Ready")
        return found is not None and found.status == "True"

    def condition(self, name: str) -> Condition | None:
        """The condition of that type, None where it has none."""
        return next((one for one in self.status.conditions if one.type == name), None)


class VolumeClaimSpec(Observed, frozen=True):
    """A PersistentVolumeClaim's spec."""

    access_modes: tuple[str, ...] = ()


class PersistentVolumeClaim(Observed, frozen=True):
    """v1 PersistentVolumeClaim, projected."""

    metadata: Meta
    spec: VolumeClaimSpec = VolumeClaimSpec()
