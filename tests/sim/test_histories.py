"""What happens to Deployments in the hands of several people: each history ends as the contract says."""

from collections.abc import Callable
from typing import Any

import pytest

from resilience_operator.core.findings import State
from resilience_operator.engine.change import Decision
from resilience_operator.engine.queue import OperatorLimits
from tests.sim.cluster import MANAGER
from tests.sim.leaves import Raw, pod_spec
from tests.sim.world import ALL_RULES, World, key

DNS: dict[str, Any] = {"dnsConfig": {}}
REOPEN = {"options": [{"name": "single-request-reopen"}]}
HOST = {
    "topologyKey": "kubernetes.io/hostname",
    "maxSkew": 1,
    "whenUnsatisfiable": "ScheduleAnyway",
    "labelSelector": {"matchLabels": {"app": "web"}},
    "matchLabelKeys": ["pod-template-hash"],
}
REVERT: dict[str, Any] = {"onRelease": "Revert"}


def enforced(rules: dict[str, Any] = ALL_RULES, **spec: Any) -> World:
    """shop/web, repaired by policy p."""
    world = World()
    world.create("web")
    world.operator.policy(deployments=rules, **spec)
    world.until(world.converged)
    return world


@pytest.mark.parametrize("origin", ["kubectl apply", "kubectl create", "server-side apply"])
def test_every_origin_is_repaired_in_one_write_and_reverted_without_a_trace(origin: str) -> None:
    world = World()
    world.create("web", origin=origin)
    before = world.pod("web")
    world.operator.policy(deployments=ALL_RULES, **REVERT)
    world.until(world.converged)
    assert world.pod("web") == {
        "containers": [
            {
                "name": "web",
                "image": "shop/web:1",
                "ports": [{"containerPort": 80}],
                "lifecycle": {"preStop": {"sleep": {"seconds": 15}}},
            }
        ],
        "terminationGracePeriodSeconds": 45,
        "topologySpreadConstraints": [HOST],
        "dnsConfig": REOPEN,
    }
    assert world.operator.writes == [("apply", key("web"))]
    world.operator.delete_policy()
    world.until(lambda: not world.operator.policies)
    assert (world.pod("web"), world.traces("web")) == (before, [])


def test_converged_is_quiet_however_much_time_goes_by() -> None:
    world = enforced()
    version = world.cluster.version
    world.turns(20, seconds=3600)
    assert world.cluster.version == version


def test_a_scale_or_a_status_long_after_our_rollout_is_no_failed_rollout() -> None:
    world = enforced()
    world.cluster.tick(86400)
    world.cluster.update(key("web"), "kubectl-scale", lambda raw: raw["spec"].update(replicas=5))
    assert world.operator.plan().now == (), "the controller has not yet seen the new size"
    world.turns(10)
    assert (world.pod("web")["dnsConfig"], world.states()) == (REOPEN, {"web": []})


def test_what_fails_is_withdrawn_quarantined_and_not_repeated_by_a_new_leader() -> None:
    world = World()
    world.create("web")
    before = world.pod("web")
    world.controller.well = lambda template: "dnsConfig" not in template["spec"]
    world.operator.policy(
        deployments=DNS, rollout={"progressDeadlineSeconds": 60, "failureThresholdPerNamespace": 2}
    )
    world.until(lambda: len(world.operator.writes) == 2)
    assert world.operator.writes == [("apply", key("web")), ("withdraw", key("web"))]
    world.turns(40)
    assert len(world.operator.writes) == 2
    assert (world.pod("web"), world.states()) == (before, {"web": ["dns-config Quarantined"]})
    world.push("web", "shop/web:2")
    world.controller.well = lambda template: True
    world.until(world.converged)
    assert world.pod("web")["dnsConfig"] == REOPEN, "the owner's new template lifts the quarantine"


