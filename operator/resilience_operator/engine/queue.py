"""Which changes go now and which wait, over all objects and policies. Pure; called once per pass.

Everything is counted from the decisions, which were read from the objects: a new leader counts the same. The
strictest limit wins; doubt (an unreadable pause switch, a stale stream) lets nothing start.
"""

from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial

from resilience_operator.core.refs import Key, ObjectRef, key_of
from resilience_operator.engine import windows
from resilience_operator.engine.change import Change, Decision
from resilience_operator.engine.failures import Failure, Stopped, failures_of, stopped_by
from resilience_operator.engine.gates import Context, Outcomes, held_by
from resilience_operator.policy.policy import Policy

NOTHING_TRIED = Outcomes()
FEWEST_TARGETS = 3
"""Enforced objects of which a share is spoken of: of fewer, one ill object would be too many."""

NEVER = datetime.min.replace(tzinfo=UTC)

Proposed = tuple[Decision, Change]
"""A change, and the decision that it belongs to."""


@dataclass(frozen=True, slots=True)
class OperatorLimits:
    """The operator's own limits; `halted`: why nothing at all may be written now, "" where it may.

    `max_unhealthy_percent`: of all enforced objects, beyond which nothing disruptive starts. `restarting`: that others
    restart too many at once, "" where they do not.
    """

    max_rollouts: int = 1
    max_unhealthy_percent: int = 20
    halted: str = ""
    restarting: str = ""
    guarded: frozenset[str] = frozenset()
    """Kinds of which a write that needs no Lease goes all the same, where it is not proved that all is guarded."""


@dataclass(frozen=True, slots=True)
class Schedule:
    """`now`: changes to carry out in this order; `waiting`: key of the object to change -> why that waits.

    `failing`: those of them whose writes failed several times in a row, and with which words last. `stopped`: policy
    name -> why it stopped altogether; `stopped_in`: (policy name, namespace) -> why it stopped there. `breaker`: why
    nothing disruptive starts, "" where it may. `wake_at`: when time alone may let something go. `failed`: the rollouts
    that failed, for whoever remembers them. `gates`: how many changes each gate holds.
    """

    now: tuple[Change, ...] = ()
    waiting: Mapping[Key, str] = field(default_factory=dict)
    failing: Mapping[Key, str] = field(default_factory=dict)
    stopped: Mapping[str, str] = field(default_factory=dict)
    stopped_in: Mapping[tuple[str, str], str] = field(default_factory=dict)
    breaker: str = ""
    wake_at: datetime | None = None
    failed: tuple[Failure, ...] = ()
    gates: Mapping[str, int] = field(default_factory=dict)

    def stopped_for(self, namespace: str) -> dict[str, str]:
        """Policy name -> why it starts nothing in that namespace."""
        return Stopped(self.stopped, self.stopped_in).of(namespace)


@dataclass(frozen=True, slots=True)
class Health:
    """How many enforced objects there are, how many of them are unhealthy, and one of those."""

    targets: int = 0
    unhealthy: int = 0
    example: str = ""


def health_of(decisions: Iterable[Decision]) -> dict[str, Health]:
    """Namespace -> the health of its enforced objects; whoever keeps many decisions counts as they change."""
    targets = [decision for decision in decisions if decision.target]
    counts = Counter(decision.object.namespace for decision in targets)
    return health_by(counts, (decision.object for decision in targets if not decision.healthy))


def health_by(targets: Mapping[str, int], unhealthy: Iterable[ObjectRef]) -> dict[str, Health]:
    """Namespace -> health, from the number of its enforced objects and those of them that are unhealthy."""
    ill: defaultdict[str, list[ObjectRef]] = defaultdict(list)
    for ref in unhealthy:
        ill[ref.namespace].append(ref)
    return {
        namespace: Health(number, len(ill[namespace]), str(min(ill[namespace], default="")))
        for namespace, number in sorted(targets.items())
        if number
    }


