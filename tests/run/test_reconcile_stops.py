"""A pass that has begun stops writing: when somebody presses pause, and when the policies that it serves change."""

import asyncio
import copy
import dataclasses
import json
import logging
from collections.abc import Callable
from typing import Any

import pytest

from resilience_operator.api.status import FINALIZER
from resilience_operator.run.reconcile import WRITERS, Reconciler
from resilience_operator.run.services import Settings
from tests.run.test_reconcile import DNS, NOW, Desk, services
from tests.sim.world import World, key

P = [f"p{number:02}" for number in range(2 * WRITERS)]
Q = [f"q{number:02}" for number in range(2 * WRITERS)]
AT_ONCE = {"maxConcurrent": 1000, "maxConcurrentPerNamespace": 1000}


class SlowApi:
    """Accepts every write after a while, and calls somebody as the first comes; `sent`: whose Deployment it was."""

    def __init__(self, world: World) -> None:
        self.sent: list[str] = []
        self.meanwhile: Callable[[], None] = lambda: None
        self._world = world

    async def request(self, method: str, path: str, **options: Any) -> bytes:
        """Answer with the object as it is."""
        name = path.rpartition("/")[2]
        if method != "GET":
            self.sent.append(name)
            if len(self.sent) == 1:
                self.meanwhile()
            await asyncio.sleep(0.001)
        return json.dumps(self._world.cluster.read(key(name))).encode()


class Stage:
    """Policies p and q, each over Deployments of its own, and a pass that is about to write all of them."""

    def __init__(self) -> None:
        self.paused = False
        world = World()
        for policy, names in {"p": P, "q": Q}.items():
            world.create(*names)
            select = {"matchExpressions": [{"key": "app", "operator": "In", "values": names}]}
            world.operator.policy(policy, deployments={**DNS, "selector": select}, rollout=AT_ONCE)
        self.api = SlowApi(world)
        made = services(world, self.api, Desk())
        self.reconciler = Reconciler(
            dataclasses.replace(made, paused=lambda: self.paused, settings=Settings(max_rollouts=1000))
        )
        self.policies = world.operator.policies
        for raw in self.policies.values():
            raw["metadata"]["finalizers"] = [FINALIZER]
            self.reconciler.policy_changed(raw, False)

    def pause(self) -> None:
        """Somebody presses pause."""
        self.paused = True

    def changed(self, **changes: Any) -> dict[str, Any]:
        """Policy p with another spec or other metadata."""
        raw = copy.deepcopy(self.policies["p"])
        raw["spec"] |= changes.pop("spec", {})
        raw["metadata"] |= {"generation": 2, **changes}
        return raw

    async def sent_by_a_pass(self) -> list[str]:
        """Whose Deployments the next pass writes."""
        self.api.sent.clear()
        await self.reconciler.one_pass()
        return sorted(self.api.sent)


async def test_a_pause_stops_a_pass_that_has_begun_and_nothing_is_tried_until_it_ends(
    caplog: pytest.LogCaptureFixture,
) -> None:
    stage = Stage()
    stage.api.meanwhile = stage.pause
    with caplog.at_level(logging.INFO):
        assert await stage.sent_by_a_pass() == ["p00"], "the one that was on its way"
    left = len(P + Q) - 1
    why = "paused by ConfigMap resilience-system/resilience-operator (pause: true)"
    (told,) = [one for one in caplog.messages if "not sent" in one]
    assert told == f"{left} of {len(P + Q)} changes are not sent: {why}"
    assert [await stage.sent_by_a_pass() for _ in range(3)] == [[], [], []]
    assert await stage.reconciler.one_pass() > 0, "it waits, and does not spin"
    stage.paused = False
    stage.api.meanwhile = lambda: None
    assert await stage.sent_by_a_pass() == P + Q


async def test_a_policy_that_is_suspended_stops_what_is_written_for_it_and_for_no_other() -> None:
    stage = Stage()
    suspended = stage.changed(spec={"suspend": True})
    stage.api.meanwhile = lambda: stage.reconciler.policy_changed(suspended, False)
    assert await stage.sent_by_a_pass() == ["p00", *Q]
    assert await stage.sent_by_a_pass() == Q, "decided anew: p asks for nothing"


@pytest.mark.parametrize("gone", [True, False], ids=["gone", "being deleted"])
async def test_nothing_more_is_written_for_a_policy_that_is_deleted(gone: bool) -> None:
    stage = Stage()
    deleted = stage.changed(deletionTimestamp=NOW)
    stage.api.meanwhile = lambda: stage.reconciler.policy_changed(deleted, gone)
    assert await stage.sent_by_a_pass() == ["p00", *Q]


async def test_a_policy_that_only_gets_our_finalizer_stops_nothing() -> None:
    stage = Stage()
    held = stage.changed(generation=1, finalizers=[FINALIZER, "example.com/another"])
    stage.api.meanwhile = lambda: stage.reconciler.policy_changed(held, False)
    assert await stage.sent_by_a_pass() == P + Q
