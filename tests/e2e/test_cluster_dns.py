"""Incident dns-scale-down on a control plane of its own: cluster DNS, its autoscaler, and nodes that come and go."""

import itertools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.e2e import dns
from tests.e2e.conftest import install_crd, make_scene
from tests.e2e.scene import Body, Scene, settle
from tests.lab import Lab

CYCLES = 40
FLOOR: Body = {"floor": {"minReplicas": 3}}
FLOORED = """{
  "coresPerReplica": 256,
  "nodesPerReplica": 2,
  "min": 3,
  "preventSinglePointFailure": true,
  "includeUnschedulableNodes": true
}"""


@pytest.fixture
def scene(own_lab: Callable[..., Lab], tmp_path: Path) -> Scene:
    """A control plane of its own, for there is one cluster DNS in each; 5 nodes, on which CPA wants 3 replicas."""
    lab = own_lab(nodes=5)
    install_crd(lab)
    return make_scene(lab, tmp_path)


def replicas(scene: Scene) -> int:
    return int(dns.get(scene.lab, "deployment", "coredns")["spec"]["replicas"])


def parameters(scene: Scene) -> Body:
    found: Body = dns.get(scene.lab, "configmap", "coredns-autoscaler")["data"]
    return found


def dns_events(scene: Scene, reason: str) -> list[str]:
    text = scene.lab.kubectl("-n", dns.NAMESPACE, "get", "events.events.k8s.io", "-o", "json")
    return [event["note"] for event in json.loads(text)["items"] if event["reason"] == reason]


def test_without_a_policy_dns_follows_the_nodes_down_and_the_audit_names_it(scene: Scene) -> None:
    dns.apply(scene.lab, *dns.cluster_dns(), *dns.autoscaler())
    with dns.running_autoscaler(scene.lab, scene.logs / "cpa.log"), scene.operator():
        scene.policy(mode="Audit", coreDNS=FLOOR)
        scene.wait(lambda: len(scene.findings()) == 2, "the audit's findings")
        found = {(one["object"]["kind"], one["reason"]): one["message"] for one in scene.findings()}
        assert found == {
            ("ConfigMap", "FloorTooLow"): (
                "linear lets Deployment coredns go down to 1; the floor is 3 replicas"
            ),
            ("Deployment", "DefaultParamsBelowFloor"): (
                "--default-params of container autoscaler lack the floor of 3 replicas: a ConfigMap made of them lets"
                " cluster DNS go below it; not enforced in any mode: the arguments of a program are its owner's"
            ),
        }
        scene.wait(lambda: replicas(scene) == 3, "CPA wants 3")
        scene.lab.cordon("node-1")
        scene.wait(lambda: replicas(scene) == 2, "3 to 2, as at Preply")
        told = "cluster-proportional-autoscaler (Update) scaled it from 3 to 2 replicas; 4 of 5 nodes are Ready and"
        scene.wait(
            lambda: (
                [f"{told} schedulable" in note for note in dns_events(scene, "CoreDNSScaledDown")] == [True]
            ),
            "an Event names it",
        )


def cycle(lab: Lab, number: int) -> None:
    """Nodes go down, come back, are cordoned; three are added, and removed with their pods."""
    node = f"node-{number % 4 + 1}"
    match number % 4:
        case 0:
            lab.cordon(node)
        case 1:
            lab.set_ready(node, False)
        case 2:
            lab.set_ready(f"node-{(number - 1) % 4 + 1}", True)
            lab.uncordon(f"node-{(number - 2) % 4 + 1}")
        case 3:
            for name in ("extra-1", "extra-2", "extra-3"):
                if number // 4 % 2 == 0:
                    lab.add_node(name)
                else:
                    lab.remove_node(name, with_pods=True)