class Slots:
    """Rollouts running, by operator, policy and (policy, namespace): what is left of each limit, and who has it.

    `homeless`: one of them whose pods find no node, "" where there is none.
    """

    def __init__(
        self, decisions: Iterable[Decision], limits: OperatorLimits, outcomes: Outcomes, now: datetime
    ) -> None:
        """Count the rollouts of ours that run, and those that a write may have started without an answer."""
        self._limits = limits
        self.homeless = ""
        self._all: list[ObjectRef] = []
        self._policy: defaultdict[str, list[ObjectRef]] = defaultdict(list)
        self._namespace: defaultdict[tuple[str, str], list[ObjectRef]] = defaultdict(list)
        for decision in decisions:
            if outcomes.counts(decision, now):
                self._take(decision.rollout_policies, decision.object)
                self.homeless = self.homeless or (str(decision.object) if decision.rollout.homeless else "")
            elif decision.change is not None and decision.change.object.key in outcomes.unknown:
                self.take(decision.change)

    def full_because(self, change: Change) -> str:
        """Why no rollout of this change may start now; "" where there is a slot."""
        if len(self._all) >= self._limits.max_rollouts:
            return _full(self._all, self._limits.max_rollouts, "of the operator run")
        namespace = change.object.namespace
        for policy in change.policies:
            limits = policy.limits_of(change.rules)
            running = self._policy[policy.uid]
            if len(running) >= limits.max_concurrent:
                return _full(running, limits.max_concurrent, f"of policy {policy.name} run")
            running = self._namespace[(policy.uid, namespace)]
            if len(running) >= limits.max_concurrent_per_namespace:
                where = f"of policy {policy.name} run in namespace {namespace}"
                return _full(running, limits.max_concurrent_per_namespace, where)
        return ""

    def take(self, change: Change) -> None:
        """Count a rollout that this pass starts."""
        self._take(tuple(policy.uid for policy in change.policies), change.object)

    def _take(self, uids: Iterable[str], holder: ObjectRef) -> None:
        self._all.append(holder)
        for uid in uids:
            self._policy[uid].append(holder)
            self._namespace[(uid, holder.namespace)].append(holder)


def _full(running: Sequence[ObjectRef], limit: int, whose: str) -> str:
    example = f" ({running[0]} is one)" if running else ""
    return f"waits for a slot: {len(running)} of {limit} rollouts {whose}{example}"


class Turns:
    """The order in which changes are asked about: urgent ones, then namespace after namespace, one rollout each.

    The namespace goes first in which nothing was tried for the longest time, and in it what waits the longest.
    """

    def __init__(self, proposed: Iterable[Proposed], outcomes: Outcomes, now: datetime) -> None:
        """Sort what is proposed; `now` (UTC) bounds the times that objects bear."""
        self._urgent: list[Proposed] = []
        self._queues: defaultdict[str, deque[Proposed]] = defaultdict(deque)
        self._ended = False
        tried = dict(outcomes.tried)
        waits = []
        for decision, change in proposed:
            if change.urgent:
                self._urgent.append((decision, change))
                continue
            waits.append((outcomes.since.get(change.object.key, NEVER), decision.key, decision, change))
            namespace = change.object.namespace
            last = max((apply.at for apply in decision.state.applies if apply.revision), default=NEVER)
            tried[namespace] = max(tried.get(namespace, NEVER), min(last, now))
        for _, _, decision, change in sorted(waits, key=lambda one: one[:2]):
            self._queues[change.object.namespace].append((decision, change))
        self._order = sorted(self._queues, key=lambda namespace: (tried[namespace], namespace))

    def end(self) -> None:
        """The change that came last restarts pods: it is the next namespace's turn."""
        self._ended = True

    def __iter__(self) -> Iterator[Proposed]:
        """Each change once."""
        yield from sorted(self._urgent, key=lambda one: one[0].key)
        order = self._order
        while order:
            for namespace in order:
                queue = self._queues[namespace]
                self._ended = False
                while queue and not self._ended:
                    yield queue.popleft()
            order = [namespace for namespace in order if self._queues[namespace]]


