"""`kubectl resilience revert POLICY [OBJECT]`: gives back what the operator wrote, with the caller's own rights.

One object at a time, each Deployment whose pods restart complete before the next; nodes in the policy's waves. For one
OBJECT the opt-out is written in the same patch, so that the operator does not write again.
"""

import argparse
import asyncio
import sys

from resilience_operator.api.write import Writer
from resilience_operator.cli.cluster import connect, read
from resilience_operator.cli.giving_back import give_back
from resilience_operator.cli.held import Step, around, at_aws, everything, orphans, uids_of
from resilience_operator.cli.naming import key_named, named
from resilience_operator.cli.nodes_back import give_nodes_back, states_of
from resilience_operator.cli.telling import Told
from resilience_operator.core.errors import ConfigurationError
from resilience_operator.core.kinds import DEPLOYMENT, POLICY
from resilience_operator.core.refs import ObjectRef
from resilience_operator.policy.common import Mode
from resilience_operator.policy.policy import Policy

SHOWN = 5
"""So many objects are named in the question."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's flags."""
    parser.add_argument("policy", metavar="POLICY", help="the policy, also one that is gone (or its uid)")
    parser.add_argument(
        "object",
        nargs="?",
        metavar="OBJECT",
        help="only NAMESPACE/NAME of a Deployment with what scales it, or KIND/NAMESPACE/NAME; and opt it out",
    )
    parser.add_argument("--yes", action="store_true", help="do not ask before pods restart")
    parser.add_argument("--kubeconfig", default="", metavar="FILE")
    parser.add_argument("--context", default="", metavar="NAME")


def run(options: argparse.Namespace) -> int:
    """Give back; 0 done, 1 the person said no or one did not complete. Raises OperatorError."""
    return asyncio.run(_revert(options))


async def _revert(options: argparse.Namespace) -> int:
    wanted = key_named(options.object) if options.object else None
    async with await connect(options.kubeconfig, options.context) as session:
        cluster = await read(session)
        uids = uids_of(cluster, options.policy)
        steps = everything(cluster, uids) if wanted is None else around(cluster, uids, wanted)
        for policy in cluster.policies.values():
            if wanted is None and policy.uid in uids:
                refuse_while_enforcing(policy)
        nodes = len(states_of(cluster, uids)) if wanted is None else 0
        if by_hand := at_aws(cluster, uids):
            print(by_hand)
        if not steps and not by_hand and not nodes:
            print(f"policy {options.policy} holds nothing{f' on {options.object}' if options.object else ''}")
            for uid, number in orphans(cluster).items():
                print(f"{number} of our objects are of a policy that is gone: revert {uid} removes them")
        if (
            not steps
            and not by_hand
            and not nodes
            and options.policy not in (*cluster.uids, *cluster.uids.values())
        ):
            known = ", ".join(sorted(cluster.uids)) or "none"
            raise ConfigurationError(
                f"there is no policy {options.policy}, and nothing of one that is gone (there are: {known})"
            )
        if not steps and not nodes:
            return 0
        if not options.yes and not _agreed(steps, nodes):
            return 1
        writer = Writer(session, fence=lambda: None, on_written=lambda kind, raw: None)
        uid = cluster.uids.get(options.policy, "")
        told = Told(session, ObjectRef(POLICY.api_version, POLICY.kind, "", options.policy, uid))
        code = await give_back(writer, steps, told)
        if nodes and not code:
            code = await give_nodes_back(session, writer, cluster, uids, told)
        return code


def refuse_while_enforcing(policy: Policy) -> None:
    """Raises ConfigurationError where the operator would write again what is given back."""
    if policy.suspend or policy.deleting:
        return
    modes = [policy.rule_mode(rule) for rule in policy.rules]
    if Mode.ENFORCE in modes:
        raise ConfigurationError(
            f"policy {policy.name} enforces: it would write again what is given back. Set spec.suspend: true or "
            f"spec.mode: Audit first, or name one object to revert it and opt it out"
        )


def question(steps: list[Step], nodes: int = 0) -> str:
    """What is about to be done, in one sentence."""
    if nodes:
        rest = f" {question(steps)}" if steps else ""
        return (
            f"Give {nodes} node{'s' * (nodes != 1)} back the sysctls that were there before, in waves.{rest}"
        )
    given = [step for step in steps if step.gives_back]
    names = ", ".join(named(*step.ref.key) for step in given[:SHOWN])
    more = f" and {len(given) - SHOWN} more" if len(given) > SHOWN else ""
    word = DEPLOYMENT.kind if all(step.ref.kind == DEPLOYMENT.kind for step in given) else "object"
    outs = [
        f" and opt {named(*step.ref.key)} out of {', '.join(step.opt_out)}" for step in steps if step.opt_out
    ]
    pods = sum(step.pods for step in given)
    effect = f"up to {pods} pods restart, one {DEPLOYMENT.kind} at a time" if pods else "no pod restarts"
    return f"Give back {len(given)} {word}{'s' * (len(given) != 1)} ({names}{more}){''.join(outs)}; {effect}."


def _agreed(steps: list[Step], nodes: int) -> bool:
    asked = question(steps, nodes)
    if not sys.stdin.isatty():
        raise ConfigurationError(f"{asked} Say --yes: there is no terminal to ask on")
    return input(f"{asked} Go on? [y/N] ").strip().lower() in ("y", "yes")
