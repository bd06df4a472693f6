"""`kubectl resilience report [POLICY]`: every finding of the cluster, where status holds the worst fifty only."""

import argparse
import asyncio
import json
from typing import Any

from rich.console import Console
from rich.table import Table

from resilience_operator.cli.cluster import Cluster, connect, read
from resilience_operator.cli.naming import named
from resilience_operator.cli.patches import hint
from resilience_operator.cli.remedy import committable
from resilience_operator.core.findings import STATE_ORDER
from resilience_operator.core.refs import Key
from resilience_operator.engine.change import Decision, Judged
from resilience_operator.engine.queue import OperatorLimits, schedule
from resilience_operator.engine.status import explained

Row = dict[str, Any]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's flags."""
    parser.add_argument("policy", nargs="?", metavar="POLICY", help="only this policy")
    parser.add_argument("-o", "--output", choices=("text", "json"), default="text")
    parser.add_argument("--kubeconfig", default="", metavar="FILE")
    parser.add_argument("--context", default="", metavar="NAME")


def run(options: argparse.Namespace) -> int:
    """Print every finding; 0 nothing found, 1 findings. Raises OperatorError where the cluster cannot be read."""
    found = asyncio.run(_read(options))
    if options.output == "json":
        print(json.dumps(found, indent=2))
    elif found:
        Console(markup=False, soft_wrap=True).print(table(found))
        if any(row["committable"] for row in found):
            print(hint(options.policy or ""))
    else:
        print("No finding: every object is as its policies demand.")
    return 1 if found else 0


async def _read(options: argparse.Namespace) -> list[Row]:
    async with await connect(options.kubeconfig, options.context) as session:
        return rows(await read(session), options.policy or "")


def rows(cluster: Cluster, policy: str) -> list[Row]:
    """Every finding, of one policy where it is named, the worst first, in the order of status."""
    if policy:
        cluster.policy(policy)
    decisions = cluster.decisions()
    order = schedule(
        decisions, {one.uid: one for one in cluster.policies.values()}, OperatorLimits(), cluster.now
    )
    pairs = [(one, decision) for decision in decisions for one in decision.judged]
    pairs = [pair for pair in pairs if not policy or pair[0].policy == policy]
    return [
        {
            "policy": judged.policy,
            "state": str(judged.state),
            "rule": judged.finding.rule,
            "reason": judged.finding.reason,
            "object": decision.object.as_status(),
            "message": explained(judged, decision, order),
            "committable": committable(judged),
        }
        for judged, decision in sorted(pairs, key=_rank)
    ]


def _rank(pair: tuple[Judged, Decision]) -> tuple[int, str, Key]:
    judged, decision = pair
    return (STATE_ORDER.index(judged.state), judged.finding.rule, decision.key)


def table(found: list[Row]) -> Table:
    """The findings for people."""
    made = Table("STATE", "RULE", "OBJECT", "POLICY", "MESSAGE", box=None)
    for row in found:
        ref = row["object"]
        name = named(ref["kind"], ref.get("namespace", ""), ref["name"])
        made.add_row(row["state"], row["rule"], name, row["policy"], row["message"])
    return made