def schedule(
    decisions: Iterable[Decision],
    policies: Mapping[str, Policy],
    limits: OperatorLimits,
    now: datetime,
    health: Mapping[str, Health] | None = None,
    outcomes: Outcomes = NOTHING_TRIED,
) -> Schedule:
    """Decide about the changes of all decisions: urgent ones first, then by turns. `policies` is by uid.

    `health`: by namespace, of all objects, where `decisions` are only those with a change, a rollout or a quarantine.
    `outcomes`: of earlier writes.
    """
    every = sorted(decisions, key=lambda decision: decision.key)
    proposed = [(decision, change) for decision in every for change in decision.changes]
    failed = [*failures_of(every, policies), *outcomes.failures]
    stopped = stopped_by(failed, policies)
    breakers = open_breakers(health_of(every) if health is None else health, limits)
    slots = Slots(every, limits, outcomes, now)
    context = partial(
        Context,
        halted=limits.halted,
        guarded=limits.guarded,
        outcomes=outcomes,
        stopped=stopped.gates(),
        breakers=breakers,
        restarting=limits.restarting,
        slots=slots,
        now=now,
    )
    going, waiting, gates = _take_turns(Turns(proposed, outcomes, now), context, slots)
    return Schedule(
        now=tuple(going),
        waiting=waiting,
        failing=outcomes.failing_of(change for _, change in proposed),
        stopped=stopped.everywhere,
        stopped_in=stopped.namespaces,
        breaker=breakers.get("") or next(iter(breakers.values()), ""),
        wake_at=_wake_at(policies, now),
        failed=tuple(failed),
        gates=gates,
    )


def _take_turns(
    turns: Turns, context_of: Callable[[Decision], Context], slots: Slots
) -> tuple[list[Change], dict[Key, str], Counter[str]]:
    """What goes, why the others wait, and how many of them wait at which gate."""
    going: list[Change] = []
    waiting: dict[Key, str] = {}
    gates: Counter[str] = Counter()
    for decision, change in turns:
        if change.forgets and decision.rollout.running:
            continue
        context = context_of(decision)
        gate, reason = held_by(change, context)
        if reason:
            waiting[key_of(change.object)] = reason
            gates[gate] += 1
            continue
        going.append(change)
        if change.paced and not context.outcomes.counts(decision, context.now):
            slots.take(change)
        if change.paced and not change.urgent:
            turns.end()
    return going, waiting, gates


def _wake_at(policies: Mapping[str, Policy], now: datetime) -> datetime | None:
    """When a window opens or closes next."""
    wakes = [
        windows.wake_at(policy.section_windows(section), now)
        for policy in policies.values()
        for section in policy.sections
    ]
    return min((at for at in wakes if at), default=None)


def open_breakers(health: Mapping[str, Health], limits: OperatorLimits) -> dict[str, str]:
    """Namespace -> why nothing disruptive may start there; "" as namespace: nowhere.

    A namespace halts itself. All are halted where too many are unhealthy also without the worst of the namespaces: one
    tenant alone halts nobody else.
    """
    halted = {
        namespace: _words(one, limits, f" in namespace {namespace}" if len(health) > 1 else "")
        for namespace, one in health.items()
        if _too_many(one, limits)
    }
    worst = max(health.values(), key=lambda one: one.unhealthy, default=Health())
    every = [one for one in health.values() if one.unhealthy]
    total = Health(
        sum(one.targets for one in health.values()),
        sum(one.unhealthy for one in every),
        every[0].example if every else "",
    )
    others = Health(total.targets - worst.targets, total.unhealthy - worst.unhealthy)
    return halted | ({"": _words(total, limits, "")} if _too_many(others, limits) else {})


def _too_many(health: Health, limits: OperatorLimits) -> bool:
    """True where too large a share is unhealthy, of so many that a share means something."""
    share = health.unhealthy * 100 > limits.max_unhealthy_percent * health.targets
    return share and health.targets >= FEWEST_TARGETS


def _words(health: Health, limits: OperatorLimits, where: str) -> str:
    return (
        f"halted: {health.unhealthy} of {health.targets} targets{where} are unhealthy, more than "
        f"{limits.max_unhealthy_percent} % ({health.example} is one)"
    )
