"""Turns transitions into Events: what changed about an object between two decisions, told once. Called by
reconcile.

Audit tells of objects only on the policy; where a policy enforces, the object itself gets the Event as well.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Literal

from resilience_operator.api.recorder import Notice
from resilience_operator.core.findings import State
from resilience_operator.core.state import ANNOTATION, ObjectState
from resilience_operator.engine.change import Change, Decision, Judged, Result, Verb
from resilience_operator.engine.queue import Schedule
from resilience_operator.engine.status import explained
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
    {"Quarantined", "Contested", "DriftDetected", "RemediationFailed", "RolledBack", "Unguarded"}
)
_RESULT_REASON: Mapping[Result, str] = {
    Result.APPLIED: "RemediationApplied",
    Result.ROLLED_BACK: "RolledBack",
    Result.REVERTED: "Reverted",
}
_TAKEN = frozenset(rule.temporary.taken for rule in RULES.values() if rule.temporary is not None)

_VERBS: Mapping[Verb, str] = {
    Verb.APPLY: "set",
    Verb.WITHDRAW: "gave back",
    Verb.CREATE: "made",
    Verb.UPDATE: "changed",
    Verb.DELETE: "removed",
}


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
    current = _states(after)
    notices = _scaled_down(before, after, policies, generation)
    notices += _happened(before, after, policies)
    for (policy_name, rule), judged in current.items():
        policy = policies.get(policy_name)
        earlier = known.get((policy_name, rule))
        unchanged = earlier is not None and earlier.state is judged.state
        enforced = judged.state not in (State.DRIFTED, State.ROLLING_OUT)
        if policy is None or unchanged or not enforced or (rule in going and judged.state is State.PENDING):
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
    note = (
        f"{now.by} scaled it from {was.replicas} to {now.replicas} replicas;"
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
            note=note,
            type="Warning",
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
            note=f"{rule}: {report.message if failed else _told(report, paths)}",
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


def _told(report: Report, paths: tuple[str, ...]) -> str:
    """What became of one rule's paths, as a sentence."""
    change = report.change
    if change.result is Result.ROLLED_BACK:
        return f"withdrawn: {change.reason}"
    left = [path for path in paths if path in report.left_alone]
    done = [path for path in paths if path not in left]
    if change.owner is not None:
        return f"{_VERBS[change.verb]} {', '.join(paths)}: {change.reason}"
    verb = _VERBS[change.verb]
    told = [f"{verb} {', '.join(sorted(done))}"] if done else []
    told += [f"left alone, changed by others since: {', '.join(left)}"] if left else []
    return "; ".join(told)


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
            note=f"{rule}: set {', '.join(sorted(paths))}",
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
            f"{', '.join(change.rules)}: not given back before policy {policy.name} was deleted: {why}; its values "
            f"stay, and the annotation {ANNOTATION} says what was there before"
        ),
        type="Warning",
        rule=change.rules[0] if change.rules else "",
        policy_uid=policy.uid,
        generation=change.number,
    )


def _applied(state: ObjectState, rule: str, paths: list[str]) -> str:
    temporary = RULES[rule].temporary if any(state.leaves[path].temporary for path in paths) else None
    return temporary.taken if temporary is not None else _RESULT_REASON[Result.APPLIED]


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


def _notice(after: Decision, policy: Policy, judged: Judged, note: str, generation: int) -> Notice:
    reason = _REASON[judged.state]
    return Notice(
        regarding=after.object,
        related=policy.ref,
        reason=reason,
        action="Evaluate",
        note=f"{judged.finding.rule}: {note}",
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
        note=f"{judged.finding.rule}: no longer drifts",
        rule=judged.finding.rule,
        policy_uid=policy.uid,
        generation=generation,
    )


def _kind(reason: str) -> Literal["Normal", "Warning"]:
    return "Warning" if reason in _WARNING or reason in _TAKEN else "Normal"
