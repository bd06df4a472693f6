"""The ResiliencePolicy as a value: what spec says, with inheritance resolved by methods, never by copying.

The only schema is crds/resiliencepolicies.yaml; a test holds the two equal. Made by `core.parsing` from what
the API server or a file gave; read by rules and planning.
"""

from dataclasses import dataclass, field, replace
from datetime import datetime, time
from enum import StrEnum
from typing import TypeVar

from resilience_operator.core.asked import (
    DNSConfig,
    DNSOption,
    GracefulShutdown,
    Mode,
    Probes,
    Resources,
    Spread,
    SpreadConstraint,
)
from resilience_operator.core.refs import ObjectRef
from resilience_operator.core.selectors import EVERYTHING, LabelSelector, NamespaceScope

__all__ = [
    "AllowWindow",
    "Conflicts",
    "DNSConfig",
    "DNSOption",
    "DenyWindow",
    "Deployments",
    "GracefulShutdown",
    "Limits",
    "Mode",
    "OnRelease",
    "Policy",
    "Probes",
    "Resources",
    "Rollout",
    "Spread",
    "SpreadConstraint",
    "Windows",
]

API_VERSION = "resilience.dev/v1alpha1"
KIND = "ResiliencePolicy"
PLURAL = "resiliencepolicies"
GROUP = "resilience.dev"


class Conflicts(StrEnum):
    """What becomes of a value that somebody chose: reported and respected, or taken over."""

    REPORT = "Report"
    TAKE_OVER = "TakeOver"


class OnRelease(StrEnum):
    """What becomes of our values on an object that leaves the policy."""

    RETAIN = "Retain"
    REVERT = "Revert"


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
Settings = Spread | GracefulShutdown | DNSConfig | Probes | Resources
"""What a policy asks of one rule of section deployments."""


@dataclass(frozen=True, slots=True)
class Rollout:
    """Limits of rollouts; None: not said here, the outer level's or the default holds (seconds are whole)."""

    max_concurrent: int | None = None
    max_concurrent_per_namespace: int | None = None
    soak_seconds: int | None = None
    progress_deadline_seconds: int | None = None
    failure_threshold: int | None = None

    def over(self, outer: "Rollout") -> "Rollout":
        """This level's values, the outer level's where this one is silent."""
        return Rollout(
            *(
                mine if mine is not None else theirs
                for mine, theirs in zip(_values(self), _values(outer), strict=True)
            )
        )


def _values(rollout: Rollout) -> tuple[int | None, ...]:
    return (
        rollout.max_concurrent,
        rollout.max_concurrent_per_namespace,
        rollout.soak_seconds,
        rollout.progress_deadline_seconds,
        rollout.failure_threshold,
    )


DEFAULT_ROLLOUT = Rollout(1, 1, 60, 600, 1)


@dataclass(frozen=True, slots=True)
class Limits:
    """Rollout limits with every level merged: what the queue counts against."""

    max_concurrent: int
    max_concurrent_per_namespace: int
    soak_seconds: int
    progress_deadline_seconds: int
    failure_threshold: int


DEFAULT_LIMITS = Limits(1, 1, 60, 600, 1)
"""The limits of a policy that says nothing of them."""


@dataclass(frozen=True, slots=True)
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
    probes: Probes | None = None
    resources: Resources | None = None

    def rules(self) -> dict[str, Settings]:
        """The rules asked for, by rule id, in the order of the contract."""
        asked = {
            "spread": self.spread,
            "graceful-shutdown": self.graceful_shutdown,
            "dns-config": self.dns_config,
            "probes": self.probes,
            "resources": self.resources,
        }
        return {rule: settings for rule, settings in asked.items() if settings is not None}


@dataclass(frozen=True, slots=True)
class Policy:
    """A ResiliencePolicy that was accepted.

    `digest`: a hash of spec, equal where spec is equal. `warnings`: sentences on what is allowed but odd.
    """

    name: str
    uid: str = ""
    generation: int = 0
    digest: str = ""
    labels: tuple[tuple[str, str], ...] = ()
    finalizers: tuple[str, ...] = ()
    deleting: bool = False
    mode: Mode = Mode.AUDIT
    conflicts: Conflicts | None = None
    suspend: bool = False
    priority: int = 0
    on_release: OnRelease = OnRelease.RETAIN
    windows: Windows | None = None
    rollout: Rollout = Rollout()
    deployments: Deployments | None = None
    warnings: tuple[str, ...] = field(default=())

    @property
    def ref(self) -> ObjectRef:
        """The policy as an object of the cluster."""
        return ObjectRef(API_VERSION, KIND, "", self.name, self.uid)

    @property
    def sections(self) -> dict[str, Deployments]:
        """The sections asked for, by their name in spec."""
        return {"deployments": self.deployments} if self.deployments is not None else {}

    def section_mode(self, section: str) -> Mode:
        """The mode of a section, inherited from spec where the section is silent."""
        return self.sections[section].mode or self.mode

    def rule_mode(self, section: str, rule: str) -> Mode:
        """The mode of a rule: its own, else the section's, else spec's."""
        return self.sections[section].rules()[rule].mode or self.section_mode(section)

    def section_conflicts(self, section: str) -> Conflicts:
        """What a section does with a value that somebody chose; Report where nothing is said."""
        return self.sections[section].conflicts or self.conflicts or Conflicts.REPORT

    def section_windows(self, section: str) -> Windows:
        """The windows of a section, the whole object of the innermost level that has one."""
        return self.sections[section].windows or self.windows or ALWAYS

    def section_limits(self, section: str) -> Limits:
        """The rollout limits of a section, merged field by field, innermost first."""
        merged = self.sections[section].rollout.over(self.rollout).over(DEFAULT_ROLLOUT)
        return Limits(*(value if value is not None else 0 for value in _values(merged)))

    def audited(self) -> "Policy":
        """The same policy with nothing enforced anywhere."""
        section = self.deployments
        if section is not None:
            section = replace(
                section,
                mode=None,
                spread=_inheriting(section.spread),
                graceful_shutdown=_inheriting(section.graceful_shutdown),
                dns_config=_inheriting(section.dns_config),
                probes=_inheriting(section.probes),
                resources=_inheriting(section.resources),
            )
        return replace(self, mode=Mode.AUDIT, deployments=section)


_Rule = TypeVar("_Rule", Spread, GracefulShutdown, DNSConfig, Probes, Resources)


def _inheriting(rule: _Rule | None) -> _Rule | None:
    return replace(rule, mode=None) if rule is not None else None


SECTION_OF_RULE: dict[str, str] = {
    "spread": "deployments",
    "graceful-shutdown": "deployments",
    "dns-config": "deployments",
    "probes": "deployments",
    "resources": "deployments",
}
"""Rule id -> section of spec, for every rule that works."""
