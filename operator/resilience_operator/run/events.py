"""Turns transitions into Events: what changed about an object between two decisions, told once. Called by
reconcile.

Audit tells of objects only on the policy; where a policy enforces, the object itself gets the Event as well.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, Literal

from resilience_operator.api.recorder import Notice
from resilience_operator.core.findings import State
from resilience_operator.core.paths import ABSENT, Path
from resilience_operator.core.plain import SENTENCE, plain
from resilience_operator.core.state import ANNOTATION, ObjectState
from resilience_operator.engine.change import Change, Decision, Judged, Result, Verb
from resilience_operator.engine.optout import IGNORE
from resilience_operator.engine.queue import Schedule
from resilience_operator.engine.status import explained
from resilience_operator.engine.wording import enumerated, sentence, several, short
from resilience_operator.policy.policy import Policy
from resilience_operator.run.apply import Done, Report
from resilience_operator.targets import CATALOG, RULES

_REASON: Mapping[State, str] = {
    State.QUARANTINED: "Quarantined",
    State.CONTESTED: "Contested",
    State.PENDING: "RemediationPending",
    State.REPORT_ONLY: "DriftDetected",
    State.DRIFTED: "DriftDetected",
}
_WARNING = frozenset(
    {
        *("Quarantined", "Contested", "DriftDetected", "RemediationFailed", "RolledBack"),
        *("Invalid", "Stopped", "RightLost", "Unguarded", "NotServed", "MassRestart"),
    }
)
_RESULT_REASON: Mapping[Result, str] = {
    Result.APPLIED: "RemediationApplied",
    Result.ROLLED_BACK: "RolledBack",
    Result.REVERTED: "Reverted",
}
_TAKEN = frozenset(rule.temporary.taken for rule in RULES.values() if rule.temporary is not None)
_TROUBLES: Mapping[tuple[str, str], str] = {
    ("Ready", "Invalid"): "Invalid",
    ("Ready", "Unguarded"): "Unguarded",
    ("Degraded", "FailureThresholdReached"): "Stopped",
    ("Degraded", "StoppedInNamespace"): "Stopped",
    ("Degraded", "RightLost"): "RightLost",
}
"""(condition, its reason) -> reason of the Event on the policy."""

_VERBS: Mapping[Verb, str] = {
    Verb.WITHDRAW: "gave back",
    Verb.CREATE: "made",
    Verb.UPDATE: "changed",
    Verb.DELETE: "removed",
}


def note(policy: str, rule: str, said: str, *, way_out: bool = True) -> str:
    """The note of an object's Event: whose and which rule, what is said in words, and how to opt out."""
    head = f"policy {short(policy)}, rule {rule}: "
    tail = f". Opt out: label {IGNORE}={rule}" if way_out else ""
    return head + sentence(said, SENTENCE - len(head) - len(tail)) + tail


def transitions(
    before: Decision | None,
    after: Decision,
    schedule: Schedule,
    policies: Mapping[str, Policy],
    generation: int,
) -> list[Notice]:
    """The Events of one object; `policies` by name. What this pass repairs is told by `outcomes` alone."""
    going = {rule for change in schedule.now if change.subject == after.object for rule in change.rules}
    known = _states(before) if before is not None else {}
    if before is not None and before.rollout.running:
        known = {pair: one for pair, one in known.items() if one.state is not State.REPORT_ONLY}
    current = _states(after)
    notices = _scaled_down(before, after, policies, generation)
    notices += _happened(before, after, policies)
    for (policy_name, rule), judged in current.items():
        policy = policies.get(policy_name)
        earlier = known.get((policy_name, rule))
        unchanged = earlier is not None and earlier.state is judged.state
        # What is only reported while our rollout runs may end with it: it is told of afterwards.
        early = judged.state is State.REPORT_ONLY and after.rollout.running
        enforced = judged.state not in (State.DRIFTED, State.ROLLING_OUT)
        if (
            policy is None
            or unchanged
            or early
            or not enforced
            or (rule in going and judged.state is State.PENDING)
        ):
            continue
        notices.append(_notice(after, policy, judged, explained(judged, after, schedule), generation))
    for (policy_name, rule), judged in known.items():
        policy = policies.get(policy_name)
        told = judged.state not in (State.DRIFTED, State.ROLLING_OUT)
        resolved = (policy_name, rule) in after.asked and (policy_name, rule) not in current
        if policy is not None and told and resolved and not _ours(before, after, rule):
            notices.append(_resolved(after, policy, judged, generation))
    return notices