def test_over_forty_cycles_of_nodes_dns_never_goes_below_the_floor(scene: Scene) -> None:
    lab = scene.lab
    dns.apply(lab, *dns.cluster_dns(), *dns.autoscaler())
    before = dns.get(lab, "configmap", "coredns-autoscaler")
    lab.wait(
        lambda: dns.get(lab, "deployment", "coredns")["status"].get("readyReplicas") == 3, what="DNS is ready"
    )
    with scene.operator():
        scene.policy(onRelease="Revert", coreDNS=FLOOR)
        scene.wait(lambda: parameters(scene) == {"linear": FLOORED}, "the floor is in the parameters")
        mark = lab.audit.mark()
        lab.remove_node("node-5", with_pods=True)
        with dns.running_autoscaler(lab, scene.logs / "cpa.log"):
            for number in range(CYCLES):
                cycle(lab, number)
                settle(0.5)
            settle(2)
        told = dns.scaled_to(lab, mark)
        assert min(told) == 3, told
        assert max(told) == 4, "CPA goes on above the floor"
        log = (scene.logs / "cpa.log").read_text()
        assert "4 of 4 nodes count" in log, "of which CPA would keep 2"
        ours = lab.audit.writes(mark, resource="configmaps", namespace=dns.NAMESPACE)
        assert [
            one.user_agent for one in ours if "resilience" in one.user_agent and not one.asks_the_guard
        ] == [], "nothing after the first"
        for number, (was, now) in enumerate(itertools.pairwise(told)):
            assert was != now, f"write {number + 1} changed nothing: {told}"
        scene.delete_policy()
    after = dns.get(lab, "configmap", "coredns-autoscaler")
    assert after["data"] == before["data"]
    assert [one["manager"] for one in after["metadata"]["managedFields"]] == [
        one["manager"] for one in before["metadata"]["managedFields"]
    ]
    assert "resilience.dev/state" not in after["metadata"]["annotations"]


def test_a_deleted_config_map_comes_back_and_is_given_the_floor_while_the_arguments_stay(
    scene: Scene,
) -> None:
    lab = scene.lab
    dns.apply(lab, *dns.cluster_dns(), *dns.autoscaler())
    before = dns.get(lab, "deployment", "coredns-autoscaler")["spec"]
    with scene.operator():
        scene.policy(onRelease="Revert", conflicts="TakeOver", coreDNS=FLOOR)
        scene.wait(
            lambda: scene.states().get(("coredns-floor", "coredns-autoscaler")) == "ReportOnly", "reported"
        )
        scene.wait(lambda: parameters(scene) == {"linear": FLOORED}, "the floor is in the parameters")
        with dns.running_autoscaler(lab, scene.logs / "cpa.log"):
            lab.kubectl("-n", dns.NAMESPACE, "delete", "configmap", "coredns-autoscaler")
            scene.wait(
                lambda: json.loads(recreated(scene).get("linear", "{}")).get("min") == 3,
                "it comes back, and the floor is written into it",
            )
            settle(2)
            assert replicas(scene) >= 3
        assert dns.get(lab, "deployment", "coredns-autoscaler")["spec"] == before
        scene.delete_policy()


def recreated(scene: Scene) -> Body:
    found = scene.lab.kubectl(
        "-n", dns.NAMESPACE, "get", "configmap", "coredns-autoscaler", "--ignore-not-found", "-o", "json"
    )
    body: Body = json.loads(found)["data"] if found.strip() else {}
    return body


def test_a_ladder_gets_the_floor_in_every_step_and_its_own_text_back(scene: Scene) -> None:
    ladder = '{ "coresToReplicas": [[1, 1], [64, 2]],\n  "nodesToReplicas": [[1, 1], [4, 2], [16, 5]] }'
    dns.apply(scene.lab, *dns.cluster_dns(), *dns.autoscaler(ladder, "ladder"))
    with dns.running_autoscaler(scene.lab, scene.logs / "cpa.log"), scene.operator():
        scene.policy(onRelease="Revert", coreDNS=FLOOR)
        wanted = '{ "coresToReplicas": [[1, 3], [64, 3]],\n  "nodesToReplicas": [[1, 3], [4, 3], [16, 5]] }'
        scene.wait(lambda: parameters(scene) == {"ladder": wanted}, "the floor in every step")
        scene.wait(lambda: replicas(scene) == 3, "CPA follows")
        scene.delete_policy()
    assert parameters(scene) == {"ladder": ladder}


def test_cluster_dns_is_spread_and_has_a_budget_and_an_unscaled_one_its_floor(scene: Scene) -> None:
    dns.apply(scene.lab, *dns.cluster_dns(replicas=None))
    with scene.operator():
        scene.policy(coreDNS={**FLOOR, "spread": {}, "disruptionBudget": {}})
        scene.wait_compliant()
        body: Any = dns.get(scene.lab, "deployment", "coredns")["spec"]
        assert body["replicas"] == 3
        keys = [one["topologyKey"] for one in body["template"]["spec"]["topologySpreadConstraints"]]
        assert keys == ["kubernetes.io/hostname", "topology.kubernetes.io/zone"]
        budget = dns.get(scene.lab, "poddisruptionbudget", "coredns-resilience")
        assert budget["spec"]["maxUnavailable"] == 1
        sections = {one["name"]: one["evaluated"] for one in scene.status()["sections"]}
        assert sections["coreDNS"] == 1
