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


@dataclass(frozen=True, slots=True)
class Finding:
    """One drift of one object from one rule; `message` is a neutral sentence a person understands.

    `report_only` is the sentence why this may never be enforced ("" where it may be). `committable`: False where the
    object's owner should not write `desired` either: it would be undone, refused, or be of no use.
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

    def under(self, rule: str) -> "Verdict":
        """The same verdict said by another rule: one that judges the same things of particular objects."""
        return Verdict(
            tuple(replace(one, rule=rule) for one in self.findings),
            tuple(replace(one, rule=rule) for one in self.demands),
            tuple(replace(one, rule=rule) for one in self.skipped),
            self.wake_at,
            tuple(replace(one, rule=rule) for one in self.budgets),
            self.scale,
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
