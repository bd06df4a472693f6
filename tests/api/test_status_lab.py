"""Status and finalizer of a policy, as a real API server keeps them."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

import pytest

from resilience_operator.api.client import Clock
from resilience_operator.api.session import Session
from resilience_operator.api.status import FINALIZER, StatusWriter, with_times
from resilience_operator.core.errors import NotLeader
from resilience_operator.core.refs import ObjectRef
from tests.lab import Lab
from tests.lab.audit import Mark, Write
from tests.support.served import make_policy, read_policy, serve_policies

AGENT = "status-test"
EARLY, LATE = "2026-11-22T08:00:00Z", "2026-11-23T08:00:00Z"


def condition(kind: str, status: str, message: str = "") -> dict[str, Any]:
    return {"type": kind, "status": status, "reason": "Because", "message": message}


def status(drifted: int, ready: str = "True") -> dict[str, Any]:
    return {
        "observedGeneration": 1,
        "conditions": [condition("Ready", ready), condition("Compliant", "False", f"{drifted} drift")],
        "summary": {"mode": "Audit", "evaluated": 9, "drifted": drifted},
        "findings": [
            {
                "rule": "spread",
                "reason": "ReplicasShareNode",
                "object": {
                    "apiVersion": "apps/v1",
                    "kind": "Deployment",
                    "namespace": "shop",
                    "name": f"web-{number}",
                },
                "message": "3 of 3 ready replicas run on node-1",
                "state": "Drifted",
            }
            for number in range(drifted)
        ],
    }


def test_a_condition_keeps_its_time_until_its_status_changes() -> None:
    stored = {
        "conditions": [
            condition("Ready", "True") | {"lastTransitionTime": EARLY},
            condition("Compliant", "True") | {"lastTransitionTime": EARLY},
        ]
    }
    wanted = {
        "observedGeneration": 2,
        "conditions": [condition("Ready", "True", "new"), condition("Compliant", "False")],
    }
    assert with_times(wanted, stored, LATE) == {
        "observedGeneration": 2,
        "conditions": [
            condition("Ready", "True", "new") | {"lastTransitionTime": EARLY},
            condition("Compliant", "False") | {"lastTransitionTime": LATE},
        ],
    }


@dataclass
class Bench:
    """A policy, and a status writer that runs."""

    lab: Lab
    policy: ObjectRef
    session: Session
    writer: StatusWriter
    mark: Mark
    leading: bool = True

    def stored(self) -> dict[str, Any]:
        """The status without times."""
        found: dict[str, Any] = read_policy(self.lab, self.policy.name).get("status", {})
        for each in found.get("conditions", []):
            del each["lastTransitionTime"]
        return found

    def writes(self) -> list[Write]:
        """What was written since the bench was made."""
        return self.lab.audit.writes(self.mark, user_agent=AGENT, name=self.policy.name)

    async def settle(self, drifted: int) -> None:
        """Wait until that status is stored."""
        for _ in range(100):
            if self.stored() == status(drifted):
                return
            await asyncio.sleep(0.05)
        raise AssertionError(f"not stored: {self.stored()}")


@pytest.fixture
async def bench(lab: Lab) -> AsyncIterator[Bench]:
    serve_policies(lab)
    session = await Session.connect(str(lab.kubeconfig()), None, qps=50, burst=50, user_agent=AGENT)

    def fence() -> None:
        if not made.leading:
            raise NotLeader("not the leader")

    async with session:
        made = Bench(lab, make_policy(lab), session, StatusWriter(session, fence), lab.audit.mark())
        task = asyncio.create_task(made.writer.run())
        yield made
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@pytest.mark.lab
async def test_the_newest_status_is_written_at_most_once_a_second(bench: Bench) -> None:
    began = time.monotonic()
    for drifted in range(1, 41):
        await bench.writer.write(bench.policy, status(drifted))
        await asyncio.sleep(0.05)
    await bench.settle(40)
    seconds = time.monotonic() - began
    times = [write.time for write in bench.writes()]
    assert 2 <= len(times) <= seconds + 1
    gaps = [(after - before).total_seconds() for before, after in pairwise(times)]
    assert min(gaps) > 0.9
    assert {(write.subresource, write.code) for write in bench.writes()} == {("status", 200)}


@pytest.mark.lab
async def test_the_same_status_is_not_written_again_nor_after_a_restart(bench: Bench) -> None:
    await bench.writer.write(bench.policy, status(2))
    await bench.settle(2)
    version = read_policy(bench.lab, bench.policy.name)["metadata"]["resourceVersion"]
    restarted = StatusWriter(bench.session, lambda: None)
    for _ in range(3):
        await bench.writer.write(bench.policy, status(2))
        await restarted.write(bench.policy, status(2))
        await restarted.flush()
        await asyncio.sleep(1.1)
    assert len(bench.writes()) == 1
    assert read_policy(bench.lab, bench.policy.name)["metadata"]["resourceVersion"] == version
    # And it is not that nothing is written any more.
    await bench.writer.write(bench.policy, status(3))
    await bench.settle(3)


@pytest.mark.lab
async def test_what_somebody_else_wrote_into_the_status_is_written_over(bench: Bench) -> None:
    await bench.writer.write(bench.policy, status(2))
    await bench.settle(2)
    patch = json.dumps({"status": {"summary": {"drifted": 77}}})
    bench.lab.kubectl(
        "patch", "resiliencepolicy", bench.policy.name, "--subresource=status", "--type=merge", "-p", patch
    )
    bench.writer.seen(read_policy(bench.lab, bench.policy.name))
    await bench.settle(2)
    assert len(bench.writes()) == 2


@pytest.mark.lab
async def test_a_finding_that_is_gone_leaves_the_status(bench: Bench) -> None:
    await bench.writer.write(bench.policy, status(3))
    await bench.settle(3)
    await bench.writer.write(bench.policy, status(0))
    await bench.settle(0)


@pytest.mark.lab
async def test_a_condition_keeps_its_stored_time_over_a_restart(bench: Bench) -> None:
    first = StatusWriter(
        bench.session, lambda: None, Clock(now=lambda: datetime(2026, 11, 22, 8, tzinfo=UTC))
    )
    await first.write(bench.policy, status(1))
    await first.flush()
    later = StatusWriter(
        bench.session, lambda: None, Clock(now=lambda: datetime(2026, 11, 23, 8, tzinfo=UTC))
    )
    await later.write(bench.policy, status(2, ready="False"))
    await later.flush()
    found = read_policy(bench.lab, bench.policy.name)["status"]["conditions"]
    assert {each["type"]: each["lastTransitionTime"] for each in found} == {"Ready": LATE, "Compliant": EARLY}


@pytest.mark.lab
async def test_who_does_not_lead_writes_nothing_and_the_next_leader_does(bench: Bench) -> None:
    bench.leading = False
    await bench.writer.write(bench.policy, status(1))
    with pytest.raises(NotLeader):
        await bench.writer.hold(bench.policy)
    await asyncio.sleep(0.5)
    assert (bench.writes(), bench.stored()) == ([], {})
    bench.leading = True
    await bench.writer.write(bench.policy, status(1))
    await bench.settle(1)


@pytest.mark.lab
async def test_a_status_that_the_api_server_refuses_does_not_hold_up_the_next(bench: Bench) -> None:
    await bench.writer.write(bench.policy, {"summaries": 1})
    await asyncio.sleep(0.3)
    await bench.writer.write(bench.policy, status(1))
    await bench.settle(1)


@pytest.mark.lab
async def test_a_policy_of_the_same_name_that_was_made_anew_is_not_written(bench: Bench) -> None:
    old = bench.policy
    bench.lab.kubectl("delete", "resiliencepolicy", old.name)
    new = make_policy(bench.lab, old.name)
    assert new.uid != old.uid
    await bench.writer.write(old, status(1))
    await asyncio.sleep(0.5)
    with pytest.raises(LookupError):
        await bench.writer.hold(old)
    await bench.writer.let_go(old)
    assert (bench.writes(), bench.stored()) == ([], {})


@pytest.mark.lab
async def test_a_policy_is_held_once_and_let_go_beside_the_finalizers_of_others(bench: Bench) -> None:
    name = bench.policy.name

    def finalizers() -> list[str]:
        found: list[str] = read_policy(bench.lab, name)["metadata"].get("finalizers", [])
        return found

    others = json.dumps({"metadata": {"finalizers": ["example.com/keep"]}})
    bench.lab.kubectl("patch", "resiliencepolicy", name, "--type=merge", "-p", others)
    await bench.writer.hold(bench.policy)
    await bench.writer.hold(bench.policy)
    assert finalizers() == ["example.com/keep", FINALIZER]
    assert len(bench.writes()) == 1
    bench.lab.kubectl("delete", "resiliencepolicy", name, "--wait=false")
    await bench.writer.let_go(bench.policy)
    await bench.writer.let_go(bench.policy)
    assert finalizers() == ["example.com/keep"]
    bench.lab.kubectl(
        "patch", "resiliencepolicy", name, "--type=merge", "-p", '{"metadata":{"finalizers":null}}'
    )
    await bench.writer.let_go(bench.policy)
    assert len(bench.writes()) == 2


@pytest.mark.lab
async def test_a_policy_that_is_gone_is_forgotten(bench: Bench) -> None:
    bench.lab.kubectl("delete", "resiliencepolicy", bench.policy.name)
    await bench.writer.write(bench.policy, status(1))
    await asyncio.sleep(0.3)
    await bench.writer.write(replace(bench.policy), status(2))
    await asyncio.sleep(0.3)
    assert bench.writes() == []
