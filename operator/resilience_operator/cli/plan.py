"""`kubectl resilience plan [POLICY]`: what would change, in which order, how many pods restart, what waits for what.

Read-only. A policy that only audits is shown as if it enforced, so that one sees what enforcing would mean.
With --patch (cli/patches) it prints what to commit where the operator may not write, and policies count as they are.
"""

import argparse
import asyncio
import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from resilience_operator.cli import patches, scope
from resilience_operator.cli.cluster import Cluster, connect, read, spoken
from resilience_operator.cli.naming import named
from resilience_operator.cli.output import JSON_VERSION
from resilience_operator.cli.remedy import committable
from resilience_operator.cluster.leaves import observed_value
from resilience_operator.core.errors import ConfigurationError
from resilience_operator.core.findings import State
from resilience_operator.core.kinds import DEPLOYMENT
from resilience_operator.core.paths import ABSENT, JSON, Path
from resilience_operator.core.plain import plain
from resilience_operator.core.refs import ObjectRef, key_of
from resilience_operator.engine.change import Change, Decision, Verb
from resilience_operator.engine.queue import OperatorLimits, Schedule, schedule
from resilience_operator.engine.status import explained, mode_word
from resilience_operator.engine.wording import words
from resilience_operator.policy.common import Mode
from resilience_operator.policy.policy import Policy
from resilience_operator.targets.workloads.events import too_many_restarts
from resilience_operator.targets.workloads.mass_restarts import PERCENT

Plan = dict[str, Any]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's flags."""
    parser.add_argument("policy", nargs="?", metavar="POLICY", help="only this policy, as if it enforced")
    parser.add_argument(
        "--max-rollouts", type=int, default=1, metavar="N", help="the operator's own limit (1)"
    )
    parser.add_argument(
        "--patch",
        nargs="?",
        const=patches.KUSTOMIZE,
        metavar="FORM",
        help="print what to commit where the operator may not write: patches of a kustomization.yaml (kustomize),"
        " or manifests with nothing but what is to be another (manifest)",
    )
    scope.add_arguments(parser, rules=False)
    parser.add_argument("-o", "--output", choices=("text", "json"), default="text")
    parser.add_argument("--kubeconfig", default="", metavar="FILE")
    parser.add_argument("--context", default="", metavar="NAME")


def run(options: argparse.Namespace) -> int:
    """Print the plan; 0. Raises OperatorError where the cluster cannot be read or the policy is not there."""
    policy, form = patch_asked(options.policy or "", options.patch or "")
    cluster, asked = asyncio.run(_read(options)), scope.scope_of(options)
    if form:
        found, as_json = patches.of_cluster(cluster, policy, asked), options.output == "json"
        print(patches.as_json(found) if as_json else patches.printed(found, form, policy), end="")
        return 0
    plan = make(cluster, policy, options.max_rollouts, asked)
    print(json.dumps(plan, indent=2) if options.output == "json" else text(plan))
    return 0


def patch_asked(policy: str, form: str) -> tuple[str, str]:
    """The policy, and the form of the patch ("" without): after `--patch POLICY` argparse has them the wrong way."""
    if form in ("", *patches.FORMS):
        return policy, form
    if policy:
        known = " or ".join(patches.FORMS)
        raise ConfigurationError(f"--patch={form} is not known: write {known}")
    return form, patches.KUSTOMIZE


async def _read(options: argparse.Namespace) -> Cluster:
    async with await connect(options.kubeconfig, options.context) as session:
        cluster = await read(session, scope.scope_of(options))
    cluster.require()
    return cluster


