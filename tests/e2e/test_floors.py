"""Floors on the lab: each scaler found, told the floor, and given back as it was; budgets that never block a drain."""

import copy
import json
from collections.abc import Callable
from typing import Any

import pykube
import pytest

from tests.e2e.scene import Body, Scene, settle, workload
from tests.standins.keda import generated_hpa, scaled_object_crd

REPLICAS: Body = {"deployments": {"replicas": {"min": 2}}}
BUDGET: Body = {"deployments": {"disruptionBudget": {"maxUnavailable": 1}}}


def get(scene: Scene, kind: str, name: str) -> Body:
    """Any object of the namespace, with its managedFields."""
    text = scene.lab.kubectl("-n", scene.namespace, "get", kind, name, "-o", "json", "--show-managed-fields")
    found: Body = json.loads(text)
    return found


def traces(body: Body) -> list[str]:
    """What is left of the operator on an object."""
    meta = body["metadata"]
    found = [key for key in meta.get("annotations", {}) if key.startswith("resilience.dev/")]
    return found + [
        one["manager"] for one in meta["managedFields"] if one["manager"] == "resilience-operator"
    ]


def hpa(scene: Scene, name: str, **spec: Any) -> Body:
    """An HPA of the Deployment of that name."""
    target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": name}
    return {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": name, "namespace": scene.namespace},
        "spec": {"scaleTargetRef": target, "maxReplicas": 6, **spec},
    }


def scaled_object(scene: Scene, name: str, **spec: Any) -> Body:
    """A ScaledObject of the Deployment of that name."""
    cron = {"timezone": "UTC", "start": "0 8 * * *", "end": "0 18 * * *", "desiredReplicas": "4"}
    return {
        "apiVersion": "keda.sh/v1alpha1",
        "kind": "ScaledObject",
        "metadata": {"name": name, "namespace": scene.namespace},
        "spec": {"scaleTargetRef": {"name": name}, "triggers": [{"type": "cron", "metadata": cron}], **spec},
    }


@pytest.fixture
def keda(scene: Scene) -> None:
    """KEDA's own kind is served."""
    scene.lab.kubectl("apply", "--server-side", "-f", "-", input=json.dumps(scaled_object_crd()))
    scene.lab.wait_established("scaledobjects.keda.sh")


def lone(scene: Scene) -> tuple[str, str, str]:
    scene.apply(without_replicas(scene))
    return "deployment", "web", "replicas"


def with_hpa(scene: Scene) -> tuple[str, str, str]:
    scene.apply(workload(scene.namespace, "web"))
    scene.apply(hpa(scene, "web"))
    return "hpa", "web", "minReplicas"


def with_keda(scene: Scene) -> tuple[str, str, str]:
    scene.apply(workload(scene.namespace, "web"))
    scene.apply(scaled_object(scene, "web", minReplicaCount=1))
    made = generated_hpa(scene.namespace, "web", get(scene, "scaledobject", "web"), 1)
    scene.create(made)
    return "scaledobject", "web", "minReplicaCount"


def without_replicas(scene: Scene) -> Body:
    body = workload(scene.namespace, "web")
    del body["spec"]["replicas"]
    return body


@pytest.mark.parametrize("scaler", [lone, with_hpa, with_keda])
def test_the_floor_is_told_to_whoever_scales_and_given_back_exactly(
    scene: Scene, keda: None, scaler: Callable[[Scene], tuple[str, str, str]]
) -> None:
    kind, name, field = scaler(scene)
    scene.wait_rolled_out("web")
    before = get(scene, kind, name)
    deployment = scene.spec("web")
    mark = scene.lab.audit.mark()
    with scene.operator() as operator:
        scene.policy(mode="Audit", **REPLICAS)
        scene.wait(scene.findings, "the audit's finding")
        assert [(one["rule"], one["object"]["name"], one["state"]) for one in scene.findings()] == [
            ("replicas", "web", "Drifted")
        ]
        assert get(scene, kind, name)["spec"] == before["spec"], "audit changes nothing"

        scene.policy(onRelease="Revert", conflicts="TakeOver", **REPLICAS)
        scene.wait(lambda: get(scene, kind, name)["spec"].get(field) == 2, "the floor is told")
        scene.wait_compliant()
        if kind != "deployment":
            assert scene.spec("web")["template"] == deployment["template"]
        changed = [one for one in scene.changes(mark, namespace=scene.namespace) if one.succeeded]
        assert [one.verb for one in changed if "events" not in one.resource] == ["patch"], "one write"
        passes, mark = operator.passes(), scene.lab.audit.mark()
        settle(6)
        assert operator.passes() > passes
        assert [one for one in scene.writes(mark, namespace=scene.namespace) if one.succeeded] == []

        scene.delete_policy()
    after = get(scene, kind, name)
    assert (after["spec"], traces(after)) == (before["spec"], [])


