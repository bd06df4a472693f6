"""Every status that the operator can write: all causes of all conditions, through the operator's own status builder.

Used by test_argocd_offline. A cause of one condition may bring about another: a contested object is one that
drifts, and a failed rollout counts as running until it is taken back.
"""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from resilience_operator.api.status import with_times
from resilience_operator.core.findings import Finding, State
from resilience_operator.core.refs import ObjectRef, key_of
from resilience_operator.core.state import ObjectState
from resilience_operator.engine import windows
from resilience_operator.engine.change import Change, Decision, Judged, Result, Verb
from resilience_operator.engine.queue import Schedule
from resilience_operator.engine.rollout import OurRollout, Phase
from resilience_operator.engine.status import Known, status
from resilience_operator.engine.tally import Tally
from resilience_operator.policy.policy import Policy
from resilience_operator.targets import CATALOG, parse

Body = dict[str, Any]
SUNDAY = datetime(2026, 11, 22, 8, tzinfo=UTC)
OFFICE = {
    "name": "office-hours",
    "days": ["Mon"],
    "start": "09:00",
    "end": "16:00",
    "timeZone": "Europe/Berlin",
}
IDLE, WAITING, ROLLING = "Idle", "Waiting", "RollingOut"
PROGRESS = (IDLE, WAITING, ROLLING)
WELL, STOPPED, THERE, FAILED, LOST, OPERATOR, WRITES, UNHEALTHY, DISTRUST = DEGRADED = (
    "AsExpected",
    "FailureThresholdReached",
    "StoppedInNamespace",
    "RolloutFailed",
    "RightLost",
    "OperatorDegraded",
    "WriteFailed",
    "TooManyUnhealthy",
    "StateNotBelieved",
)
TROUBLE = {
    WELL: "",
    STOPPED: "1 rollout failed, shop/web last; the policy is stopped until its spec changes (failureThreshold: 1)",
    THERE: "1 rollout failed in namespace shop, shop/web last; the policy is stopped there",
    LOST: "the operator lacks a right: cannot patch deployments",
    FAILED: "container web of the new pod web-1 is in a crash loop (2 restarts)",
    OPERATOR: "the stream of pods is stale",
    WRITES: "failed calling webhook",
    UNHEALTHY: "halted: 9 of 40 targets are unhealthy, more than 20 % (shop/web is one)",
    DISTRUST: "resilience.dev/state is of another object",
}
"""Degraded's reason -> what the operator knows when it gives it."""


@dataclass(frozen=True)
class Causes:
    """What there is to say about one policy. The first five are the causes of the five conditions."""

    invalid: bool = False
    drift: bool = False
    progress: str = IDLE
    degraded: str = WELL
    contested: bool = False
    suspend: bool = False
    mode: str = "Enforce"
    threshold: int = 1
    section_threshold: int = 0
    dns_threshold: int = 0
    unguarded: bool = False
    paused: bool = False
    empty: bool = False
    reported: bool = False

    @property
    def spec(self) -> Body:
        """The policy's spec."""
        office = OFFICE | ({"timeZone": "Europe/Atlantis"} if self.invalid else {})
        return {
            "mode": self.mode,
            "suspend": self.suspend,
            "windows": {"allow": [office]},
            **_threshold(self.threshold),
            "deployments": {"spread": {}} | _threshold(self.section_threshold),
            **({"coreDNS": _threshold(self.dns_threshold)} if self.dns_threshold else {}),
        }


def _threshold(value: int) -> Body:
    return {"rollout": {"failureThreshold": value}} if value else {}


def every() -> Iterator[Causes]:
    """All combinations of what the conditions can say, of policies that are suspended and that are not."""
    for invalid, drift, progress, degraded, contested, suspend in itertools.product(
        (False, True), (False, True), PROGRESS, DEGRADED, (False, True), (False, True)
    ):
        counted = not (invalid and drift)  # of a policy that is not in force, no drift is told
        running = not (
            degraded == FAILED and progress == IDLE
        )  # as with ROLLING: what failed is still running
        if counted and running:
            yield Causes(invalid, drift, progress, degraded, contested, suspend)
    yield Causes(drift=True, unguarded=True)
    yield Causes(paused=True)
    yield Causes(empty=True)
    yield Causes(reported=True)


