"""`kubectl resilience plan [POLICY]`: what would change, in which order, how many pods restart, what waits for what.

Read-only. A policy that only audits is shown as if it enforced, so that one sees what enforcing would mean.
"""

import argparse
import asyncio
import json
from collections.abc import Mapping
from typing import Any

from resilience_operator.cli.cluster import Cluster, connect, read
from resilience_operator.core.findings import State
from resilience_operator.core.policy import DEFAULT_LIMITS, Policy
from resilience_operator.planning.change import Change, Decision
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
    changing = [one for one in decisions if one.change is not None and _concerns(one.change, name)]
    steps = [_step(decision, order) for decision in changing]
    return {
        "policy": name or None,
        "deployments": len(steps),
        "podsRestarting": sum(step["pods"] for step in steps),
        "maxConcurrent": _strictest(changing, max_rollouts),
        "steps": sorted(steps, key=lambda step: (bool(step["waits"]), step["namespace"], step["name"])),
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
    if not plan["steps"]:
        lines = [f"{who}: nothing to change."]
    else:
        size = f"{plan['deployments']} Deployments change, {plan['podsRestarting']} pods restart"
        lines = [f"{who}: {size}, at most {plan['maxConcurrent']} at once."]
    for number, step in enumerate(plan["steps"], start=1):
        lines.append(
            f"{number:3}. {step['namespace']}/{step['name']}: {step['reason']} ({step['pods']} pods restart)"
        )
        lines.append(f"       {step['waits'] or 'starts now'}")
    if plan["unchanged"]:
        lines.append("Not changed:")
    for one in plan["unchanged"]:
        lines.append(f"  {one['state']} {one['namespace']}/{one['name']} {one['rule']}: {one['message']}")
    return "\n".join(lines)


def _step(decision: Decision, order: Schedule) -> Plan:
    change = decision.change
    if change is None:
        raise ValueError(f"{decision.object} has no change")
    return {
        "namespace": decision.object.namespace,
        "name": decision.object.name,
        "verb": str(change.verb),
        "policies": [policy.name for policy in change.policies],
        "rules": list(change.rules),
        "reason": change.reason,
        "pods": change.pods,
        "waits": order.waiting.get(decision.key, ""),
    }


def _unchanged(judged: Any, decision: Decision, order: Schedule) -> Plan:
    return {
        "namespace": decision.object.namespace,
        "name": decision.object.name,
        "policy": judged.policy,
        "rule": judged.finding.rule,
        "state": str(judged.state),
        "message": explained(judged, decision, order),
    }


def _concerns(change: Change, name: str) -> bool:
    return not name or any(policy.name == name for policy in change.policies)


def _strictest(decisions: list[Decision], max_rollouts: int) -> int:
    policies = [policy for one in decisions if one.change is not None for policy in one.change.policies]
    limits = [
        policy.section_limits("deployments") if policy.deployments is not None else DEFAULT_LIMITS
        for policy in policies
    ]
    return min([max_rollouts, *(one.max_concurrent for one in limits)])
