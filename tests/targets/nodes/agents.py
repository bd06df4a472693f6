"""Agents of many nodes in one thread, and what they and the operator wrote, as the API server's audit log has it.

An agent here has no kernel: it does at once what its NodeState asks. What it reports, and when, is decided by the real
one's own code (resilience_operator.agent.status).
"""

import asyncio
import json
import random
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import aiohttp

from resilience_operator.agent import spec, status
from resilience_operator.agent.pressure import Pressure, Sample
from resilience_operator.agent.status import Report
from resilience_operator.agent.sysctl_loop import EVERY, Told
from resilience_operator.agent.sysctls import Known, State, Step
from tests.benchmarks.bare import session
from tests.lab import Lab
from tests.lab.audit import Mark, Write

STATES = "/apis/resilience.dev/v1alpha1/nodestates"
LOOK = 0.2
"""Seconds between two looks at which agents are due."""
CLOSING = 0.5
"""Seconds that connections take to close behind their session."""
IDENTITY = {"agentVersion": "0.1.0", "kernelVersion": "6.18", "bootID": "boot"}


@dataclass
class Agent:
    """One node's agent: what it was last told, and when it last wrote."""

    body: dict[str, Any]
    last: float | None = None
    told: int = 0
    """The generation of which the API server has its report."""
    conditions: list[dict[str, Any]] = field(default_factory=list)

    @property
    def changed(self) -> bool:
        """True where it has not yet reported of what it was last told."""
        return bool(self.told != self.body["metadata"]["generation"])

    def due(self, now: float) -> bool:
        """True where the real agent would write its status now."""
        return status.due(self.changed, now, self.last, 0)

    def report(self) -> dict[str, Any]:
        """Its status: all is as asked, and the table is as full as it happens to be."""
        read = spec.read(self.body)
        told = [
            Told(one.name, one.value, Step(Known(before=120, recorded=True, ours=one.value), State.HELD))
            for one in read.sysctls.values()
        ]
        sample = Sample(time.monotonic(), random.randrange(1000, 90_000), 262_144)  # noqa: S311
        report = Report(read.generation, IDENTITY, told, sample, Pressure(), {})
        made = status.render(report, datetime.now(UTC), self.conditions)
        self.conditions = made["conditions"]
        return made


class Agents:
    """The agents of all nodes of a lab; each `takes` so many seconds to do what it is told."""

    def __init__(self, lab: Lab, takes: float = 0.0) -> None:
        self._takes = takes
        self._kubeconfig = lab.kubeconfig()
        self._agents: dict[str, Agent] = {}
        self._over = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), daemon=True)

    @contextmanager
    def running(self) -> Iterator["Agents"]:
        """Until the block ends."""
        self._thread.start()
        try:
            yield self
        finally:
            self._over.set()
            self._thread.join(timeout=60)

    def reporting(self, name: str, value: int) -> int:
        """How many of them reported that the sysctl has the value, and of nothing newer was told."""
        wanted = [
            any(each["name"] == name and each["value"] == value for each in one.body["spec"]["sysctls"])
            for one in list(self._agents.values())
            if one.told == one.body["metadata"]["generation"]
        ]
        return sum(wanted)

    async def _run(self) -> None:
        async with session(self._kubeconfig) as client, asyncio.TaskGroup() as tasks:
            watching = tasks.create_task(self._watch(client))
            while not self._over.is_set():
                now = time.monotonic()
                for one in [one for one in self._agents.values() if one.due(now)]:
                    # A change wakes the real one; for numbers it looks once in EVERY seconds, at a moment of its own.
                    wait = self._takes if one.changed else random.uniform(0.0, EVERY)  # noqa: S311
                    one.last = now + wait
                    tasks.create_task(self._write(client, one, wait))
                await asyncio.sleep(LOOK)
            watching.cancel()
        await asyncio.sleep(CLOSING)

    async def _watch(self, client: aiohttp.ClientSession) -> None:
        """List and watch, over and over; what was heard stays while nobody answers."""
        while True:
            with suppress(aiohttp.ClientError, TimeoutError, KeyError):
                async with client.get(STATES) as answer:
                    found = await answer.json()
                self._agents = {
                    one["metadata"]["name"]: self._known(one | {"kind": "NodeState"})
                    for one in found["items"]
                }
                params = {"watch": "true", "resourceVersion": found["metadata"]["resourceVersion"]}
                timeout = aiohttp.ClientTimeout(total=None)
                async with client.get(STATES, params=params, timeout=timeout, read_bufsize=2**22) as answer:
                    async for line in answer.content:
                        self._hear(json.loads(line))
            await asyncio.sleep(0.2)

    def _hear(self, event: dict[str, Any]) -> None:
        name = event["object"]["metadata"]["name"]
        if event["type"] == "DELETED":
            self._agents.pop(name, None)
        elif event["type"] in ("ADDED", "MODIFIED"):
            self._agents[name] = self._known(event["object"])

    def _known(self, body: dict[str, Any]) -> Agent:
        known = self._agents.get(body["metadata"]["name"])
        if known is None or known.body["metadata"]["uid"] != body["metadata"]["uid"]:
            return Agent(body)
        known.body = body
        return known

    async def _write(self, client: aiohttp.ClientSession, agent: Agent, wait: float) -> None:
        await asyncio.sleep(wait)
        meta = agent.body["metadata"]
        change = {"metadata": {"uid": meta["uid"]}, "status": agent.report()}
        headers = {"Content-Type": "application/merge-patch+json"}
        with suppress(aiohttp.ClientError, TimeoutError):
            async with client.patch(
                f"{STATES}/{meta['name']}/status", json=change, headers=headers
            ) as answer:
                await answer.read()
                agent.told = change["status"]["observedGeneration"] if answer.ok else agent.told


def writes(lab: Lab, since: Mark) -> list[Write]:
    """The accepted writes of NodeStates but removals, in the order of their revisions."""
    found = (one for one in lab.audit.writes(since=since) if one.resource == "nodestates" and one.succeeded)
    kept = (one for one in found if one.verb != "delete")
    return sorted(kept, key=lambda one: int(one.resource_version))


def most_at_once(lab: Lab, since: Mark) -> tuple[int, int]:
    """(nodes told, the most of them at any revision whose agent had not yet said that it is done)."""
    open_: set[str] = set()
    told: set[str] = set()
    most = 0
    for one in writes(lab, since):
        body = one.response_object
        name = body["metadata"]["name"]
        done = body.get("status", {}).get("observedGeneration") == body["metadata"]["generation"]
        if one.subresource != "status":
            told.add(name)
        (open_.discard if done else open_.add)(name)
        most = max(most, len(open_))
    return len(told), most