def test_two_scalers_are_a_finding_and_nothing_is_written(scene: Scene, keda: None) -> None:
    scene.apply(without_replicas(scene))
    scene.apply(hpa(scene, "web", minReplicas=1))
    scene.apply(scaled_object(scene, "web", minReplicaCount=1))
    scene.wait_rolled_out("web")
    mark = scene.lab.audit.mark()
    with scene.operator():
        scene.policy(conflicts="TakeOver", **REPLICAS)
        scene.wait(scene.findings, "the finding")
        found = [(one["reason"], one["object"]["kind"], one["state"]) for one in scene.findings()]
        assert found == [("SeveralScalers", "Deployment", "ReportOnly")]
        assert "HorizontalPodAutoscaler web and ScaledObject web scale it" in scene.findings()[0]["message"]
        settle(3)
        written = [one.resource for one in scene.writes(mark, namespace=scene.namespace)]
        assert set(written) <= {"events"}


def test_zero_stays_zero_and_a_maximum_is_never_raised(scene: Scene, keda: None) -> None:
    scene.apply(workload(scene.namespace, "asleep", replicas=0))
    scene.apply(workload(scene.namespace, "capped"))
    scene.apply(hpa(scene, "capped", minReplicas=1, maxReplicas=1))
    scene.apply(workload(scene.namespace, "sleepy"))
    scene.apply(scaled_object(scene, "sleepy"))
    with scene.operator():
        scene.policy(conflicts="TakeOver", deployments={"replicas": {"min": 3}})
        wanted = {("replicas", "capped"): "ReportOnly", ("replicas", "sleepy"): "ReportOnly"}
        scene.wait(lambda: scene.states() == wanted, "both are reported")
        messages = {one["object"]["name"]: one["message"] for one in scene.findings()}
        assert messages["capped"] == (
            "maxReplicas is 1, below the floor of 3 replicas for Deployment capped; a maximum is never raised;"
            " kubectl resilience plan --patch prints what to commit"
        )
        assert messages["sleepy"].endswith("it may scale to zero, and that stays possible")
        settle(3)
    assert scene.spec("asleep")["replicas"] == 0
    assert get(scene, "hpa", "capped")["spec"]["minReplicas"] == 1
    assert "minReplicaCount" not in get(scene, "scaledobject", "sleepy")["spec"]


def budgets(scene: Scene) -> dict[str, Body]:
    """The budgets of the namespace, by name."""
    return {one.name: one.obj for one in scene.query(pykube.PodDisruptionBudget, scene.namespace)}


def test_a_budget_is_made_where_none_is_and_goes_with_what_needs_it(scene: Scene) -> None:
    scene.apply(workload(scene.namespace, "web"))
    scene.apply(workload(scene.namespace, "single", replicas=1))
    with scene.operator():
        scene.policy(**BUDGET)
        scene.wait(lambda: list(budgets(scene)) == ["web-resilience"], "a budget")
        made = budgets(scene)["web-resilience"]
        assert made["spec"] == {
            "maxUnavailable": 1,
            "selector": {"matchLabels": {"app": "web"}},
            "unhealthyPodEvictionPolicy": "AlwaysAllow",
        }
        owners = made["metadata"]["ownerReferences"]
        assert [(one["kind"], one["name"], one.get("controller")) for one in owners] == [
            ("Deployment", "web", None)
        ]
        scene.wait_compliant()

        scene.policy(deployments={"disruptionBudget": {"maxUnavailable": "50%"}})
        scene.wait(lambda: budgets(scene)["web-resilience"]["spec"]["maxUnavailable"] == "50%", "changed")

        theirs = [
            {"op": "remove", "path": "/spec/maxUnavailable"},
            {"op": "add", "path": "/spec/minAvailable", "value": 3},
        ]
        edit = ("patch", "pdb", "web-resilience", "--type=json", f"-p={json.dumps(theirs)}")
        scene.lab.kubectl("-n", scene.namespace, *edit)
        scene.wait(lambda: scene.states() == {("disruption-budget", "web"): "Contested"}, "it is theirs")
        assert "minAvailable 3, not maxUnavailable 50% (set by kubectl-patch (Update))" in str(
            scene.findings()
        )
        assert budgets(scene)["web-resilience"]["spec"]["minAvailable"] == 3
        scene.policy(conflicts="TakeOver", deployments={"disruptionBudget": {"maxUnavailable": "50%"}})
        scene.wait(lambda: "minAvailable" not in budgets(scene)["web-resilience"]["spec"], "put back")
        assert budgets(scene)["web-resilience"]["spec"] == {**made["spec"], "maxUnavailable": "50%"}

        scene.patch("web", {"spec": {"replicas": 1}})
        scene.wait(lambda: budgets(scene) == {}, "one replica is not protected from every eviction")
        scene.patch("web", {"spec": {"replicas": 3}})
        scene.wait(lambda: list(budgets(scene)) == ["web-resilience"], "it is there again")

        scene.delete_policy()
        assert budgets(scene) == {}, "deleted on release"


