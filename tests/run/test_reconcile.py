"""Passes of the reconciler over a simulated cluster whose API server refuses what it is sent."""

import asyncio
import copy
import json
import time
from collections import Counter
from collections.abc import Callable
from typing import Any, cast

import pytest

from resilience_operator.api.client import Client
from resilience_operator.api.lease import Lease
from resilience_operator.api.metrics import Metrics
from resilience_operator.api.recorder import Notice, Recorder
from resilience_operator.api.status import FINALIZER, StatusWriter
from resilience_operator.api.write import Writer
from resilience_operator.core.errors import ApiError
from resilience_operator.core.kinds import BUDGET as BUDGETS
from resilience_operator.core.refs import ObjectRef
from resilience_operator.run import reconcile
from resilience_operator.run.reconcile import Reconciler
from resilience_operator.run.services import Services, Settings
from resilience_operator.targets import judge, project
from resilience_operator.targets.workloads.view import View
from tests.sim.world import World, key

DNS: dict[str, Any] = {"dnsConfig": {}}
NOW = "2026-11-22T08:00:00Z"


class RefusingApi:
    """Reads are answered; every write is refused with 422."""

    def __init__(self, world: World) -> None:
        self.asked: Counter[str] = Counter()
        self._world = world

    async def request(self, method: str, path: str, **options: Any) -> bytes:
        """Answer, or refuse."""
        self.asked[method] += 1
        if method == "GET":
            return json.dumps(self._world.cluster.read(key("web"))).encode()
        raise ApiError(422, "Invalid", "admission webhook says no")


class Desk:
    """What the reconciler tells: Events, and which policies it lets go."""

    def __init__(self) -> None:
        self.notices: list[Notice] = []
        self.let_go_of: list[str] = []
        self.statuses: list[tuple[str, dict[str, Any]]] = []

    def notify(self, notice: Notice) -> None:
        """An Event."""
        self.notices.append(notice)

    def seen(self, raw: dict[str, Any]) -> None:
        """A policy as it is stored."""

    def forget(self, uid: str) -> None:
        """A policy that is gone."""

    async def write(self, policy: ObjectRef, status: dict[str, Any]) -> None:
        """A status."""
        self.statuses.append((policy.name, status))

    async def let_go(self, policy: ObjectRef) -> None:
        """The finalizer goes."""
        self.let_go_of.append(policy.name)

    def may_write(self) -> bool:
        """As the Lease says it."""
        return True


def services(world: World, api: Client, desk: Desk) -> Services:
    return Services(
        settings=Settings(),
        store=world.operator.store(),
        writer=Writer(api, lambda: None, lambda kind, raw: None),
        recorder=cast(Recorder, desk),
        status=cast(StatusWriter, desk),
        metrics=Metrics(),
        lease=cast(Lease, desk),
        paused=lambda: False,
        fresh=lambda: (),
        now=lambda: world.cluster.now,
        monotonic=time.monotonic,
        server_version=(1, 36),
    )


async def test_a_withdrawal_that_is_refused_waits_and_holds_no_other_policy_back() -> None:
    world = World()
    world.create("web")
    world.operator.policy(deployments=DNS, onRelease="Revert")
    world.until(world.converged)
    world.operator.delete_policy()
    api, desk = RefusingApi(world), Desk()
    reconciler = Reconciler(services(world, api, desk))
    leaving = world.operator.policies["p"]
    leaving["metadata"]["finalizers"] = [FINALIZER]
    other = {"name": "q", "uid": "q-1", "generation": 1, "finalizers": [FINALIZER], "deletionTimestamp": NOW}
    nobody = {**DNS, "selector": {"matchLabels": {"app": "nobody"}}}
    reconciler.policy_changed(leaving, False)
    reconciler.policy_changed({"metadata": other, "spec": {"mode": "Enforce", "deployments": nobody}}, False)
    task = asyncio.create_task(reconciler.run())
    for _ in range(100):
        await asyncio.sleep(0.1)
        if desk.let_go_of and any(notice.reason == "RemediationFailed" for notice in desk.notices):
            break
    await asyncio.sleep(2.0)
    task.cancel()
    assert 1 <= api.asked["PATCH"] <= 5, "each refusal is waited for longer"
    assert "RemediationFailed" in {notice.reason for notice in desk.notices}
    assert set(desk.let_go_of) == {"q"}, "p keeps its finalizer, for its value was not given back"


