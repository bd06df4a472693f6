"""What a rule says about one object: findings, demands and what it left out. Made by rules, read by planning."""

from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum

from resilience_operator.core.paths import JSON, Path
from resilience_operator.core.refs import ObjectRef


class State(StrEnum):
    """The state of a finding, the worst first (API: status.findings[].state)."""

    QUARANTINED = "Quarantined"
    CONTESTED = "Contested"
    DRIFTED = "Drifted"
    ROLLING_OUT = "RollingOut"
    PENDING = "Pending"
    REPORT_ONLY = "ReportOnly"


STATE_ORDER: tuple[State, ...] = tuple(State)


class Severity(StrEnum):
    """How much a finding weighs for who decides by it, the lightest first.

    Not the same as whether the operator may end it: a budget of others that blocks every drain is an error, and never
    touched. The words are SARIF's and GitHub's, where `info` is called note and notice.
    """

    INFO = "info"
    WARNING = "warning"
    ERROR = "error"
    """It stops something by itself: drains, scaling, a node's start, or the application before its time."""

    def reaches(self, least: "Severity") -> bool:
        """True where it is as heavy as `least`, or heavier."""
        order = tuple(Severity)
        return order.index(self) >= order.index(least)


@dataclass(frozen=True, slots=True)
class Finding:
    """One drift of one object from one rule; `message` is a neutral sentence a person understands.

    `report_only` is the sentence why this may never be enforced ("" where it may be). `committable`: False where the
    object's owner should not write `desired` either: it would be undone, refused, or be of no use.
    `beside`: other leaves, with their values, that are written with `desired` and are no finding of their own.
    """

    rule: str
    reason: str
    object: ObjectRef
    message: str
    observed: JSON = None
    desired: JSON = None
    path: Path | None = None
    report_only: str = ""
    committable: bool = True
    beside: tuple[tuple[Path, JSON], ...] = ()


@dataclass(frozen=True, slots=True)
class Demand:
    """One leaf that a rule wants on an object, whether it is there already or not.

    `rivals` are other paths whose present values stand against this one and must not be chosen by somebody:
    with a rival the leaf is contested, for it cannot be written beside it.
    `floor`: the value keeps at least so many replicas, and any that keeps more satisfies it as well. `lowers`: the
    present value keeps more than that.
    `never_take`: contested even under conflicts TakeOver when somebody chose a different value.
    """

    rule: str
    path: Path
    value: JSON
    rivals: tuple[Path, ...] = ()
    never_take: bool = False
    floor: int | None = None
    lowers: bool = False
    temporary: bool = False
    """Given back as soon as its rule no longer demands it, whatever onRelease says."""


@dataclass(frozen=True, slots=True)
class BudgetDemand:
    """A PodDisruptionBudget that a rule wants for the object: how many pods may go at once, a number or percentage.

    `not_yet`: why it is not made at this moment, "" where it may be; one that is there stays.
    """

    rule: str
    max_unavailable: int | str
    not_yet: str = ""


@dataclass(frozen=True, slots=True)
class Skipped:
    """A rule that could not be judged on an object, and why: never the same as passed."""

    rule: str
    object: ObjectRef
    why: str


@dataclass(frozen=True, slots=True)
class Scale:
    """How many replicas a Deployment was told to have, by whom, and on how many nodes they may run.

    `nodes`: all there are; `usable`: those that are Ready and schedulable.
    """

    replicas: int
    by: str
    nodes: int
    usable: int
    rule: str = ""
    """The rule that looks after it."""
    event: str = ""
    """The reason of the Event that tells of its scale-down."""


@dataclass(frozen=True, slots=True)
class Occurrence:
    """Something that happened to an object, for an Event of its own; told once."""

    rule: str
    event: str
    """The Event's reason."""
    note: str = field(compare=False)
    """What happened, as a sentence."""
    number: int
    """What tells it from another of the same kind, such as when it began: the same after a restart of ours."""
    warning: bool = False


@dataclass(frozen=True, slots=True)
class Verdict:
    """All that the rules of one policy say about one object.

    `wake_at`: when time alone may change the answer; None where it cannot. `scale`: how many replicas there are and
    who said so, of what a policy wants to hear scaled down.
    """

    findings: tuple[Finding, ...] = ()
    demands: tuple[Demand, ...] = ()
    skipped: tuple[Skipped, ...] = ()
    wake_at: datetime | None = None
    budgets: tuple[BudgetDemand, ...] = ()
    scale: Scale | None = None
    occurrences: tuple[Occurrence, ...] = ()
    """What happened to the object."""

    def under(self, rule: str) -> "Verdict":
        """The same verdict said by another rule: one that judges the same things of particular objects."""
        return Verdict(
            tuple(replace(one, rule=rule) for one in self.findings),
            tuple(replace(one, rule=rule) for one in self.demands),
            tuple(replace(one, rule=rule) for one in self.skipped),
            self.wake_at,
            tuple(replace(one, rule=rule) for one in self.budgets),
            self.scale,
            tuple(replace(one, rule=rule) for one in self.occurrences),
        )

    def __add__(self, other: "Verdict") -> "Verdict":
        if self is EMPTY or other is EMPTY:
            return other if self is EMPTY else self
        wakes = [at for at in (self.wake_at, other.wake_at) if at is not None]
        return Verdict(
            self.findings + other.findings,
            self.demands + other.demands,
            self.skipped + other.skipped,
            min(wakes, default=None),
            self.budgets + other.budgets,
            self.scale or other.scale,
            self.occurrences + other.occurrences,
        )


EMPTY = Verdict()


@dataclass(frozen=True, slots=True)
class RuleText:
    """What `explain` and docs/rules.md print of a rule: its id, section, incident, demand, reason and way out."""

    rule: str
    section: str
    incident: str
    title: str
    demands: str
    why: str
    reasons: dict[str, str] = field(default_factory=dict)
    never_enforced: tuple[str, ...] = ()
    severities: dict[str, Severity] = field(default_factory=dict)
    """Reason -> what it weighs, where that is not a warning, or info of what is only ever reported."""
    opts_out: str = "the Deployment or its Namespace"
    """Who bears the opt-out."""