def test_a_value_that_fails_after_one_that_worked_is_not_tried_for_ever() -> None:
    world = enforced(DNS)
    two = {"dnsConfig": {"options": [{"name": "timeout", "value": "2"}]}}
    world.controller.well = lambda template: (
        {"name": "timeout", "value": "2"} not in template["spec"].get("dnsConfig", {}).get("options", [])
    )
    world.operator.writes.clear()
    rollout = {"progressDeadlineSeconds": 60, "failureThresholdPerNamespace": 5, "soakSeconds": 0}
    world.operator.policy(deployments=two, rollout=rollout)
    world.turns(100)
    assert world.operator.writes == [("apply", key("web")), ("withdraw", key("web"))]


def test_our_own_change_for_another_rule_does_not_lift_a_quarantine() -> None:
    world = World()
    world.create("web")
    world.controller.well = lambda template: "dnsConfig" not in template["spec"]
    rollout = {"progressDeadlineSeconds": 60, "failureThresholdPerNamespace": 5, "soakSeconds": 0}
    world.operator.policy("dns", deployments=DNS, rollout=rollout)
    world.until(lambda: len(world.operator.writes) == 2)
    world.turns(5)
    world.operator.policy("spread", deployments={"spread": {}})
    world.turns(40)
    assert world.pod("web")["topologySpreadConstraints"] == [HOST]
    assert world.states("dns") == {"web": ["dns-config Quarantined"]}
    assert [verb for verb, _ in world.operator.writes] == ["apply", "withdraw", "apply"]


def test_a_policy_that_was_mended_while_its_rollout_failed_is_tried_again() -> None:
    world = World()
    world.create("web")
    bad = {"name": "timeout", "value": "9"}
    world.controller.well = lambda template: (
        bad not in template["spec"].get("dnsConfig", {"options": []})["options"]
    )
    rollout = {"progressDeadlineSeconds": 60, "soakSeconds": 0}
    world.operator.policy(deployments={"dnsConfig": {"options": [bad]}}, rollout=rollout)
    world.turns(3)
    world.operator.policy(deployments=DNS, rollout=rollout)
    world.until(world.converged)
    assert world.pod("web")["dnsConfig"] == REOPEN


def test_a_rollout_undo_of_ours_is_a_refusal_until_the_policy_changes() -> None:
    world = enforced(DNS)
    world.controller.undo(key("web"))
    version = len(world.operator.writes)
    world.turns(30)
    assert len(world.operator.writes) == version
    assert world.states() == {"web": ["dns-config Quarantined"]}
    world.operator.policy(deployments={**DNS, "spread": {}})
    world.until(world.converged)
    assert world.pod("web")["dnsConfig"] == REOPEN


def test_an_undone_change_is_not_repeated_when_another_policy_writes() -> None:
    world = enforced(DNS)
    world.controller.undo(key("web"))
    world.turns(5)
    world.operator.policy("other", deployments={"spread": {}})
    world.turns(30)
    assert world.pod("web")["topologySpreadConstraints"] == [HOST]
    assert "dnsConfig" not in world.pod("web")
    assert world.states() == {"web": ["dns-config Quarantined"]}


def test_what_we_gave_back_ourselves_is_no_refusal_by_a_person() -> None:
    world = World()
    world.create("web")
    section = {**DNS, "selector": {"matchLabels": {"tier": "front"}}}
    world.label("web", tier="front")
    world.operator.policy(deployments=section, **REVERT)
    world.until(lambda: "dnsConfig" in world.pod("web"))
    world.turns(5)
    world.label("web", tier=None)
    world.until(lambda: "dnsConfig" not in world.pod("web"))
    world.turns(5)
    assert world.traces("web") == []
    world.label("web", tier="front")
    world.until(world.converged)
    assert world.pod("web")["dnsConfig"] == REOPEN


def fights(world: World) -> Callable[[], None]:
    """A manager that takes dnsConfig out as soon as it sees it."""

    def revert() -> None:
        if "dnsConfig" in world.pod("web"):
            world.edit("web", "stubborn", dnsConfig=None)

    return revert


