"""`kubectl resilience revert POLICY [OBJECT]`: gives back what the operator wrote, with the caller's own rights.

One Deployment at a time, each complete before the next, and it stops at the first that does not become so. For one
OBJECT the opt-out is written in the same patch, so that the operator does not write again.
"""

import argparse
import asyncio
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from resilience_operator.adapters.projections import project_dict
from resilience_operator.adapters.session import Session
from resilience_operator.adapters.write import Outcome, Writer, Written
from resilience_operator.cli.cluster import Cluster, connect, read
from resilience_operator.core.errors import ConfigurationError
from resilience_operator.core.kinds import DEPLOYMENT
from resilience_operator.core.paths import Path
from resilience_operator.core.policy import Mode, Policy
from resilience_operator.core.refs import ObjectRef
from resilience_operator.core.state import Held, ObjectState
from resilience_operator.observed.belief import believe
from resilience_operator.observed.objects import Deployment, Object
from resilience_operator.observed.view import DeploymentView
from resilience_operator.planning.holds import adopted
from resilience_operator.planning.optout import ALL, IGNORE
from resilience_operator.planning.withdrawal import Op, Withdrawal, forget_ownership, withdraw

COMPLETE_SECONDS = 600.0


@dataclass(frozen=True, slots=True)
class Target:
    """A Deployment on which a policy (by name) holds leaves."""

    ref: ObjectRef
    policy: str
    replicas: int


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's flags."""
    parser.add_argument("policy", metavar="POLICY", help="the policy, also one that is gone")
    parser.add_argument(
        "object", nargs="?", metavar="NAMESPACE/NAME", help="only this Deployment, and opt it out"
    )
    parser.add_argument("--yes", action="store_true", help="do not ask before pods restart")
    parser.add_argument("--kubeconfig", default="", metavar="FILE")
    parser.add_argument("--context", default="", metavar="NAME")


def run(options: argparse.Namespace) -> int:
    """Give back; 0 done, 1 the person said no or one did not complete. Raises OperatorError."""
    return asyncio.run(_revert(options))


async def _revert(options: argparse.Namespace) -> int:
    async with await connect(options.kubeconfig, options.context) as session:
        cluster = await read(session)
        targets = find(cluster, options.policy, options.object or "")
        if not options.object:
            refuse_while_enforcing(cluster.policies.get(options.policy))
        if not targets:
            print(f"policy {options.policy} holds nothing{f' on {options.object}' if options.object else ''}")
            return 0
        pods = sum(target.replicas for target in targets)
        if not options.yes and not _agreed(targets, pods):
            return 1
        return await _give_back(session, targets, opt_out=bool(options.object))


def find(cluster: Cluster, policy: str, name: str) -> list[Target]:
    """The Deployments on which the policy (by name, perhaps gone) holds leaves that no other policy holds."""
    targets = []
    for deployment in cluster.store.deployments():
        meta = deployment.metadata
        view = cluster.store.view(meta.namespace, meta.name, cluster.now, cluster.version)
        if view is None or (name and name != f"{meta.namespace}/{meta.name}"):
            continue
        if held_by(view.state, policy):
            targets.append(Target(deployment.ref, policy, deployment.replicas))
    return sorted(targets, key=lambda target: target.ref)


def held_by(state: ObjectState, policy: str) -> dict[str, Held]:
    """Written path -> what the policy holds there and no other does."""
    uids = {uid for uid, known in state.names.items() if known == policy}
    return {text: one for text, one in state.leaves.items() if set(one.policies) <= uids}


def refuse_while_enforcing(policy: Policy | None) -> None:
    """Raises ConfigurationError where the operator would write again what is given back."""
    if policy is None or policy.suspend or policy.deleting:
        return
    modes = [policy.rule_mode(name, rule) for name, one in policy.sections.items() for rule in one.rules()]
    if Mode.ENFORCE in modes:
        raise ConfigurationError(
            f"policy {policy.name} enforces: it would write again what is given back. Set spec.suspend: true or "
            f"spec.mode: Audit first, or name one object to revert it and opt it out"
        )