def _scaled_down(
    before: Decision | None, after: Decision, policies: Mapping[str, Policy], generation: int
) -> list[Notice]:
    """What a rule looks after was scaled down: who did it, and what the cluster had."""
    was, now = before.scale if before is not None else None, after.scale
    if was is None or now is None or now.replicas >= was.replicas:
        return []
    said = (
        f"{plain(now.by, 80)} scaled it from {was.replicas} to {now.replicas} replicas;"
        f" {now.usable} of {now.nodes} nodes are Ready and schedulable"
    )
    watching = CATALOG.section_of[now.rule]
    names = sorted(name for name, section in after.sections if section == watching and name in policies)
    return [
        Notice(
            regarding=after.object,
            related=policies[name].ref,
            reason=now.event,
            action="Observe",
            note=note(name, now.rule, said, way_out=False),
            type="Normal" if _keeps_floor(after, name, now.rule) else "Warning",
            rule=now.rule,
            policy_uid=policies[name].uid,
            generation=generation,
        )
        for name in names
    ]


def _happened(before: Decision | None, after: Decision, policies: Mapping[str, Policy]) -> list[Notice]:
    """What happened to the object, once: an Event told again, after a restart, bears the same name."""
    known = before.occurrences if before is not None else ()
    return [
        Notice(
            regarding=after.object,
            related=policies[name].ref,
            reason=one.event,
            action="Observe",
            note=one.note,
            type="Warning" if one.warning else "Normal",
            rule=one.rule,
            policy_uid=policies[name].uid,
            generation=one.number,
        )
        for name, one in after.occurrences
        if (name, one) not in known and name in policies
    ]


def _keeps_floor(after: Decision, policy: str, floor: str) -> bool:
    """True where the policy asks for a floor, and what is left keeps it."""
    return (policy, floor) in after.asked and not any(one.finding.rule == floor for one in after.of(policy))


def outcomes(report: Report, generation: int) -> list[Notice]:
    """The Events of a change that was carried out or refused, one per policy and rule."""
    change = report.change
    if report.done in (Done.AGAIN, Done.UNDERWAY):
        return []
    failed = report.done in (Done.REFUSED, Done.FAILED)
    return [
        Notice(
            regarding=change.subject,
            related=policy.ref,
            reason=(reason := "RemediationFailed" if failed else _reason(change, rule, paths)),
            action=str(change.verb),
            note=note(policy.name, rule, report.message if failed else told(report, rule, paths)),
            type=_kind(reason),
            rule=rule,
            policy_uid=policy.uid,
            generation=generation,
        )
        for policy, rule, paths in change.parts()
    ]


def _reason(change: Change, rule: str, paths: tuple[str, ...]) -> str:
    """What the change is called: at both ends of a temporary leaf as its rule calls it."""
    held = {**change.state.leaves, **change.given_back}
    temporary = (
        RULES[rule].temporary if any(path in held and held[path].temporary for path in paths) else None
    )
    if temporary is None:
        return _RESULT_REASON[change.result]
    return temporary.given_back if change.verb is Verb.WITHDRAW else temporary.taken


def told(report: Report, rule: str, paths: tuple[str, ...]) -> str:
    """What became of one rule's paths, as a sentence."""
    change = report.change
    restarts = _restarts(paths)
    if change.result is Result.ROLLED_BACK:
        return f"withdrew its change: {change.reason}{restarts}"
    if change.owner is not None:
        return f"{_VERBS[change.verb]} {enumerated(paths)}: {change.reason}; no pod restarts"
    left = [path for path in paths if path in report.left_alone]
    done = [path for path in paths if path not in left]
    said = _verbs(change, done) if change.verb is Verb.APPLY else {_VERBS[change.verb]: done}
    parts = [f"{verb} {several(sorted(some))}" for verb, some in said.items() if some]
    if done:
        parts[-1] += restarts
    parts += [f"left alone, changed by others since: {several(left)}"] if left else []
    return "; ".join(parts)


def _verbs(change: Change, paths: Sequence[str]) -> dict[str, list[str]]:
    """What was not there before is added, the rest is changed."""
    leaves = change.state.leaves
    added = [path for path in paths if path in leaves and leaves[path].was is ABSENT]
    return {"added": added, "changed": [path for path in paths if path not in added]}


def _restarts(paths: Iterable[str]) -> str:
    """Whether pods restart when these paths change."""
    restart = any(Path.parse(text).in_template for text in paths)
    return "; its pods restart in a rolling update" if restart else "; no pod restarts"


def troubles(status: Mapping[str, Any]) -> dict[str, str]:
    """Reason of an Event -> its note, of all that is amiss with a policy by its status."""
    return {
        _TROUBLES[one["type"], one["reason"]]: str(one["message"])
        for one in status.get("conditions") or ()
        if (one["type"], one["reason"]) in _TROUBLES
    }


