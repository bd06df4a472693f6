"""One replica writes: the election under fake time, and with two real processes on the lab."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import subprocess
import sys
import time
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from resilience_operator.api.lease import LeaseSettings
from resilience_operator.core.errors import NotLeader, Unreachable
from tests.lab import Lab
from tests.support.fake_leases import Fault, LeaseServer, Replica
from tests.support.fake_time import FakeTime

DURATION, TIMEOUT = 15.0, 10.0


class Cluster:
    """Replicas a, b, ... of one server."""

    def __init__(self) -> None:
        self.time, self.server = FakeTime(), LeaseServer()
        self.replicas: list[Replica] = []

    def add(self, faults: list[Fault] | None = None, wall_error: timedelta = timedelta()) -> Replica:
        name = "abcdef"[len(self.replicas)]
        chosen = LeaseSettings("home", name, duration=DURATION, request_timeout=TIMEOUT)
        clock = self.time.clock(wall_error)
        replica = Replica(name, self.server, self.time, chosen, faults or [], clock=clock)
        self.replicas.append(replica)
        replica.start()
        return replica

    async def until(self, replica: Replica, within: float) -> float:
        """Seconds after which the replica may write."""
        began = self.time.seconds
        while self.time.seconds - began < within:
            await self.time.advance(0.05)
            if replica.lease.may_write():
                return self.time.seconds - began
        raise AssertionError(f"{replica.name} does not write within {within} s")

    async def stop(self) -> None:
        for replica in self.replicas:
            await replica.stop()


async def test_the_first_candidate_writes_at_once_and_the_second_never_while_it_renews() -> None:
    cluster = Cluster()
    first = cluster.add()
    await cluster.time.advance(0.1)
    second = cluster.add()
    await cluster.time.advance(120)
    assert (first.lease.may_write(), second.lease.is_leader()) == (True, False)
    first.lease.fence()
    with pytest.raises(NotLeader, match=r"^b does not hold the Lease resilience-operator$"):
        second.lease.fence()
    created, *renewed = cluster.server.history
    assert created == {
        "holderIdentity": "a",
        "leaseDurationSeconds": 15,
        "acquireTime": created["acquireTime"],
        "renewTime": created["acquireTime"],
        "leaseTransitions": 0,
    }
    assert re.fullmatch(r"2026-11-22T08:00:00\.\d{6}Z", created["acquireTime"])
    assert len(renewed) == 23  # every 5 s and the time of two latencies, for 120 s
    assert all(record | {"renewTime": ""} == created | {"renewTime": ""} for record in renewed)
    await cluster.stop()


async def test_a_leader_that_dies_is_succeeded_after_its_lease_and_written_after_its_last_request() -> None:
    cluster = Cluster()
    first, second = cluster.add(), cluster.add()
    await cluster.time.advance(60)
    await first.stop()
    last_renewal = cluster.time.seconds - 5
    waited = await cluster.until(second, 60)
    assert DURATION + TIMEOUT - 5 <= waited <= DURATION + TIMEOUT + 2 + 0.2, last_renewal
    assert cluster.server.history[-1]["holderIdentity"] == "b"
    assert cluster.server.history[-1]["leaseTransitions"] == 1
    await cluster.stop()


async def test_a_released_lease_is_taken_and_written_at_the_next_look() -> None:
    cluster = Cluster()
    first, second = cluster.add(), cluster.add()
    await cluster.time.advance(60)
    await first.stop()
    release = asyncio.create_task(first.lease.release())
    await cluster.time.advance(0.1)
    await release
    assert not first.lease.is_leader()
    released = [spec for spec in cluster.server.history if not spec["holderIdentity"]]
    assert [spec["leaseDurationSeconds"] for spec in released] == [1]
    assert await cluster.until(second, 10) <= 2.1
    await cluster.stop()


@pytest.mark.parametrize("kind", ["refuse", "slow", "lose-answer"])
async def test_a_leader_without_answers_stops_at_two_thirds_of_its_lease(kind: str) -> None:
    cluster = Cluster()
    leader = cluster.add([Fault(kind, 30.0, 1000.0)])
    last = 0.0
    while leader.lease.is_leader() or cluster.time.seconds < 30:
        last = cluster.time.seconds
        await cluster.time.advance(0.05)
    # Renewals start at 0.02 + n * 5.02; the last one whose answer came began at 25.12.
    assert 25.12 + 10 - 0.1 <= last <= 25.12 + 10 + 0.1
    assert not leader.lease.may_write()
    await cluster.stop()


async def test_a_leader_that_was_cut_off_alone_leads_again_with_no_wait() -> None:
    cluster = Cluster()
    leader = cluster.add([Fault("refuse", 30.0, 40.0)])
    await cluster.time.advance(69)
    assert not leader.lease.is_leader()
    await cluster.time.advance(4)
    assert leader.lease.may_write()
    assert {record["leaseTransitions"] for record in cluster.server.history} == {0}
    await cluster.stop()


async def test_wall_clocks_that_are_days_apart_change_nothing() -> None:
    cluster = Cluster()
    first = cluster.add()
    await cluster.time.advance(1)
    second = cluster.add(wall_error=timedelta(days=3))
    third = cluster.add(wall_error=timedelta(days=-3))
    await cluster.time.advance(120)
    assert [replica.lease.is_leader() for replica in (first, second, third)] == [True, False, False]
    await cluster.stop()


async def test_a_lease_that_somebody_deletes_is_made_anew_and_its_last_holder_is_waited_for() -> None:
    cluster = Cluster()
    first = cluster.add([Fault("freeze", 60.0, 1000.0)])
    await cluster.time.advance(1)
    second = cluster.add()
    await cluster.time.advance(60)
    cluster.server.body = None
    began = cluster.time.seconds
    await cluster.until(second, 60)
    assert cluster.time.seconds - began >= DURATION + TIMEOUT
    assert not first.lease.may_write()
    await cluster.stop()


async def test_the_holder_of_a_deleted_lease_is_waited_for_also_by_whom_it_was_only_refused_to() -> None:
    cluster = Cluster()
    first = cluster.add([Fault("freeze", 60.0, 1000.0)])
    second = cluster.add([Fault("refuse", 0.5, 63.0)])
    await cluster.time.advance(64)
    assert first.lease.may_write()
    cluster.server.body = None
    began = cluster.time.seconds
    await cluster.until(second, 60)
    assert cluster.time.seconds - began >= DURATION + TIMEOUT
    assert cluster.server.history[-1]["holderIdentity"] == "b"
    await cluster.stop()


async def test_a_successor_that_still_waits_does_not_release() -> None:
    cluster = Cluster()
    first, second = cluster.add(), cluster.add()
    await cluster.time.advance(60)
    await first.stop()
    await cluster.time.advance(DURATION + 3)
    assert (second.lease.is_leader(), second.lease.may_write()) == (True, False)
    await second.lease.release()
    assert cluster.server.history[-1]["holderIdentity"] == "b"
    await cluster.stop()


async def test_a_release_that_nobody_answers_says_so() -> None:
    cluster = Cluster()
    leader = cluster.add([Fault("refuse", 30.0, 1000.0)])
    await cluster.time.advance(31)
    with pytest.raises(Unreachable):
        await leader.lease.release()
    assert not leader.lease.is_leader()
    await cluster.stop()


FAULT = st.builds(
    Fault,
    kind=st.sampled_from(["freeze", "refuse", "slow", "lose-answer"]),
    # Each has seen the Lease before: to one that never did, a Lease that was deleted is the first there is.
    start=st.floats(1, 150),
    seconds=st.floats(0.1, 60),
)


@settings(max_examples=150, deadline=None, derandomize=True)
@example(faults=[[], [Fault("freeze", 1.0, 10.0), Fault("slow", 11.0, 60.0)]], delete=True)
@given(st.lists(st.lists(FAULT, max_size=4), min_size=2, max_size=3), st.booleans())
def test_never_do_two_write_and_in_the_end_one_does(faults: list[list[Fault]], delete: bool) -> None:
    asyncio.run(_history(faults, delete))


async def _history(faults: list[list[Fault]], delete: bool) -> None:
    cluster = Cluster()
    for each in faults:
        cluster.add(each)
    last: dict[str, float] = {}

    def look() -> None:
        now = cluster.time.seconds
        writing = [replica.name for replica in cluster.replicas if replica.lease.may_write()]
        assert len(writing) <= 1, f"{writing} write at {now}"
        for name in writing:
            others = [at for other, at in last.items() if other != name]
            # Whatever a former leader sent has ended, committed or not, before its successor sends.
            assert all(now - at >= TIMEOUT for at in others), f"{name} writes at {now}, others at {last}"
            last[name] = now

    await cluster.time.advance(75, look)
    if delete:
        cluster.server.body = None
    await cluster.time.advance(225, look)
    assert [replica.lease.may_write() for replica in cluster.replicas].count(True) == 1
    await cluster.stop()


@pytest.mark.lab
def test_of_two_processes_the_one_that_was_stopped_past_its_lease_writes_no_more(
    lab: Lab, namespace: str
) -> None:
    children = {name: _elector(lab.kubeconfig(), namespace, name) for name in ("a", "b")}
    try:
        leader = lab.wait(lambda: _holder(lab, namespace), what="a leader")
        other = "b" if leader == "a" else "a"
        time.sleep(1)
        os.kill(children[leader].pid, signal.SIGSTOP)
        lab.wait(lambda: _holder(lab, namespace) == other, what=f"{other} to lead")
        time.sleep(4)
        os.kill(children[leader].pid, signal.SIGCONT)
        time.sleep(2)
    finally:
        writes = {name: _stop(child) for name, child in children.items()}
    # Both wrote, the successor only after lease and request time, and after it nobody else.
    assert len(writes[leader]) > 10
    assert len(writes[other]) > 10
    assert min(writes[other]) - max(writes[leader]) > 1.0
    assert _transitions(lab, namespace) == "1"


def _elector(kubeconfig: Path, namespace: str, name: str) -> subprocess.Popen[str]:
    argv = [sys.executable, "-m", "tests.support.elector", str(kubeconfig), namespace, name]
    return subprocess.Popen(argv, stdout=subprocess.PIPE, text=True)


def _stop(child: subprocess.Popen[str]) -> list[float]:
    child.kill()
    out, _ = child.communicate(timeout=10)
    return [float(line) for line in out.splitlines()]


def _holder(lab: Lab, namespace: str) -> str:
    return _field(lab, namespace, "holderIdentity")


def _transitions(lab: Lab, namespace: str) -> str:
    return _field(lab, namespace, "leaseTransitions")


def _field(lab: Lab, namespace: str, name: str) -> str:
    found = lab.kubectl(
        "get", "lease", "-n", namespace, "--ignore-not-found", "-o", f"jsonpath={{.items[*].spec.{name}}}"
    )
    return found.strip()
