"""What a policy asks of each rule, with the default of every field. Part of policy/policy, which names all of it."""

from dataclasses import dataclass
from enum import StrEnum


class Mode(StrEnum):
    """Audit names drift; Enforce ends it as well."""

    AUDIT = "Audit"
    ENFORCE = "Enforce"


@dataclass(frozen=True, slots=True)
class SpreadConstraint:
    """One demanded topologySpreadConstraints entry."""

    topology_key: str
    max_skew: int = 1
    when_unsatisfiable: str = "ScheduleAnyway"


DEFAULT_CONSTRAINTS = (
    SpreadConstraint("kubernetes.io/hostname"),
    SpreadConstraint("topology.kubernetes.io/zone"),
)


@dataclass(frozen=True, slots=True)
class Spread:
    """Rule `spread` (incident one-node-pileup)."""

    mode: Mode | None = None
    constraints: tuple[SpreadConstraint, ...] = DEFAULT_CONSTRAINTS


@dataclass(frozen=True, slots=True)
class GracefulShutdown:
    """Rule `graceful-shutdown` (incident ungraceful-ingress); seconds."""

    mode: Mode | None = None
    pre_stop_sleep_seconds: int = 15
    min_termination_grace_period_seconds: int = 45
    applies_to: str = "Exposed"


@dataclass(frozen=True, slots=True)
class DNSOption:
    """One resolver option of dnsConfig.options; value None: a flag."""

    name: str
    value: str | None = None

    def as_object(self) -> dict[str, str]:
        """The API's form of the option."""
        return {"name": self.name} | ({"value": self.value} if self.value is not None else {})


@dataclass(frozen=True, slots=True)
class DNSConfig:
    """Rule `dns-config` (incident dns-five-seconds)."""

    mode: Mode | None = None
    options: tuple[DNSOption, ...] = (DNSOption("single-request-reopen"),)
    allow_search_change: bool = False
    report_only_images: tuple[str, ...] = ("*alpine*",)


PROBES = ("readiness", "liveness", "startup")
RESOURCES = ("cpuRequest", "memoryRequest", "memoryLimit", "cpuLimit")


@dataclass(frozen=True, slots=True)
class Probes:
    """Rule `probes`, reported only: the probes (of PROBES) that every container must have."""

    mode: Mode | None = None
    require: tuple[str, ...] = ("readiness",)


@dataclass(frozen=True, slots=True)
class Resources:
    """Rule `resources` (incident one-node-pileup), reported only: what (of RESOURCES) every container must state."""

    mode: Mode | None = None
    require: tuple[str, ...] = ("cpuRequest", "memoryRequest", "memoryLimit")


@dataclass(frozen=True, slots=True)
class Replicas:
    """Rule `replicas`: a Deployment never has fewer than `min`, whoever scales it; 0 stays 0."""

    mode: Mode | None = None
    min: int = 2


@dataclass(frozen=True, slots=True)
class DisruptionBudget:
    """Rules `disruption-budget` and `coredns-budget`: how many pods may go at once; a number or a percentage."""

    mode: Mode | None = None
    max_unavailable: int | str = 1


@dataclass(frozen=True, slots=True)
class Floor:
    """Rule `coredns-floor` (incident dns-scale-down)."""

    mode: Mode | None = None
    min_replicas: int = 3
    prevent_single_point_failure: bool = True


@dataclass(frozen=True, slots=True)
class NodeLocalCache:
    """Rule `node-local-cache` (incident dns-scale-down), reported only."""

    mode: Mode | None = None


Settings = (
    Spread
    | GracefulShutdown
    | DNSConfig
    | Probes
    | Resources
    | Replicas
    | DisruptionBudget
    | Floor
    | NodeLocalCache
)
"""What a policy asks of one rule."""