def summary(policy: Policy, status: Mapping[str, Any], said: str, *, drifts: bool) -> Notice:
    """The Event on the policy about its drift: a warning where something drifts that nobody repairs."""
    numbers = status["summary"]
    left = sum(numbers[name] for name in ("drifted", "contested", "quarantined"))
    stopped = any(reason in ("Stopped", "RightLost", "Unguarded") for reason in troubles(status))
    if not drifts:
        return about_policy(policy, "DriftResolved", said)
    if left or stopped:
        return about_policy(policy, "DriftDetected", said)
    return about_policy(policy, "RemediationPending", said)


def applied_since(decision: Decision, policies: Mapping[str, Policy], since: datetime) -> list[Notice]:
    """The Events of the object's last apply where it is not older than that; `policies` by uid.

    A replica that ended between its write and its Event told nobody. What it did tell bears the same name.
    """
    state, last = decision.state, decision.state.applies[-1:]
    if not last or last[0].at < since:
        return []
    leaves = {path: held for path, held in state.leaves.items() if held.revision == last[0].revision}
    parts = {
        (uid, held.rule): [
            path for path, one in leaves.items() if one.rule == held.rule and uid in one.policies
        ]
        for held in leaves.values()
        for uid in held.policies
        if uid in policies and uid in state.policies
    }
    return [
        Notice(
            regarding=decision.object,
            related=policies[uid].ref,
            reason=(reason := _applied(state, rule, paths)),
            action=str(Verb.APPLY),
            note=note(policies[uid].name, rule, f"set {several(sorted(paths))}{_restarts(paths)}"),
            type=_kind(reason),
            rule=rule,
            policy_uid=uid,
            generation=last[0].revision,
        )
        for (uid, rule), paths in sorted(parts.items())
    ]


def left_behind(change: Change, policy: Policy, why: str) -> Notice:
    """The Event of what a policy that goes leaves on an object."""
    return Notice(
        regarding=change.subject,
        related=policy.ref,
        reason="RemediationFailed",
        action=str(change.verb),
        note=(
            f"{enumerated(change.rules)}: not given back before policy {short(policy.name)} was deleted: "
            f"{sentence(why, 100)}; its values stay, annotation {ANNOTATION} says what was there before"
        ),
        type="Warning",
        rule=change.rules[0] if change.rules else "",
        policy_uid=policy.uid,
        generation=change.number,
    )


def _applied(state: ObjectState, rule: str, paths: list[str]) -> str:
    temporary = RULES[rule].temporary if any(state.leaves[path].temporary for path in paths) else None
    return temporary.taken if temporary is not None else _RESULT_REASON[Result.APPLIED]


def mass_restart(policy: Policy, said: str, began: int) -> Notice:
    """The Event on a policy that others restart much at once; `began` tells it from another time."""
    return replace(about_policy(policy, "MassRestart", said), generation=began)


def about_policy(policy: Policy, reason: str, note: str) -> Notice:
    """An Event on the policy itself: its summary."""
    return Notice(
        regarding=policy.ref,
        reason=reason,
        action="Evaluate",
        note=note,
        type=_kind(reason),
        policy_uid=policy.uid,
        generation=policy.generation,
    )


def _states(decision: Decision) -> dict[tuple[str, str], Judged]:
    """The worst finding of each (policy, rule)."""
    order = list(State)
    worst: dict[tuple[str, str], Judged] = {}
    for judged in decision.judged:
        key = (judged.policy, judged.finding.rule)
        if key not in worst or order.index(judged.state) < order.index(worst[key].state):
            worst[key] = judged
    return worst


def _ours(before: Decision | None, after: Decision, rule: str) -> bool:
    """True where it was our write that ended the drift: its rollout runs, or the state bears a newer apply."""
    if after.rollout.running or before is None:
        return after.rollout.running
    beside = any(rule in change.rules for change in before.companions)
    return beside or (after.state.applies[-1:] != before.state.applies[-1:] and bool(after.state.applies))


def _notice(after: Decision, policy: Policy, judged: Judged, said: str, generation: int) -> Notice:
    reason = _REASON[judged.state]
    return Notice(
        regarding=after.object,
        related=policy.ref,
        reason=reason,
        action="Evaluate",
        note=note(policy.name, judged.finding.rule, said),
        type=_kind(reason),
        rule=judged.finding.rule,
        policy_uid=policy.uid,
        generation=generation,
    )


def _resolved(after: Decision, policy: Policy, judged: Judged, generation: int) -> Notice:
    return Notice(
        regarding=after.object,
        related=policy.ref,
        reason="DriftResolved",
        action="Evaluate",
        note=note(policy.name, judged.finding.rule, "no longer drifts", way_out=False),
        rule=judged.finding.rule,
        policy_uid=policy.uid,
        generation=generation,
    )


def _kind(reason: str) -> Literal["Normal", "Warning"]:
    return "Warning" if reason in _WARNING or reason in _TAKEN else "Normal"
