"""What failed stays failed, for whoever it failed, and for nobody else."""

from typing import Any

import pytest

from tests.sim.world import World, key

DNS: dict[str, Any] = {"dnsConfig": {}}
SPREAD: dict[str, Any] = {"spread": {}}
SOON = {"progressDeadlineSeconds": 60, "soakSeconds": 0}


def fails_with(*fields: str) -> Any:
    """A template with any of these fields never becomes ready."""
    return lambda template: not (set(fields) & template["spec"].keys())


def stopped(world: World) -> list[str]:
    """The policies that start nothing more, anywhere or in the one namespace that there is."""
    plan = world.operator.plan()
    return sorted({*plan.stopped, *(name for name, _ in plan.stopped_in)})


def verbs(world: World) -> list[str]:
    return [verb for verb, _ in world.operator.writes]


def test_two_policies_that_fail_on_one_deployment_fail_once_each() -> None:
    world = World()
    world.create("web")
    before = world.pod("web")
    world.controller.well = fails_with("dnsConfig", "topologySpreadConstraints")
    world.operator.policy("a", deployments=DNS, rollout=SOON)
    world.turns(40)
    world.operator.policy("b", deployments=SPREAD, rollout=SOON)
    world.turns(200)
    assert verbs(world) == ["apply", "withdraw", "apply", "withdraw"]
    assert (world.states("a"), world.states("b")) == (
        {"web": ["dns-config Quarantined"]},
        {"web": ["spread Quarantined"]},
    )
    assert stopped(world) == ["a", "b"]
    assert world.pod("web") == before


def test_two_rules_of_one_policy_that_fail_one_after_the_other_fail_once_each() -> None:
    world = World()
    world.create("web")
    world.controller.well = fails_with("dnsConfig", "topologySpreadConstraints")
    world.label("web", **{"resilience.dev/ignore": "spread"})
    world.operator.policy(deployments={**DNS, **SPREAD}, rollout={**SOON, "failureThresholdPerNamespace": 2})
    world.turns(40)
    world.label("web", **{"resilience.dev/ignore": None})
    world.turns(200)
    assert verbs(world) == ["apply", "withdraw", "apply", "withdraw"]
    assert world.states() == {"web": ["spread Quarantined", "dns-config Quarantined"]}
    assert world.operator.plan().stopped == {}
    assert world.operator.plan().stopped_in == {
        ("p", "shop"): (
            "2 rollouts failed in namespace shop, shop/web last; the policy is stopped there until its spec changes "
            "(failureThresholdPerNamespace: 2)"
        )
    }


def test_a_failure_of_another_policy_does_not_start_a_stopped_one_again() -> None:
    world = World()
    world.create("aaa", "web")
    world.controller.well = fails_with("dnsConfig", "topologySpreadConstraints")
    world.operator.policy("a", deployments={**DNS, "selector": {"matchLabels": {"app": "web"}}}, rollout=SOON)
    world.turns(40)
    world.operator.policy(
        "b", deployments={**SPREAD, "selector": {"matchLabels": {"app": "web"}}}, rollout=SOON
    )
    world.turns(40)
    assert stopped(world) == ["a", "b"]
    writes = len(world.operator.writes)
    world.turns(100)
    assert len(world.operator.writes) == writes
    assert "dnsConfig" not in world.pod("aaa")


def test_a_stopped_policy_holds_nobody_elses_rules_back() -> None:
    world = World()
    world.create("aaa", "web")
    world.controller.well = fails_with("dnsConfig")
    world.operator.policy("a", deployments=DNS, rollout=SOON)
    world.turns(60)
    assert stopped(world) == ["a"]
    world.operator.policy("b", deployments=SPREAD, rollout=SOON)
    world.turns(60)
    assert "topologySpreadConstraints" in world.pod("web")
    assert "dnsConfig" not in world.pod("web")
    ((judged,),) = [one.of("a") for one in world.operator.decisions().values() if one.key == key("web")]
    assert f"{judged.finding.rule} {judged.state}" == "dns-config Pending"
    assert judged.why.startswith(
        "1 rollout failed in namespace shop, shop/aaa last; the policy is stopped there until its spec changes"
    )


def test_what_a_stopped_policy_holds_is_carried_on() -> None:
    world = World()
    world.create("aaa")
    world.operator.policy("a", deployments=DNS, rollout=SOON, onRelease="Revert")
    world.until(world.converged)
    world.create("bbb")
    world.controller.well = fails_with("dnsConfig")
    world.turns(60)
    assert stopped(world) == ["a"]
    world.controller.well = lambda template: True
    world.operator.policy("b", deployments=SPREAD, rollout=SOON)
    world.turns(60)
    assert {"topologySpreadConstraints", "dnsConfig"} <= world.pod("aaa").keys()


