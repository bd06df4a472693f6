"""Kopf inside the operator: what it tells of policies, that it writes nothing, and that it may fail."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import kopf
import pytest

from resilience_operator.api.pacing import Backoff
from resilience_operator.run.embedding import KopfThread
from resilience_operator.run.host import serve
from resilience_operator.run.kopf_guard import USER_AGENT, ForeignWriteError, guarded_session
from resilience_operator.run.services import Services, Settings
from tests.lab import Lab
from tests.support.served import LABEL, make_policy, read_policy, serve_policies

pytestmark = pytest.mark.lab


class Listener:
    """A reconciler that remembers what it is told, and decides nothing."""

    def __init__(self, services: Services) -> None:
        self.services = services
        self.changes: list[tuple[str, int, bool]] = []
        self.lists: list[list[str]] = []
        self.wakes = 0

    async def run(self) -> None:
        """Nothing, for ever."""
        await asyncio.Event().wait()

    def broken(self) -> tuple[str, ...]:
        """Nothing is."""
        return ()

    def wake(self) -> None:
        """Count."""
        self.wakes += 1

    def policy_changed(self, raw: dict[str, Any], deleted: bool) -> None:
        """Remember name, generation, and whether it is gone."""
        self.changes.append((raw["metadata"]["name"], raw["metadata"]["generation"], deleted))

    def policies_replaced(self, raws: list[dict[str, Any]]) -> None:
        """Remember the names."""
        self.lists.append([raw["metadata"]["name"] for raw in raws])

    def policies_outside(self, raws: list[dict[str, Any]]) -> None:
        """Nobody asks."""


def settings(lab: Lab, namespace: str, selector: str, **more: Any) -> Settings:
    return Settings(
        kubeconfig=str(lab.kubeconfig()),
        namespace=namespace,
        identity="test",
        metrics_bind="0",
        health_bind="0",
        policy_selector=selector,
        lease_duration=2,
        request_timeout=1,
        **more,
    )


@asynccontextmanager
async def running(chosen: Settings) -> AsyncIterator[Listener]:
    """The operator with a listener; left when it has ended in order."""
    made: asyncio.Future[Listener] = asyncio.get_running_loop().create_future()

    def make(services: Services) -> Listener:
        made.set_result(Listener(services))
        return made.result()

    stop = asyncio.Event()
    task = asyncio.create_task(serve(chosen, make, stop))
    try:
        yield await asyncio.wait_for(made, 10)
    finally:
        stop.set()
        await asyncio.wait_for(task, 10)


async def until(probe: Callable[[], object], what: str, seconds: float = 10) -> None:
    for _ in range(int(seconds / 0.05)):
        if probe():
            return
        await asyncio.sleep(0.05)
    raise AssertionError(f"not within {seconds} s: {what}")


@pytest.fixture(autouse=True)
def served(lab: Lab) -> None:
    serve_policies(lab)


async def test_policies_are_told_of_when_they_are_made_changed_and_deleted_and_kopf_writes_nothing(
    lab: Lab, namespace: str
) -> None:
    mark = lab.audit.mark()
    before = make_policy(lab, f"{namespace}-0")
    lab.kubectl("label", "resiliencepolicy", before.name, f"{LABEL}={namespace}", "--overwrite")
    async with running(settings(lab, namespace, f"{LABEL}={namespace}")) as listener:
        # Kopf's own list asks for a second one of ours.
        await until(lambda: listener.lists == [[before.name]] * 2, "two lists")
        listener.changes.clear()
        name = make_policy(lab, f"{namespace}-1").name
        lab.kubectl("label", "resiliencepolicy", name, f"{LABEL}={namespace}", "--overwrite")
        lab.kubectl("patch", "resiliencepolicy", name, "--type=merge", "-p", '{"spec": {"suspend": true}}')
        await until(lambda: (name, 2, False) in listener.changes, "the change")
        lab.kubectl("delete", "resiliencepolicy", name)
        await until(lambda: listener.changes[-1][::2] == (name, True), "the deletion")
        make_policy(lab, f"{namespace}-other")
        lab.kubectl("annotate", "resiliencepolicy", before.name, "touched=yes")
        await until(lambda: listener.changes[-1] == (before.name, 1, False), "the annotation")
        # Each once, and what the selector leaves out never.
        assert listener.changes == [
            (name, 1, False),
            (name, 2, False),
            (name, 2, True),
            (before.name, 1, False),
        ]
        await until(lambda: listener.services.lease.may_write(), "the Lease")
    reads = lab.audit.reads(mark, user_agent=USER_AGENT, resource="resiliencepolicies")
    assert "watch" in {read.verb for read in reads}
    assert lab.audit.writes(mark, user_agent=USER_AGENT) == []
    own = lab.audit.writes(mark, user_agent="resilience-operator/", namespace=namespace)
    assert {(write.resource, write.verb) for write in own if not write.asks_the_guard} == {
        ("leases", "create"),
        ("leases", "update"),
    }
    assert "finalizers" not in read_policy(lab, before.name)["metadata"]


async def test_a_deletion_that_kopf_never_told_is_found_by_the_next_list(lab: Lab, namespace: str) -> None:
    policy = make_policy(lab, namespace)
    chosen = settings(lab, namespace, f"{LABEL}={namespace}", resync=1.0)

    async def deaf(**_: Any) -> None:
        await asyncio.Event().wait()

    made: list[Listener] = []

    def make(services: Services) -> Listener:
        made.append(Listener(services))
        return made[0]

    stop = asyncio.Event()
    task = asyncio.create_task(serve(chosen, make, stop, kopf_operator=deaf))
    await until(lambda: made and made[0].lists, "the first list")
    lab.kubectl("delete", "resiliencepolicy", policy.name)
    await until(lambda: made[0].lists[-1] == [], "a list without it")
    assert (made[0].lists[0], made[0].changes) == ([policy.name], [])
    stop.set()
    await task


async def test_kopf_that_fails_is_started_again(lab: Lab, namespace: str) -> None:
    policy = make_policy(lab, namespace)
    told: list[tuple[str | None, str]] = []
    starts: list[str] = []

    async def failing(**arguments: Any) -> None:
        starts.append("start")
        if len(starts) < 3:
            raise RuntimeError("the watch is dead")
        await kopf.operator(**arguments)

    def sink(kind: str | None, raw: dict[str, Any]) -> None:
        told.append((kind, raw["metadata"]["name"]))

    chosen = settings(lab, namespace, f"{LABEL}={namespace}")
    thread = KopfThread(chosen, sink, failing, Backoff(first=0.1))
    thread.start()
    await until(lambda: told == [(None, policy.name)], "the policy")
    assert (len(starts), thread.alive()) == (3, True)
    thread.ask_to_stop()
    await asyncio.to_thread(thread.join, 8.0)
    assert not thread.alive()


async def test_kopf_runs_as_a_user_that_has_no_name(
    lab: Lab, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in a pod, whose uid no passwd lists."""

    def nameless() -> str:
        raise KeyError("getpwuid(): uid not found: 65532")

    monkeypatch.setattr("getpass.getuser", nameless)
    policy, told = make_policy(lab, namespace), []

    def sink(kind: str | None, raw: dict[str, Any]) -> None:
        told.append((kind, raw["metadata"]["name"]))

    thread = KopfThread(settings(lab, namespace, f"{LABEL}={namespace}"), sink)
    thread.start()
    await until(lambda: told == [(None, policy.name)], "the policy")
    thread.ask_to_stop()
    await asyncio.to_thread(thread.join, 8.0)
    assert not thread.alive()


async def test_the_guard_lets_nothing_be_written_outside_our_group(lab: Lab, namespace: str) -> None:
    mark = lab.audit.mark()
    guarded = await guarded_session(settings(lab, namespace, ""))
    async with guarded.aiohttp_session as session:
        async with session.get(f"{guarded.server}/api/v1/namespaces/{namespace}") as answer:
            assert answer.status == 200
        for method, path in {
            "PATCH": f"/api/v1/namespaces/{namespace}",
            "DELETE": f"/apis/apps/v1/namespaces/{namespace}/deployments/web",
            "POST": f"/apis/resilience.development/v1/namespaces/{namespace}/events",
        }.items():
            with pytest.raises(ForeignWriteError, match=f"Kopf may not {method} {path}"):
                await session.request(method, f"{guarded.server}{path}", json={})
    assert lab.audit.writes(mark, user_agent=USER_AGENT) == []
