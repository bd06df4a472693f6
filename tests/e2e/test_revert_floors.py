"""`kubectl resilience revert` on the lab: scalers, parameters, arguments and replicas as they were, budgets gone."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.e2e import dns
from tests.e2e.conftest import install_crd, make_scene
from tests.e2e.scene import Body, Scene, settle, workload
from tests.e2e.test_command_line import resilience
from tests.e2e.test_floors import budgets, get, hpa, scaled_object, traces
from tests.lab import Lab
from tests.standins.keda import scaled_object_crd

RULES: Body = {"replicas": {"min": 2}, "disruptionBudget": {}, "dnsConfig": {}}
FLOOR: Body = {"floor": {"minReplicas": 3}}


@pytest.fixture
def alone(own_lab: Callable[..., Lab], tmp_path: Path) -> Scene:
    """A scene on a control plane of its own, for there is one cluster DNS in each."""
    lab = own_lab(nodes=3)
    install_crd(lab)
    dns.apply(lab, *dns.cluster_dns(), *dns.autoscaler(defaults=dns.ABOVE_THE_FLOOR))
    return make_scene(lab, tmp_path)


def prepare(scene: Scene) -> None:
    """One Deployment of each: with an HPA, with a ScaledObject, with neither."""
    lab = scene.lab
    lab.kubectl("apply", "--server-side", "-f", "-", input=json.dumps(scaled_object_crd()))
    lab.wait_established("scaledobjects.keda.sh")
    for name in ("web", "job", "lone"):
        scene.apply(workload(scene.namespace, name, replicas=1))
    scene.apply(hpa(scene, "web", minReplicas=1))
    scene.apply(scaled_object(scene, "job", minReplicaCount=1))
    scene.wait_rolled_out("web", "job", "lone")


def seen(scene: Scene) -> dict[str, Body]:
    """All that revert may give back in the namespace, but for what others decide: the replicas of what is scaled."""
    return {
        "hpa": get(scene, "hpa", "web")["spec"],
        "scaledobject": get(scene, "scaledobject", "job")["spec"],
        "lone": get(scene, "deployment", "lone")["spec"],
        "web": get(scene, "deployment", "web")["spec"]["template"],
        "job": get(scene, "deployment", "job")["spec"]["template"],
    }


def seen_of_dns(scene: Scene) -> dict[str, Body]:
    """Cluster DNS, its autoscaler, and the parameters of that."""
    found = {
        name: dns.get(scene.lab, "deployment", name)["spec"] for name in ("coredns", "coredns-autoscaler")
    }
    return found | {"parameters": dns.get(scene.lab, "configmap", "coredns-autoscaler")["data"]}


def left(scene: Scene) -> list[str]:
    """Traces of the operator in the namespace; an opt-out is a person's."""
    bodies = [get(scene, "hpa", "web"), get(scene, "scaledobject", "job")]
    bodies += [get(scene, "deployment", name) for name in ("web", "job", "lone")]
    return _traces(bodies)


def left_of_dns(scene: Scene) -> list[str]:
    """Traces of the operator on cluster DNS and beside it."""
    bodies = [dns.get(scene.lab, "deployment", name) for name in ("coredns", "coredns-autoscaler")]
    return _traces([*bodies, dns.get(scene.lab, "configmap", "coredns-autoscaler")])


def _traces(bodies: list[Body]) -> list[str]:
    return [trace for body in bodies for trace in traces(body) if trace != "resilience.dev/ignore"]


def test_every_kind_is_given_back_as_it_was(alone: Scene) -> None:
    scene = alone
    prepare(scene)
    before, dns_before = seen(scene), seen_of_dns(scene)
    spec: Body = {"conflicts": "TakeOver", "deployments": RULES, "coreDNS": FLOOR}
    policy = scene.policy(mode="Audit", **spec)
    plan = json.loads(resilience(scene, "plan", policy, "-o", "json").stdout)
    assert {(step["kind"], step["name"]) for step in plan["steps"]} == {
        ("HorizontalPodAutoscaler", "web"),
        ("ScaledObject", "job"),
        ("ConfigMap", "coredns-autoscaler"),
        *(("Deployment", name) for name in ("web", "job", "lone")),
    }
    with scene.operator():
        scene.policy(**spec)
        scene.wait(lambda: get(scene, "scaledobject", "job")["spec"]["minReplicaCount"] == 2, "KEDA is told")
        scene.patch("job", {"spec": {"replicas": 2}})  # There is no KEDA that would.
        wanted = {"web-resilience", "job-resilience", "lone-resilience"}
        scene.wait(lambda: set(budgets(scene)) == wanted, "a budget each", 120)
        scene.wait_compliant()
        now = seen(scene) | seen_of_dns(scene)
        same = [name for name, one in (before | dns_before).items() if now[name] == one]
        assert same == ["coredns", "coredns-autoscaler"], "an autoscaler's arguments are never written"

        one = resilience(scene, "revert", policy, f"{scene.namespace}/web", "--yes")
        assert one.returncode == 0, one.stderr
        settle(6)
        after = seen(scene)
        assert {name: after[name] for name in ("hpa", "web")} == {
            name: before[name] for name in ("hpa", "web")
        }
        assert set(budgets(scene)) == wanted - {"web-resilience"}
        annotations = scene.deployment("web")["metadata"]["annotations"]
        assert annotations["resilience.dev/ignore"] == "disruption-budget,dns-config,replicas"
        assert traces(get(scene, "hpa", "web")) == []

        only = resilience(scene, "revert", policy, "cm/kube-system/coredns-autoscaler", "--yes")
        assert only.returncode == 0, only.stderr
        settle(3)
        parameters = dns.get(scene.lab, "configmap", "coredns-autoscaler")
        assert parameters["data"] == dns_before["parameters"]
        assert parameters["metadata"]["labels"] == {"resilience.dev/ignore": "coredns-floor"}

        scene.policy(suspend=True, **spec)
        scene.wait(lambda: scene.status().get("observedGeneration") == 3, "suspended")
        done = resilience(scene, "revert", policy, "--yes")
        assert done.returncode == 0, done.stderr
        settle(3)
        assert (seen(scene), budgets(scene), left(scene)) == (before, {}, [])
        assert (seen_of_dns(scene), left_of_dns(scene)) == (dns_before, [])


def test_what_a_policy_left_that_is_gone_is_given_back_without_a_restart(scene: Scene) -> None:
    prepare(scene)
    before = seen(scene)
    with scene.operator():
        policy = scene.policy(conflicts="TakeOver", deployments={"replicas": {"min": 2}})
        scene.wait(lambda: get(scene, "scaledobject", "job")["spec"]["minReplicaCount"] == 2, "KEDA is told")
        scene.patch("job", {"spec": {"replicas": 2}})  # There is no KEDA that would.
        scene.wait_compliant()
        scene.delete_policy()
    asked = resilience(scene, "revert", policy)
    assert asked.returncode == 2
    assert "Give back 3 objects (ScaledObject" in asked.stderr
    assert "no pod restarts. Say --yes" in asked.stderr
    done = resilience(scene, "revert", policy, "--yes")
    assert done.returncode == 0, done.stderr
    assert (seen(scene), left(scene)) == (before, [])