def written(causes: Causes) -> Body:
    """The whole policy with the status that the operator writes."""
    raw = {
        "apiVersion": "resilience.dev/v1alpha1",
        "kind": "ResiliencePolicy",
        "metadata": {"name": "production", "uid": "p-1", "generation": 3},
        "spec": causes.spec,
    }
    policy, problems = parse(raw)
    decisions = [] if causes.empty else _decisions(causes, policy)
    trouble = TROUBLE[causes.degraded]
    schedule = Schedule(
        waiting=_waiting(policy, decisions[:1]),
        failing={("shop", "db"): trouble} if causes.degraded == WRITES else {},
        stopped={policy.name: trouble} if causes.degraded == STOPPED else {},
        stopped_in={(policy.name, "shop"): trouble} if causes.degraded == THERE else {},
        breaker=trouble if causes.degraded == UNHEALTHY else "",
    )
    known = Known(
        degraded=(trouble,) if causes.degraded == OPERATOR else (),
        active=decisions,
        rights={("shop", "Deployment"): trouble} if causes.degraded == LOST else {},
        paused="paused by ConfigMap resilience-system/resilience-operator (pause: true)"
        if causes.paused
        else "",
        unguarded="the guard is not in force" if causes.unguarded else "",
    )
    found = status(policy, problems, Tally(policy.name, CATALOG.section_of, decisions), schedule, known)
    return raw | {"status": with_times(found, {}, "2026-11-22T08:00:00Z")}


def _decisions(causes: Causes, policy: Policy) -> list[Decision]:
    """shop/api, shop/db and shop/web: api and web may drift, db may be contested, web may roll out."""
    api, db, web = (_decision(name, policy) for name in ("api", "db", "web"))
    if causes.drift:
        api, web = (_found(one, State.DRIFTED, "") for one in (api, web))
    if causes.contested:
        db = _found(db, State.CONTESTED, "Git sets maxSkew: 5 (Argo CD application shop)")
    if causes.progress == WAITING:
        api = replace(api, change=_change(api.object, policy))
    if causes.progress == ROLLING:
        web = _rolling(web, policy, Phase.PROGRESSING, "rolling out")
    if causes.degraded == FAILED:
        web = _rolling(web, policy, Phase.FAILED, TROUBLE[FAILED])
    if causes.reported:
        api = _found(api, State.REPORT_ONLY, "strategy Recreate")
    if causes.degraded in (WRITES, LOST):
        db = replace(db, change=_change(db.object, policy))
    if causes.degraded == DISTRUST:
        db = replace(db, distrust=TROUBLE[DISTRUST])
    return [api, db, web]


def _decision(name: str, policy: Policy) -> Decision:
    return Decision(ObjectRef("apps/v1", "Deployment", "shop", name, f"u-{name}"), evaluated=(policy.name,))


def _found(decision: Decision, state: State, why: str) -> Decision:
    finding = Finding("spread", "ConstraintMissing", decision.object, "no entry for kubernetes.io/hostname")
    return replace(decision, judged=(Judged("production", finding, state, why),))


def _rolling(decision: Decision, policy: Policy, phase: Phase, message: str) -> Decision:
    rollout = OurRollout(phase, 2, SUNDAY, message=message)
    return replace(decision, rollout=rollout, rollout_policies=(policy.uid,))


def _change(ref: ObjectRef, policy: Policy) -> Change:
    rules, policies = ("spread",), (policy,)
    return Change(Verb.APPLY, Result.APPLIED, ref, "7", {}, ObjectState(), (), rules, policies, "drift")


def _waiting(policy: Policy, decisions: list[Decision]) -> dict[tuple[str, ...], str]:
    """The object of each change, and that it waits for the policy's window."""
    changed = [decision.object for decision in decisions if decision.change is not None]
    return {
        key_of(ref): windows.closed_because(policy.section_windows("deployments"), SUNDAY) for ref in changed
    }