def test_giving_back_another_rule_does_not_lift_a_quarantine() -> None:
    world = World()
    world.create("web")
    world.operator.policy("s", deployments=SPREAD, rollout=SOON, onRelease="Revert")
    world.until(world.converged)
    world.controller.well = fails_with("dnsConfig")
    world.operator.policy("d", deployments=DNS, rollout={**SOON, "failureThresholdPerNamespace": 5})
    world.turns(40)
    assert world.states("d") == {"web": ["dns-config Quarantined"]}
    world.operator.delete_policy("s")
    world.turns(40)
    assert "topologySpreadConstraints" not in world.pod("web")
    assert world.states("d") == {"web": ["dns-config Quarantined"]}
    assert verbs(world) == ["apply", "apply", "withdraw", "withdraw"]


def test_a_rollout_that_failed_before_counts_until_the_policy_changes() -> None:
    world = World()
    world.create("web")
    world.controller.well = fails_with("dnsConfig")
    world.operator.policy(deployments=DNS, rollout={**SOON, "failureThresholdPerNamespace": 2})
    world.turns(40)
    world.push("web", "shop/web:2")
    world.turns(40)
    assert verbs(world) == ["apply", "withdraw", "apply", "withdraw"]
    assert "2 rollouts failed" in world.operator.plan().stopped_in["p", "shop"]
    world.controller.well = lambda template: True
    world.push("web", "shop/web:3")
    world.turns(20)
    assert "dnsConfig" not in world.pod("web"), "stopped until its spec changes"
    world.operator.policy(deployments=DNS, rollout={**SOON, "failureThresholdPerNamespace": 3})
    world.until(world.converged)
    assert "dnsConfig" in world.pod("web")


@pytest.mark.parametrize("rest", [{"suspend": True}, {"mode": "Audit"}])
def test_a_policy_that_rests_for_a_while_forgets_no_failure_and_writes_nothing(rest: dict[str, Any]) -> None:
    world = World()
    world.create("web")
    world.controller.well = fails_with("dnsConfig")
    world.operator.policy(deployments=DNS, rollout=SOON)
    world.turns(40)
    writes = len(world.operator.writes)
    world.operator.policy(deployments=DNS, rollout=SOON, **rest)
    world.turns(20)
    assert len(world.operator.writes) == writes
    world.operator.policy("q", deployments=SPREAD, rollout=SOON)
    world.turns(20)
    world.operator.policy(deployments=DNS, rollout=SOON)
    world.turns(40)
    assert verbs(world) == ["apply", "withdraw", "apply"], "the last one is q's"
    assert world.states() == {"web": ["dns-config Quarantined"]}


@pytest.mark.parametrize("priority", [0, 10])
def test_what_a_stopped_policy_wrote_is_not_overwritten_by_another(priority: int) -> None:
    world = World()
    world.create("web")
    world.operator.policy("high", deployments=DNS, rollout=SOON, priority=priority)
    world.until(world.converged)
    edns = {"dnsConfig": {"options": [{"name": "edns0"}]}}
    world.operator.policy("low", deployments=edns, rollout=SOON)
    world.turns(10)
    before = world.pod("web")
    world.create("bbb")
    if priority == 0:  # Equal ones would contest bbb, and nothing would fail on it.
        world.operator.delete_policy("low")
    world.controller.well = fails_with("dnsConfig")
    world.turns(60)
    assert "high" in stopped(world)
    world.controller.well = lambda template: True
    world.operator.policy("low", deployments=edns, rollout=SOON)
    writes = [key_ for _, key_ in world.operator.writes]
    world.turns(60)
    assert world.pod("web") == before
    assert [key_ for _, key_ in world.operator.writes].count(key("web")) == writes.count(key("web"))


def test_a_rollout_whose_policy_is_gone_soaks_as_long_as_those_say_that_are_here() -> None:
    world = World()
    world.create("web")
    edns = {"dnsConfig": {"options": [{"name": "edns0"}]}}
    world.operator.policy("high", deployments=DNS, rollout={"soakSeconds": 3600}, priority=10)
    world.turns(2)
    world.operator.policy("low", deployments=edns, rollout=SOON)
    world.operator.delete_policy("high")
    world.until(lambda: "high" not in world.operator.policies, 50)
    world.until(world.converged, 20)
    assert world.pod("web")["dnsConfig"] == edns["dnsConfig"]