class WritingApi:
    """Accepts every write, and calls somebody while it is on its way."""

    def __init__(self, world: World, meanwhile: Callable[[], None]) -> None:
        self.asked: Counter[str] = Counter()
        self._world, self._meanwhile = world, meanwhile

    async def request(self, method: str, path: str, **options: Any) -> bytes:
        """Answer with the object as it is."""
        self.asked[method] += 1
        if method == "PATCH":
            self._meanwhile()
            await asyncio.sleep(0)
        return json.dumps(self._world.cluster.read(key(path.rpartition("/")[2]))).encode()


async def test_a_policy_that_is_deleted_while_another_is_served_is_not_let_go_before_its_values_are_back() -> (
    None
):
    world = World()
    world.create("web", "other")
    only = {**DNS, "selector": {"matchLabels": {"app": "web"}}}
    world.operator.policy("p", deployments=only, onRelease="Revert")
    world.until(world.converged)
    world.operator.policy("q", deployments={**DNS, "selector": {"matchLabels": {"app": "other"}}})
    desk = Desk()

    def delete() -> None:
        world.operator.delete_policy("p")
        reconciler.policy_changed(world.operator.policies["p"], False)

    api = WritingApi(world, delete)
    reconciler = Reconciler(services(world, api, desk))
    for raw in world.operator.policies.values():
        raw["metadata"]["finalizers"] = [FINALIZER]
        reconciler.policy_changed(raw, False)
    await reconciler.one_pass()
    assert (api.asked["PATCH"], desk.let_go_of) == (1, [])


async def test_a_policy_that_comes_while_another_is_served_is_not_called_compliant_before_it_is_evaluated() -> (
    None
):
    world = World()
    world.create("web")
    world.operator.policy(deployments=DNS)
    world.operator.policies["p"]["metadata"]["finalizers"] = [FINALIZER]
    desk = Desk()
    later = copy.deepcopy(world.operator.policies["p"])
    later["metadata"] |= {"name": "q", "uid": "q-1"}
    later["spec"] |= {"mode": "Audit", "deployments": {"probes": {}}}
    changed = copy.deepcopy(world.operator.policies["p"])
    changed["metadata"]["generation"] = 7
    changed["spec"]["deployments"]["probes"] = {}

    def come() -> None:
        reconciler.policy_changed(later, False)
        reconciler.policy_changed(changed, False)

    api = WritingApi(world, come)
    reconciler = Reconciler(services(world, api, desk))
    reconciler.policy_changed(world.operator.policies["p"], False)
    await reconciler.one_pass()
    told = [(name, status["observedGeneration"]) for name, status in desk.statuses]
    assert api.asked["PATCH"] == 1
    assert told == [("p", 1)], "what came while it wrote is not told of with the numbers of before"
    await asyncio.sleep(1.1)
    await reconciler.one_pass()
    second = {
        name: (status["observedGeneration"], status["conditions"][1]["status"])
        for name, status in desk.statuses[1:]
    }
    assert second == {"p": (7, "False"), "q": (1, "False")}


