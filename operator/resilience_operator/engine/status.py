"""A policy's status as a value: conditions, counts, the worst findings (API: status of ResiliencePolicy).

Bounded, stable in order, and without times of its own, so that an unchanged cluster is an unchanged status.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from resilience_operator.core.findings import State
from resilience_operator.core.refs import key_of
from resilience_operator.engine.change import Decision, Judged, Verb
from resilience_operator.engine.queue import Schedule
from resilience_operator.engine.records import SinceKey
from resilience_operator.engine.rollout import Phase
from resilience_operator.engine.tally import NAMES, Tally
from resilience_operator.policy.common import Problem
from resilience_operator.policy.policy import Policy

MAX_FINDINGS = 50
MAX_MESSAGE = 1024


@dataclass(frozen=True, slots=True)
class Known:
    """What a status needs beside the decisions: who found what when, and what the operator itself lacks.

    `since`: (policy, rule, reason, kind, namespace, name) -> RFC 3339 time. `remediations`: newest first.
    `degraded`: sentences about the operator (a stale stream, lost rights), for every policy. `active`: the decisions
    with a change, a rollout or a quarantine.
    """

    since: Mapping[SinceKey, str] = field(default_factory=dict)
    remediations: Sequence[Mapping[str, Any]] = ()
    degraded: tuple[str, ...] = ()
    active: Sequence[Decision] = ()


def summary(policy: Policy, tally: Tally) -> dict[str, Any]:
    """Objects, each once, by its worst state; `evaluated` is the sum of the others but `ignored`."""
    return {"mode": mode_word(policy), **_numbers(tally.counts)}


def _numbers(counts: Counter[str]) -> dict[str, Any]:
    numbers = {name: counts[name] for name in NAMES}
    return {"evaluated": sum(numbers.values()), **numbers, "ignored": counts["ignored"]}


def mode_word(policy: Policy) -> str:
    """Audit, Enforce, or Mixed where the rules differ."""
    modes = {policy.rule_mode(rule) for rule in policy.rules}
    modes = modes or {policy.mode}
    return str(modes.pop()) if len(modes) == 1 else "Mixed"


def status(
    policy: Policy, problems: Sequence[Problem], tally: Tally, schedule: Schedule, known: Known
) -> dict[str, Any]:
    """The whole status of one policy."""
    numbers = summary(policy, tally)
    sections = [
        {"name": name, **_numbers(tally.sections[name]), "mode": str(policy.section_mode(name))}
        for name in policy.sections
    ]
    return {
        "observedGeneration": policy.generation,
        "conditions": conditions(policy, problems, tally, schedule, known, numbers),
        "summary": numbers,
        "sections": sections,
        "findings": [_finding(*found, schedule, known) for found in tally.worst(MAX_FINDINGS)],
        "rollouts": _rollouts(policy, known.active),
        "remediations": list(known.remediations[:MAX_FINDINGS]),
    }


def _finding(judged: Judged, decision: Decision, schedule: Schedule, known: Known) -> dict[str, Any]:
    finding, ref = judged.finding, decision.object
    body = {
        "rule": finding.rule,
        "reason": finding.reason,
        "object": ref.as_status(),
        "message": explained(judged, decision, schedule)[:MAX_MESSAGE],
        "state": str(judged.state),
    }
    since = known.since.get((judged.policy, finding.rule, finding.reason, *ref.key))
    return body | ({"since": since} if since else {})


def explained(judged: Judged, decision: Decision, schedule: Schedule) -> str:
    """A finding's message with what it waits for."""
    waits = _waits(judged.finding.rule, decision, schedule) if judged.state is State.PENDING else ""
    return f"{judged.message}; {waits}" if waits else judged.message


def _waits(rule: str, decision: Decision, schedule: Schedule) -> str:
    """What the change waits for that ends a finding of that rule; a write of other rules is none of its business."""
    beside = next((one for one in decision.companions if rule in one.rules), None)
    change = beside or decision.change
    if change is None or (change.verb is Verb.APPLY and rule not in change.rules):
        return ""
    return schedule.waiting.get(key_of(change.object), "")


