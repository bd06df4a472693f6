"""What a target declares: the section of the policy that speaks of it, its rules, and the kinds that it watches.

One `Target` per folder of targets/, listed in targets.TARGETS. Everything that is of one target alone is reached
through its declaration: no other room knows the name of a rule or of a section.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from resilience_operator.core.findings import RuleText, Verdict
from resilience_operator.core.kinds import Kind
from resilience_operator.core.paths import ABSENT, JSON, Path, Step
from resilience_operator.core.refs import Key

Found = tuple[tuple[tuple[str, str], ...], JSON]
"""What a step of a leaf's pattern leads to: the keys of a list's entry (none of a field), and what lies there."""

Handler = Callable[[Any, Any], None]
"""An event handler of one kind: takes the object as it was and as it is, None where it was not or is no more."""


@dataclass(frozen=True, slots=True)
class Leaf:
    """A leaf of somebody's object that we may write, as a pattern: `webhooks[name].failurePolicy`.

    A list with keys is one that the API server merges by them; the pattern names the keys, a path their values.
    """

    pattern: str
    """A path whose keyed steps have no values."""
    default: JSON = ABSENT
    """What the API server fills in where nobody says anything."""
    form: Any = int
    """The type of its values: what our annotation says of it is believed only where it fits."""

    @property
    def steps(self) -> tuple[tuple[str, tuple[str, ...]], ...]:
        """(field, names of its list's keys) of each step."""
        parts = (part.removesuffix("]").partition("[") for part in self.pattern.split("."))
        return tuple((field, tuple(keys.split(",")) if keys else ()) for field, _, keys in parts)

    def matches(self, path: Path) -> bool:
        """True where the path is one of the pattern's."""
        return tuple((step.field, tuple(key for key, _ in step.keys)) for step in path.steps) == self.steps

    def paths(
        self, found: JSON, entries: Callable[[JSON, str, tuple[str, ...]], Iterable[Found]]
    ) -> Iterator[Path]:
        """The paths of the pattern that are there; `entries` gives what one step of it leads to."""
        at: list[tuple[tuple[Step, ...], JSON]] = [((), found)]
        for field, keys in self.steps:
            at = [
                ((*before, Step(field, pairs)), below)
                for before, one in at
                for pairs, below in entries(one, field, keys)
            ]
        return (Path(steps) for steps, _ in at)


@dataclass(frozen=True, slots=True)
class Watched:
    """A kind that is watched, and how its objects are decoded."""

    kind: Kind
    """Where it lies on the server."""
    wire: type[Any]
    """The struct that an object is decoded into, as it lies on the wire."""
    keep: Callable[[Any], Any]
    """wire -> the observed struct: what is kept of the object."""
    subject: bool = False
    """Its objects are decided about, and may be written."""
    beside: bool = False
    """An object of it that cannot be read makes every decision in its namespace a guess."""
    owners_matter: Callable[[Any], bool] = lambda _: False
    """True of an object whose fields' owners are asked for: it is unreadable where they are."""


@dataclass(frozen=True, slots=True)
class FailingCall:
    """Calls that the API server cannot make; told by its refusals of our own writes."""

    since: datetime
    """When the first of them failed."""
    last: datetime
    """When the last of them did."""


@dataclass(frozen=True, slots=True)
class TemporaryEvents:
    """Reasons of the Events of a rule's temporary leaf, at both ends."""

    taken: str
    """It was set; type Warning."""
    given_back: str
    """It is as it was before."""


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule: a pure function, and its text for people."""

    check: Callable[[Any, Any], Verdict]
    """(settings, view) -> verdict."""
    text: RuleText
    """Its id, section and sentences."""
    field: str
    """The attribute of the section's settings by which it is asked for, None there where it is not."""
    takes_place_of: str = ""
    """The rule of another target that is not asked of an object of which this one is: both write the same leaves."""
    temporary: TemporaryEvents | None = None
    """None of a rule that demands nothing temporary."""

    @property
    def id(self) -> str:
        """Its name, as in opt-outs, status and metrics."""
        return self.text.rule

    @property
    def family(self) -> str:
        """What it has in common with the rule whose place it takes: the leaves that they write."""
        return self.takes_place_of or self.id


class Views(Protocol):
    """The views of one target's objects over the cache, kept up to date by event handlers."""

    @property
    def handlers(self) -> Mapping[Kind, Handler]:
        """Kind -> what follows a change of one of its objects."""
        ...

    @property
    def broad(self) -> frozenset[Kind]:
        """Kinds of which a long list makes everything dirty: to find what each object touches would cost more."""
        ...

    def subjects(self) -> Iterator[Key]:
        """The key of every object that may be decided about."""
        ...

    def subject(self, key: Key) -> Any | None:
        """The observed object with that key; None where there is none, or where it is another target's."""
        ...

    def look(self, key: Key, now: datetime, server: tuple[int, int]) -> Any | None:
        """Its view; None where there is none, or where it is another target's."""
        ...

    def widen(self, keys: set[Key], *, everything: bool) -> set[Key]:
        """The keys to decide about again, once all events of a moment are taken; what was noted for it is over."""
        ...


@dataclass(frozen=True, slots=True)
class Target:
    """One target: a folder of targets/."""

    section: str
    """The name of its section in the policy's spec."""
    settings: type[Any]
    """The struct of its section (on policy.common.SectionSettings); its docstring is the section's description."""
    rules: tuple[Rule, ...]
    """Its rules, in the order of the contract."""
    watched: tuple[Watched, ...]
    """The kinds that it watches; several targets may watch the same one."""
    views: Callable[..., Views]
    """(cache, dirty keys) -> its views; targets that share them name the same."""
    scope: Any
    """What it asks of which object (engine.evaluate.Scope); targets that share it name the same."""


class Catalog:
    """What all declared targets say of their sections and rules, by name."""

    def __init__(self, targets: Iterable[Target] = ()) -> None:
        self.targets: Mapping[str, Target] = {target.section: target for target in targets}
        """Section -> target, in the order of the contract."""
        every = [(rule, section) for section, target in self.targets.items() for rule in target.rules]
        self.rules: Mapping[str, Rule] = {rule.id: rule for rule, _ in every}
        """Rule id -> rule, in the order of the contract."""
        self.section_of: Mapping[str, str] = {rule.id: section for rule, section in every}
        """Rule id -> section."""
        self._siblings: dict[str, set[str]] = {}
        for rule in self.rules.values():
            self._siblings.setdefault(rule.family, set()).add(rule.id)

    def family(self, rule: str) -> str:
        """What a rule and those whose place it takes have in common; a rule of another version stands alone."""
        known = self.rules.get(rule)
        return known.family if known is not None else rule

    def siblings(self, rule: str) -> frozenset[str]:
        """The rules that write the same leaves, this one among them."""
        return frozenset(self._siblings.get(self.family(rule), ())) | {rule}

    def sections_of(self, rules: Iterable[str]) -> frozenset[str]:
        """The sections that have any of these rules, or a sibling."""
        every = {one for rule in rules for one in self.siblings(rule)}
        return frozenset(self.section_of[rule] for rule in every if rule in self.section_of)
