"""A slot is held by a rollout that we started, for as long as it may take, and by nothing else for ever."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from resilience_operator.core.state import ANNOTATION
from tests.sim.leaves import Raw
from tests.sim.world import workload
from tests.support.passes import Stage, refused

LIMITS = {"soakSeconds": 30, "progressDeadlineSeconds": 60}


def spec(**values: Any) -> Callable[[Raw], None]:
    return lambda raw: raw["spec"].update(values)


def never_ready(stage: Stage, *names: str) -> None:
    """The pods that we change of these are never ready."""
    stage.world.controller.well = lambda template: (
        not (template["metadata"]["labels"]["app"] in names and "dnsConfig" in template["spec"])
    )


@pytest.mark.parametrize(
    "change",
    [spec(paused=True), spec(minReadySeconds=2**31 - 2)],
    ids=["paused by its owner", "minReadySeconds of 68 years"],
)
async def test_a_rollout_that_stands_still_by_somebodys_will_keeps_its_own_object_only(
    change: Callable[[Raw], None],
) -> None:
    stage = Stage("aaa/api", "shop/web")
    stage.policy(rollout=LIMITS)
    stage.start()
    never_ready(stage, "api")  # nor available: that takes minReadySeconds
    await stage.turn()
    assert stage.has_dns("aaa/api")
    stage.world.cluster.update(("aaa", "api"), "kubectl", change)
    await stage.turns(320)
    assert stage.has_dns("shop/web")


async def test_what_failed_and_may_not_be_given_back_keeps_its_own_object_and_stops_its_namespace() -> None:
    stage = Stage("aaa/api", "aaa/web", "shop/one", "shop/two")
    stage.policy(rollout=LIMITS)
    stage.start()
    never_ready(stage, "api")
    await stage.turn()
    assert stage.has_dns("aaa/api")
    stage.api.struck["PATCH", "/namespaces/aaa/deployments/api"] = refused(422, "admission policy says no")
    await stage.turns(60)
    assert (stage.has_dns("shop/one"), stage.has_dns("shop/two")) == (True, True)
    assert not stage.has_dns("aaa/web"), "one failed there: nothing more is started in its namespace"


def forged(uid: str, at: str, revision: int) -> str:
    body = {
        "v": 1,
        "uid": uid,
        "policies": {"p-1": 1},
        "leaves": {},
        "applies": [[at, revision]],
    }
    return json.dumps(body)


async def test_a_forged_state_of_a_later_leader_holds_no_slot() -> None:
    stage = Stage("shop/web")
    body = workload("x", "evil", replicas=0)
    stage.world.cluster.create(body)
    uid = stage.world.cluster.stored["evil", "x"].raw["metadata"]["uid"]

    def forge(raw: Raw) -> None:
        raw["metadata"].setdefault("annotations", {})[ANNOTATION] = forged(
            uid, "8999-01-01T00:00:00Z", 999999
        )

    stage.world.cluster.update(("evil", "x"), "resilience-operator", forge)
    only = {"dnsConfig": {}, "namespaces": {"include": ["shop"]}}
    stage.policy(deployments=only, rollout=LIMITS)
    stage.start()
    await stage.turns(3)
    assert stage.has_dns("shop/web")


async def test_a_forged_state_that_is_written_anew_all_the_time_holds_no_slot() -> None:
    stage = Stage("evil/x", "shop/web")
    only = {"dnsConfig": {}, "namespaces": {"include": ["shop"]}}
    stage.policy(deployments={**only, "selector": {"matchLabels": {"app": "nobody"}}}, rollout=LIMITS)
    stage.start()
    await stage.turns(30)
    uid = stage.world.cluster.stored["evil", "x"].raw["metadata"]["uid"]
    for turn in range(6):
        if turn == 2:
            stage.policy(deployments=only, rollout=LIMITS)
            stage.reconciler.policies_replaced(list(stage.world.operator.policies.values()))
        at = stage.world.cluster.now.strftime("%Y-%m-%dT%H:%M:%SZ")

        def forge(raw: Raw, at: str = at) -> None:
            raw["metadata"].setdefault("annotations", {})[ANNOTATION] = forged(uid, at, 999999)

        stage.world.cluster.update(("evil", "x"), "resilience-operator", forge)
        await stage.turn()
    assert stage.has_dns("shop/web")


async def test_a_rollout_that_is_found_under_way_is_waited_for() -> None:
    stage = Stage("aaa/web", "shop/web")
    stage.policy(rollout=LIMITS)
    stage.start()
    await stage.turn(1.0)
    assert stage.has_dns("aaa/web")
    stage.start()
    await stage.turn(1.0)
    assert not stage.has_dns("shop/web")
    assert stage.finding("shop/web").endswith("1 of 1 rollouts of the operator run (aaa/web is one)")
    await stage.turns(40)
    assert stage.has_dns("shop/web")


def stopped_there(namespace: str, last: str) -> str:
    return (
        f"1 rollout failed in namespace {namespace}, {namespace}/{last} last; the policy is stopped there until its "
        "spec changes (failureThresholdPerNamespace: 1)"
    )


async def test_a_failed_rollout_stops_its_namespace_and_the_policy_only_when_it_fails_elsewhere_as_well() -> (
    None
):
    stage = Stage("aaa/bad", "aaa/web", "bbb/one", "bbb/two")
    stage.policy(rollout=LIMITS)
    stage.start()
    never_ready(stage, "bad", "worse")
    await stage.turns(80)
    assert [stage.has_dns(one) for one in ("aaa/bad", "aaa/web", "bbb/one", "bbb/two")] == [
        False,
        False,
        True,
        True,
    ]
    assert stage.condition("Degraded") == ("True", "StoppedInNamespace", stopped_there("aaa", "bad"))
    assert stage.finding("aaa/web").endswith(f"; {stopped_there('aaa', 'bad')}")
    for name in ("aa-worse", "web"):
        stage.world.cluster.create(workload("worse" if "worse" in name else name, "ccc"))
    stage.world.cluster.create(workload("web", "ddd"))
    await stage.turns(80)
    why = (
        "2 rollouts failed in 2 namespaces, ccc/worse last; the policy is stopped until its spec changes "
        "(failureThreshold: 2)"
    )
    assert stage.condition("Degraded") == ("True", "FailureThresholdReached", why)
    stage.world.cluster.create(workload("web", "eee"))
    await stage.turns(20)
    assert not stage.has_dns("eee/web")


async def test_deleting_what_failed_starts_no_stopped_policy_again() -> None:
    stage = Stage("aaa/bad", "aaa/web")
    stage.policy(rollout=LIMITS)
    stage.start()
    never_ready(stage, "bad")
    await stage.turns(60)
    assert stage.condition("Degraded")[2] == stopped_there("aaa", "bad")
    stage.world.cluster.delete(("aaa", "bad"))
    await stage.turns(20)
    assert not stage.has_dns("aaa/web")
    assert stage.condition("Degraded")[2] == stopped_there("aaa", "bad")
    stage.policy(rollout={**LIMITS, "soakSeconds": 31})
    stage.reconciler.policies_replaced(list(stage.world.operator.policies.values()))
    await stage.turns(20)
    assert stage.has_dns("aaa/web")


@pytest.mark.parametrize(
    ("change", "answer", "why"),
    [
        pytest.param(spec(paused=True), None, "the Deployment is paused", id="paused"),
        pytest.param(
            None, refused(422, "no"), "the last write failed: the API server refuses it: no", id="refused"
        ),
    ],
)
async def test_a_policy_that_is_deleted_waits_no_longer_than_a_rollout_for_one_object(
    change: Callable[[Raw], None] | None, answer: Callable[[], bytes] | None, why: str
) -> None:
    stage = Stage("aaa/web", "shop/web")
    stage.policy(rollout=LIMITS, onRelease="Revert")
    stage.start()
    await stage.turns(40)
    assert (stage.has_dns("aaa/web"), stage.has_dns("shop/web")) == (True, True)
    if change is not None:
        stage.world.cluster.update(("aaa", "web"), "kubectl", change)
    if answer is not None:
        stage.api.struck["PATCH", "/namespaces/aaa/deployments/web"] = answer
    await stage.turn()
    stage.world.operator.delete_policy()
    stage.reconciler.policies_replaced(list(stage.world.operator.policies.values()))
    await stage.turns(14)
    assert (stage.has_dns("shop/web"), stage.desk.let_go_of) == (False, [])
    await stage.turns(40)
    assert "p" in stage.desk.let_go_of
    notes = [one.note for one in stage.desk.notices if "was deleted" in one.note]
    told = f"dns-config: not given back before policy p was deleted: {why}; its values stay, annotation"
    assert set(notes) == {f"{told} resilience.dev/state says what was there before"}
    assert stage.has_dns("aaa/web")


async def test_a_late_write_of_the_leader_before_counts() -> None:
    stage = Stage("aaa/web", "shop/web")
    stage.policy(rollout=LIMITS)
    stage.start()
    (change,) = stage.world.operator.plan().now[:1]
    stage.api.struck["GET", "/resiliencepolicies/p"] = refused(500, "no")
    stage.world.operator.policies["p"]["metadata"]["finalizers"] = []
    stage.reconciler.policies_replaced(list(stage.world.operator.policies.values()))
    await stage.turn(1.0)
    assert not stage.has_dns("aaa/web")
    ops = tuple(change.patch(stage.world.cluster.now))
    stage.world.cluster.patch(("aaa", "web"), ops, "resilience-operator")
    await stage.turn(1.0)
    stage.api.struck.clear()
    await stage.turns(5, 2.0)
    assert (stage.has_dns("aaa/web"), stage.has_dns("shop/web")) == (True, False)
