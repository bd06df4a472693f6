"""What the passes build up: the policies, the decision about every object, and what of it needs another look.

Kept so that a pass costs what changed and not what there is: ten thousand converged objects cost nothing. Used by
reconcile.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime

from resilience_operator.core.refs import Key, ObjectRef
from resilience_operator.engine.change import Decision
from resilience_operator.engine.queue import Health, health_by
from resilience_operator.policy.common import Problem
from resilience_operator.policy.policy import Policy


@dataclass(frozen=True, slots=True)
class Known:
    """A policy as last seen, and what of it cannot be honoured."""

    policy: Policy
    problems: tuple[Problem, ...]


def served_by(decision: Decision | None) -> frozenset[str]:
    """Uids of the policies for which we hold something on the object, or are about to write or to give back."""
    if decision is None:
        return frozenset()
    changing = {policy.uid for change in decision.changes for policy in change.policies}
    return decision.state.uids() | changing


def _same(one: Policy, other: Policy) -> bool:
    return one is other or replace(one, finalizers=()) == replace(other, finalizers=())


class Decided:
    """Policies by name and decisions by key; `everything` and `due` say what the next pass evaluates anyway."""

    def __init__(self) -> None:
        self.policies: dict[str, Known] = {}
        self._judged: dict[str, Known] = {}
        self.everything = True
        self.due: set[Key] = set()
        self._decisions: dict[Key, Decision] = {}
        self._active: dict[Key, Decision] = {}
        self._wakes: dict[Key, datetime] = {}
        self._targets: set[Key] = set()
        self._counts: Counter[str] = Counter()
        self._unhealthy: dict[Key, ObjectRef] = {}

    def get(self, key: Key) -> Decision | None:
        """The decision about an object, or None where none was needed."""
        return self._decisions.get(key)

    def put(self, key: Key, decision: Decision | None) -> None:
        """Take a new decision, or forget the object."""
        for kept in (self._decisions, self._active, self._wakes, self._unhealthy):
            kept.pop(key, None)
        if key in self._targets:
            self._targets.remove(key)
            self._counts[key[0]] -= 1
        if decision is None:
            return
        self._decisions[key] = decision
        if decision.changes or decision.rollout.running or decision.state.quarantines:
            self._active[key] = decision
        if decision.wake_at is not None:
            self._wakes[key] = decision.wake_at
        if decision.target:
            self._targets.add(key)
            self._counts[key[0]] += 1
            if not decision.healthy:
                self._unhealthy[key] = decision.object

    def __iter__(self) -> Iterator[Decision]:
        """Every decision."""
        return iter(self._decisions.values())

    def keys(self) -> Iterable[Key]:
        """The keys of all decisions."""
        return self._decisions.keys()

    @property
    def active(self) -> list[Decision]:
        """Those with a change, a rollout of ours or a quarantine: all that the queue must see."""
        return list(self._active.values())

    @property
    def health(self) -> dict[str, Health]:
        """Namespace -> the health of its enforced objects."""
        return health_by(self._counts, self._unhealthy.values())

    def woken(self, now: datetime) -> set[Key]:
        """The objects about which time alone may have changed the answer."""
        return {key for key, at in self._wakes.items() if at <= now}

    def next_wake(self) -> datetime | None:
        """When time alone may next change the answer."""
        return min(self._wakes.values(), default=None)

    def judging(self) -> None:
        """Every object is evaluated now, with the policies as they are."""
        self._judged = dict(self.policies)

    def judged(self) -> list[Known]:
        """The policies as every object was last evaluated with them: what came since has no answer yet."""
        return [
            known
            for name, known in self._judged.items()
            if name in self.policies and self.policies[name].policy.uid == known.policy.uid
        ]

    def overtaken(self, policies: Iterable[Policy]) -> str:
        """Which of the policies is another one now, or gone, as a sentence; "" where all are as they were.

        Our finalizer does not count: it comes with the first write.
        """
        for policy in policies:
            known = self.policies.get(policy.name)
            if known is None or not _same(known.policy, policy):
                return f"policy {policy.name} changed since this was decided"
        return ""

    def accepted(self) -> tuple[Policy, ...]:
        """The policies that can be honoured."""
        return tuple(known.policy for known in self.policies.values() if not known.problems)

    def by_uid(self) -> dict[str, Policy]:
        """All policies by uid."""
        return {known.policy.uid: known.policy for known in self.policies.values()}

    def by_name(self) -> dict[str, Policy]:
        """All policies by name."""
        return {name: known.policy for name, known in self.policies.items()}
