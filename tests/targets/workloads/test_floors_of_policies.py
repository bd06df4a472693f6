"""Several policies and one floor: the highest holds, and nobody's rest or end takes replicas away."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import msgspec
import pytest

from resilience_operator.cluster.objects.workloads import Claim
from resilience_operator.core.state import Apply, Held, ObjectState
from resilience_operator.engine.change import Decision
from resilience_operator.engine.decide import Surroundings
from resilience_operator.policy.policy import Policy
from resilience_operator.targets import judge, parse
from resilience_operator.targets.workloads.view import DeploymentView
from tests.support.views import NOW, deployment, node, replica_set, service, view

OURS = Claim("resilience-operator", "Apply", "", "", frozenset({"spec.replicas"}), state=True)


def policy(name: str, *, min: int = 0, floor: int = 0, deleting: bool = False, **spec: Any) -> Policy:  # noqa: A002
    """A policy in Enforce with rule replicas, or coredns-floor, and whatever else is said."""
    sections: dict[str, Any] = {}
    if min:
        names = ["*", "kube-system"]
        sections["deployments"] = {"namespaces": {"include": names}, "replicas": {"min": min}}
    if floor:
        sections["coreDNS"] = {"floor": {"minReplicas": floor}}
    meta = {"name": name, "uid": f"uid-{name}", "generation": 1}
    found, problems = parse(
        {"metadata": meta, "spec": {"mode": "Enforce", "conflicts": "TakeOver", **sections, **spec}}
    )
    assert problems == ()
    return replace(found, deleting=deleting)


def decide(subject: DeploymentView, *policies: Policy) -> Decision:
    decision = judge(subject, policies, Surroundings({one.uid: one for one in policies}))
    assert decision is not None
    return decision


def dns(replicas: int) -> DeploymentView:
    services = [service(name="kube-dns", namespace="kube-system")]
    return view(deployment(replicas=replicas, meta={"namespace": "kube-system"}), services=services)


def told(decision: Decision) -> Any:
    """What the change makes of spec.replicas, or None."""
    if decision.change is None:
        return None
    leaves = {str(path): value for path, value in decision.change.leaves.items()}
    return str(decision.change.verb), leaves.get("spec.replicas")


def holding(replicas: int, was: int, *holders: str) -> DeploymentView:
    state = ObjectState("d-1", {"spec.replicas": Held("replicas", replicas, was, policies=holders)})
    return replace(view(deployment(replicas=replicas)), state=state)


@pytest.mark.parametrize("replicas", [1, 5])
def test_one_number_that_two_rules_speak_of_is_merged_as_one(replicas: int) -> None:
    general, special = policy("a", min=2), policy("b", floor=3)
    change = told(decide(dns(replicas), general, special))
    assert change == (None if replicas == 5 else ("Apply", 3))


def test_of_two_floors_the_higher_holds_whatever_their_priorities() -> None:
    low, high = policy("a", min=2, priority=10), policy("b", min=4)
    decision = decide(view(deployment(replicas=1)), low, high)
    assert told(decision) == ("Apply", 4)
    assert decision.change is not None
    assert decision.change.state.leaves["spec.replicas"].policies == ("uid-b", "uid-a")


@pytest.mark.parametrize(
    "higher",
    [
        pytest.param((), id="gone"),
        pytest.param((policy("a", min=5, suspend=True),), id="suspended"),
        pytest.param((policy("a", min=5, mode="Audit"),), id="audit"),
        pytest.param(
            (policy("a", deployments={"replicas": {"min": 5}, "selector": {"matchLabels": {"app": "x"}}}),),
            id="selects others",
        ),
    ],
)
def test_a_lower_floor_takes_nothing_away_when_the_higher_ones_policy_rests_or_is_gone(
    higher: tuple[Policy, ...],
) -> None:
    lower = policy("b", min=2)
    subject = holding(5, 1, "uid-a")
    for _ in range(3):
        decision = decide(subject, *higher, lower)
        assert told(decision) in (None, ("Apply", None)), "at most the record of who demands it is written"
        assert [one for one in decision.judged if one.policy == "b"] == []
        if decision.change is not None:
            subject = replace(subject, state=decision.change.state)
    assert told(decide(subject, *higher, lower)) is None, "and then nothing"


def test_a_new_value_in_the_template_does_not_take_the_old_one_out_before_it_is_written() -> None:
    """A floor is written at once, the template later: until then what stands in it stays."""
    old, new = "ScheduleAnyway", "DoNotSchedule"
    entry = {"topologyKey": "kubernetes.io/hostname", "maxSkew": 1, "whenUnsatisfiable": old}
    path = f"spec.template.spec.topologySpreadConstraints[topologyKey=kubernetes.io/hostname,whenUnsatisfiable={old}]"
    spread = {"constraints": [{"topologyKey": "kubernetes.io/hostname", "whenUnsatisfiable": new}]}
    body = deployment(replicas=2, pod={"topologySpreadConstraints": [entry]})
    claims = (msgspec.structs.replace(OURS, leaves=frozenset({path})),)
    nodes = [node("a"), node("b")]
    subject = view(msgspec.structs.replace(body, claims=claims), nodes=nodes)
    state = ObjectState("d-1", {path: Held("spread", entry, policies=("uid-a",), revision=1)})
    asks = policy("a", deployments={"spread": spread, "replicas": {"min": 3}})
    change = decide(replace(subject, state=state), asks).change
    assert change is not None
    assert ([str(one) for one in change.written], change.disruptive) == (["spec.replicas"], False)
    assert (change.removed, path in change.state.leaves) == (frozenset(), True)


def test_a_policy_that_lowers_its_own_floor_is_followed() -> None:
    assert told(decide(holding(5, 1, "uid-a"), policy("a", min=2))) == ("Apply", 2)


def test_what_is_given_back_is_not_what_the_owner_has_committed_meanwhile() -> None:
    subject = holding(3, 1, "uid-a")
    gone = policy("a", min=3, deleting=True, onRelease="Revert")
    assert told(decide(subject, gone)) == ("Withdraw", 1)
    committed = msgspec.structs.replace(
        subject.deployment, chosen=frozenset({"spec.replicas", "spec.replicas=3"})
    )
    change = decide(replace(subject, deployment=committed), gone).change
    assert change is not None
    assert (dict(change.leaves), [*change.adopted]) == ({}, ["spec.replicas"])


def test_what_restarts_no_pod_does_not_wait_for_what_does() -> None:
    both = policy("a", deployments={"replicas": {"min": 3}, "spread": {}})
    nodes = [node("a", zone="x"), node("b", zone="y")]
    decision = decide(view(deployment(replicas=2), nodes=nodes), both)
    assert decision.change is not None
    assert [str(path) for path in decision.change.written] == ["spec.replicas"]
    assert decision.change.disruptive is False


def test_a_rollout_that_fails_is_the_failure_of_whoever_started_it() -> None:
    """A write that starts no rollout, by another policy, does not take the blame over."""
    grace = "spec.template.spec.terminationGracePeriodSeconds"
    started = NOW - timedelta(seconds=700)
    state = ObjectState(
        "d-1",
        {
            grace: Held("graceful-shutdown", 600, 30, policies=("uid-a",), revision=2),
            "spec.replicas": Held("replicas", 3, 1, policies=("uid-b",)),
        },
        policies={"uid-a": 1, "uid-b": 1},
        applies=(Apply(started, 2), Apply(started + timedelta(seconds=1), 0)),
    )
    claims = (msgspec.structs.replace(OURS, leaves=frozenset({grace, "spec.replicas"})),)
    body = deployment(replicas=3, pod={"terminationGracePeriodSeconds": 600})
    subject = view(msgspec.structs.replace(body, claims=claims), replica_sets=[replica_set(revision=1)])
    graceful = {"gracefulShutdown": {"appliesTo": "All", "minTerminationGracePeriodSeconds": 600}}
    decision = decide(replace(subject, state=state), policy("a", deployments=graceful), policy("b", min=3))
    assert decision.change is not None
    assert decision.change.result.value == "RolledBack"
    assert [dict(one.policies).keys() for one in decision.change.state.quarantines] == [{"uid-a"}]


def test_a_rule_of_another_version_in_our_state_breaks_nothing() -> None:
    held = {"spec.replicas": Held("rule-of-tomorrow", 3, 1, policies=("uid-a",))}
    subject = replace(holding(3, 1), state=ObjectState("d-1", held))
    assert told(decide(subject, policy("a", min=2))) in (None, ("Apply", 2), ("Apply", 3))