def test_a_manager_that_reverts_is_fought_three_times_and_then_named() -> None:
    world = World()
    world.create("web")
    world.operator.policy(deployments=DNS)
    revert = fights(world)
    for _ in range(60):
        world.turn()
        revert()
    assert len(world.operator.writes) == 3
    ((judged,),) = [one.of("p") for one in world.operator.decisions().values()]
    assert judged.state is State.CONTESTED
    assert judged.why.startswith(
        "stubborn (Update) took spec.template.spec.dnsConfig.options back 3 times within 600 s; left alone until"
    )
    for _ in range(240):
        world.turn()
        revert()
    assert len(world.operator.writes) == 5, (
        "two more after the first back-off, none within the doubled second"
    )
    world.until(world.converged)
    assert world.pod("web")["dnsConfig"] == REOPEN, "it resumes when nobody reverts any more"


def test_our_own_changes_of_the_policy_are_no_contest() -> None:
    world = enforced(DNS)
    for value in ("1", "2", "3", "4"):
        options = [{"name": "timeout", "value": value}]
        world.operator.policy(deployments={"dnsConfig": {"options": options}})
        world.until(world.converged)
    world.edit("web", "kubectl-edit", dnsConfig=None)
    world.turns(8)
    assert world.pod("web")["dnsConfig"] == {"options": [{"name": "timeout", "value": "4"}]}


def test_a_contest_outlives_a_change_of_another_rule() -> None:
    world = World()
    world.create("web")
    world.operator.policy(deployments=DNS)
    revert = fights(world)
    for _ in range(12):
        world.turn()
        revert()
    assert world.states() == {"web": ["dns-config Contested"]}
    world.operator.policy("other", deployments={"spread": {}})
    tries = 0
    for _ in range(12):
        world.turn()
        tries += "dnsConfig" in world.pod("web")
        revert()
    assert (tries, world.pod("web")["topologySpreadConstraints"]) == (0, [HOST])


def test_what_others_changed_after_us_stays_and_the_rest_is_given_back() -> None:
    world = enforced(**REVERT)
    before = World()
    before.create("web")
    world.edit("web", "kubectl-edit", terminationGracePeriodSeconds=90)
    world.turns(5)
    world.operator.delete_policy()
    world.until(lambda: not world.operator.policies)
    assert world.pod("web") == before.pod("web") | {"terminationGracePeriodSeconds": 90}
    assert world.traces("web") == []


def test_retain_leaves_everything_as_it_is() -> None:
    world = enforced()
    after, writes = world.pod("web"), len(world.operator.writes)
    world.operator.delete_policy()
    world.turns(10)
    assert (world.pod("web"), len(world.operator.writes)) == (after, writes)
    assert world.operator.policies == {}


@pytest.mark.parametrize("rest", [{"suspend": True}, {"mode": "Audit"}])
def test_a_policy_that_rests_gives_nothing_back(rest: dict[str, Any]) -> None:
    world = enforced(**REVERT)
    after = world.pod("web")
    narrowed = {**ALL_RULES, "selector": {"matchLabels": {"app": "other"}}}
    world.operator.policy(deployments=narrowed, **REVERT, **rest)
    world.turns(10)
    assert world.pod("web") == after


def test_a_rule_that_is_removed_is_given_back_alone() -> None:
    world = enforced(**REVERT)
    after = world.pod("web")
    world.operator.policy(deployments={"spread": {}, "gracefulShutdown": {}}, **REVERT)
    world.until(world.converged)
    after.pop("dnsConfig")
    assert world.pod("web") == after


def test_an_opt_out_retains_even_where_no_policy_speaks_of_the_object_any_more() -> None:
    world = enforced(**REVERT)
    after = world.pod("web")
    world.label("web", resilience__dev__ignore=None)
    world.label("web", **{"resilience.dev/ignore": "all"})
    narrowed = {**ALL_RULES, "selector": {"matchLabels": {"app": "other"}}}
    world.operator.policy(deployments=narrowed, **REVERT)
    world.turns(10)
    world.operator.delete_policy()
    world.turns(10)
    assert (world.pod("web"), world.operator.policies) == (after, {})


