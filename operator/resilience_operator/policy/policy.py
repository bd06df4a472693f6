"""The ResiliencePolicy as a value: what spec says, with inheritance resolved by methods, never by copying.

Made by policy/decode from what the API server or a file gave; read by rules and engine. It knows no section and no
rule: what the targets declare of theirs is in its catalog.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from types import MappingProxyType

from msgspec import structs

from resilience_operator.core.refs import ObjectRef
from resilience_operator.core.target import Catalog
from resilience_operator.policy.common import (
    ALWAYS,
    DEFAULT_LIMITS,
    Conflicts,
    Limits,
    Mode,
    OnRelease,
    Rollout,
    RuleSettings,
    SectionSettings,
    Windows,
    limits,
)

API_VERSION = "resilience.dev/v1alpha1"
KIND = "ResiliencePolicy"
PLURAL = "resiliencepolicies"
GROUP = "resilience.dev"

NO_TARGETS = Catalog()


@dataclass(frozen=True)
class Policy:
    """A ResiliencePolicy that was accepted."""

    name: str
    uid: str = ""
    generation: int = 0
    digest: str = ""
    """A hash of spec, equal where spec is equal."""
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
    sections: Mapping[str, SectionSettings] = field(default_factory=dict, hash=False)
    """The sections asked for, by their name in spec."""
    warnings: tuple[str, ...] = ()
    """Sentences on what is allowed but odd."""
    catalog: Catalog = field(default=NO_TARGETS, compare=False, repr=False)
    """What the targets declare of sections and rules."""

    @property
    def ref(self) -> ObjectRef:
        """The policy as an object of the cluster."""
        return ObjectRef(API_VERSION, KIND, "", self.name, self.uid)

    @cached_property
    def asked(self) -> Mapping[str, Mapping[str, RuleSettings]]:
        """Section -> rule id -> what is asked of each rule that is asked for, in the order of the contract."""
        return {name: self._asked(name, settings) for name, settings in self.sections.items()}

    def _asked(self, name: str, settings: SectionSettings) -> Mapping[str, RuleSettings]:
        found = {rule.id: getattr(settings, rule.field) for rule in self.catalog.targets[name].rules}
        return MappingProxyType({rule: one for rule, one in found.items() if one is not None})

    @cached_property
    def rules(self) -> Mapping[str, RuleSettings]:
        """Rule id -> settings of each rule that is asked for, in any section."""
        return {rule: one for asked in self.asked.values() for rule, one in asked.items()}

    def section_mode(self, section: str) -> Mode:
        """The mode of a section, inherited from spec where the section is silent."""
        return self.sections[section].mode or self.mode

    def rule_mode(self, rule: str) -> Mode:
        """The mode of a rule that is asked for: its own, else the section's, else spec's."""
        return self.rules[rule].mode or self.section_mode(self.catalog.section_of[rule])

    @cached_property
    def modes(self) -> frozenset[Mode]:
        """The modes of all rules that are asked for; of the sections, or of spec, where there are none."""
        modes = [self.rule_mode(rule) for rule in self.rules]
        return frozenset(modes or map(self.section_mode, self.sections)) or frozenset({self.mode})

    def conflicts_of(self, rule: str, kind: str) -> Conflicts:
        """What becomes of a value that somebody chose on an object of that kind, for a rule that is asked for."""
        section = self.sections.get(self.catalog.section_of.get(rule, ""))
        said = (section.conflicts if section is not None else None) or self.conflicts
        asked = self.rules.get(rule)
        return said or (Conflicts.REPORT if asked is None else asked.default_conflicts(kind))

    def section_windows(self, section: str) -> Windows:
        """The windows of a section, the whole object of the innermost level that has one."""
        return self.sections[section].windows or self.windows or ALWAYS

    def section_limits(self, section: str) -> Limits:
        """The rollout limits of a section, merged field by field, innermost first."""
        return limits(self.sections[section].rollout, self.rollout)

    def limits_of(self, rules: Iterable[str]) -> Limits:
        """The strictest limits of the sections of these rules; of all sections where none of them is asked for."""
        names = self.catalog.sections_of(rules) & self.sections.keys() or self.sections.keys()
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
        names = self.catalog.sections_of(rules) & self.sections.keys()
        return tuple(self.section_windows(name) for name in sorted(names))

    def audited(self) -> "Policy":
        """The same policy with nothing enforced anywhere."""
        return self._throughout(Mode.AUDIT)

    def enforced(self) -> "Policy":
        """The same policy with everything enforced, and not suspended."""
        return replace(self._throughout(Mode.ENFORCE), suspend=False)

    def _throughout(self, mode: Mode) -> "Policy":
        """The same policy in one mode: no section and no rule has one of its own."""
        sections = {name: _inheriting(one) for name, one in self.sections.items()}
        return replace(self, mode=mode, sections=sections)


def _inheriting(section: SectionSettings) -> SectionSettings:
    known = structs.asdict(section)
    rules = {
        name: structs.replace(one, mode=None) for name, one in known.items() if isinstance(one, RuleSettings)
    }
    return structs.replace(section, mode=None, **rules)
