"""The few fields of watched objects that rules and planning read, as structs that a decoder fills directly.

Field names are the API's, in snake case. Made by adapters/projections from the API server's answers and by cli
from files; never changed afterwards. Absent lists are empty tuples, absent strings "".
"""

from datetime import datetime
from typing import Any

import msgspec

from resilience_operator.core.refs import ObjectRef


class Observed(msgspec.Struct, frozen=True, rename="camel", gc=False):
    """Base of all observed structs: immutable, camelCase on the wire."""


class OwnerReference(Observed, frozen=True):
    """metav1.OwnerReference."""

    kind: str = ""
    name: str = ""
    uid: str = ""
    api_version: str = ""
    controller: bool = False


class Claim(Observed, frozen=True):
    """What one managedFields entry says about the leaves we publish.

    `leaves`: written paths (core.paths) that this manager owns; `state`: it owns our state annotation.
    """

    manager: str
    operation: str
    subresource: str = ""
    time: str = ""
    leaves: frozenset[str] = frozenset()
    state: bool = False


class Meta(Observed, frozen=True):
    """ObjectMeta, reduced; `annotations` holds only keys of interest (adapters/projections)."""

    name: str = ""
    namespace: str = ""
    uid: str = ""
    resource_version: str = ""
    generation: int = 0
    creation_timestamp: datetime | None = None
    deletion_timestamp: datetime | None = None
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}
    owner_references: tuple[OwnerReference, ...] = ()

    @property
    def controller(self) -> OwnerReference | None:
        """The owner that controls this object, if there is one."""
        return next((owner for owner in self.owner_references if owner.controller), None)


class MatchExpression(Observed, frozen=True):
    """metav1.LabelSelectorRequirement."""

    key: str = ""
    operator: str = ""
    values: tuple[str, ...] = ()


class Selector(Observed, frozen=True):
    """metav1.LabelSelector as observed."""

    match_labels: dict[str, str] = {}
    match_expressions: tuple[MatchExpression, ...] = ()


class ContainerPort(Observed, frozen=True):
    """A declared port of a container."""

    container_port: int = 0
    name: str = ""
    protocol: str = "TCP"
    host_port: int = 0


class Lifecycle(Observed, frozen=True):
    """A container's lifecycle; `pre_stop` is the handler as the API gives it, or None."""

    pre_stop: dict[str, Any] | None = None


class Container(Observed, frozen=True):
    """A container of a pod template."""

    name: str = ""
    image: str = ""
    ports: tuple[ContainerPort, ...] = ()
    lifecycle: Lifecycle | None = None
    restart_policy: str = ""


class TopologySpreadConstraint(Observed, frozen=True):
    """One entry of topologySpreadConstraints."""

    topology_key: str = ""
    max_skew: int = 1
    when_unsatisfiable: str = ""
    label_selector: Selector | None = None
    match_label_keys: tuple[str, ...] = ()
    min_domains: int | None = None
    node_affinity_policy: str = ""
    node_taints_policy: str = ""


class PodDNSOption(Observed, frozen=True):
    """One resolver option."""

    name: str = ""
    value: str | None = None


class PodDNSConfig(Observed, frozen=True):
    """dnsConfig; `options` is an atomic list; None where absent."""

    options: tuple[PodDNSOption, ...] | None = None


class VolumeClaim(Observed, frozen=True):
    """persistentVolumeClaim of a pod's volume."""

    claim_name: str = ""


class Volume(Observed, frozen=True):
    """A volume of a pod template; `ephemeral` is its raw form or None."""

    name: str = ""
    persistent_volume_claim: VolumeClaim | None = None
    ephemeral: dict[str, Any] | None = None


class Toleration(Observed, frozen=True):
    """A toleration of a pod template."""

    key: str = ""
    operator: str = "Equal"
    value: str = ""
    effect: str = ""


class PodSpec(Observed, frozen=True):
    """The pod spec of a template."""

    containers: tuple[Container, ...] = ()
    init_containers: tuple[Container, ...] = ()
    termination_grace_period_seconds: int | None = None
    topology_spread_constraints: tuple[TopologySpreadConstraint, ...] = ()
    dns_config: PodDNSConfig | None = None
    dns_policy: str = ""
    host_network: bool = False
    node_selector: dict[str, str] = {}
    affinity: dict[str, Any] | None = None
    tolerations: tuple[Toleration, ...] = ()
    volumes: tuple[Volume, ...] = ()


class TemplateMeta(Observed, frozen=True):
    """metadata of a pod template."""

    labels: dict[str, str] = {}


class PodTemplate(Observed, frozen=True):
    """A pod template."""

    metadata: TemplateMeta = TemplateMeta()
    spec: PodSpec = PodSpec()


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


class Condition(Observed, frozen=True):
    """A condition of a Deployment, Pod or Node."""

    type: str = ""
    status: str = ""
    reason: str = ""
    message: str = ""
    last_update_time: datetime | None = None
    last_transition_time: datetime | None = None


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
    """apps/v1 Deployment, projected. `chosen`: published leaves that stand in last-applied-configuration."""

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
        text = self.metadata.annotations.get("deployment.kubernetes.io/revision", "")
        return int(text) if text.isdigit() else 0

    @property
    def template_hash(self) -> str:
        """The pod-template-hash label."""
        return self.metadata.labels.get("pod-template-hash", "")


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
    """A pod's status."""

    phase: str = ""
    conditions: tuple[Condition, ...] = ()
    container_statuses: tuple[ContainerStatus, ...] = ()


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


class ServicePort(Observed, frozen=True):
    """A port of a Service; `target_port` a number or a name, None: the port itself."""

    port: int = 0
    target_port: int | str | None = None
    protocol: str = "TCP"


class ServiceSpec(Observed, frozen=True):
    """A Service's spec."""

    type: str = "ClusterIP"
    selector: dict[str, str] = {}
    ports: tuple[ServicePort, ...] = ()


class Service(Observed, frozen=True):
    """v1 Service, projected."""

    metadata: Meta
    spec: ServiceSpec = ServiceSpec()


class Namespace(Observed, frozen=True):
    """v1 Namespace, projected."""

    metadata: Meta


class Taint(Observed, frozen=True):
    """A taint of a Node."""

    key: str = ""
    value: str = ""
    effect: str = ""


class NodeSpec(Observed, frozen=True):
    """A Node's spec."""

    unschedulable: bool = False
    taints: tuple[Taint, ...] = ()


class NodeStatus(Observed, frozen=True):
    """A Node's status."""

    conditions: tuple[Condition, ...] = ()


class Node(Observed, frozen=True):
    """v1 Node, projected."""

    metadata: Meta
    spec: NodeSpec = NodeSpec()
    status: NodeStatus = NodeStatus()

    @property
    def ready(self) -> bool:
        """True where the Ready condition is True."""
        return any(
            condition.type == "Ready" and condition.status == "True" for condition in self.status.conditions
        )


class VolumeClaimSpec(Observed, frozen=True):
    """A PersistentVolumeClaim's spec."""

    access_modes: tuple[str, ...] = ()


class PersistentVolumeClaim(Observed, frozen=True):
    """v1 PersistentVolumeClaim, projected."""

    metadata: Meta
    spec: VolumeClaimSpec = VolumeClaimSpec()


Object = Deployment | ReplicaSet | Pod | Service | Namespace | Node | PersistentVolumeClaim
"""Any object that is watched."""