def test_what_an_opt_out_retains_is_not_dropped_by_a_write_for_another_rule() -> None:
    world = World()
    world.create("web", terminationGracePeriodSeconds=40)
    world.operator.policy(deployments={"gracefulShutdown": {}}, conflicts="TakeOver", **REVERT)
    world.until(world.converged)
    ours = world.pod("web")
    assert ours["terminationGracePeriodSeconds"] == 55
    world.label("web", **{"resilience.dev/ignore": "graceful-shutdown"})
    world.operator.policy(deployments={"spread": {}}, conflicts="TakeOver", **REVERT)
    world.turns(5)
    kept = world.pod("web")
    assert kept.pop("topologySpreadConstraints")
    assert kept == ours
    world.label("web", **{"resilience.dev/ignore": None})
    world.turns(20)
    assert world.pod("web")["terminationGracePeriodSeconds"] == 40
    assert "lifecycle" not in world.pod("web")["containers"][0]


def test_a_write_that_restarts_nothing_leaves_the_template_as_it_is_also_where_an_opt_out_retains() -> None:
    world = enforced({"dnsConfig": {}}, **REVERT)
    world.label("web", **{"resilience.dev/ignore": "dns-config"})
    closed = {"deny": [{"name": "sale", "from": "2026-01-01T00:00:00Z", "until": "2027-01-01T00:00:00Z"}]}
    world.operator.policy(
        deployments={"replicas": {"min": 5}}, conflicts="TakeOver", windows=closed, **REVERT
    )
    change = world.operator.decisions()[key("web")].change
    assert change is not None
    assert not change.disruptive
    assert [(op["path"], op["value"]) for op in change.patch(world.cluster.now)[2:-1]] == [
        ("/spec/replicas", 5)
    ]


def test_an_opt_out_of_one_rule_does_not_retain_another() -> None:
    world = enforced(**REVERT)
    after = world.pod("web")
    world.label("web", **{"resilience.dev/ignore": "spread"})
    world.operator.delete_policy()
    world.until(lambda: not world.operator.policies)
    after.pop("dnsConfig")
    after["containers"][0].pop("lifecycle")
    assert world.pod("web") == after | {"terminationGracePeriodSeconds": 30}


def test_the_last_of_two_policies_gives_back() -> None:
    world = enforced(DNS, **REVERT)
    before = World()
    before.create("web")
    world.operator.policy("q", deployments=DNS, **REVERT)
    world.until(world.converged)
    world.operator.delete_policy("p")
    world.turns(10)
    assert world.pod("web")["dnsConfig"] == REOPEN
    world.operator.delete_policy("q")
    world.until(lambda: not world.operator.policies)
    assert (world.pod("web"), world.traces("web")) == (before.pod("web"), [])


ELSEWHERE = {**DNS, "selector": {"matchLabels": {"app": "other"}}}
NO_RULE_OF_IT: dict[str, Any] = {"probes": {}}


@pytest.mark.parametrize("rest", [ELSEWHERE, NO_RULE_OF_IT], ids=["selects others", "asks for less"])
@pytest.mark.parametrize(("first", "last", "kept"), [("Revert", "Retain", True), ("Retain", "Revert", False)])
def test_what_a_policy_that_left_says_of_release_is_over_the_last_one_decides(
    rest: dict[str, Any], first: str, last: str, kept: bool
) -> None:
    world = enforced(DNS, onRelease=first)
    world.operator.policy("q", deployments=DNS, onRelease=last)
    world.until(world.converged)
    world.operator.policy("p", deployments=rest, onRelease=first)
    world.turns(10)
    assert world.pod("web")["dnsConfig"] == REOPEN, "q asks for it"
    writes = len(world.operator.writes)
    world.turns(10)
    assert len(world.operator.writes) == writes, "that it left is noted once"
    world.operator.delete_policy("q")
    world.turns(20)
    assert ("dnsConfig" in world.pod("web"), list(world.operator.policies)) == (kept, ["p"])


