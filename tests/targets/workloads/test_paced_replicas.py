"""Numbers of replicas are changed as rollouts are: a few at a time, in windows, and never at the cost of others."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import msgspec
import pytest

from resilience_operator.cluster.objects.workloads import Claim, HorizontalPodAutoscaler, Pod
from resilience_operator.core.state import Apply, Held, ObjectState
from resilience_operator.engine.change import Decision, Verb
from resilience_operator.engine.decide import Surroundings
from resilience_operator.engine.queue import OperatorLimits, schedule
from resilience_operator.policy.common import OnRelease
from resilience_operator.policy.policy import Policy
from resilience_operator.targets import judge, parse
from resilience_operator.targets.workloads.view import DeploymentView, ScalerView
from tests.support.views import NOW, deployment, view

OURS = Claim("resilience-operator", "Apply", "", "", frozenset({"spec.replicas"}), state=True)
CLOSED = {"deny": [{"name": "freeze", "from": "2026-11-22T00:00:00Z", "until": "2026-11-23T00:00:00Z"}]}


def policy(minimum: int = 2, **spec: Any) -> Policy:
    """A policy that asks for so many replicas; soaks for a minute."""
    meta = {"name": "p", "uid": "uid-p", "generation": 1}
    found, problems = parse(
        {"metadata": meta, "spec": {"mode": "Enforce", "deployments": {"replicas": {"min": minimum}}, **spec}}
    )
    assert problems == ()
    return found


def single(name: str) -> DeploymentView:
    """A Deployment of one replica."""
    return view(deployment(replicas=1, meta={"name": name, "uid": f"uid-{name}"}))


def written(
    name: str,
    was: int,
    replicas: int,
    *,
    available: int,
    pods: tuple[Pod, ...] = (),
    seconds_ago: int = 5,
) -> DeploymentView:
    """A Deployment whose number of replicas we changed."""
    subject = deployment(replicas=replicas, meta={"name": name, "uid": f"uid-{name}"})
    status = msgspec.structs.replace(subject.status, available_replicas=available, ready_replicas=available)
    state = ObjectState(
        f"uid-{name}",
        {"spec.replicas": Held("replicas", replicas, was, policies=("uid-p",))},
        {"uid-p": 1},
        {"uid-p": "p"},
        (Apply(NOW - timedelta(seconds=seconds_ago)),),
    )
    subject = msgspec.structs.replace(subject, status=status)
    return replace(view(subject, pods=list(pods)), state=state)


def pending(name: str, nominated: str = "") -> Pod:
    """A new pod for which the scheduler found no node, and perhaps one to evict others from."""
    condition = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable"}
    body = {
        "metadata": {"name": name, "namespace": "shop", "creationTimestamp": f"{NOW:%Y-%m-%dT%H:%M:%SZ}"},
        "status": {"phase": "Pending", "conditions": [condition], "nominatedNodeName": nominated},
    }
    return msgspec.convert(body, Pod)


def planned(
    views: list[DeploymentView], one: Policy, now: datetime = NOW, rollouts: int = 9
) -> tuple[list[str], dict[str, str]]:
    """Names of what is changed now, and name -> why it waits."""
    found = [decided(each, one) for each in views]
    plan = schedule(
        found, {one.uid: one}, OperatorLimits(max_rollouts=rollouts, max_unhealthy_percent=100), now
    )
    return [change.object.name for change in plan.now], {key[-1]: why for key, why in plan.waiting.items()}


def decided(subject: DeploymentView, one: Policy) -> Decision:
    """What is decided about it."""
    decision = judge(subject, (one,), Surroundings({one.uid: one}))
    assert decision is not None
    return decision


def test_of_many_singles_one_is_raised_at_a_time_and_the_next_when_its_pods_are_there() -> None:
    one = policy()
    assert planned([single("a"), single("b"), single("c")], one) == (
        ["a"],
        dict.fromkeys("bc", "waits for a slot: 1 of 1 rollouts of policy p run (shop/a is one)"),
    )
    coming = written("a", 1, 2, available=1)
    assert planned([coming, single("b")], one) == (
        [],
        {"b": "waits for a slot: 1 of 1 rollouts of policy p run (shop/a is one)"},
    )
    assert planned([written("a", 1, 2, available=2), single("b")], one)[0] == []
    assert planned([written("a", 1, 2, available=2, seconds_ago=61), single("b")], one)[0] == ["b"]
    late = written("a", 1, 2, available=1, seconds_ago=601)
    assert planned([late, single("b")], one)[0] == ["b"]


def test_nothing_comes_of_a_number_that_somebody_took_back() -> None:
    coming = written("a", 1, 2, available=1, seconds_ago=61)
    assert planned([coming, single("b")], policy())[0] == []
    taken_back = replace(single("a"), state=coming.state)
    assert planned([taken_back, single("b")], policy())[0] == ["a"]


def test_nothing_is_raised_or_lowered_outside_of_the_windows() -> None:
    lowered = written("a", 1, 5, available=5, seconds_ago=3600)
    for subject in (single("a"), lowered):
        going, waiting = planned([subject], policy(windows=CLOSED))
        assert (going, list(waiting)) == ([], ["a"])
        assert planned([subject], policy())[0] == ["a"]


def test_a_deployment_that_cannot_get_its_pods_stops_raising_everywhere_and_nothing_else() -> None:
    one = policy(rollout={"maxConcurrent": 9, "maxConcurrentPerNamespace": 9})
    full = written("a", 1, 2, available=1, pods=(pending("a-2"),))
    lowered = written("c", 1, 5, available=5, seconds_ago=3600)
    assert planned([full, single("b"), lowered], one) == (
        ["c"],
        {"b": "waits: pods of ours find no node (shop/a has some)"},
    )


def test_a_pod_of_ours_that_evicts_others_is_taken_back_at_once_and_the_policy_stops() -> None:
    evicting = written("a", 1, 2, available=1, pods=(pending("a-2", "node-7"),))
    change = decided(evicting, policy(windows=CLOSED)).change
    assert change is not None
    assert (change.verb, change.urgent, {str(path): value for path, value in change.leaves.items()}) == (
        Verb.WITHDRAW,
        True,
        {"spec.replicas": 1},
    )
    assert [one.message for one in change.state.quarantines] == [
        "its rollout failed and was withdrawn: of the added pods, pod a-2 evicts others from node-7"
    ]
    assert planned([evicting, single("b")], policy(windows=CLOSED))[0] == ["a"]


def test_of_many_that_are_lowered_the_next_waits_until_the_last_has_soaked() -> None:
    one = policy(2)
    many = [written(name, 1, 5, available=5, seconds_ago=3600) for name in "ab"]
    assert planned(many, one)[0] == ["a"]
    change = decided(many[0], one).change
    assert change is not None
    assert (change.disruptive, change.scaling) == (False, "Down")


@pytest.mark.parametrize(("seconds_ago", "going"), [(30, []), (61, ["a"])])
def test_what_is_given_back_counts_until_it_has_soaked(seconds_ago: int, going: list[str]) -> None:
    released = replace(policy(), deleting=True, on_release=OnRelease.REVERT)
    given_back = decided(written("a", 1, 2, available=2, seconds_ago=3600), released).change
    assert given_back is not None
    assert given_back.verb is Verb.WITHDRAW
    state = replace(given_back.state, applies=(Apply(NOW - timedelta(seconds=seconds_ago)),))
    left = replace(single("a"), state=state)
    assert planned([left, single("b")], released)[0] == going


@pytest.mark.parametrize(("replicas", "scaling"), [(1, "Up"), (4, "")])
def test_a_floor_of_an_autoscaler_is_paced_where_pods_come_of_it(replicas: int, scaling: str) -> None:
    spec = {"scaleTargetRef": {"kind": "Deployment", "name": "web"}, "minReplicas": 1, "maxReplicas": 9}
    meta = {"name": "web", "namespace": "shop", "uid": "h-1"}
    hpa = msgspec.convert({"metadata": meta, "spec": spec}, HorizontalPodAutoscaler)
    scaled = view(deployment(replicas=replicas), scalers=[hpa])
    decision = judge(ScalerView(hpa, NOW, scaled), (policy(),), Surroundings({"uid-p": policy()}))
    assert decision is not None
    assert decision.change is not None
    assert (decision.change.scaling, decision.change.paced) == (scaling, bool(scaling))


@pytest.mark.parametrize("minimum", [2, 5])
@pytest.mark.parametrize("deleting", [False, True])
def test_what_its_own_autoscaler_asks_for_by_now_is_not_lowered(minimum: int, deleting: bool) -> None:
    spec = {"scaleTargetRef": {"kind": "Deployment", "name": "a"}, "minReplicas": 4, "maxReplicas": 9}
    meta = {"name": "a", "namespace": "shop", "uid": "h-1"}
    hpa = msgspec.convert({"metadata": meta, "spec": spec}, HorizontalPodAutoscaler)
    subject = replace(written("a", 1, 5, available=5, seconds_ago=3600), scalers=(hpa,))
    one = replace(policy(minimum), deleting=deleting, on_release=OnRelease.REVERT)
    change = decided(subject, one).change
    lowered = {str(path): value for path, value in change.leaves.items()} if change is not None else {}
    assert lowered.get("spec.replicas", 5) == 5
    assert change is None or change.scaling == ""
