"""Who cannot go keeps nobody from going: it holds no slot, and says what it waits for itself."""

from collections.abc import Callable

import pytest

from resilience_operator.core.errors import Unreachable
from resilience_operator.core.refs import ObjectRef
from resilience_operator.engine import gates
from resilience_operator.engine.change import Change
from resilience_operator.engine.optout import IGNORE
from resilience_operator.engine.queue import OperatorLimits, health_by, open_breakers
from tests.sim.world import workload
from tests.support.passes import Answer, Stage, refused

DEAD = 'failed calling webhook "x.evil": no endpoints available for service "x"'
NO_RIGHT = (
    'deployments.apps "web" is forbidden: User "o" cannot patch resource "deployments" in API group "apps"'
)


def lost() -> bytes:
    """No answer at all."""
    raise Unreachable("the API server closed the connection")


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        pytest.param(refused(500, DEAD), f"the last write failed: {DEAD}", id="webhook"),
        pytest.param(refused(504, "slow"), "the last write failed: slow", id="timeout"),
        pytest.param(refused(429, "busy", 90.0), "the last write failed: busy", id="Retry-After"),
        pytest.param(refused(403, NO_RIGHT), f"the operator lacks a right: {NO_RIGHT}", id="right"),
        pytest.param(lost, "the last write failed: the API server closed the connection", id="lost"),
    ],
)
async def test_what_may_not_be_sent_holds_no_slot_and_says_why(answer: Answer, why: str) -> None:
    stage = Stage("aaa/one", "aaa/two", "shop/web", "zzz/last")
    stage.policy()
    stage.start()
    for name in ("one", "two"):
        stage.api.struck["PATCH", f"/namespaces/aaa/deployments/{name}"] = answer
    seen = set()
    for _ in range(30):
        await stage.turn(2.0)
        seen.add(stage.finding("aaa/one"))
    assert (stage.has_dns("shop/web"), stage.has_dns("zzz/last")) == (True, True)
    assert any(one.endswith(f"; {why}") for one in seen), seen
    metrics = stage.services.metrics.exposition().decode()
    assert "resilience_rollouts_in_flight 0.0" in metrics
    assert any(
        one in metrics for one in ('waiting{gate="earlier_write"} 2.0', 'waiting{gate="earlier_write"} 1.0')
    )


async def test_a_write_that_fails_again_and_again_is_told_everywhere_and_once() -> None:
    stage = Stage("shop/web")
    stage.policy()
    stage.start()
    stage.api.struck["PATCH", "/deployments/web"] = refused(500, DEAD)
    await stage.turns(40, 2.0)
    assert stage.finding("shop/web").endswith(f"; the last write failed: {DEAD}")
    assert stage.condition("Degraded") == (
        "True",
        "WriteFailed",
        f"the last write of shop/web failed: {DEAD}",
    )
    assert stage.condition("Progressing")[:2] == ("True", "Waiting")
    assert stage.condition("Progressing")[2].endswith(DEAD)
    told = [one for one in stage.desk.notices if one.reason == "RemediationFailed"]
    assert [(one.type, one.note) for one in told] == [
        (
            "Warning",
            f"policy p, rule dns-config: the last write failed: {DEAD}. Opt out: label {IGNORE}=dns-config",
        )
    ]
    (record,) = stage.told()["remediations"]
    assert (record["result"], record["message"]) == ("Failed", f"the last write failed: {DEAD}")
    stage.api.struck.clear()
    await stage.turns(200, 2.0)
    assert stage.has_dns("shop/web")
    assert stage.condition("Degraded")[0] == "False"
    assert [one["result"] for one in stage.told()["remediations"]] == ["Applied", "Failed"]


@pytest.mark.parametrize(
    "answer", [refused(403, "denied"), refused(500, "down"), lost, lambda: b"<html>no</html>"]
)
async def test_an_end_that_cannot_be_learned_holds_its_own_object_for_a_while_and_no_other(
    answer: Callable[[], bytes],
) -> None:
    stage = Stage("aaa/web", "shop/web", "zzz/web")
    stage.policy(rollout={"maxConcurrent": 2})
    stage.settings = {"max_rollouts": 2}
    stage.start()
    stage.api.struck["PATCH", "/namespaces/aaa/deployments/web"] = lost
    stage.api.struck["GET", "/namespaces/aaa/deployments/web"] = answer
    await stage.turns(10, 2.0)
    assert (stage.has_dns("shop/web"), stage.has_dns("zzz/web")) == (True, True)
    assert "waits to learn what became of its last write" in stage.finding("aaa/web")
    asked = stage.api.asked.count(("PATCH", "/apis/apps/v1/namespaces/aaa/deployments/web"))
    assert asked == 1, "it is not tried again before its end is known"
    del stage.api.struck["PATCH", "/namespaces/aaa/deployments/web"]
    await stage.turns(60, 5.0)
    assert stage.has_dns("aaa/web"), "what the watch says counts in the end"


