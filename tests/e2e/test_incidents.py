"""The three incidents on the lab: broken and seen so, named exactly, ended, quiet afterwards, and given back."""

import time

from tests.e2e.process import pretty
from tests.e2e.scene import Body, Scene, service, settle, workload

SPREAD: Body = {"deployments": {"spread": {}}}
NO_ENTRY = "topologySpreadConstraints has no entry for"
HOST = {"topologyKey": "kubernetes.io/hostname", "maxSkew": 1, "whenUnsatisfiable": "ScheduleAnyway"}
ZONE = {"topologyKey": "topology.kubernetes.io/zone", "maxSkew": 1, "whenUnsatisfiable": "ScheduleAnyway"}


def ours(constraint: Body, app: str) -> Body:
    return {
        **constraint,
        "labelSelector": {"matchLabels": {"app": app}},
        "matchLabelKeys": ["pod-template-hash"],
    }


def test_replicas_on_one_node_are_found_spread_and_given_back(scene: Scene) -> None:
    for name in ("web", "twin"):
        scene.apply(workload(scene.namespace, name))
    scene.wait_rolled_out("web", "twin")
    assert len(scene.nodes_of("web")) == 1, "broken: all replicas on one node"
    node = next(iter(scene.nodes_of("web")))
    before = scene.spec("web")

    with scene.operator():
        scene.policy(mode="Audit", deployments={"spread": {}, "selector": {"matchLabels": {"app": "web"}}})
        scene.wait(lambda: scene.findings(), "findings of the audit")
        assert [(one["reason"], one["state"], one["message"]) for one in scene.findings()] == [
            (
                "ReplicasShareNode",
                "Drifted",
                f"3 of 3 ready replicas run on {node}; {NO_ENTRY} kubernetes.io/hostname",
            ),
            (
                "MissingConstraint",
                "Drifted",
                f"{NO_ENTRY} topology.kubernetes.io/zone",
            ),
        ]
        assert scene.spec("web") == before, "audit changes nothing"

        scene.policy(
            onRelease="Revert", deployments={"spread": {}, "selector": {"matchLabels": {"app": "web"}}}
        )
        scene.lab.kubectl("-n", scene.namespace, "rollout", "restart", "deployment/twin")
        scene.wait_compliant()
        assert scene.pod_spec("web")["topologySpreadConstraints"] == [ours(HOST, "web"), ours(ZONE, "web")]
        assert sorted(scene.nodes_of("web").values()) == [1, 1, 1], "spread by the scheduler"
        scene.wait_rolled_out("twin")
        assert len(scene.nodes_of("twin")) == 1, "the twin outside the policy stays piled up"

        scene.delete_policy()
        scene.wait_rolled_out("web")
        assert scene.spec("web") == before, "the original spec is back"
        metadata = scene.deployment("web")["metadata"]
        assert "resilience.dev/state" not in metadata["annotations"]
        managers = {entry["manager"] for entry in metadata["managedFields"]}
        assert "resilience-operator" not in managers, "nothing of us is left"


def test_pods_behind_a_service_get_time_to_leave(scene: Scene) -> None:
    scene.apply(workload(scene.namespace, "web"))
    scene.apply(service(scene.namespace, "web"))
    scene.apply(workload(scene.namespace, "worker"))
    scene.wait_rolled_out("web", "worker")
    before, worker = scene.spec("web"), scene.spec("worker")

    with scene.operator():
        scene.policy(onRelease="Revert", deployments={"gracefulShutdown": {}})
        scene.wait_compliant()
        web = scene.pod_spec("web")
        assert web["containers"][0]["lifecycle"] == {"preStop": {"sleep": {"seconds": 15}}}
        assert web["terminationGracePeriodSeconds"] == 45
        assert scene.spec("worker") == worker, "no Service exposes it"

        scene.delete_policy()
        scene.wait_rolled_out("web")
        assert scene.spec("web") == before


def test_resolver_options_come_and_go(scene: Scene) -> None:
    scene.apply(workload(scene.namespace, "web"))
    scene.wait_rolled_out("web")
    before = scene.spec("web")

    with scene.operator():
        scene.policy(onRelease="Revert", deployments={"dnsConfig": {}})
        scene.wait_compliant()
        assert scene.pod_spec("web")["dnsConfig"] == {"options": [{"name": "single-request-reopen"}]}

        scene.delete_policy()
        scene.wait_rolled_out("web")
        assert scene.spec("web") == before


def test_all_rules_are_one_rollout_and_converged_is_quiet_but_awake(scene: Scene) -> None:
    scene.apply(workload(scene.namespace, "web"))
    scene.apply(service(scene.namespace, "web"))
    scene.wait_rolled_out("web")

    with scene.operator() as operator:
        scene.policy(deployments={"spread": {}, "gracefulShutdown": {}, "dnsConfig": {}})
        scene.wait_compliant()
        assert scene.deployment("web")["metadata"]["annotations"]["deployment.kubernetes.io/revision"] == "2"
        settle(3)

        mark, passes = scene.lab.audit.mark(), operator.passes()
        settle(16)
        writes = scene.writes(mark)
        assert writes == [], pretty(writes)
        assert operator.passes() > passes, "passes went on"

        drift = [{"op": "remove", "path": "/spec/template/spec/dnsConfig"}]
        scene.patch("web", drift, "--type=json")
        started = time.monotonic()
        scene.wait(lambda: scene.pod_spec("web").get("dnsConfig"), "a later drift is repaired", 20)
        assert time.monotonic() - started < 20


def test_a_field_that_a_user_changed_after_us_stays(scene: Scene) -> None:
    scene.apply(workload(scene.namespace, "web"))
    scene.apply(service(scene.namespace, "web"))
    scene.wait_rolled_out("web")

    with scene.operator():
        scene.policy(onRelease="Revert", deployments={"gracefulShutdown": {}, "dnsConfig": {}})
        scene.wait_compliant()
        scene.patch("web", {"spec": {"template": {"spec": {"terminationGracePeriodSeconds": 90}}}})
        scene.wait_rolled_out("web")
        scene.delete_policy()
        scene.wait_rolled_out("web")
        web = scene.pod_spec("web")
        assert web["terminationGracePeriodSeconds"] == 90
        assert "dnsConfig" not in web
        assert "lifecycle" not in web["containers"][0]
