"""Values that are not ours alone: what the owner commits, changes or demands beside us."""

import json
from typing import Any

import pytest

from resilience_operator.run.apply import Done, Report
from resilience_operator.run.events import outcomes, transitions
from tests.sim.cluster import LAST_APPLIED
from tests.sim.leaves import DNS as DNS_LEAF
from tests.sim.leaves import Raw, pod_spec, present
from tests.sim.world import World, key

DNS: dict[str, Any] = {"dnsConfig": {}}
REOPEN = {"options": [{"name": "single-request-reopen"}]}


def adopted(world: World, manager: str) -> None:
    """The owner commits the very value that we set, by kubectl apply or by server-side apply."""
    one = world.cluster.stored[key("web")]
    if manager == "argocd-controller":
        leaves = {leaf: value for leaf, value in present(one.raw).items() if leaf == DNS_LEAF}
        world.cluster.apply_leaves(one, leaves, manager, force=False)
        return

    def commit(raw: Raw) -> None:
        applied = json.loads(raw["metadata"]["annotations"][LAST_APPLIED])
        applied["spec"]["template"]["spec"]["dnsConfig"] = pod_spec(raw)["dnsConfig"]
        raw["metadata"]["annotations"][LAST_APPLIED] = json.dumps(applied)

    world.cluster.update(key("web"), "kubectl-client-side-apply", commit)


@pytest.mark.parametrize("manager", ["argocd-controller", "kubectl apply"])
@pytest.mark.parametrize("others", [False, True], ids=["alone", "beside another rule"])
def test_a_value_that_the_owner_committed_is_not_taken_away_again(manager: str, others: bool) -> None:
    world = World()
    world.create("web")
    rules = {**DNS, "spread": {}} if others else DNS
    world.operator.policy(deployments=rules, onRelease="Revert")
    world.until(world.converged)
    adopted(world, manager)
    world.turns(5)
    world.operator.delete_policy()
    world.until(lambda: not world.operator.policies)
    assert world.pod("web")["dnsConfig"] == REOPEN
    assert "topologySpreadConstraints" not in world.pod("web")
    assert world.traces("web") == []


def test_what_is_left_as_the_owner_has_it_is_said() -> None:
    world = World()
    world.create("web")
    world.operator.policy(deployments=DNS, onRelease="Revert")
    world.until(world.converged)
    adopted(world, "argocd-controller")
    world.operator.delete_policy()
    (change,) = world.operator.plan().now
    (notice,) = outcomes(Report(change, Done.DONE, world.cluster.now, left_alone=tuple(change.adopted)), 3)
    assert (notice.reason, notice.note) == (
        "Reverted",
        (
            "policy p, rule dns-config: left alone, changed by others since: dnsConfig.options."
            " Opt out: label resilience.dev/ignore=dns-config"
        ),
    )


def test_a_grace_period_that_the_owner_committed_stays_with_the_hook() -> None:
    world = World()
    world.create("web")
    world.operator.policy(deployments={"gracefulShutdown": {}}, onRelease="Revert")
    world.until(world.converged)
    ours = world.pod("web")

    def commit(raw: Raw) -> None:
        applied = json.loads(raw["metadata"]["annotations"][LAST_APPLIED])
        spec, mine = applied["spec"]["template"]["spec"], pod_spec(raw)
        spec["terminationGracePeriodSeconds"] = mine["terminationGracePeriodSeconds"]
        spec["containers"][0]["lifecycle"] = mine["containers"][0]["lifecycle"]
        raw["metadata"]["annotations"][LAST_APPLIED] = json.dumps(applied)

    world.cluster.update(key("web"), "kubectl-client-side-apply", commit)
    world.operator.delete_policy()
    world.until(lambda: not world.operator.policies)
    assert (world.pod("web"), world.traces("web")) == (ours, [])


def test_a_constraint_that_the_owner_committed_stays_when_the_policy_is_relaxed() -> None:
    world = World()
    world.create("web")
    world.operator.policy(deployments=constraint("DoNotSchedule"))
    world.until(world.converged)

    def commit(raw: Raw) -> None:
        applied = json.loads(raw["metadata"]["annotations"][LAST_APPLIED])
        spread = pod_spec(raw)["topologySpreadConstraints"]
        applied["spec"]["template"]["spec"]["topologySpreadConstraints"] = spread
        raw["metadata"]["annotations"][LAST_APPLIED] = json.dumps(applied)

    world.cluster.update(key("web"), "kubectl-client-side-apply", commit)
    world.operator.policy(deployments=constraint("ScheduleAnyway"))
    world.turns(20)
    assert "DoNotSchedule" in whens(world)


def constraint(when: str) -> dict[str, Any]:
    one = {"topologyKey": "kubernetes.io/hostname", "maxSkew": 1, "whenUnsatisfiable": when}
    return {"spread": {"constraints": [one]}}


def whens(world: World) -> list[str]:
    return [one["whenUnsatisfiable"] for one in world.pod("web").get("topologySpreadConstraints", [])]


