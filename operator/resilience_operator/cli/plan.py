"""`kubectl resilience plan [POLICY]`: what would change, in which order, how many pods restart, what waits for what.

Read-only. A policy that only audits is shown as if it enforced, so that one sees what enforcing would mean.
"""

import argparse
import asyncio
import json
from collections.abc import Mapping
from typing import Any

from resilience_operator.cli.cluster import Cluster, connect, read
from resilience_operator.cli.naming import named
from resilience_operator.core.findings import State
from resilience_operator.core.kinds import DEPLOYMENT
from resilience_operator.core.policy import Policy
from resilience_operator.core.refs import ObjectRef, key_of
from resilience_operator.planning.change import Change, Decision, Verb
from resilience_operator.planning.queue import OperatorLimits, Schedule, schedule
from resilience_operator.planning.report import explained

Plan = dict[str, Any]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's flags."""
    parser.add_argument("policy", nargs="?", metavar="POLICY", help="only this policy, as if it enforced")
    parser.add_argument(
        "--max-rollouts", type=int, default=1, metavar="N", help="the operator's own limit (1)"
    )
    parser.add_argument("-o", "--output", choices=("text", "json"), default="text")
    parser.add_argument("--kubeconfig", default="", metavar="FILE")
    parser.add_argument("--context", default="", metavar="NAME")


def run(options: argparse.Namespace) -> int:
    """Print the plan; 0. Raises OperatorError where the cluster cannot be read or the policy is not there."""
    plan = asyncio.run(_plan(options))
    print(json.dumps(plan, indent=2) if options.output == "json" else text(plan))
    return 0


async def _plan(options: argparse.Namespace) -> Plan:
    async with await connect(options.kubeconfig, options.context) as session:
        cluster = await read(session)
    return make(cluster, options.policy or "", options.max_rollouts)


def make(cluster: Cluster, name: str, max_rollouts: int) -> Plan:
    """The plan as plain data, as `-o json` prints it."""
    policies: Mapping[str, Policy] = cluster.policies
    if name:
        policies = {**policies, name: cluster.policy(name).enforced()}
    decisions = cluster.decisions(policies)
    by_uid = {policy.uid: policy for policy in policies.values()}
    limits = OperatorLimits(max_rollouts, 100)
    order = schedule(decisions, by_uid, limits, cluster.now)
    changing = [change for decision in decisions for change in decision.changes if _concerns(change, name)]
    changing.sort(key=lambda change: (bool(_waits(change, order)), not change.urgent))
    steps = [_step(change, order) for change in changing]
    return {
        "policy": name or None,
        "objects": len(steps),
        "deployments": sum(step["kind"] == DEPLOYMENT.kind for step in steps),
        "podsRestarting": sum(step["pods"] for step in steps),
        "maxConcurrent": _strictest(changing, max_rollouts),
        "steps": steps,
        "unchanged": [
            _unchanged(one, decision, order)
            for decision in decisions
            for one in decision.judged
            if one.state in (State.CONTESTED, State.QUARANTINED, State.REPORT_ONLY)
            and (not name or one.policy == name)
        ],
    }


def text(plan: Plan) -> str:
    """The plan for people."""
    who = f"Policy {plan['policy']}, enforced" if plan["policy"] else "All policies"
    lines = [f"{who}: {_size(plan)}." if plan["steps"] else f"{who}: nothing to change."]
    for number, step in enumerate(plan["steps"], start=1):
        what = f"{_SAID.get(step['verb'], '')}{step['reason']} ({step['pods']} pods restart)"
        lines.append(f"{number:3}. {_name(step)}: {what}")
        lines.append(f"       {step['waits'] or 'starts now'}")
    if plan["unchanged"]:
        lines.append("Not changed:")
    lines += [f"  {one['state']} {_name(one)} {one['rule']}: {one['message']}" for one in plan["unchanged"]]
    return "\n".join(lines)


_SAID = {Verb.CREATE: "is made: ", Verb.UPDATE: "is changed: ", Verb.DELETE: "is removed: "}
"""What becomes of a whole object, before the reason why."""


def _size(plan: Plan) -> str:
    count = plan["objects"]
    word = DEPLOYMENT.kind if count == plan["deployments"] else "object"
    change = f"1 {word} changes" if count == 1 else f"{count} {word}s change"
    pods = plan["podsRestarting"]
    return f"{change}, {pods} pods restart" + (f", at most {plan['maxConcurrent']} at once" if pods else "")


def _name(one: Plan) -> str:
    return named(one["kind"], one["namespace"], one["name"])


def _waits(change: Change, order: Schedule) -> str:
    return order.waiting.get(key_of(change.object), "")


def _step(change: Change, order: Schedule) -> Plan:
    return {
        **_object(change.object),
        "verb": str(change.verb),
        "policies": [policy.name for policy in change.policies],
        "rules": list(change.rules),
        "reason": change.reason,
        "pods": change.pods,
        "waits": _waits(change, order),
    }


def _object(ref: ObjectRef) -> Plan:
    return {"kind": ref.kind, "namespace": ref.namespace, "name": ref.name}


def _unchanged(judged: Any, decision: Decision, order: Schedule) -> Plan:
    return {
        **_object(decision.object),
        "policy": judged.policy,
        "rule": judged.finding.rule,
        "state": str(judged.state),
        "message": explained(judged, decision, order),
    }


def _concerns(change: Change, name: str) -> bool:
    return not name or any(policy.name == name for policy in change.policies)


def _strictest(changes: list[Change], max_rollouts: int) -> int:
    """How many rollouts may run at once by the strictest of the policies that start any."""
    limits = [
        policy.limits_of(change.rules).max_concurrent
        for change in changes
        if change.disruptive
        for policy in change.policies
    ]
    return min([max_rollouts, *limits])
