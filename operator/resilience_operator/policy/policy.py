"""The ResiliencePolicy as a value: what spec says, with inheritance resolved by methods, never by copying.

The only schema is crds/resiliencepolicies.yaml; a test holds the two equal. Made by `core.parsing` from what
the API server or a file gave; read by rules and planning.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from enum import StrEnum
from functools import cached_property

from resilience_operator.core.refs import ObjectRef
from resilience_operator.policy.asked import (
    DisruptionBudget,
    DNSConfig,
    DNSOption,
    Floor,
    GracefulShutdown,
    Mode,
    NodeLocalCache,
    Probes,
    Replicas,
    Resources,
    Settings,
    Spread,
    SpreadConstraint,
)
from resilience_operator.policy.sections import (
    ALWAYS,
    DEFAULT_LIMITS,
    DEFAULT_ROLLOUT,
    EVERY_NAMESPACE,
    AllowWindow,
    Conflicts,
    CoreDNS,
    DenyWindow,
    Deployments,
    Limits,
    Named,
    Rollout,
    Section,
    Windows,
    inheriting,
    values,
)

__all__ = [
    "ALWAYS",
    "DEFAULT_LIMITS",
    "EVERY_NAMESPACE",
    "AllowWindow",
    "Conflicts",
    "CoreDNS",
    "DNSConfig",
    "DNSOption",
    "DenyWindow",
    "Deployments",
    "DisruptionBudget",
    "Floor",
    "GracefulShutdown",
    "Limits",
    "Mode",
    "Named",
    "NodeLocalCache",
    "OnRelease",
    "Policy",
    "Probes",
    "Replicas",
    "Resources",
    "Rollout",
    "Section",
    "Settings",
    "Spread",
    "SpreadConstraint",
    "Windows",
]

API_VERSION = "resilience.dev/v1alpha1"
KIND = "ResiliencePolicy"
PLURAL = "resiliencepolicies"
GROUP = "resilience.dev"


class OnRelease(StrEnum):
    """What becomes of our values on an object that leaves the policy."""

    RETAIN = "Retain"
    REVERT = "Revert"


@dataclass(frozen=True)
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
    core_dns: CoreDNS | None = None
    warnings: tuple[str, ...] = field(default=())

    @property
    def ref(self) -> ObjectRef:
        """The policy as an object of the cluster."""
        return ObjectRef(API_VERSION, KIND, "", self.name, self.uid)

    @cached_property
    def sections(self) -> dict[str, Section]:
        """The sections asked for, by their name in spec."""
        known: dict[str, Section | None] = {"deployments": self.deployments, "coreDNS": self.core_dns}
        return {name: section for name, section in known.items() if section is not None}

    def section_mode(self, section: str) -> Mode:
        """The mode of a section, inherited from spec where the section is silent."""
        return self.sections[section].mode or self.mode

    def rule_mode(self, section: str, rule: str) -> Mode:
        """The mode of a rule: its own, else the section's, else spec's."""
        return self.sections[section].rules[rule].mode or self.section_mode(section)

    def conflicts_of(self, rule: str, kind: str) -> Conflicts:
        """What becomes of a value that somebody chose on an object of that kind.

        Report where nothing is said, but TakeOver for the floor of cluster DNS on what scales it: it lives inside
        one value that somebody always owns.
        """
        section = self.sections.get(SECTION_OF_RULE.get(rule, ""))
        said = (section.conflicts if section is not None else None) or self.conflicts
        floor = rule == "coredns-floor" and kind != "Deployment"
        return said or (Conflicts.TAKE_OVER if floor else Conflicts.REPORT)

    def section_windows(self, section: str) -> Windows:
        """The windows of a section, the whole object of the innermost level that has one."""
        return self.sections[section].windows or self.windows or ALWAYS

    def section_limits(self, section: str) -> Limits:
        """The rollout limits of a section, merged field by field, innermost first."""
        merged = self.sections[section].rollout.over(self.rollout).over(DEFAULT_ROLLOUT)
        return Limits(*(value if value is not None else 0 for value in values(merged)))

    def limits_of(self, rules: Iterable[str]) -> Limits:
        """The strictest limits of the sections of these rules; of all sections where none of them is asked for."""
        names = _sections_of(rules) & self.sections.keys() or self.sections.keys()
        known = [self.section_limits(name) for name in names] or [DEFAULT_LIMITS]
        return Limits(
            min(one.max_concurrent for one in known),
            min(one.max_concurrent_per_namespace for one in known),
            max(one.soak_seconds for one in known),
            min(one.progress_deadline_seconds for one in known),
            min(one.failure_threshold for one in known),
            min(one.failure_threshold_per_namespace for one in known),
        )

    def windows_of(self, rules: Iterable[str]) -> tuple[Windows, ...]:
        """The windows of the sections of these rules."""
        names = _sections_of(rules) & self.sections.keys()
        return tuple(self.section_windows(name) for name in sorted(names))

    def audited(self) -> "Policy":
        """The same policy with nothing enforced anywhere."""
        return self._throughout(Mode.AUDIT)

    def enforced(self) -> "Policy":
        """The same policy with everything enforced, and not suspended."""
        return replace(self._throughout(Mode.ENFORCE), suspend=False)

    def _throughout(self, mode: Mode) -> "Policy":
        deployments, core_dns = inheriting(self.deployments), inheriting(self.core_dns)
        return replace(self, mode=mode, deployments=deployments, core_dns=core_dns)


SECTION_OF_RULE: dict[str, str] = {
    **dict.fromkeys(
        (
            "spread",
            "graceful-shutdown",
            "dns-config",
            "replicas",
            "disruption-budget",
            "probes",
            "resources",
        ),
        "deployments",
    ),
    **dict.fromkeys(("coredns-floor", "coredns-spread", "coredns-budget", "node-local-cache"), "coreDNS"),
}
"""Rule id -> section of spec, for every rule that works."""

FAMILY: dict[str, str] = {
    "coredns-spread": "spread",
    "coredns-budget": "disruption-budget",
    "coredns-floor": "replicas",
}
"""Rule of section coreDNS -> the rule of section deployments that writes the same leaves."""

SPECIAL: dict[str, str] = {general: special for special, general in FAMILY.items()}
"""Rule of section deployments -> the one that takes its place on cluster DNS."""


def family(rule: str) -> str:
    """What a rule and its sibling of the other section have in common: the leaves that they write."""
    return FAMILY.get(rule, rule)


def _sections_of(rules: Iterable[str]) -> set[str]:
    """The sections that have any of these rules, or a sibling; a rule of another version has none."""
    families = {family(rule) for rule in rules}
    return {section for rule, section in SECTION_OF_RULE.items() if family(rule) in families}
