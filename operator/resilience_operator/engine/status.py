"""A policy's status as a value: conditions, counts, the worst findings (API: status of ResiliencePolicy).

Bounded, stable in order, and without times of its own, so that an unchanged cluster is an unchanged status.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from resilience_operator.core.findings import State
from resilience_operator.core.plain import SENTENCE, plain
from resilience_operator.core.refs import key_of
from resilience_operator.engine.change import Decision, Judged, Verb
from resilience_operator.engine.conditions import About, Answer, Known, conditions, worst
from resilience_operator.engine.holds import rests
from resilience_operator.engine.queue import Schedule
from resilience_operator.engine.tally import NAMES, Tally
from resilience_operator.engine.wording import sentence
from resilience_operator.policy.common import Problem
from resilience_operator.policy.policy import Policy

__all__ = ["Known", "explained", "mode_word", "not_served", "status", "summary", "told"]

MAX_FINDINGS = 50


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
        {"name": name, "mode": str(policy.section_mode(name)), **_numbers(tally.sections[name])}
        for name in policy.sections
    ]
    answers = conditions(About(policy, problems, tally, schedule, known, numbers))
    return {
        "observedGeneration": policy.generation,
        "mode": _mode(policy, problems, known),
        "message": plain(worst(answers)),
        **({"servedBy": known.served_by} if known.served_by else {}),
        "conditions": [_condition(kind, answer, policy.generation) for kind, answer in answers],
        "summary": numbers,
        "sections": sections,
        "findings": [_finding(*found, schedule, known) for found in tally.worst(MAX_FINDINGS)],
        "rollouts": _rollouts(policy, known.active),
        "remediations": list(known.remediations[:MAX_FINDINGS]),
    }


def not_served(policy: Policy, why: str) -> dict[str, Any]:
    """The last status of a policy that this operator serves no more: nothing is known about it."""
    kinds = ("Ready", "Compliant", "Progressing", "Degraded", "Contested")
    return {
        "observedGeneration": policy.generation,
        "mode": f"{mode_word(policy)} (not served)",
        "message": plain(why),
        "conditions": [_condition(kind, ("Unknown", "NotServed", why), policy.generation) for kind in kinds],
    }


def _mode(policy: Policy, problems: Sequence[Problem], known: Known) -> str:
    """What the policy does now, in a word or two: Enforce (suspended)."""
    word = mode_word(policy)
    if problems:
        return f"{word} (invalid)"
    if policy.suspend:
        return f"{word} (suspended)"
    return f"{word} (paused)" if known.paused and not rests(policy) else word


def _condition(kind: str, answer: Answer, generation: int) -> dict[str, Any]:
    value, reason, message = answer
    return {
        "type": kind,
        "status": value,
        "reason": reason,
        "message": plain(message),
        "observedGeneration": generation,
    }


def _finding(judged: Judged, decision: Decision, schedule: Schedule, known: Known) -> dict[str, Any]:
    finding, ref = judged.finding, decision.object
    body = {
        "rule": finding.rule,
        "reason": finding.reason,
        "object": ref.as_status(),
        "message": told(judged, decision, schedule),
        "state": str(judged.state),
    }
    since = known.since.get((judged.policy, finding.rule, finding.reason, *ref.key))
    return body | ({"since": since} if since else {})


def told(judged: Judged, decision: Decision, schedule: Schedule) -> str:
    """The same for people who have 300 characters: without paths and values."""
    waits = _waits(judged.finding.rule, decision, schedule) if judged.state is State.PENDING else ""
    if not waits:
        return sentence(judged.message)
    tail = f"; {plain(waits, 140)}"
    return sentence(judged.message, SENTENCE - len(tail)) + tail


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
