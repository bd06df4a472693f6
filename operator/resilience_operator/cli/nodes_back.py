"""Gives sysctls of nodes back for a policy that rests or is gone: the operator's own waves, with the caller's rights.

Used by cli/revert. What happens is what happens where the policy is deleted and says Revert: NodeStates are emptied,
their agents put the values back that were there before, and the NodeStates go.
"""

import asyncio
import sys
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime

from resilience_operator.api.session import Session
from resilience_operator.api.write import Writer
from resilience_operator.cli.cluster import Cluster
from resilience_operator.cli.held import Step
from resilience_operator.cli.reading import read_kind
from resilience_operator.cli.telling import Told
from resilience_operator.core.kinds import NODE
from resilience_operator.engine.change import Change, Verb
from resilience_operator.engine.decide import Surroundings
from resilience_operator.policy.common import OnRelease
from resilience_operator.policy.policy import Policy
from resilience_operator.run.apply import Done, carry_out
from resilience_operator.targets import CATALOG
from resilience_operator.targets.nodes.kinds import NODE_STATE, NodeState
from resilience_operator.targets.nodes.own_states import own_states
from resilience_operator.targets.nodes.view import NodeView

LOOK_EVERY = 2.0
"""Seconds between two looks at what agents said."""


def states_of(cluster: Cluster, uids: frozenset[str]) -> list[NodeState]:
    """The NodeStates that were made for these policies."""
    return sorted(
        (one for one in cluster.store.objects(NODE_STATE) if one.policy in uids),
        key=lambda one: one.metadata.name,
    )


async def give_nodes_back(
    session: Session, writer: Writer, cluster: Cluster, uids: frozenset[str], told: Told
) -> int:
    """Until no NodeState of these policies is left that its node wants emptied; 0 done, 1 where one cannot be."""
    said = ""
    while states_of(cluster, uids):
        found = list(proposed(cluster, uids))
        if not found:
            break
        for change in [one for one in found if not one.waits]:
            report = await carry_out(writer, change, cluster.now)
            if report.done is Done.REFUSED or report.forbidden:
                print(f"NodeState {change.object}: not given back: {report.message}", file=sys.stderr)
                return 1
            if report.done is Done.DONE and change.verb is not Verb.REPORT:
                gone = change.verb is Verb.DELETE
                print(
                    f"NodeState {change.object}: {'removed' if gone else 'emptied, its agent gives the values back'}"
                )
                ruled = {"sysctls": change.rules[0]} if change.rules else {}
                await told.reverted(Step(change.object, uids, whole=gone, ruled=ruled), ("sysctls",))
        why = next((one.waits for one in found if one.waits), "")
        if why and why != said:
            print(why, file=sys.stderr)
        said = why
        await asyncio.sleep(LOOK_EVERY)
        for kind in (NODE, NODE_STATE):
            await read_kind(session, kind, cluster.store)
        cluster = replace(cluster, now=datetime.now(UTC))
    for left in states_of(cluster, uids):
        print(f"NodeState {left.ref} stays: another policy asks for it, or its node is gone", file=sys.stderr)
    return 0


def proposed(cluster: Cluster, uids: frozenset[str]) -> Iterator[Change]:
    """What ends the NodeStates of these policies, as the engine has it where they are deleted and say Revert."""
    known = {one.uid: one for one in cluster.policies.values()}
    gone = {
        uid: replace(
            known.get(uid, Policy(uid, uid, catalog=CATALOG)),
            deleting=True,
            suspend=False,
            on_release=OnRelease.REVERT,
        )
        for uid in uids
    }
    around = Surroundings(known | gone)
    for key in cluster.store.subjects():
        view = cluster.look(key) if key[2:] == (NODE.kind,) else None
        if not isinstance(view, NodeView) or view.nodestate is None or view.nodestate.policy not in uids:
            continue
        for change in own_states(view, around).changes:
            if {one.uid for one in change.policies} <= uids and (
                change.gives_back or change.verb is Verb.REPORT
            ):
                yield replace(change, waits=change.waits or view.busy)