async def test_an_unknown_end_counts_as_a_rollout_for_a_bounded_time() -> None:
    stage = Stage("aaa/web", "shop/web")
    stage.policy()
    stage.start()
    stage.api.struck["PATCH", "/namespaces/aaa/deployments/web"] = lost
    stage.api.struck["GET", "/namespaces/aaa/deployments/web"] = refused(500, "down")
    await stage.turns(5, 2.0)
    assert not stage.has_dns("shop/web"), "it may roll out"
    assert stage.finding("shop/web").endswith(
        "waits for a slot: 1 of 1 rollouts of the operator run (aaa/web is one)"
    )
    assert stage.condition("Degraded") == (
        "True",
        "WriteFailed",
        "the last write of aaa/web failed: what became of it cannot be read",
    )
    await stage.turns(40, 5.0)
    assert stage.has_dns("shop/web")


async def test_a_gate_that_ends_by_an_error_holds_its_own_change_and_no_other(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def breaks(change: Change, context: gates.Context) -> str:
        if change.object.namespace == "aaa":
            raise ValueError("boom")
        return ""

    monkeypatch.setattr(gates, "GATES", (breaks, *gates.GATES))
    stage = Stage("aaa/web", "shop/web")
    stage.policy()
    stage.start()
    await stage.turns(3)
    assert (stage.has_dns("aaa/web"), stage.has_dns("shop/web")) == (False, True)
    assert stage.finding("aaa/web").endswith("; the operator cannot tell whether it may go: ValueError: boom")


async def test_a_namespace_that_brings_new_work_all_the_time_does_not_starve_another() -> None:
    stage = Stage(*(f"ci-preview/job-{number}" for number in range(8)), "shop/web", "zzz/web")
    stage.policy()
    stage.start()
    for number in range(8):
        stage.world.cluster.create(workload(f"job-{number:03}", "ci-preview"))
        await stage.turn()
    assert (stage.has_dns("shop/web"), stage.has_dns("zzz/web")) == (True, True)
    assert stage.has_dns("ci-preview/job-0"), "it has its turns as well"


async def test_within_a_namespace_what_waits_longest_goes_first() -> None:
    stage = Stage("shop/web")
    stage.policy()
    stage.start()
    for number in range(4):
        stage.world.cluster.create(workload(f"zz-{number}", "shop"))
    await stage.turn()
    for number in range(12):
        stage.world.cluster.create(workload(f"aa-{number:03}", "shop"))
        await stage.turn()
    patched = [path.split("/")[-1] for method, path in stage.api.asked if method == "PATCH"]
    order = list(dict.fromkeys(patched))  # each is patched twice: the second lets go
    assert order[:5] == ["web", "zz-0", "zz-1", "zz-2", "zz-3"]


async def test_what_is_ill_in_one_namespace_halts_that_namespace_and_no_other() -> None:
    stage = Stage("evil/well", *(f"shop/web-{number}" for number in range(4)))
    stage.world.controller.well = lambda template: "ill" not in template["metadata"]["labels"]["app"]
    for number in range(11):
        stage.world.cluster.create(workload(f"ill-{number}", "evil"))
    for _ in range(300):
        stage.world.controller.step()
        stage.world.cluster.tick(5)
    stage.policy()
    stage.start()
    await stage.turns(40)
    assert [stage.has_dns(f"shop/web-{number}") for number in range(4)] == [True] * 4
    assert not stage.has_dns("evil/well")
    why = "halted: 11 of 12 targets in namespace evil are unhealthy, more than 20 % (evil/ill-0 is one)"
    assert stage.finding("evil/well").endswith(f"; {why}")
    assert stage.condition("Degraded") == ("True", "TooManyUnhealthy", why)


@pytest.mark.parametrize(
    ("ill", "all_of_them", "halted"),
    [
        ({"a": 1}, {"a": 2, "b": 1}, set()),
        ({"a": 1}, {"a": 3, "b": 10}, {"a"}),
        ({"a": 30}, {"a": 30, "b": 10}, {"a"}),
        ({"a": 30, "b": 2}, {"a": 30, "b": 10}, {"a"}),
        ({"a": 30, "b": 3}, {"a": 30, "b": 10}, {"a", "b", ""}),
        ({"a": 2, "b": 2, "c": 2}, {"a": 5, "b": 5, "c": 5}, {"a", "b", "c", ""}),
    ],
)
def test_the_breaker_speaks_of_a_namespace_and_of_all_where_several_are_ill(
    ill: dict[str, int], all_of_them: dict[str, int], halted: set[str]
) -> None:
    refs = [
        ObjectRef("apps/v1", "Deployment", namespace, f"ill-{number}")
        for namespace, count in ill.items()
        for number in range(count)
    ]
    assert open_breakers(health_by(all_of_them, refs), OperatorLimits()).keys() == halted
