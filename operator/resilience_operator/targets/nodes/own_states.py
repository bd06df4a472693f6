"""NodeStates of our own: one beside each node of which a policy that enforces asks something. Used by scope.

It belongs to its Node by ownerReference, and to one policy by label; nothing of it is remembered anywhere else. Where
values are to be given back it is emptied first, in waves as it was made, and goes once its agent has said that they
are. A NodeState of a policy that is not known here is another operator's: it is left as it is.
"""

from dataclasses import replace
from typing import Any

import msgspec

from resilience_operator.core.state import ObjectState
from resilience_operator.engine.change import Change, Result, Verb
from resilience_operator.engine.decide import Surroundings
from resilience_operator.engine.own_objects import OwnObjects
from resilience_operator.policy.common import OnRelease
from resilience_operator.policy.policy import Policy
from resilience_operator.targets.nodes.conditions import condition_of, removal
from resilience_operator.targets.nodes.kinds import (
    NODE_STATE,
    POLICY_LABEL,
    NodeState,
    NodeStateSpec,
    ref_of,
)
from resilience_operator.targets.nodes.states import given_up_at, lost_at
from resilience_operator.targets.nodes.texts import AGENT_SILENT, SYSCTL
from resilience_operator.targets.nodes.view import NodeView
from resilience_operator.targets.nodes.wishes import RULES, Wish, emptied, left_by, wish_of

MANAGED_BY = ("app.kubernetes.io/managed-by", "resilience-operator")


def own_states(view: NodeView, around: Surroundings) -> OwnObjects:
    """What is to be done about the node's NodeState and its condition."""
    policies = tuple(policy for _, policy in sorted(around.directory.items()))
    wish, state = wish_of(policies, view.node, view.now), view.nodestate
    if wish is None:
        holder = left_by(state, view.node, around.directory) if state is not None else None
        return _release(view, state, holder, around) if state and holder else OwnObjects()
    first = wish.policies[0]
    stranger = _stranger(state, around)
    if stranger:
        every = {(one.name, rule): stranger for one in wish.policies for rule in wish.rules}
        return OwnObjects(contested=every)
    if set(wish.rules) & around.refused.keys() or first.name in around.stopped:
        return OwnObjects(contested=wish.contested)
    wave, _ = view.fleet.waves(first, policies, view.now, around.behind)
    change = _change(view, state, wish, "" if view.node.metadata.name in wave.going else wave.why)
    changes = (*((change,) if change is not None else ()), *condition_of(view, wish.policies, wish.rules))
    return OwnObjects(changes, wish.contested, wave.wake_at if change is not None else None)


def _stranger(state: NodeState | None, around: Surroundings) -> str:
    """Why the NodeState is not ours to change; "" where it is, or where there is none."""
    if state is None:
        return ""
    label = state.metadata.labels.get(POLICY_LABEL)
    name = state.metadata.name
    if label is None:
        return f"NodeState {name} was made by somebody else; it is left alone: delete it to let the policy make its own"
    if label not in around.directory:
        return f"NodeState {name} was made for policy {label}, which this operator does not see; it is left alone"
    return ""


def _change(view: NodeView, state: NodeState | None, wish: Wish, waits: str) -> Change | None:
    """What makes the NodeState as it is wished, None where it is."""
    bearer = wish.policies[0].uid
    if state is None:
        waits = waits if view.node.ready else "waits until the node is Ready"
        return _writing(view, None, wish, wish.spec, bearer, "the node is asked for the first time", waits)
    if state.metadata.deletion_timestamp is not None:
        return None
    label = state.metadata.labels[POLICY_LABEL]
    if state.spec == wish.spec:
        if label in {one.uid for one in wish.policies}:
            return None
        reason = f"it serves policy {wish.policies[0].name} from now on"
        return _writing(view, state, wish, wish.spec, bearer, reason, "")
    waits = waits if view.node.ready else "waits until the node is Ready"
    return _writing(view, state, wish, wish.spec, bearer, _reason(state.spec, wish.spec), waits)