def test_a_second_budget_ends_ours_at_once_also_while_windows_are_closed(scene: Scene) -> None:
    scene.apply(workload(scene.namespace, "web"))
    theirs = {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": {"name": "theirs", "namespace": scene.namespace},
        "spec": {"minAvailable": 3, "selector": {"matchLabels": {"app": "web"}}},
    }
    closed = {"deny": [{"name": "freeze", "from": "2020-01-01T00:00:00Z", "until": "2099-01-01T00:00:00Z"}]}
    with scene.operator():
        scene.policy(windows=closed, **BUDGET)
        scene.wait(lambda: list(budgets(scene)) == ["web-resilience"], "a budget")
        scene.apply(theirs)
        scene.wait(lambda: list(budgets(scene)) == ["theirs"], "ours is gone", 5)
        scene.wait(lambda: scene.states() == {("disruption-budget", "web"): "ReportOnly"}, "theirs is judged")
        assert [one["reason"] for one in scene.findings()] == ["BudgetAllowsNone"]
        assert "minAvailable 3) never lets any of 3 pods go" in scene.findings()[0]["message"]


def test_a_job_whose_pods_the_selector_takes_in_stops_no_drain_for_long(scene: Scene) -> None:
    job = {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": "migrate", "namespace": scene.namespace},
        "spec": {
            "template": {
                "metadata": {"labels": {"app": "web"}},
                "spec": {
                    "restartPolicy": "Never",
                    "containers": [{"name": "migrate", "image": "shop/web:1.4"}],
                },
            }
        },
    }
    same = {"maxUnavailable": 1, "selector": {"matchLabels": {"app": "web"}}}
    theirs = {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": {"name": "theirs", "namespace": scene.namespace},
        "spec": same,
    }
    counted = "its selector selects pods of a Job as well, which no budget can count: it lets none go"
    scene.apply(workload(scene.namespace, "web"))
    scene.wait_rolled_out("web")
    with scene.operator():
        scene.policy(**BUDGET)
        scene.wait(lambda: list(budgets(scene)) == ["web-resilience"], "a budget")
        scene.apply(job)
        scene.wait(lambda: budgets(scene) == {}, "it is gone")
        scene.wait(
            lambda: scene.findings() and scene.findings()[0]["message"].endswith(counted), "why is said"
        )
        settle(3)
        assert budgets(scene) == {}
        scene.apply(theirs)
        scene.wait(lambda: scene.findings() and scene.findings()[0]["reason"] == "BudgetAllowsNone", "found")
        # What is said of it is what the disruption controller says.
        scene.wait(lambda: "status" in budgets(scene)["theirs"], "it was computed")
        scene.wait(
            lambda: budgets(scene)["theirs"]["status"]["conditions"][0]["reason"] == "SyncFailed",
            "it cannot be",
        )
        assert budgets(scene)["theirs"]["status"]["disruptionsAllowed"] == 0
        scene.lab.kubectl(
            "-n", scene.namespace, "delete", "pdb/theirs", "job/migrate", "--cascade=foreground"
        )
        scene.wait(lambda: list(budgets(scene)) == ["web-resilience"], "a budget again")
        scene.wait_compliant()


def test_every_node_can_be_drained_with_all_of_it_in_place(scene: Scene) -> None:
    names = [f"d{number}" for number in range(4)]
    for name in names:
        scene.apply(workload(scene.namespace, name, replicas=2 if name != "d3" else 1))
    scene.wait_rolled_out(*names)
    second = {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": {"name": "late", "namespace": scene.namespace},
        "spec": {"maxUnavailable": 1, "selector": {"matchLabels": {"app": "d0"}}},
    }
    with scene.operator():
        scene.policy(
            conflicts="TakeOver",
            deployments={**copy.deepcopy(REPLICAS["deployments"]), "disruptionBudget": {}},
        )
        scene.wait(lambda: len(budgets(scene)) == 4, "a budget each, once all have two replicas")
        scene.wait_compliant()
        nodes = [one.name for one in scene.query(pykube.Node)]
        try:
            for number, node in enumerate(nodes):
                if number == 1:
                    scene.apply(second)
                scene.lab.kubectl(
                    *("drain", node, "--ignore-daemonsets", "--delete-emptydir-data", "--timeout=60s"),
                    *("--pod-selector", f"app in ({','.join(names)})"),
                )
                scene.lab.kubectl("uncordon", node)
                scene.wait_rolled_out(*names)
        finally:
            for node in nodes:
                scene.lab.kubectl("uncordon", node)
        scene.wait(
            lambda: set(budgets(scene)) == {"late", *(f"{name}-resilience" for name in names[1:])},
            "the one beside the second is gone",
        )
