"""What goes wrong in one namespace keeps no other from being served: dead webhooks, rights in some namespaces alone."""

import json
from collections.abc import Iterator

import pytest

from tests.e2e.scene import Body, Scene, settle, workload

DNS: Body = {"dnsConfig": {}}
ONE_AT_A_TIME: Body = {"soakSeconds": 1}


@pytest.fixture
def first(scene: Scene) -> Iterator[str]:
    """A namespace that comes before the scene's in the alphabet, with a Deployment that drifts."""
    name = scene.lab.namespace("aaa")
    scene.apply(workload(name, "web"))
    scene.apply(workload(scene.namespace, "web"))
    scene.lab.kubectl("-n", name, "rollout", "status", "deployment/web", "--timeout=60s")
    scene.wait_rolled_out("web")
    yield name
    scene.lab.kubectl("delete", "namespace", name, "--wait=false")


def dead_webhook(scene: Scene, namespace: str) -> Body:
    """A fail-closed webhook of one namespace whose backend is gone."""
    return {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingWebhookConfiguration",
        "metadata": {"name": f"dead-{scene.name}"},
        "webhooks": [
            {
                "name": "dead.example.com",
                "clientConfig": {"url": "https://127.0.0.1:1/"},
                "rules": [
                    {
                        "apiGroups": ["apps"],
                        "apiVersions": ["*"],
                        "operations": ["UPDATE"],
                        "resources": ["deployments"],
                    }
                ],
                "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}},
                "failurePolicy": "Fail",
                "sideEffects": "None",
                "timeoutSeconds": 1,
                "admissionReviewVersions": ["v1"],
            }
        ],
    }


def enforced(scene: Scene, first: str) -> None:
    """One policy over both namespaces, one rollout at a time."""
    both = {**DNS, "namespaces": {"include": [first, scene.namespace]}}
    scene.policy(deployments=both, rollout=ONE_AT_A_TIME)


def message(scene: Scene, namespace: str) -> str:
    """The finding about a namespace's Deployment, "" where there is none."""
    found = [one["message"] for one in scene.findings() if one["object"]["namespace"] == namespace]
    return str(found[0]) if found else ""


def test_a_dead_webhook_of_one_namespace_stops_no_other_and_is_told(scene: Scene, first: str) -> None:
    webhook = dead_webhook(scene, first)
    scene.create(webhook)
    try:
        with scene.operator("--max-rollouts=1"):
            enforced(scene, first)
            scene.wait(lambda: "dnsConfig" in scene.pod_spec("web"), "the other namespace is served", 30)
            scene.wait(lambda: scene.condition("Degraded").get("reason") == "WriteFailed", "it is told", 30)
            words = scene.condition("Degraded")["message"]
            assert words.startswith(f"the last write of {first}/web failed: ")
            assert 'failed calling webhook "dead.example.com"' in words
            failing = (
                'the last write failed: Internal error occurred: failed calling webhook "dead.example.com"'
            )
            scene.wait(lambda: failing in message(scene, first), "the finding says so", 30)
            results = {(one["object"]["namespace"], one["result"]) for one in scene.status()["remediations"]}
            assert results == {(first, "Failed"), (scene.namespace, "Applied")}
            scene.lab.kubectl("delete", "validatingwebhookconfiguration", webhook["metadata"]["name"])
            scene.wait_compliant(timeout=120)
    finally:
        name = webhook["metadata"]["name"]
        scene.lab.kubectl("delete", "validatingwebhookconfiguration", name, "--ignore-not-found")


def test_rights_in_one_namespace_alone_serve_that_namespace(scene: Scene, first: str) -> None:
    user, role = f"operator-{scene.name}", f"reader-{scene.name}"
    rules = [
        {"apiGroups": ["*"], "resources": ["*"], "verbs": ["get", "list", "watch"]},
        {
            "apiGroups": ["coordination.k8s.io"],
            "resources": ["leases"],
            "verbs": ["create", "update", "patch"],
        },
        {"apiGroups": ["events.k8s.io"], "resources": ["events"], "verbs": ["create", "patch"]},
        {"apiGroups": ["resilience.dev"], "resources": ["*"], "verbs": ["patch", "update"]},
    ]
    kind = "rbac.authorization.k8s.io"
    subject = {"apiGroup": kind, "kind": "User", "name": user}
    for body in (
        {"kind": "ClusterRole", "metadata": {"name": role}, "rules": rules},
        {
            "kind": "ClusterRoleBinding",
            "metadata": {"name": role},
            "roleRef": {"apiGroup": kind, "kind": "ClusterRole", "name": role},
            "subjects": [subject],
        },
        {
            "kind": "RoleBinding",
            "metadata": {"name": role, "namespace": scene.namespace},
            "roleRef": {"apiGroup": kind, "kind": "ClusterRole", "name": "edit"},
            "subjects": [subject],
        },
    ):
        scene.lab.kubectl("create", "-f", "-", input=json.dumps({"apiVersion": f"{kind}/v1", **body}))
    try:
        with scene.operator("--max-rollouts=1", kubeconfig=scene.lab.kubeconfig(user, groups=[])):
            enforced(scene, first)
            scene.wait(
                lambda: "dnsConfig" in scene.pod_spec("web"), "the namespace with the right is served", 30
            )
            missing = "the operator lacks a right: "
            scene.wait(lambda: missing in message(scene, first), "the finding says what is missing", 30)
            scene.wait_condition("Degraded", "True")
            assert "cannot patch resource" in scene.condition("Degraded")["message"]
            settle(3)
            first_one = json.loads(scene.lab.kubectl("-n", first, "get", "deployment", "web", "-o", "json"))
            assert "dnsConfig" not in first_one["spec"]["template"]["spec"]
    finally:
        scene.lab.kubectl("delete", "clusterrole,clusterrolebinding", role, "--ignore-not-found")
