"""`kubectl resilience retry POLICY [OBJECT]`: ends quarantines and the stop that they brought about.

For all objects the annotation resilience.dev/retry of the policy is counted up: the operator reads it with the spec,
so what failed or was undone before counts no more. For one OBJECT its quarantines are taken out of our state
annotation. Nothing is written here that restarts a pod: the operator does, in its order.
"""

import argparse
import asyncio
import json
from dataclasses import replace

from resilience_operator.api.session import Session
from resilience_operator.api.write import Writer, Written
from resilience_operator.cli.cluster import Cluster, connect, read
from resilience_operator.cli.naming import key_named, named
from resilience_operator.core.errors import ConfigurationError
from resilience_operator.core.kinds import POLICY
from resilience_operator.core.refs import Key
from resilience_operator.core.state import ANNOTATION, ObjectState, encode
from resilience_operator.engine.patch import escaped, preconditions
from resilience_operator.policy.decode import RETRY
from resilience_operator.targets import KIND_BY_NAME

MERGE_PATCH = "application/merge-patch+json"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's flags."""
    parser.add_argument("policy", metavar="POLICY")
    parser.add_argument(
        "object",
        nargs="?",
        metavar="OBJECT",
        help="only NAMESPACE/NAME of a Deployment, or KIND/NAMESPACE/NAME",
    )
    parser.add_argument("--kubeconfig", default="", metavar="FILE")
    parser.add_argument("--context", default="", metavar="NAME")


def run(options: argparse.Namespace) -> int:
    """Retry; 0. Raises OperatorError where the policy is not there, or nothing is quarantined on the object."""
    print(asyncio.run(_retry(options)))
    return 0


async def _retry(options: argparse.Namespace) -> str:
    wanted = key_named(options.object) if options.object else None
    async with await connect(options.kubeconfig, options.context) as session:
        cluster = await read(session)
        cluster.require()
        uid = cluster.policy(options.policy).uid
        if wanted is None:
            return await _everything(session, options.policy, uid)
        return await _one(session, cluster, wanted, uid)


async def _everything(session: Session, name: str, uid: str) -> str:
    raw = json.loads(await session.request("GET", POLICY.path("", name)))
    before = str((raw["metadata"].get("annotations") or {}).get(RETRY, ""))
    number = int(before) + 1 if before.isdecimal() and len(before) < 10 else 1
    body = {"metadata": {"uid": uid, "annotations": {RETRY: str(number)}}}
    await session.request(
        "PATCH",
        POLICY.path("", name),
        params={"fieldManager": "kubectl-resilience"},
        body=json.dumps(body).encode(),
        content_type=MERGE_PATCH,
    )
    return f"policy {name} tries again what failed or was undone ({RETRY}: {number})"


async def _one(session: Session, cluster: Cluster, key: Key, uid: str) -> str:
    view = cluster.look(key)
    if view is None:
        raise ConfigurationError(f"there is no {'/'.join(key[:2])} in the cluster")
    kept = without(view.state, uid)
    if kept == view.state:
        raise ConfigurationError(
            f"{named(*view.ref.key)} bears no quarantine of that policy; after kubectl rollout undo, leave OBJECT out"
        )
    path = f"/metadata/annotations/{escaped(ANNOTATION)}"
    empty = not kept.leaves and not kept.quarantines
    op = {"op": "remove", "path": path} if empty else {"op": "replace", "path": path, "value": encode(kept)}
    writer = Writer(session, fence=lambda: None, on_written=lambda kind, raw: None)
    kind = KIND_BY_NAME[view.ref.kind]
    ops = [*preconditions(view.ref.uid, view.target.metadata.resource_version), op]
    outcome = await writer.json_patch(kind, view.ref, ops)
    if not isinstance(outcome, Written):
        raise ConfigurationError(f"{named(*view.ref.key)} was not changed: {outcome}; try it again")
    return f"{named(*view.ref.key)}: its quarantine is ended, the operator tries again"


def without(state: ObjectState, uid: str) -> ObjectState:
    """The state without that policy's quarantines."""
    kept = tuple(one for one in state.quarantines if uid not in one.policies)
    return state if kept == state.quarantines else replace(state, quarantines=kept)