async def _give_back(session: Session, targets: list[Target], *, opt_out: bool) -> int:
    writer = Writer(session, fence=lambda: None, on_written=lambda kind, raw: None)
    for number, target in enumerate(targets, start=1):
        outcome, plan = await _one(writer, target, opt_out=opt_out)
        if not isinstance(outcome, Written):
            print(f"{target.ref}: not given back: {outcome}", file=sys.stderr)
            return 1
        for path in plan.left_alone:
            print(f"{target.ref}: {path} is somebody else's by now: left alone")
        print(f"{target.ref}: {', '.join(plan.given_back)} given back ({number} of {len(targets)})")
        if not await _complete(writer, target.ref):
            print(f"{target.ref} is not complete after {COMPLETE_SECONDS:g} s: stopped here", file=sys.stderr)
            return 1
    return 0


async def _one(writer: Writer, target: Target, *, opt_out: bool) -> tuple[Outcome, Withdrawal]:
    # What is held is read again: a person was asked, and others were waited for, since it was found.
    raw = await writer.read(DEPLOYMENT, target.ref)
    found = project_dict(DEPLOYMENT, raw)
    state, _ = believe(found) if isinstance(found, Deployment) else (ObjectState(), "")
    held = held_by(state, target.policy)
    after = state.without(frozenset(held))
    kept = [text for text, one in held.items() if _stays(found, text, one)]
    plan = withdraw(raw, {text: one for text, one in held.items() if text not in kept}, after)
    plan = replace(plan, left_alone=(*plan.left_alone, *kept))
    rules = sorted({one.rule for one in held.values()})
    ops = [*plan.ops, *(opt_out_ops(raw, rules) if opt_out else [])]
    outcome = await writer.json_patch(DEPLOYMENT, target.ref, ops)
    if isinstance(outcome, Written) and not after:
        rest = forget_ownership(await writer.read(DEPLOYMENT, target.ref))
        if rest:
            await writer.json_patch(DEPLOYMENT, target.ref, list(rest))
    return outcome, plan


def _stays(found: Object, text: str, held: Held) -> bool:
    """True where somebody else has made the value their own: taking it away would not give anything back."""
    if not isinstance(found, Deployment):
        return False
    return adopted(DeploymentView(found, datetime.now(UTC)), Path.parse(text), held)


def opt_out_ops(raw: Mapping[str, Any], rules: list[str]) -> list[Op]:
    """Operations that opt an object out of `rules` as well; nothing that it is opted out of already is lost.

    A label where one rule is all (it survives `kubectl rollout undo`), else the annotation, which holds several.
    """
    label = (raw["metadata"].get("labels") or {}).get(IGNORE, "").strip()
    rules = [rule for rule in rules if label not in (rule, ALL)]
    if not rules:
        return []
    where = "labels" if len(rules) == 1 and not label else "annotations"
    present = raw["metadata"].get(where) or {}
    if not present:
        return [{"op": "add", "path": f"/metadata/{where}", "value": {IGNORE: ",".join(rules)}}]
    named = [part.strip() for part in present.get(IGNORE, "").split(",")] if where == "annotations" else []
    value = ",".join(dict.fromkeys([*filter(None, named), *rules]))
    return [{"op": "add", "path": f"/metadata/{where}/{IGNORE.replace('/', '~1')}", "value": value}]


async def _complete(writer: Writer, ref: ObjectRef) -> bool:
    end = time.monotonic() + COMPLETE_SECONDS
    while time.monotonic() < end:
        body = await writer.read(DEPLOYMENT, ref)
        status, replicas = body.get("status", {}), body["spec"]["replicas"]
        counts = [status.get(name, 0) for name in ("replicas", "updatedReplicas", "availableReplicas")]
        if status.get("observedGeneration", 0) >= body["metadata"]["generation"] and counts == [replicas] * 3:
            return True
        await asyncio.sleep(0.5)
    return False


def _agreed(targets: list[Target], pods: int) -> bool:
    names = ", ".join(str(target.ref) for target in targets[:5])
    more = f" and {len(targets) - 5} more" if len(targets) > 5 else ""
    what = f"Give back {len(targets)} Deployments ({names}{more})"
    question = f"{what}; up to {pods} pods restart, one Deployment at a time."
    if not sys.stdin.isatty():
        raise ConfigurationError(f"{question} Say --yes: there is no terminal to ask on")
    return input(f"{question} Go on? [y/N] ").strip().lower() in ("y", "yes")