def make(cluster: Cluster, name: str, max_rollouts: int, asked: scope.Scope = scope.EVERYTHING) -> Plan:
    """The plan as plain data, as `-o json` prints it; what is not asked about counts in the order, and is not shown."""
    policies: Mapping[str, Policy] = cluster.policies
    if name:
        policies = {**policies, name: cluster.policy(name).enforced()}
    decisions = cluster.proposals(policies)
    by_uid = {policy.uid: policy for policy in policies.values()}
    restarts = too_many_restarts(cluster.store, PERCENT)
    limits = OperatorLimits(max_rollouts, 100, restarting=restarts.sentence if restarts is not None else "")
    order = schedule(decisions, by_uid, limits, cluster.now)
    decisions = [one for one in decisions if _asked(one, cluster, asked)]
    changing = [change for decision in decisions for change in decision.changes if _concerns(change, name)]
    changing.sort(key=lambda change: (bool(_waits(change, order)), not change.urgent, _waits(change, order)))
    steps = [_step(change, _waits(change, order), cluster) for change in changing]
    resting = _of_suspended(cluster, asked) if not name else []
    steps += [_step(change, f"policy {_names(change)} is suspended", cluster) for change in resting]
    return {
        "version": JSON_VERSION,
        "policy": name or None,
        "mode": mode_word(cluster.policy(name)) if name else None,
        "objects": len(steps),
        "deployments": sum(step["kind"] == DEPLOYMENT.kind for step in steps),
        "podsRestarting": sum(step["pods"] for step in steps),
        "maxConcurrent": _strictest(changing, max_rollouts),
        "estimateSeconds": _estimate([*changing, *resting], _strictest(changing, max_rollouts)),
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
    if estimate := _spoken(plan):
        lines.append(estimate)
    for number, step in enumerate(plan["steps"], start=1):
        what = f"{_SAID.get(step['verb'], '')}{step['reason']} ({step['pods']} pods restart)"
        lines.append(f"{number:3}. {_name(step)}: {what}")
        lines += map(_value, step["values"])
        lines += _wait(plan["steps"], number - 1)
    if plan["unchanged"]:
        lines.append("Not changed:")
    lines += [f"  {one['state']} {_name(one)} {one['rule']}: {one['message']}" for one in plan["unchanged"]]
    audited = plan["steps"] and plan["mode"] not in (None, Mode.ENFORCE)
    if audited or any(one["committable"] for one in plan["unchanged"]):
        lines.append(patches.hint(plan["policy"] or ""))
    return "\n".join(lines)


_SAID = {Verb.CREATE: "is made: ", Verb.UPDATE: "is changed: ", Verb.DELETE: "is removed: "}
"""What becomes of a whole object, before the reason why."""


def _value(one: Plan) -> str:
    """What becomes of one leaf."""
    before = _short(one["before"]) if "before" in one else "not set"
    return f"       {words(Path.parse(one['path']))}: {before} -> {_short(one['after'])}"


def _short(value: JSON) -> str:
    return plain(value if isinstance(value, str) else json.dumps(value, separators=(",", ":")), VALUE)


VALUE = 100
"""Characters of a value at most: all of it is in the JSON, and in what --patch prints."""


def _wait(steps: list[Plan], index: int) -> list[str]:
    """What a step waits for; of several in a row that wait for the same, said once, under the last."""
    waits = steps[index]["waits"]
    if not waits:
        return ["       starts now"]
    if index + 1 < len(steps) and steps[index + 1]["waits"] == waits:
        return []
    first = index
    while first and steps[first - 1]["waits"] == waits:
        first -= 1
    return [f"       {waits}" if first == index else f"       {first + 1} to {index + 1}: {waits}"]


def _spoken(plan: Plan) -> str:
    """How long it may take: 24 rollouts, one at a time, about 1 h 10 min."""
    rollouts = sum(bool(step["pods"]) for step in plan["steps"])
    if rollouts < 2:
        return ""
    at_once = plan["maxConcurrent"]
    how = "one at a time" if at_once == 1 else f"{at_once} at a time"
    return f"{rollouts} rollouts, {how}, about {spoken(plan['estimateSeconds'])}, windows not counted."


ROLLOUT_SECONDS = 115
"""Of one rollout of a few pods, until all are ready: a guess, for nobody can know."""


def _estimate(changes: list[Change], at_once: int) -> int:
    """Seconds until all have rolled out and soaked."""
    soaks = [
        max((policy.limits_of(change.rules).soak_seconds for policy in change.policies), default=0)
        for change in changes
        if change.disruptive and change.pods
    ]
    return sum(ROLLOUT_SECONDS + soak for soak in soaks) // max(1, at_once)


def _asked(decision: Decision, cluster: Cluster, asked: scope.Scope) -> bool:
    return asked.takes(decision.key, asked.selector and cluster.look(decision.key))


def _of_suspended(cluster: Cluster, asked: scope.Scope) -> list[Change]:
    """What would change if nobody were suspended, for the policies that are."""
    awake = {
        name: replace(policy, suspend=False) for name, policy in cluster.policies.items() if policy.suspend
    }
    found = cluster.proposals(awake) if awake else []
    return [change for decision in found if _asked(decision, cluster, asked) for change in decision.changes]


def _names(change: Change) -> str:
    return " and ".join(policy.name for policy in change.policies)


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


def _step(change: Change, waits: str, cluster: Cluster) -> Plan:
    view = cluster.look(key_of(change.object)) if change.verb is Verb.APPLY else None
    values = [
        {"path": str(path), "after": value} | ({} if before is ABSENT else {"before": before})
        for path, value in change.leaves.items()
        if view is not None and path in change.written
        for before in (observed_value(view.target, path),)
    ]
    return {
        **_object(change.object),
        "verb": str(change.verb),
        "policies": [policy.name for policy in change.policies],
        "rules": list(change.rules),
        "reason": change.reason,
        "pods": change.pods,
        "waits": waits,
        "values": values,
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
        "committable": committable(judged),
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
