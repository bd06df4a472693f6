"""The operator with exactly the ServiceAccount of the manifests: nothing that it needs is missing, nothing is too much.

What it may do is read from the rendered manifests, what it does from the API server's audit log.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pykube
import yaml

from tests.e2e import dns
from tests.e2e.conftest import make_scene
from tests.e2e.installed import states
from tests.e2e.process import OperatorProcess, pretty
from tests.e2e.scene import ROOT, Body, Scene, service, settle, workload
from tests.e2e.test_floors import hpa, scaled_object
from tests.faults import Proxy, drop_reply
from tests.lab import Lab
from tests.lab.api import ApiError
from tests.lab.audit import Mark, Read
from tests.standins.keda import scaled_object_crd
from tests.targets.nodes.agents import Agents
from tests.targets.nodes.test_nodes_lab import TIME_WAIT

ACCOUNT = "resilience-system/resilience-operator"
USER = "system:serviceaccount:resilience-system:resilience-operator"
RULES: Body = {"spread": {}, "gracefulShutdown": {}, "dnsConfig": {}}
ALL_RULES = {"spread", "graceful-shutdown", "dns-config"}
FLOORS: Body = {"conflicts": "TakeOver", "replicas": {"min": 2}, "disruptionBudget": {"maxUnavailable": 1}}
FLOORED = {"replicas", "disruption-budget", "coredns-floor", "coredns-spread", "coredns-budget"}
DNS: Body = {
    "conflicts": "TakeOver",
    "floor": {"minReplicas": 3},
    "spread": {"constraints": [{"topologyKey": "kubernetes.io/hostname"}]},
    "disruptionBudget": {"maxUnavailable": 1},
}
Labs = Callable[..., Lab]


def installed(lab: Lab, overlay: str, logs: Path) -> Scene:
    """A lab with the manifests of an overlay, and a scene on it."""
    install(lab, overlay)
    lab.wait_established("resiliencepolicies.resilience.dev")
    return make_scene(lab, logs)


def install(lab: Lab, overlay: str) -> None:
    for folder in ("setup", overlay):
        lab.kubectl("apply", "-k", str(ROOT / "manifests" / folder))


def broken(scene: Scene, name: str) -> None:
    """A Deployment that has all three incidents before it."""
    scene.apply(workload(scene.namespace, name))
    scene.apply(service(scene.namespace, name))
    scene.wait_rolled_out(name)


def scaled(scene: Scene) -> None:
    """Deployments that an HPA and KEDA scale, and cluster DNS with its autoscaler: all may fall to one replica."""
    lab = scene.lab
    lab.kubectl("apply", "--server-side", "-f", "-", input=json.dumps(scaled_object_crd()))
    lab.wait_established("scaledobjects.keda.sh")
    for name, scaler in (("shop", hpa), ("queue", scaled_object)):
        scene.apply(workload(scene.namespace, name))
        least = "minReplicas" if scaler is hpa else "minReplicaCount"
        scene.apply(scaler(scene, name, **{least: 1}))
        scene.wait_rolled_out(name)
    dns.apply(lab, *dns.cluster_dns(), *dns.autoscaler(defaults=dns.ABOVE_THE_FLOOR))
    for name in ("coredns", "coredns-autoscaler"):
        lab.kubectl("-n", dns.NAMESPACE, "rollout", "status", f"deployment/{name}", "--timeout=60s")


def as_they_are(scene: Scene) -> dict[str, Any]:
    """What is said in every object that the operator may change, and the names of all budgets."""
    kinds = "deployments,horizontalpodautoscalers,scaledobjects,configmaps,poddisruptionbudgets"
    found = {}
    for namespace in (scene.namespace, dns.NAMESPACE):
        for body in json.loads(scene.lab.kubectl("-n", namespace, "get", kinds, "-o", "json"))["items"]:
            found[f"{namespace}/{body['kind']}/{body['metadata']['name']}"] = body.get(
                "spec", body.get("data")
            )
    return found


def budgets(scene: Scene) -> dict[str, Any]:
    """Name -> maxUnavailable of every budget beside what the operator may change."""
    return {
        one.name: one.obj["spec"]["maxUnavailable"]
        for namespace in (scene.namespace, dns.NAMESPACE)
        for one in scene.query(pykube.PodDisruptionBudget, namespace)
    }


def operator_of_the_manifests(scene: Scene, kubeconfig: Path | None = None) -> OperatorProcess:
    config = kubeconfig or scene.lab.kubeconfig(service_account=ACCOUNT)
    return scene.operator("--namespace=resilience-system", kubeconfig=config)


def requests(lab: Lab, since: Mark | None = None) -> list[Read]:
    """All that the operator's user asked for."""
    return [*lab.audit.reads(since, user=USER), *lab.audit.writes(since, user=USER)]