@pytest.mark.parametrize("rest", [{"suspend": True}, {"mode": "Audit"}])
@pytest.mark.parametrize("deployments", [DNS, ELSEWHERE], ids=["here", "selects others"])
def test_a_policy_that_rests_keeps_its_hold_while_another_one_comes_and_goes(
    rest: dict[str, Any], deployments: dict[str, Any]
) -> None:
    world = enforced(DNS, **REVERT)
    world.operator.policy("q", deployments=DNS, **REVERT)
    world.until(world.converged)
    world.operator.policy("p", deployments=deployments, **REVERT, **rest)
    writes = len(world.operator.writes)
    world.turns(10)
    assert len(world.operator.writes) == writes
    world.operator.delete_policy("q")
    world.turns(20)
    assert (world.pod("web")["dnsConfig"], list(world.operator.policies)) == (REOPEN, ["p"])


def test_a_leaf_of_ours_whose_record_is_lost_is_carried_and_not_dropped() -> None:
    world = enforced(DNS)

    def forget(raw: Raw) -> None:
        raw["metadata"]["annotations"].pop("resilience.dev/state")

    world.cluster.update(key("web"), "kubectl-annotate", forget)
    world.operator.policy("other", deployments={"spread": {}})
    seen = []
    for _ in range(10):
        world.turn()
        seen.append(world.pod("web").get("dnsConfig"))
    assert seen == [REOPEN] * 10
    assert world.pod("web")["topologySpreadConstraints"] == [HOST]


def test_after_a_quarantine_our_annotation_can_still_be_applied() -> None:
    world = World()
    world.create("web")
    world.controller.well = lambda template: "dnsConfig" not in template["spec"]
    rollout = {"progressDeadlineSeconds": 60, "soakSeconds": 0}
    world.operator.policy(deployments=DNS, rollout=rollout)
    world.until(lambda: len(world.operator.writes) == 2)
    world.turns(5)
    world.controller.well = lambda template: True
    world.operator.policy(deployments={**DNS, "spread": {}}, rollout=rollout)
    world.until(world.converged)
    assert world.operator.refused == []


def test_the_owners_bad_image_during_our_rollout_is_the_owners() -> None:
    world = World()
    world.create("web")
    world.operator.policy(deployments=DNS, rollout={"progressDeadlineSeconds": 60, "soakSeconds": 0})
    world.turn()
    world.controller.well = lambda template: template["spec"]["containers"][0]["image"] != "bad"
    world.push("web", "bad")
    world.turns(60)
    assert world.pod("web")["dnsConfig"] == REOPEN
    assert world.states() == {"web": []}


def test_a_repair_in_an_incident_is_respected() -> None:
    world = World()
    world.create("web")
    world.edit("web", "kubectl-patch", terminationGracePeriodSeconds=600)
    world.controller.settle()
    world.operator.policy(deployments={"gracefulShutdown": {"minTerminationGracePeriodSeconds": 700}})
    world.turns(5)
    assert "lifecycle" not in world.pod("web")["containers"][0]
    ((first, *_),) = [one.of("p") for one in world.operator.decisions().values()]
    assert (first.state, first.why) == (
        State.CONTESTED,
        (
            "somebody with kubectl patch set spec.template.spec.terminationGracePeriodSeconds: 600 "
            "(kubectl-patch, Update); "
            'to end it, commit {"spec":{"template":{"spec":{"terminationGracePeriodSeconds":700}}}}'
            " (as YAML, with all of its object: kubectl resilience plan --patch)"
        ),
    )


def test_two_policies_of_one_priority_that_disagree_write_nothing_until_one_is_gone() -> None:
    world = World()
    world.create("web")
    world.operator.policy("a", deployments={"dnsConfig": {"options": [{"name": "timeout", "value": "1"}]}})
    world.operator.policy("b", deployments={"dnsConfig": {"options": [{"name": "timeout", "value": "2"}]}})
    world.turns(5)
    assert "dnsConfig" not in world.pod("web")
    assert (world.states("a"), world.states("b")) == (
        {"web": ["dns-config Contested"]},
        {"web": ["dns-config Contested"]},
    )
    world.operator.delete_policy("a")
    world.until(world.converged)
    assert world.pod("web")["dnsConfig"] == {"options": [{"name": "timeout", "value": "2"}]}