async def test_an_error_about_one_object_is_told_and_keeps_no_other_from_being_evaluated(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def judge_but_one(view: View, *rest: Any) -> Any:
        if view.ref.key == ("Deployment", "shop", "broken"):
            raise KeyError("rule-of-tomorrow")
        return judge(view, *rest)

    monkeypatch.setattr(reconcile, "judge", judge_but_one)
    world = World()
    world.create("broken", "web")
    world.operator.policy(mode="Audit", deployments=DNS)
    desk = Desk()
    reconciler = Reconciler(services(world, RefusingApi(world), desk))
    reconciler.policies_replaced([world.operator.policies["p"]])
    await reconciler.one_pass()
    assert list(reconciler._cluster.keys()) == [("shop", "web")]
    (told,) = reconciler._memory.troubles(())
    assert told == "nothing can be decided about shop/broken: KeyError: 'rule-of-tomorrow'"


async def test_an_object_that_cannot_be_decided_about_holds_the_policies_that_wrote_it_and_no_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def judge_none(view: View, *rest: Any) -> Any:
        raise KeyError("rule-of-tomorrow")

    world = World()
    world.create("web")
    world.operator.policy("p", deployments=DNS, onRelease="Revert")
    world.until(world.converged)
    world.operator.policy("q", deployments={**DNS, "selector": {"matchLabels": {"app": "nobody"}}})
    monkeypatch.setattr(reconcile, "judge", judge_none)
    desk = Desk()
    reconciler = Reconciler(services(world, RefusingApi(world), desk))
    for name, raw in world.operator.policies.items():
        world.operator.delete_policy(name)
        raw["metadata"]["finalizers"] = [FINALIZER]
        reconciler.policy_changed(raw, False)
    await reconciler.one_pass()
    assert desk.let_go_of == ["q"]


BUDGET: dict[str, Any] = {"disruptionBudget": {}}


class Quota:
    """Reads find nothing; a budget that is made is refused, as a quota does it, or accepted and gone at once."""

    def __init__(self, *, accepts: bool = False) -> None:
        self.asked: Counter[str] = Counter()
        self._accepts = accepts

    async def request(self, method: str, path: str, **options: Any) -> bytes:
        """Answer, or refuse."""
        self.asked[method] += 1
        if method == "GET":
            raise ApiError(404, "NotFound", "not found")
        if not self._accepts:
            raise ApiError(403, "Forbidden", "exceeded quota: pdbs, limited: count/poddisruptionbudgets=0")
        body: dict[str, Any] = json.loads(options["body"])
        body["metadata"] |= {"resourceVersion": "7", "uid": "b-1"}
        return json.dumps(body).encode()


def reconciling(world: World, api: Client, desk: Desk) -> Reconciler:
    world.create("web")
    world.operator.policy(deployments=BUDGET)
    reconciler = Reconciler(services(world, api, desk))
    for raw in world.operator.policies.values():
        raw["metadata"]["finalizers"] = [FINALIZER]
        reconciler.policy_changed(raw, False)
    return reconciler


async def test_a_budget_that_a_quota_refuses_is_not_sent_again_until_something_changes() -> None:
    api, desk = Quota(), Desk()
    reconciler = reconciling(World(), api, desk)
    for _ in range(5):
        await reconciler.one_pass()
    assert api.asked["POST"] == 1
    told = [(notice.reason, notice.note) for notice in desk.notices if notice.rule]
    why = "the API server refuses it: exceeded quota: pdbs, limited: count/poddisruptionbudgets=0"
    out = "Opt out: label resilience.dev/ignore=disruption-budget"
    none = "no PodDisruptionBudget selects the pods of its 3 replicas"
    assert told == [
        ("RemediationFailed", f"policy p, rule disruption-budget: {why}. {out}"),
        ("DriftDetected", f"policy p, rule disruption-budget: {none}; {why}. {out}"),
    ]


async def test_a_budget_that_somebody_deletes_again_and_again_is_made_three_times() -> None:
    api, desk = Quota(accepts=True), Desk()
    reconciler = reconciling(World(), api, desk)
    for _ in range(8):
        await reconciler.one_pass()
    assert api.asked["POST"] == 3
    assert desk.notices[-1].note.endswith(
        "PodDisruptionBudget web-resilience was made or put back 3 times within 600 s and did not stay so: left alone"
        " until the Deployment or a policy changes. Opt out: label resilience.dev/ignore=disruption-budget"
    )


OURS: dict[str, Any] = {
    "metadata": {
        "name": "web-resilience",
        "namespace": "shop",
        "uid": "b-1",
        "resourceVersion": "7",
        "labels": {"app.kubernetes.io/managed-by": "resilience-operator"},
        "ownerReferences": [{"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}],
    },
    "spec": {"maxUnavailable": 1, "selector": {"matchLabels": {"app": "web"}}},
}


async def test_a_policy_deleted_while_suspended_is_not_let_go_before_its_budget_is_gone() -> None:
    world = World()
    world.create("web")
    world.operator.policy(deployments=BUDGET, suspend=True)
    leaving = world.operator.policies["p"]
    leaving["metadata"] |= {"finalizers": [FINALIZER], "deletionTimestamp": NOW}
    api, desk = RefusingApi(world), Desk()
    beside = services(world, api, desk)
    ours = copy.deepcopy(OURS)
    ours["metadata"]["labels"]["resilience.dev/policy"] = leaving["metadata"]["uid"]
    ours["metadata"]["ownerReferences"][0]["uid"] = world.cluster.read(key("web"))["metadata"]["uid"]
    beside.store.put(BUDGETS, project(BUDGETS, json.dumps(ours).encode()))
    reconciler = Reconciler(beside)
    reconciler.policy_changed(leaving, False)
    task = asyncio.create_task(reconciler.run())
    await asyncio.sleep(2.0)
    task.cancel()
    assert 2 <= api.asked["DELETE"] <= 4, "each refusal is waited for longer"
    assert [notice.reason for notice in desk.notices if notice.rule] == ["RemediationFailed"], "told once"
    assert desk.let_go_of == []
    beside.store.delete(BUDGETS, "shop", "web-resilience", "b-1")
    await reconciler.one_pass()
    assert desk.let_go_of == ["p"]