def forbidden(lab: Lab, since: Mark | None = None) -> list[tuple[str, str, str, str]]:
    """What was refused of all that it wants, but for its questions whether it is guarded."""
    asks = [write.uri for write in lab.audit.writes(since, user=USER) if write.asks_the_guard]
    refused = (one for one in requests(lab, since) if one.code == 403 and one.uri not in asks)
    return sorted({(one.verb, one.group, resource(one), one.name) for one in refused})


def resource(request: Read) -> str:
    return f"{request.resource}/{request.subresource}" if request.subresource else request.resource


Right = tuple[str, str, str, str]
"""Verb, group, resource, and the namespace of a Role, "" of a ClusterRole."""


def granted(lab: Lab, overlay: str) -> set[Right]:
    """Every rule of every role that is rendered."""
    objects = yaml.safe_load_all(lab.kubectl("kustomize", str(ROOT / "manifests" / overlay)))
    return {
        (verb, group, kind, role["metadata"].get("namespace", ""))
        for role in objects
        if role["kind"] in ("Role", "ClusterRole")
        for rule in role["rules"]
        for verb in rule["verbs"]
        for group in rule["apiGroups"]
        for kind in rule["resources"]
    }


def used(lab: Lab) -> set[Right]:
    """What was asked for with success, in its namespace and anywhere."""
    done = [one for one in requests(lab) if one.code < 400]
    return {(one.verb, one.group, resource(one), where) for one in done for where in ("", one.namespace)}


def test_base_audits_and_where_it_shall_enforce_it_says_what_it_may_not(
    own_lab: Labs, tmp_path: Path
) -> None:
    lab = own_lab()
    scene = installed(lab, "base", tmp_path)
    broken(scene, "web")
    scaled(scene)
    before = scene.spec("web")
    everything = as_they_are(scene)
    with operator_of_the_manifests(scene) as operator:
        scene.policy(mode="Audit", deployments=RULES | FLOORS, coreDNS=DNS)
        scene.wait(
            lambda: {rule for rule, _ in scene.states()} == ALL_RULES | FLOORED, "all incidents are found"
        )
        assert forbidden(lab) == []
        assert as_they_are(scene) == everything

        scene.policy(mode="Enforce", deployments=RULES)
        scene.wait(lambda: scene.condition("Degraded").get("status") == "True", "it says so", 30)
        degraded = scene.condition("Degraded")
        assert "patch" in degraded["message"]
        assert "deployments" in degraded["message"]
        mark = lab.audit.mark()
        settle(10)
        refused = [one for one in requests(lab, mark) if one.code == 403]
        assert len(refused) <= 4, "it does not hammer"
        assert scene.spec("web") == before
        assert operator.alive()
        assert operator.ready()

        install(lab, "enforce")
        scene.wait_compliant(timeout=60)
        assert scene.condition("Degraded")["status"] == "False"
    assert "Traceback" not in operator.log.read_text()


ELSEWHERE = {
    ("", "nodes"),
    ("", "nodes/status"),
    ("admissionregistration.k8s.io", "mutatingwebhookconfigurations"),
    ("admissionregistration.k8s.io", "validatingwebhookconfigurations"),
    ("gateway.networking.k8s.io", "httproutes"),
    ("resilience.dev", "nodestates"),
}
"""(group, resource) that the test of nodes, webhooks and routes below shows to be needed, and not this one."""


def test_enforce_needs_every_right_that_it_has_and_no_other(own_lab: Labs, tmp_path: Path) -> None:
    lab = own_lab()
    scene = installed(lab, "enforce", tmp_path)
    broken(scene, "web")
    scaled(scene)
    before = as_they_are(scene)
    with (
        Proxy(lab.kubeconfig(service_account=ACCOUNT)) as proxy,
        operator_of_the_manifests(scene, proxy.kubeconfig(tmp_path / "proxy")) as operator,
        operator_of_the_manifests(scene, proxy.kubeconfig(tmp_path / "proxy")),
    ):
        scene.policy(mode="Audit", onRelease="Revert", deployments=RULES | FLOORS, coreDNS=DNS)
        scene.wait(
            lambda: {rule for rule, _ in scene.states()} == ALL_RULES | FLOORED, "all incidents are found"
        )
        broken(scene, "later")
        scene.wait(lambda: "later" in {name for _, name in scene.states()}, "one more object drifts")
        wait_for_a_series(scene)
        before |= {key: spec for key, spec in as_they_are(scene).items() if key.endswith("/later")}
        lost = proxy.on("POST", "/poddisruptionbudgets$", drop_reply())
        scene.policy(mode="Enforce", onRelease="Revert", deployments=RULES | FLOORS, coreDNS=DNS)
        scene.wait_compliant()
        assert lost.matched, "of one budget, the operator had to ask whether it is there"
        assert sorted(scene.nodes_of("web").values()) == [1, 1, 1]
        names = ("web", "later", "shop", "queue", "coredns")
        assert budgets(scene) == {f"{name}-resilience": 1 for name in names}
        changed = as_they_are(scene)
        same = {key for key, spec in before.items() if changed[key] == spec}
        assert {key.split("/")[1] for key in before.keys() - same} == {
            *("Deployment", "HorizontalPodAutoscaler", "ScaledObject", "ConfigMap")
        }

        wider = RULES | FLOORS | {"disruptionBudget": {"maxUnavailable": "50%"}}
        scene.policy(mode="Enforce", onRelease="Revert", deployments=wider, coreDNS=DNS)
        scene.wait(lambda: budgets(scene)["web-resilience"] == "50%", "a budget is changed")
        scene.wait_compliant()
        scene.delete_policy()
        scene.wait(lambda: as_they_are(scene) == before, "everything is as it was, without a budget")
    assert forbidden(lab) == []
    unused = {right for right in granted(lab, "enforce") - used(lab) if right[1:3] not in ELSEWHERE}
    assert unused == set(), pretty(sorted(unused))
    assert "Traceback" not in operator.log.read_text()


