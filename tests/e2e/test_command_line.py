"""`kubectl resilience` against a cluster: plan, report, check --cluster and revert, as a person types them."""

import json
import subprocess
import sys

from tests.e2e.scene import Body, Scene, service, settle, workload

RULES: Body = {"spread": {}, "gracefulShutdown": {}, "dnsConfig": {}}


def resilience(scene: Scene, *words: str) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-m", "resilience_operator.cli.main", words[0]]
    argv += [f"--kubeconfig={scene.lab.kubeconfig()}", *words[1:]]
    return subprocess.run(argv, capture_output=True, text=True, check=False, timeout=120)


def prepared(scene: Scene) -> None:
    for name in ("web", "api"):
        scene.apply(workload(scene.namespace, name))
    scene.apply(service(scene.namespace, "web"))
    scene.wait_rolled_out("web", "api")


def test_plan_shows_order_blast_radius_and_what_waits(scene: Scene) -> None:
    prepared(scene)
    policy = scene.policy(mode="Audit", deployments=RULES, rollout={"maxConcurrent": 1})
    mark = scene.lab.audit.mark()
    told = resilience(scene, "plan", policy, "--max-rollouts=50", "-o", "json")
    assert told.returncode == 0, told.stderr
    plan = json.loads(told.stdout)
    assert (plan["deployments"], plan["podsRestarting"], plan["maxConcurrent"]) == (2, 6, 1)
    assert [(step["name"], step["rules"], step["pods"], step["waits"]) for step in plan["steps"]] == [
        ("api", ["dns-config", "spread"], 3, ""),
        (
            "web",
            ["dns-config", "graceful-shutdown", "spread"],
            3,
            f"waits for a slot: 1 of 1 rollouts of policy {policy} run ({scene.namespace}/api is one)",
        ),
    ]
    text = resilience(scene, "plan", policy).stdout
    assert "2 Deployments change, 6 pods restart, at most 1 at once." in text
    assert scene.lab.audit.writes(since=mark, namespace=scene.namespace) == [], "read-only"


def test_report_lists_every_finding(scene: Scene) -> None:
    prepared(scene)
    policy = scene.policy(mode="Audit", deployments={"dnsConfig": {}})
    told = resilience(scene, "report", policy, "-o", "json")
    assert told.returncode == 1, told.stderr
    assert [
        (row["state"], row["rule"], row["object"]["name"]) for row in json.loads(told.stdout)["findings"]
    ] == [
        ("Drifted", "dns-config", "api"),
        ("Drifted", "dns-config", "web"),
    ]


def test_revert_refuses_while_the_policy_enforces_and_gives_back_when_it_rests(scene: Scene) -> None:
    prepared(scene)
    before = {name: scene.spec(name) for name in ("web", "api")}
    with scene.operator():
        policy = scene.policy(deployments=RULES)
        scene.wait_compliant()
        refused = resilience(scene, "revert", policy, "--yes")
        assert refused.returncode == 2
        assert "it would write again what is given back" in refused.stderr

        one = resilience(scene, "revert", policy, f"{scene.namespace}/api", "--yes")
        assert one.returncode == 0, one.stderr
        assert scene.spec("api") == before["api"]
        annotations = scene.deployment("api")["metadata"]["annotations"]
        assert annotations["resilience.dev/ignore"] == "dns-config,spread"

        scene.policy(suspend=True, deployments=RULES)
        scene.wait(lambda: scene.status().get("observedGeneration") == 2, "suspended")
        done = resilience(scene, "revert", policy, "--yes")
        assert done.returncode == 0, done.stderr
        assert {name: scene.spec(name) for name in ("web", "api")} == before
        # Told where people look: on the object, and in the policy's own record, which the operator keeps.
        rules = {"api": {"dns-config", "spread"}, "web": {"dns-config", "graceful-shutdown", "spread"}}
        settle(3)
        assert reverts(scene) == {(name, rule) for name, of in rules.items() for rule in of}
        assert {name: len(notes) for name, notes in reverted_events(scene).items()} == {"api": 1, "web": 1}
        (note,) = reverted_events(scene)["web"]
        assert note.startswith(f"policy {policy}: gave back ")
        assert note.endswith("(kubectl resilience revert)")


def reverts(scene: Scene) -> set[tuple[str, str]]:
    """(name, rule) of what the policy's record says was given back by the command."""
    return {
        (one["object"]["name"], one["rule"])
        for one in scene.status()["remediations"]
        if one["result"] == "Reverted" and one["message"].endswith("(kubectl resilience revert)")
    }


def reverted_events(scene: Scene) -> dict[str, list[str]]:
    """Name -> notes of the Events Reverted on Deployments."""
    found: dict[str, list[str]] = {}
    for one in json.loads(
        scene.lab.kubectl("-n", scene.namespace, "get", "events.events.k8s.io", "-o", "json")
    )["items"]:
        if one["reason"] == "Reverted" and one["reportingController"] == "resilience.dev/kubectl":
            found.setdefault(one["regarding"]["name"], []).append(one["note"])
    return found


def test_revert_gives_back_what_a_policy_left_that_is_gone(scene: Scene) -> None:
    prepared(scene)
    before = scene.spec("web")
    with scene.operator():
        policy = scene.policy(deployments=RULES)
        scene.wait_compliant()
        scene.delete_policy()
    asked = resilience(scene, "revert", policy)
    assert asked.returncode == 2
    assert "Say --yes" in asked.stderr
    done = resilience(scene, "revert", policy, "--yes")
    assert done.returncode == 0, done.stderr
    assert scene.spec("web") == before


def test_check_of_a_cluster_finds_what_the_operator_finds(scene: Scene) -> None:
    prepared(scene)
    policy = scene.logs / "policy.yaml"
    policy.write_text(
        json.dumps(
            {
                "apiVersion": "resilience.dev/v1alpha1",
                "kind": "ResiliencePolicy",
                "metadata": {"name": "here"},
                "spec": {"deployments": {"namespaces": {"include": [scene.namespace]}, "dnsConfig": {}}},
            }
        )
    )
    told = resilience(scene, "check", "--cluster", "-p", str(policy))
    assert told.returncode == 1, told.stderr
    assert "dnsConfig.options lacks single-request-reopen" in told.stdout
