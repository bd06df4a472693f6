"""Which changes go now and which wait, over all objects and policies. Pure; called once per pass.

Everything is counted from the decisions, which were read from the objects: a new leader counts the same. The
strictest limit wins; doubt (an unreadable pause switch, a stale stream) lets nothing start.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from resilience_operator.core.refs import Key, ObjectRef, key_of
from resilience_operator.engine import windows
from resilience_operator.engine.change import Change, Decision, Verb
from resilience_operator.engine.quarantine import ROLLOUT_FAILED
from resilience_operator.policy.policy import Policy


@dataclass(frozen=True, slots=True)
class OperatorLimits:
    """The operator's own limits; `halted`: why nothing at all may be written now, "" where it may.

    `max_unhealthy_percent`: of all enforced objects, beyond which nothing disruptive starts.
    """

    max_rollouts: int = 1
    max_unhealthy_percent: int = 20
    halted: str = ""


@dataclass(frozen=True, slots=True)
class Schedule:
    """`now`: changes to carry out in this order; `waiting`: key of the object to change -> why that waits.

    `stopped`: policy name -> why it stopped altogether; `breaker`: why nothing disruptive starts, "" where it may.
    `wake_at`: when time alone may let something go.
    """

    now: tuple[Change, ...] = ()
    waiting: Mapping[Key, str] = field(default_factory=dict)
    stopped: Mapping[str, str] = field(default_factory=dict)
    breaker: str = ""
    wake_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Health:
    """How many enforced objects there are, how many of them are unhealthy, and one of those."""

    targets: int = 0
    unhealthy: int = 0
    example: str = ""


def health_of(decisions: Iterable[Decision]) -> Health:
    """Count the health of all decisions; whoever keeps many counts as they change."""
    targets = [decision for decision in decisions if decision.target]
    unhealthy = [decision for decision in targets if not decision.healthy]
    return Health(len(targets), len(unhealthy), str(unhealthy[0].object) if unhealthy else "")


class Slots:
    """Rollouts running, by operator, policy and (policy, namespace): what is left of each limit, and who has it."""

    def __init__(self, decisions: Iterable[Decision], limits: OperatorLimits) -> None:
        """Count the rollouts of ours that the decisions show as running."""
        self._limits = limits
        self._all: list[ObjectRef] = []
        self._policy: defaultdict[str, list[ObjectRef]] = defaultdict(list)
        self._namespace: defaultdict[tuple[str, str], list[ObjectRef]] = defaultdict(list)
        for decision in decisions:
            if decision.rollout.running:
                self._take(decision.rollout_policies, decision.object)

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


def schedule(
    decisions: Iterable[Decision],
    policies: Mapping[str, Policy],
    limits: OperatorLimits,
    now: datetime,
    health: Health | None = None,
) -> Schedule:
    """Order the changes of all decisions, by namespace and name; urgent ones first. `policies` is by uid.

    `health`: of all objects, where `decisions` are only those with a change, a rollout or a quarantine.
    """
    every = sorted(decisions, key=lambda decision: decision.key)
    proposed = [(decision, change) for decision in every for change in decision.changes]
    stopped = stopped_policies(every, policies)
    breaker = breaker_open(health or health_of(every), limits)
    slots = Slots(every, limits)
    going: list[Change] = []
    waiting: dict[Key, str] = {}
    for decision, change in sorted(proposed, key=lambda one: (not one[1].urgent, one[0].key)):
        if change.forgets and decision.rollout.running:
            continue
        reason = limits.halted or decision.busy or _waits(decision, change, stopped, breaker, slots, now)
        if reason:
            waiting[key_of(change.object)] = reason
            continue
        going.append(change)
        if change.disruptive and not change.urgent:
            slots.take(change)
    wakes = [
        windows.wake_at(policy.section_windows(section), now)
        for policy in policies.values()
        for section in policy.sections
    ]
    return Schedule(tuple(going), waiting, stopped, breaker, min((at for at in wakes if at), default=None))


def stopped_policies(decisions: Iterable[Decision], policies: Mapping[str, Policy]) -> dict[str, str]:
    """Policies with as many failed rollouts as their threshold, until their spec changes."""
    failed: Counter[str] = Counter()
    examples: dict[str, Decision] = {}
    for decision in decisions:
        failures = [one for one in decision.state.quarantines if one.reason == ROLLOUT_FAILED]
        for uid, digest in (pair for one in failures for pair in one.policies.items()):
            policy = policies.get(uid)
            if policy is not None and policy.digest == digest:
                failed[uid] += 1
                examples[uid] = decision
    stopped = {}
    for uid, count in failed.items():
        policy = policies[uid]
        threshold = policy.limits_of(()).failure_threshold
        if count >= threshold:
            what = "1 rollout" if count == 1 else f"{count} rollouts"
            stopped[policy.name] = (
                f"{what} failed, {examples[uid].object} last; the policy is stopped until its spec changes "
                f"(failureThreshold: {threshold})"
            )
    return stopped


def breaker_open(health: Health, limits: OperatorLimits) -> str:
    """Why nothing disruptive may start: too large a share of the enforced objects is unhealthy."""
    if health.unhealthy * 100 <= limits.max_unhealthy_percent * health.targets:
        return ""
    return (
        f"halted: {health.unhealthy} of {health.targets} targets are unhealthy, more than "
        f"{limits.max_unhealthy_percent} % ({health.example} is one)"
    )


def _waits(
    decision: Decision,
    change: Change,
    stopped: Mapping[str, str],
    breaker: str,
    slots: Slots,
    now: datetime,
) -> str:
    """Why this change waits; "" where it goes."""
    if change.urgent:
        return ""
    halted = next((stopped[policy.name] for policy in change.policies if policy.name in stopped), "")
    if halted and change.verb not in (Verb.WITHDRAW, Verb.LET_GO, Verb.DELETE):
        return halted
    if not change.disruptive:
        return ""
    if decision.rollout.running:
        return "waits for its own rollout to complete and soak"
    closed = (
        windows.closed_because(one, now)
        for policy in change.policies
        for one in policy.windows_of(change.rules)
    )
    return (
        decision.blocked or breaker or next((one for one in closed if one), "") or slots.full_because(change)
    )
