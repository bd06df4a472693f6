"""The condition ConntrackPressure of a Node, as its agent reports it: the agent has no right on Nodes. Used by
own_states.

Written on a transition alone, and taken off when no policy asks for it any more.
"""

from datetime import datetime
from typing import Any

from resilience_operator.cluster.objects.workloads import CONNTRACK_PRESSURE
from resilience_operator.core.plain import plain
from resilience_operator.core.state import ObjectState
from resilience_operator.engine.change import Change, Result, Verb
from resilience_operator.policy.policy import Policy
from resilience_operator.targets.nodes.texts import PRESSURE
from resilience_operator.targets.nodes.view import NodeView

NORMAL = "the table of connections has room"


def condition_of(view: NodeView, policies: tuple[Policy, ...], rules: tuple[str, ...]) -> tuple[Change, ...]:
    """What makes the Node's condition say what its agent says; none where it does, or where it never reported."""
    if PRESSURE not in rules:
        return removal(view, policies)
    wanted, present = _wanted(view), view.node.condition(CONNTRACK_PRESSURE)
    if wanted is None:
        return ()
    if present is not None and (present.status, present.reason) == (wanted["status"], wanted["reason"]):
        return ()
    return (_change(view, policies, wanted, f"its agent says {wanted['reason']}"),)


def removal(view: NodeView, policies: tuple[Policy, ...]) -> tuple[Change, ...]:
    """What takes the condition off; none where there is none."""
    if view.node.condition(CONNTRACK_PRESSURE) is None:
        return ()
    gone = {"type": CONNTRACK_PRESSURE, "$patch": "delete"}
    return (_change(view, policies, gone, "no policy asks for the condition any more"),)


def _wanted(view: NodeView) -> dict[str, Any] | None:
    reason, why = view.silence
    if view.nodestate is None or view.nodestate.status.reported_at is None:
        return None
    told = view.nodestate.status.condition(CONNTRACK_PRESSURE)
    if reason:
        return _body("Unknown", reason, why, view.now)
    if told is None or told.status not in ("True", "False"):
        return None
    return _body(
        told.status,
        plain(told.reason, 64) or "AsExpected",
        plain(told.message) or NORMAL,
        told.last_transition_time or view.now,
    )


def _body(status: str, reason: str, message: str, since: datetime) -> dict[str, Any]:
    at = since.strftime("%Y-%m-%dT%H:%M:%SZ")
    return {
        "type": CONNTRACK_PRESSURE,
        "status": status,
        "reason": reason,
        "message": message,
        "lastHeartbeatTime": at,
        "lastTransitionTime": at,
    }


def _change(view: NodeView, policies: tuple[Policy, ...], condition: dict[str, Any], reason: str) -> Change:
    return Change(
        verb=Verb.REPORT,
        result=Result.APPLIED,
        object=view.ref,
        resource_version=view.node.metadata.resource_version,
        leaves={},
        state=ObjectState(),
        written=(),
        rules=(PRESSURE,),
        policies=policies,
        reason=reason,
        disruptive=False,
        whole={"status": {"conditions": [condition]}},
    )
