"""`kubectl resilience uninstall`: looks what policies hold, and says what to do in which order. Writes nothing."""

import argparse
import asyncio
from collections.abc import Iterator

from resilience_operator.cli.cluster import Cluster, connect, read
from resilience_operator.cli.held import everything, gone_from, uids_of
from resilience_operator.core.kinds import POLICY
from resilience_operator.engine.conditions import counted
from resilience_operator.policy.common import OnRelease

REMOVE = (
    "kubectl delete -k manifests/enforce (or base), or helm uninstall resilience-operator -n resilience-system",
    "kubectl delete -k manifests/setup: the Namespace and the kind, and every policy that is left",
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's flags."""
    parser.add_argument("--kubeconfig", default="", metavar="FILE")
    parser.add_argument("--context", default="", metavar="NAME")


def run(options: argparse.Namespace) -> int:
    """Say what is held, and the order; 1 where something is held. Raises OperatorError."""
    cluster = asyncio.run(_read(options))
    found = list(holdings(cluster))
    print(*(found or ["No policy holds anything."]), "", "In this order:", sep="\n")
    print(*(f"{number}. {step}" for number, step in enumerate(steps(cluster), start=1)), sep="\n")
    return 1 if found else 0


async def _read(options: argparse.Namespace) -> Cluster:
    async with await connect(options.kubeconfig, options.context) as session:
        return await read(session)


def holdings(cluster: Cluster) -> Iterator[str]:
    """A sentence for each policy that holds something, and for what is held for policies that are gone."""
    for name in sorted(cluster.uids):
        number = len(everything(cluster, uids_of(cluster, name)))
        if number:
            policy = cluster.policies.get(name)
            gives = policy is not None and policy.on_release is OnRelease.REVERT
            then = (
                "gives them back" if gives else "leaves their values as they are, but for budgets of its own"
            )
            what = "spec cannot be read" if policy is None else f"onRelease: {policy.on_release}"
            yield f"Policy {name} holds {counted(number, 'object')}; deleted, it {then} ({what})."
    gone = gone_from(cluster)
    if names := sorted({name for uid, name in _names(cluster).items() if uid in gone}):
        yield f"Something is held for policies that are gone: {', '.join(names)}."
    for kind in (
        kind for kind in cluster.store.cache if kind.group == POLICY.group and cluster.store.count(kind)
    ):
        yield f"{counted(cluster.store.count(kind), kind.kind)}: agents give back what they set when these go."


def _names(cluster: Cluster) -> dict[str, str]:
    views = (cluster.look(key) for key in cluster.store.subjects())
    return {uid: name for view in views if view is not None for uid, name in view.state.names.items()}


def steps(cluster: Cluster) -> Iterator[str]:
    """What to type."""
    retained = [
        name
        for name, policy in sorted(cluster.policies.items())
        if policy.on_release is OnRelease.RETAIN and everything(cluster, uids_of(cluster, name))
    ]
    if cluster.lease and cluster.uids:
        yield f"start the operator again, for nobody gives anything back without it: {cluster.lease}"
    for name in retained:
        patch = """{"spec": {"onRelease": "Revert"}}"""
        yield f"kubectl patch rp {name} --type=merge -p '{patch}', to have the former values back"
    if cluster.uids:
        yield "kubectl delete rp --all: waits until everything is given back"
    for name in sorted({name for uid, name in _names(cluster).items() if uid in gone_from(cluster)}):
        yield f"kubectl resilience revert {name}"
    yield from REMOVE if cluster.installed else REMOVE[:1]