def _rollouts(policy: Policy, decisions: Iterable[Decision]) -> list[dict[str, Any]]:
    running = [
        decision
        for decision in decisions
        if decision.rollout.running and policy.uid in decision.rollout_policies
    ]
    return [
        {
            "object": decision.object.as_status(),
            "revision": str(decision.rollout.revision),
            "phase": str(decision.rollout.phase),
            **(
                {"startedAt": f"{decision.rollout.started:%Y-%m-%dT%H:%M:%SZ}"}
                if decision.rollout.started
                else {}
            ),
        }
        for decision in sorted(running, key=lambda one: one.key)[:MAX_FINDINGS]
    ]


def conditions(
    policy: Policy,
    problems: Sequence[Problem],
    tally: Tally,
    schedule: Schedule,
    known: Known,
    numbers: Mapping[str, Any],
) -> list[dict[str, Any]]:
    """All five conditions, in the contract's order."""
    generation = policy.generation
    every = (
        ("Ready", *_ready(problems)),
        ("Compliant", *_compliant(problems, numbers)),
        ("Progressing", *_progressing(policy, known.active, schedule)),
        ("Degraded", *_degraded(policy, tally, schedule, known)),
        ("Contested", *_contested(tally)),
    )
    return [
        {
            "type": kind,
            "status": value,
            "reason": reason,
            "message": message[:MAX_MESSAGE],
            "observedGeneration": generation,
        }
        for kind, value, reason, message in every
    ]


Answer = tuple[str, str, str]
"""A condition's status, reason and message."""


def _ready(problems: Sequence[Problem]) -> Answer:
    if problems:
        return "False", "Invalid", "; ".join(f"{problem.path}: {problem.message}" for problem in problems)
    return "True", "Accepted", "the policy is in force"


def _compliant(problems: Sequence[Problem], numbers: Mapping[str, Any]) -> Answer:
    if problems:
        return "Unknown", "NotEvaluated", "the policy is not accepted"
    drifting = numbers["evaluated"] - numbers["compliant"]
    if drifting:
        return "False", "DriftFound", f"{drifting} of {numbers['evaluated']} objects drift"
    return "True", "NoDrift", f"{numbers['evaluated']} objects are as the policy demands"


def _progressing(policy: Policy, decisions: Sequence[Decision], schedule: Schedule) -> Answer:
    mine = [one for one in decisions if one.rollout.running and policy.uid in one.rollout_policies]
    waiting = [
        schedule.waiting[key]
        for one in decisions
        for change in one.changes
        if (key := key_of(change.object)) in schedule.waiting and policy in change.policies
    ]
    tail = f"{len(waiting)} wait: {Counter(waiting).most_common(1)[0][0]}" if waiting else ""
    if mine:
        first = min(mine, key=lambda one: one.key)
        word = "soaking" if first.rollout.phase is Phase.SOAKING else "rolling out"
        head = f"{first.object} {word}" + (f" and {len(mine) - 1} more" if len(mine) > 1 else "")
        return "True", "RollingOut", f"{head}; {tail}" if tail else head
    if waiting:
        return "True", "Waiting", tail
    return "False", "Idle", "no rollout is running and none waits"


def _degraded(policy: Policy, tally: Tally, schedule: Schedule, known: Known) -> Answer:
    if policy.name in schedule.stopped:
        return "True", "FailureThresholdReached", schedule.stopped[policy.name]
    failed = [
        one
        for one in known.active
        if one.rollout.phase is Phase.FAILED and policy.uid in one.rollout_policies
    ]
    if failed:
        return "True", "RolloutFailed", f"{failed[0].object}: {failed[0].rollout.message}"
    if known.degraded:
        return "True", "OperatorDegraded", "; ".join(known.degraded)
    if schedule.breaker:
        return "True", "TooManyUnhealthy", schedule.breaker
    if tally.distrusted:
        first = tally.distrusted[min(tally.distrusted)]
        return "True", "StateNotBelieved", f"{first.object}: {first.distrust}"
    return "False", "AsExpected", "no rollout failed and every target is read"


def _contested(tally: Tally) -> Answer:
    number, first = tally.contested()
    if first is None:
        return "False", "NoConflict", "no other manager or policy demands another value"
    more = f" (and {number - 1} more)" if number > 1 else ""
    return "True", "Conflict", f"{first.finding.object}: {first.why}{more}"