HTTP_ROUTES: Body = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {
        "name": "httproutes.gateway.networking.k8s.io",
        "annotations": {"api-approved.kubernetes.io": "unapproved, for a test"},
    },
    "spec": {
        "group": "gateway.networking.k8s.io",
        "names": {"kind": "HTTPRoute", "plural": "httproutes", "singular": "httproute"},
        "scope": "Namespaced",
        "versions": [
            {
                "name": "v1",
                "served": True,
                "storage": True,
                "schema": {
                    "openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
                },
            }
        ],
    },
}


def slow_webhook(kind: str) -> Body:
    """A webhook that would hold up kube-system for half a minute, but that it fails open at once: nobody is there."""
    rule = {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["UPDATE"], "resources": ["endpoints"]}
    return {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": kind,
        "metadata": {"name": "slow"},
        "webhooks": [
            {
                "name": "slow.example.dev",
                "admissionReviewVersions": ["v1"],
                "sideEffects": "None",
                "timeoutSeconds": 30,
                "failurePolicy": "Ignore",
                "clientConfig": {"service": {"namespace": "default", "name": "nobody"}},
                "rules": [rule | {"resources": ["configmaps", "pods"]}],
            }
        ],
    }


def test_enforce_needs_its_rights_over_nodes_webhooks_and_routes(own_lab: Labs, tmp_path: Path) -> None:
    lab = own_lab()
    scene = installed(lab, "enforce", tmp_path)
    lab.kubectl("apply", "--server-side", "-f", "-", input=json.dumps(HTTP_ROUTES))
    lab.wait_established("httproutes.gateway.networking.k8s.io")
    lab.wait_established("nodestates.resilience.dev")
    scene.wait(lambda: listed(lab), "NodeStates are listed")
    for kind in ("ValidatingWebhookConfiguration", "MutatingWebhookConfiguration"):
        scene.apply(slow_webhook(kind))
    asked: Body = {
        "webhooks": {"conflicts": "TakeOver", "reach": {"maxTimeoutSeconds": 10, "remediation": ["Timeout"]}},
        "conntrack": {"sysctls": {"values": [{"name": TIME_WAIT, "value": "60"}]}, "pressure": {}},
        "onRelease": "Revert",
        "rollout": {"soakSeconds": 0},
    }
    with (
        Proxy(lab.kubeconfig(service_account=ACCOUNT)) as proxy,
        Agents(lab).running(),
        operator_of_the_manifests(scene, proxy.kubeconfig(tmp_path / "proxy")) as operator,
    ):
        paths = ("/validatingwebhookconfigurations/", "/mutatingwebhookconfigurations/", "/nodes/.*/status$")
        lost = [proxy.on("PATCH", path, drop_reply()) for path in paths]
        lost.append(proxy.on("POST", "/nodestates$", drop_reply()))
        scene.policy(**asked)
        scene.wait_compliant(timeout=120)
        assert [rule.path.pattern for rule in lost if not rule.matched] == [], "an answer was lost of each"
        asked["conntrack"]["sysctls"]["values"][0]["value"] = "50"
        scene.policy(**asked)
        scene.wait(
            lambda: all(one["spec"]["sysctls"][0]["value"] == 50 for one in states(lab).values()),
            "told anew",
            60,
        )
        scene.delete_policy()
        scene.wait(lambda: not states(lab), "the NodeStates go", 60)
    assert forbidden(lab) == []
    rights = {right for right in granted(lab, "enforce") if right[1:3] in ELSEWHERE}
    assert rights - used(lab) == set(), pretty(sorted(rights - used(lab)))
    assert "Traceback" not in operator.log.read_text()


def listed(lab: Lab) -> bool:
    """A kind that is established is not listed for a moment: its storage begins."""
    try:
        return states(lab) == {}
    except ApiError:
        return False


def wait_for_a_series(scene: Scene) -> None:
    """The policy's summary changed: the Event that is there becomes a series, half a minute after it was told."""
    scene.wait(
        lambda: [
            write for write in scene.lab.audit.writes(user=USER, resource="events") if write.verb == "patch"
        ],
        "an Event is repeated",
        90,
    )