def _reason(old: NodeStateSpec, new: NodeStateSpec) -> str:
    """What is asked now that was not before, in words."""
    known = {one.name: one for one in old.sysctls}
    changed = [f"{one.name} {one.value}" for one in new.sysctls if known.get(one.name) != one]
    gone = [f"without {name}" for name in known.keys() - {one.name for one in new.sysctls}]
    return f"policies ask for {', '.join(changed + sorted(gone)) or 'another way of watching'}"


def _writing(
    view: NodeView,
    state: NodeState | None,
    wish: Wish,
    spec: NodeStateSpec,
    label: str,
    reason: str,
    waits: str,
) -> Change:
    labels = {POLICY_LABEL: label}
    whole: dict[str, Any] = {"metadata": {"labels": labels}, "spec": body_of(spec)}
    if state is None:
        meta = view.node.metadata
        owner = {"apiVersion": "v1", "kind": "Node", "name": meta.name, "uid": meta.uid}
        whole = {
            "apiVersion": NODE_STATE.api_version,
            "kind": NODE_STATE.kind,
            "metadata": {
                "name": meta.name,
                "labels": {MANAGED_BY[0]: MANAGED_BY[1], **labels},
                "ownerReferences": [owner],
            },
            "spec": body_of(spec),
        }
    return Change(
        verb=Verb.UPDATE if state is not None else Verb.CREATE,
        result=Result.APPLIED,
        object=state.ref if state is not None else ref_of(view.node.metadata.name),
        resource_version=state.metadata.resource_version if state is not None else "",
        leaves={},
        state=ObjectState(),
        written=(),
        rules=wish.rules,
        policies=wish.policies,
        reason=reason,
        disruptive=False,
        whole=whole,
        owner=view.ref,
        waits=waits,
    )


def body_of(spec: NodeStateSpec) -> dict[str, Any]:
    """The spec as it is sent."""
    found: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(spec))
    return {name: value for name, value in found.items() if value is not None}


def _release(view: NodeView, state: NodeState, holder: Policy, around: Surroundings) -> OwnObjects:
    """What ends it, once its policy asks for nothing here: emptied first where the node is to forget it, then gone.

    Values are given back in waves. Those that have theirs back stay until no other waits: they are counted.
    """
    policies = tuple(policy for _, policy in sorted(around.directory.items()))
    rules = tuple(one for one in RULES if one in holder.rules) or (SYSCTL,)
    why = f"policy {holder.name} no longer asks for it"
    after, wake, waits = emptied(state, holder), None, ""
    if holder.on_release is OnRelease.REVERT:
        _, wave = view.fleet.waves(holder, policies, view.now, around.behind)
        gone = view.now >= lost_at(state, view.now)
        if gone and after is not None and state.status.reported_at is not None:
            why, after = f"{why}, and its agent is gone: its values stay", None
        after = None if gone else after
        if after is None:
            wake = given_up_at(state, view.now)
            waits = "" if gone or state.spec.demands else wave.stays
        elif view.silence[0] == AGENT_SILENT:
            wake, waits = lost_at(state, view.now), f"waits for its agent: {view.silence[1]}"
        else:
            wake, waits = wave.wake_at, "" if view.node.metadata.name in wave.going else wave.why
    change = _removal(view, state, holder, rules, why, waits)
    if after is not None:
        change = _writing(view, state, Wish(after, (holder,), rules), after, holder.uid, why, waits)
        change = replace(change, result=Result.REVERTED)
    return OwnObjects((change, *removal(view, (holder,))), wake_at=wake)


def _removal(
    view: NodeView, state: NodeState, holder: Policy, rules: tuple[str, ...], why: str, waits: str
) -> Change:
    return Change(
        verb=Verb.DELETE,
        result=Result.REVERTED,
        object=state.ref,
        resource_version=state.metadata.resource_version,
        leaves={},
        state=ObjectState(),
        written=(),
        rules=rules,
        policies=(holder,),
        reason=why,
        disruptive=False,
        owner=view.ref,
        waits=waits,
    )
