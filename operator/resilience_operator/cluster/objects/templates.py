"""A pod template as rules read it: the fields of its spec that they judge.

Part of cluster/objects/workloads, which names everything that others import.
"""

from typing import Any

from resilience_operator.cluster.objects.meta import (
    Observed,
    Selector,
)


class ContainerPort(Observed, frozen=True):
    """A declared port of a container."""

    container_port: int = 0
    name: str = ""
    protocol: str = "TCP"
    host_port: int = 0


class Lifecycle(Observed, frozen=True):
    """A container's lifecycle; `pre_stop` is the handler as the API gives it, or None."""

    pre_stop: dict[str, Any] | None = None


class Present(Observed, frozen=True):
    """Something that is there; what it says does not matter."""


class Quantities(Observed, frozen=True):
    """Quantities of a container or a pod, as written; None: not stated."""

    cpu: str | int | float | None = None
    memory: str | int | float | None = None


class ResourceRequirements(Observed, frozen=True):
    """A container's resources, or a pod's."""

    requests: Quantities = Quantities()
    limits: Quantities = Quantities()


class Container(Observed, frozen=True):
    """A container of a pod template; `command` and `args` are kept of an autoscaler alone."""

    name: str = ""
    image: str = ""
    ports: tuple[ContainerPort, ...] = ()
    lifecycle: Lifecycle | None = None
    restart_policy: str = ""
    resources: ResourceRequirements = ResourceRequirements()
    readiness_probe: Present | None = None
    liveness_probe: Present | None = None
    startup_probe: Present | None = None
    command: tuple[str, ...] | None = None
    args: tuple[str, ...] | None = None

    @property
    def argv(self) -> tuple[str, ...]:
        """What is run, as far as the manifest says it."""
        return (*(self.command or ()), *(self.args or ()))


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


class PodOS(Observed, frozen=True):
    """The operating system that a pod says it is for."""

    name: str = ""


class PodSpec(Observed, frozen=True):
    """The pod spec of a template; `resources`: what all its containers have together (pod-level resources)."""

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
    resources: ResourceRequirements = ResourceRequirements()
    os: PodOS | None = None


class TemplateMeta(Observed, frozen=True):
    """metadata of a pod template."""

    labels: dict[str, str] = {}


class PodTemplate(Observed, frozen=True):
    """A pod template."""

    metadata: TemplateMeta = TemplateMeta()
    spec: PodSpec = PodSpec()
