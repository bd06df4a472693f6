"""5,000 nodes with agents before a real API server: never more of them changed at once than the policy says, by the
audit log, and what it costs: time, writes, memory.
"""

import asyncio
import json
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.agent import scene as agents
from tests.benchmarks.bare import each, send, session
from tests.benchmarks.fleet import node
from tests.benchmarks.memory import MIB, rss
from tests.e2e.conftest import install_crd
from tests.e2e.process import OperatorProcess
from tests.lab import Lab, start
from tests.lab.audit import Mark
from tests.targets.nodes.agents import Agents, most_at_once

pytestmark = [pytest.mark.lab, pytest.mark.slow, pytest.mark.timeout(2700)]

NODES = 5000
MOST = NODES // 25
TAKES = 5.0
"""Seconds that an agent takes: it notes the values before us first, and writes a status at most every five."""
TIME_WAIT = "net.netfilter.nf_conntrack_tcp_timeout_time_wait"
MAX = "net.netfilter.nf_conntrack_max"


def test_5000_nodes_are_changed_in_waves_that_never_exceed_their_limit(tmp_path: Path) -> None:
    with start(nodes=0) as lab:
        prepare(lab)
        operator = OperatorProcess(lab.kubeconfig(), tmp_path / "operator.log", "--namespace=home")
        with Agents(lab, TAKES).running() as every, operator.start():
            told(lab, every, "first", 60)
            told(lab, every, "changed", 50)
            now, peak = rss(operator.pid) / MIB, rss(operator.pid, "VmHWM") / MIB
            say(f"operator: {now:.0f} MiB, at most {peak:.0f} MiB")


def told(lab: Lab, every: Agents, what: str, value: int) -> None:
    """Apply a policy with that value, and wait until it is everywhere; it never is in too many places at once."""
    since, began = lab.audit.mark(), time.monotonic()
    lab.kubectl("apply", "-f", "-", input=json.dumps(policy(value)))
    lab.wait(lambda: every.reporting(TIME_WAIT, value) == NODES, 1800, f"{value} to be everywhere")
    say(f"{what}: {value} on {NODES} nodes after {time.monotonic() - began:.0f} s")
    number, most = most_at_once(lab, since)
    say(f"{what}: at most {most} nodes at once (limit {MOST}); the operator wrote {by_resource(lab, since)}")
    assert (number, MOST // 2 < most <= MOST) == (NODES, True)


def by_resource(lab: Lab, since: Mark) -> str:
    """What the operator wrote, and how often."""
    mine = (one for one in lab.audit.writes(since=since) if one.user_agent.startswith("resilience-operator"))
    counted = Counter(f"{one.resource}/{one.subresource}".rstrip("/") for one in mine)
    return ", ".join(f"{number} {what}" for what, number in counted.most_common())


def policy(value: int) -> dict[str, Any]:
    """What is asked; the canary node soaks for a short time only."""
    formula = {"name": MAX, "perCore": 65536, "min": 262144, "max": 1048576}
    values = [{"name": TIME_WAIT, "value": str(value)}, formula]
    return {
        "apiVersion": "resilience.dev/v1alpha1",
        "kind": "ResiliencePolicy",
        "metadata": {"name": "nodes"},
        "spec": {
            "mode": "Enforce",
            "onRelease": "Revert",
            "rollout": {"soakSeconds": 5},
            "conntrack": {"sysctls": {"values": values}, "pressure": {}, "waves": {"maxUnavailable": "4%"}},
        },
    }


def prepare(lab: Lab) -> None:
    """The kinds, and 5,000 nodes; the controllers rest: nobody keeps Leases of these nodes."""
    install_crd(lab)
    agents.install(lab)
    lab.kubectl("create", "namespace", "home")
    lab.pause("kube-controller-manager")
    lab.pause("kube-scheduler")

    async def fill() -> None:
        async with session(lab.kubeconfig()) as client:
            await each(NODES, lambda number: send(client, "POST", "/api/v1/nodes", node(number)))

    asyncio.run(fill())


def say(text: str) -> None:
    """A figure, for whoever reads the test's output."""
    print(f"fleet: {text}")
