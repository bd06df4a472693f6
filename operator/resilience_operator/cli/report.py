"""`kubectl resilience report [POLICY]`: every finding of the cluster, where status holds the worst fifty only."""

import argparse
import asyncio
import json
import sys
from typing import Any

from rich.console import Console

from resilience_operator.cli import scope
from resilience_operator.cli.cluster import Cluster, connect, read
from resilience_operator.cli.grouped import Said, show
from resilience_operator.cli.naming import named
from resilience_operator.cli.output import JSON_VERSION
from resilience_operator.cli.patches import hint
from resilience_operator.cli.remedy import committable
from resilience_operator.cli.rule_texts import severity
from resilience_operator.core.findings import STATE_ORDER, State
from resilience_operator.core.plain import plain
from resilience_operator.core.refs import Key
from resilience_operator.engine.change import Decision, Judged
from resilience_operator.engine.queue import OperatorLimits, schedule
from resilience_operator.engine.status import explained

Row = dict[str, Any]
WHOLE = 10_000
"""Characters of a message at most: a line of it is for grep."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's flags."""
    parser.add_argument("policy", nargs="?", metavar="POLICY", help="only this policy")
    scope.add_arguments(parser)
    parser.add_argument("-o", "--output", choices=("text", "json"), default="text")
    parser.add_argument("--kubeconfig", default="", metavar="FILE")
    parser.add_argument("--context", default="", metavar="NAME")


def run(options: argparse.Namespace) -> int:
    """Print every finding; 0 nothing found, 1 findings. Raises OperatorError where the cluster cannot be read."""
    found = asyncio.run(_read(options))
    if options.output == "json":
        print(json.dumps({"version": JSON_VERSION, "findings": found}, indent=2))
    elif not found:
        print("No finding: every object is as its policies demand.")
    elif sys.stdout.isatty():
        grouped(found, Console(markup=False, highlight=False))
    else:
        print(*map(line, found), sep="\n")
    if found and options.output != "json" and any(row["committable"] for row in found):
        print(hint(options.policy or ""), file=sys.stdout if sys.stdout.isatty() else sys.stderr)
    return 1 if found else 0


async def _read(options: argparse.Namespace) -> list[Row]:
    async with await connect(options.kubeconfig, options.context) as session:
        cluster = await read(session, scope.scope_of(options))
    cluster.require()
    return rows(cluster, options.policy or "", scope.scope_of(options))


def rows(cluster: Cluster, policy: str, asked: scope.Scope = scope.EVERYTHING) -> list[Row]:
    """Every finding that is asked about, of one policy where it is named, the worst first, in the order of status."""
    if policy:
        cluster.policy(policy)
    decisions = cluster.decisions()
    order = schedule(
        decisions, {one.uid: one for one in cluster.policies.values()}, OperatorLimits(), cluster.now
    )
    pairs = [
        (one, decision)
        for decision in decisions
        if asked.takes(decision.key, asked.selector and cluster.look(decision.key))
        for one in decision.judged
        if (not policy or one.policy == policy) and asked.about(one.finding.rule)
    ]
    return [
        {
            "policy": judged.policy,
            "state": str(judged.state),
            "rule": judged.finding.rule,
            "reason": judged.finding.reason,
            "severity": str(severity(judged.finding)),
            "object": decision.object.as_status(),
            "message": explained(judged, decision, order),
            "committable": committable(judged),
        }
        for judged, decision in sorted(pairs, key=_rank)
    ]


def _rank(pair: tuple[Judged, Decision]) -> tuple[int, str, Key]:
    judged, decision = pair
    return (STATE_ORDER.index(judged.state), judged.finding.rule, decision.key)


COLOURS = {
    State.QUARANTINED: "red",
    State.CONTESTED: "magenta",
    State.DRIFTED: "yellow",
    State.ROLLING_OUT: "blue",
    State.PENDING: "cyan",
    State.REPORT_ONLY: "dim",
}


def line(row: Row) -> str:
    """One finding, whole, with tabs between its parts: state, rule, object, policy, message."""
    return "\t".join((row["state"], row["rule"], _name(row), row["policy"], plain(row["message"], WHOLE)))


def grouped(found: list[Row], console: Console) -> None:
    """The findings for a terminal."""
    show(
        (
            Said(
                _name(row),
                row["rule"],
                row["state"],
                COLOURS[State(row["state"])],
                f"{plain(row['message'], WHOLE)} (policy {row['policy']})",
            )
            for row in found
        ),
        console,
    )


def _name(row: Row) -> str:
    ref = row["object"]
    return named(ref["kind"], ref.get("namespace", ""), ref["name"])