@pytest.mark.parametrize("release", ["Retain", "Revert"])
def test_a_constraint_that_the_policy_relaxed_takes_the_place_of_the_old_one_in_one_rollout(
    release: str,
) -> None:
    world = World()
    world.create("web")
    world.operator.policy(deployments=constraint("DoNotSchedule"), onRelease=release)
    world.until(world.converged)
    world.operator.policy(deployments=constraint("ScheduleAnyway"), onRelease=release)
    world.until(world.converged)
    assert whens(world) == ["ScheduleAnyway"]
    assert world.operator.writes == [("apply", key("web"))] * 2
    world.operator.policy(deployments=DNS, onRelease="Revert")
    world.until(world.converged)
    assert whens(world) == []


def test_of_two_constraints_for_one_topology_the_higher_priority_is_written_alone() -> None:
    world = World()
    world.create("web")
    world.operator.policy("high", deployments=constraint("ScheduleAnyway"), priority=10)
    world.operator.policy("low", deployments=constraint("DoNotSchedule"))
    world.turns(20)
    assert whens(world) == ["ScheduleAnyway"]
    assert (world.states("high"), world.states("low")) == ({"web": []}, {"web": ["spread Contested"]})
    ((judged,),) = [one.of("low") for one in world.operator.decisions().values()]
    assert judged.why == (
        "policy high (priority 10) demands another value of "
        "spec.template.spec.topologySpreadConstraints[topologyKey=kubernetes.io/hostname]"
    )


@pytest.mark.parametrize(("conflicts", "grace"), [("Report", 60), ("TakeOver", 75)])
def test_an_owner_who_gives_more_time_after_us_is_told_what_the_sleep_takes_of_it(
    conflicts: str, grace: int
) -> None:
    world = World()
    world.create("web")
    world.operator.policy(deployments={"gracefulShutdown": {}}, conflicts=conflicts, onRelease="Revert")
    world.until(world.converged)
    world.edit("web", "kubectl-patch", terminationGracePeriodSeconds=60)
    world.turns(20)
    assert world.pod("web")["terminationGracePeriodSeconds"] == grace
    found = [
        f"{one.finding.message} {one.state}"
        for each in world.operator.decisions().values()
        for one in each.of("p")
    ]
    assert found == (
        ["terminationGracePeriodSeconds is 60; 75 are demanded Contested"] if conflicts == "Report" else []
    )
    writes = len(world.operator.writes)
    world.turns(20)
    assert len(world.operator.writes) == writes, "it is added once"
    world.operator.delete_policy()
    world.until(lambda: not world.operator.policies)
    assert world.pod("web")["terminationGracePeriodSeconds"] == 60
    assert "lifecycle" not in world.pod("web")["containers"][0]


def test_a_grace_period_that_somebodys_longer_sleep_needs_is_not_given_back() -> None:
    world = World()
    world.create("web")
    world.operator.policy(deployments={"gracefulShutdown": {}}, onRelease="Revert")
    world.until(world.converged)

    def longer(raw: Raw) -> None:
        pod_spec(raw)["containers"][0]["lifecycle"] = {"preStop": {"sleep": {"seconds": 40}}}

    world.cluster.update(key("web"), "kubectl-edit", longer)
    world.turns(20)
    world.operator.delete_policy()
    world.turns(6)
    assert world.operator.policies == {}, "no rollout is waited for that never comes"
    assert world.pod("web")["containers"][0]["lifecycle"] == {"preStop": {"sleep": {"seconds": 40}}}
    assert world.pod("web")["terminationGracePeriodSeconds"] >= 40
    assert world.traces("web") == []


# What is said of it


def test_of_one_write_for_two_policies_each_is_told_its_own_part() -> None:
    world = World()
    world.create("web")
    world.operator.policy("a", deployments=DNS)
    world.operator.policy("b", deployments={"spread": constraint("ScheduleAnyway")["spread"]})
    (change,) = world.operator.plan().now
    notices = outcomes(Report(change, Done.DONE, world.cluster.now), 2)
    assert sorted((one.related.name if one.related else "", one.note) for one in notices) == [
        (
            "a",
            (
                "policy a, rule dns-config: added dnsConfig.options; its pods restart in a rolling"
                " update. Opt out: label resilience.dev/ignore=dns-config"
            ),
        ),
        (
            "b",
            (
                "policy b, rule spread: added topologySpreadConstraints for hostname; its pods restart in a rolling"
                " update. Opt out: label resilience.dev/ignore=spread"
            ),
        ),
    ]
    world.turn()
    assert (world.states("a"), world.states("b")) == (
        {"web": ["dns-config RollingOut"]},
        {"web": ["spread RollingOut"]},
    )


@pytest.mark.parametrize("ends", ["opted out", "repaired by its owner"])
def test_what_is_opted_out_of_is_not_called_resolved(ends: str) -> None:
    world = World()
    world.create("web", dnsConfig={"options": [{"name": "ndots", "value": "2"}]})
    world.operator.policy(deployments=DNS)
    before = world.operator.decisions()[key("web")]
    if ends == "opted out":
        world.label("web", **{"resilience.dev/ignore": "dns-config"})
    else:
        world.edit("web", "owner", dnsConfig=REOPEN)
    after, plan = world.operator.decisions()[key("web")], world.operator.plan()
    policies = {policy.name: policy for policy in world.operator.parsed().values()}
    reasons = [notice.reason for notice in transitions(before, after, plan, policies, 2)]
    assert reasons == ([] if ends == "opted out" else ["DriftResolved"])