def test_a_deployment_made_anew_is_another_one() -> None:
    world = enforced(DNS)
    state = world.cluster.stored[key("web")].raw["metadata"]["annotations"]["resilience.dev/state"]
    world.cluster.delete(key("web"))
    world.create("web")
    world.cluster.update(
        key("web"),
        "velero",
        lambda raw: raw["metadata"]["annotations"].update({"resilience.dev/state": state}),
    )
    (decision,) = world.operator.decisions().values()
    assert "it was written for another object (uid u-1) and copied here" in decision.distrust
    world.until(world.converged)
    assert world.pod("web")["dnsConfig"] == REOPEN


def test_rollbacks_and_what_is_given_back_count_against_the_limit() -> None:
    world = World()
    world.create("a", "b", "c", "d")
    world.controller.well = lambda template: "dnsConfig" not in template["spec"]
    rollout = {"progressDeadlineSeconds": 30, "failureThresholdPerNamespace": 100, "soakSeconds": 0}
    limits = {"maxConcurrent": 2, "maxConcurrentPerNamespace": 2}
    world.operator.policy(deployments=DNS, rollout=rollout | limits)
    world.turns(80)
    assert world.states() == {name: ["dns-config Quarantined"] for name in "abcd"}
    assert world.peak == 2
    assert [pod_spec(world.cluster.stored[key(name)].raw).get("dnsConfig") for name in "abcd"] == [None] * 4
    assert world.cluster.rolling(MANAGER) == []


def delete_in_the_foreground(raw: Raw) -> None:
    """It stays until its pods are gone."""
    raw["metadata"] |= {"deletionTimestamp": "2026-11-22T08:00:30Z", "finalizers": ["foregroundDeletion"]}


def test_a_deployment_that_is_being_deleted_is_given_nothing_back() -> None:
    world = enforced(DNS, **REVERT)
    world.cluster.update(key("web"), "kubectl-delete", delete_in_the_foreground)
    world.turns(5)
    assert world.operator.writes == [("apply", key("web"))]


def test_a_deployment_that_is_deleted_in_the_middle_of_our_rollout_is_no_failure_and_holds_no_slot() -> None:
    world = World()
    world.create("aaa", "web")
    world.operator.limits = OperatorLimits(max_rollouts=1, max_unhealthy_percent=0)
    world.operator.policy(deployments=DNS, rollout={"progressDeadlineSeconds": 60, "soakSeconds": 0})
    world.turn()
    assert world.operator.writes == [("apply", key("aaa"))]
    world.cluster.update(key("aaa"), "kubectl-delete", delete_in_the_foreground)
    gone = world.operator.decisions()[key("aaa")]
    assert gone == Decision(gone.object, state=gone.state)
    world.turns(30)
    assert world.operator.writes == [("apply", key("aaa")), ("apply", key("web"))]
    assert (world.operator.plan().stopped, world.states()) == ({}, {"aaa": [], "web": []})


def in_the_middle(limits: OperatorLimits, **rollout: int) -> World:
    """Our rollout of shop/aaa, and shop/web, which waits."""
    world = World()
    world.create("aaa", "web")
    world.operator.limits = limits
    world.operator.policy(deployments=DNS, rollout={"soakSeconds": 0, **rollout})
    world.turn()
    return world


@pytest.mark.parametrize(
    ("rollouts", "limits", "why"),
    [
        pytest.param(1, {}, "1 of 1 rollouts of the operator run", id="operator"),
        pytest.param(2, {}, "1 of 1 rollouts of policy p run", id="policy"),
        pytest.param(
            2, {"maxConcurrent": 2}, "1 of 1 rollouts of policy p run in namespace shop", id="namespace"
        ),
    ],
)
def test_who_waits_for_a_slot_is_told_who_has_it(rollouts: int, limits: dict[str, int], why: str) -> None:
    world = in_the_middle(OperatorLimits(rollouts, max_unhealthy_percent=100), **limits)
    assert [*world.operator.plan().waiting.values()] == [f"waits for a slot: {why} (shop/aaa is one)"]
