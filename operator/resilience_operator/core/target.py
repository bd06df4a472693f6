"""What a target declares: the section of the policy that speaks of it, its rules, and the kinds that it watches.

One `Target` per folder of targets/, listed in targets.TARGETS. Everything that is of one target alone is reached
through its declaration: no other room knows the name of a rule or of a section.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from resilience_operator.core.findings import RuleText, Verdict
from resilience_operator.core.kinds import Kind
from resilience_operator.core.refs import Key

Handler = Callable[[Any, Any], None]
"""An event handler of one kind: takes the object as it was and as it is, None where it was not or is no more."""


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
class Rule:
    """A rule: a pure function, and its text for people."""

    check: Callable[[Any, Any], Verdict]
    """(settings, view) -> verdict."""
    text: RuleText
    """Its id, section and sentences."""


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
    rules: tuple[Rule, ...]
    """Its rules, in the order of the contract."""
    watched: tuple[Watched, ...]
    """The kinds that it watches; several targets may watch the same one."""
    views: Callable[..., Views]
    """(cache, dirty keys) -> its views; targets that share them name the same."""
    scope: Any
    """What it asks of which object (engine.evaluate.Scope); targets that share it name the same."""
