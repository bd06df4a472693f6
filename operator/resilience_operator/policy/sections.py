"""The sections of a policy: scope, limits and the rules asked for. Part of policy/policy, which names all of it."""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from datetime import datetime, time
from enum import StrEnum
from functools import cached_property
from types import MappingProxyType
from typing import TypeVar

from resilience_operator.core.selectors import EVERYTHING, LabelSelector, NamespaceScope
from resilience_operator.policy.asked import (
    DisruptionBudget,
    DNSConfig,
    Floor,
    GracefulShutdown,
    Mode,
    NodeLocalCache,
    Probes,
    Replicas,
    Resources,
    Settings,
    Spread,
)


class Conflicts(StrEnum):
    """What becomes of a value that somebody chose: reported and respected, or taken over."""

    REPORT = "Report"
    TAKE_OVER = "TakeOver"


@dataclass(frozen=True, slots=True)
class AllowWindow:
    """A weekly window: `days` (Mon to Sun) on which it starts, local times; end <= start: over midnight."""

    name: str
    days: tuple[str, ...]
    start: time
    end: time
    time_zone: str = "UTC"


@dataclass(frozen=True, slots=True)
class DenyWindow:
    """A span of absolute time in which no disruptive change starts."""

    name: str
    start: datetime
    until: datetime


@dataclass(frozen=True, slots=True)
class Windows:
    """When disruptive changes may start: in one of `allow` (none given: always) and in none of `deny`."""

    allow: tuple[AllowWindow, ...] = ()
    deny: tuple[DenyWindow, ...] = ()


ALWAYS = Windows()
EVERY_NAMESPACE = NamespaceScope()


@dataclass(frozen=True, slots=True)
class Rollout:
    """Limits of rollouts; None: not said here, the outer level's or the default holds (seconds are whole)."""

    max_concurrent: int | None = None
    max_concurrent_per_namespace: int | None = None
    soak_seconds: int | None = None
    progress_deadline_seconds: int | None = None
    failure_threshold: int | None = None
    failure_threshold_per_namespace: int | None = None

    def over(self, outer: "Rollout") -> "Rollout":
        """This level's values, the outer level's where this one is silent."""
        return Rollout(
            *(
                mine if mine is not None else theirs
                for mine, theirs in zip(values(self), values(outer), strict=True)
            )
        )


def values(rollout: Rollout) -> tuple[int | None, ...]:
    """Its fields, in order."""
    return (
        rollout.max_concurrent,
        rollout.max_concurrent_per_namespace,
        rollout.soak_seconds,
        rollout.progress_deadline_seconds,
        rollout.failure_threshold,
        rollout.failure_threshold_per_namespace,
    )


DEFAULT_ROLLOUT = Rollout(1, 1, 60, 600, 2, 1)


@dataclass(frozen=True, slots=True)
class Limits:
    """Rollout limits with every level merged: what the queue counts against."""

    max_concurrent: int
    max_concurrent_per_namespace: int
    soak_seconds: int
    progress_deadline_seconds: int
    failure_threshold: int
    """Namespaces in which a rollout failed, after which nothing more is started anywhere."""

    failure_threshold_per_namespace: int
    """Rollouts of one namespace that failed, after which nothing more is started there."""


DEFAULT_LIMITS = Limits(1, 1, 60, 600, 2, 1)
"""The limits of a policy that says nothing of them."""


@dataclass(frozen=True)
class Deployments:
    """Section `deployments`: scope and rules; a rule that is None is not asked for."""

    mode: Mode | None = None
    conflicts: Conflicts | None = None
    windows: Windows | None = None
    rollout: Rollout = Rollout()
    namespaces: NamespaceScope = EVERY_NAMESPACE
    namespace_selector: LabelSelector = EVERYTHING
    selector: LabelSelector = EVERYTHING
    spread: Spread | None = None
    graceful_shutdown: GracefulShutdown | None = None
    dns_config: DNSConfig | None = None
    replicas: Replicas | None = None
    disruption_budget: DisruptionBudget | None = None
    probes: Probes | None = None
    resources: Resources | None = None

    @cached_property
    def rules(self) -> Mapping[str, Settings]:
        """The rules asked for, by rule id, in the order of the contract."""
        asked = {
            "spread": self.spread,
            "graceful-shutdown": self.graceful_shutdown,
            "dns-config": self.dns_config,
            "replicas": self.replicas,
            "disruption-budget": self.disruption_budget,
            "probes": self.probes,
            "resources": self.resources,
        }
        return MappingProxyType({rule: one for rule, one in asked.items() if one is not None})


@dataclass(frozen=True, slots=True)
class Named:
    """A Deployment by name."""

    namespace: str
    name: str


@dataclass(frozen=True)
class CoreDNS:
    """Section `coreDNS`; `deployment` None: whatever the Service kube-system/kube-dns selects."""

    mode: Mode | None = None
    conflicts: Conflicts | None = None
    windows: Windows | None = None
    rollout: Rollout = Rollout()
    deployment: Named | None = None
    floor: Floor | None = None
    spread: Spread | None = None
    disruption_budget: DisruptionBudget | None = None
    node_local_cache: NodeLocalCache | None = None

    @cached_property
    def rules(self) -> Mapping[str, Settings]:
        """The rules asked for, by rule id, in the order of the contract."""
        asked = {
            "coredns-floor": self.floor,
            "coredns-spread": self.spread,
            "coredns-budget": self.disruption_budget,
            "node-local-cache": self.node_local_cache,
        }
        return MappingProxyType({rule: one for rule, one in asked.items() if one is not None})


Section = Deployments | CoreDNS
"""Any section of a policy."""

_Section = TypeVar("_Section", Deployments, CoreDNS)


def inheriting(section: _Section | None) -> _Section | None:
    """The section with no mode of its own, nor of any of its rules."""
    if section is None:
        return None
    known = {one.name: getattr(section, one.name) for one in fields(section)}
    rules = {name: replace(value, mode=None) for name, value in known.items() if hasattr(value, "mode")}
    return replace(section, mode=None, **rules)
