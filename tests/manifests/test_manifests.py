"""The manifests as kustomize renders them: every right by name, and pods that the strictest admission takes."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pykube
import pytest
import yaml
from requests import Response

from resilience_operator.core.kinds import (
    BUDGET,
    CONFIG_MAP,
    DEPLOYMENT,
    HPA,
    MUTATING_WEBHOOKS,
    POLICY,
    SCALED_OBJECT,
    SCALERS,
    VALIDATING_WEBHOOKS,
    Kind,
)
from resilience_operator.targets import KINDS
from resilience_operator.targets.nodes.kinds import NODE_STATE
from tests.lab import Lab
from tests.support import ROOT

pytestmark = pytest.mark.lab

Object = dict[str, Any]
ACCOUNT = {"kind": "ServiceAccount", "name": "resilience-operator", "namespace": "resilience-system"}
READ = {"list", "watch"}


MANIFESTS = ROOT / "manifests"
COMPONENT = "argocd/rights"


@pytest.fixture(scope="module", params=["base", "enforce", f"base {COMPONENT}", f"enforce {COMPONENT}"])
def rendered(
    lab: Lab, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[str, list[Object]]:
    """The name of the overlay, with a component or without, and its objects."""
    overlay, *components = request.param.split()
    folder = over(tmp_path_factory.mktemp(overlay), overlay, *components)
    return request.param, list(yaml.safe_load_all(lab.kubectl("kustomize", str(folder))))


def render(lab: Lab, overlay: str) -> list[Object]:
    return list(yaml.safe_load_all(lab.kubectl("kustomize", str(MANIFESTS / overlay))))


def over(folder: Path, overlay: str, *components: str) -> Path:
    """A kustomization of somebody's own over ours, in a folder of theirs."""

    def there(name: str) -> str:
        return os.path.relpath(MANIFESTS / name, folder.resolve())

    body = {"resources": [there(overlay)], "components": [there(component) for component in components]}
    (folder / "kustomization.yaml").write_text(json.dumps(body))
    return folder


def of(objects: list[Object], *kinds: str) -> list[Object]:
    return [each for each in objects if each["kind"] in kinds]


def place(named: Object) -> str:
    """The namespace in which an object lies, "" where in none."""
    return str(named["metadata"].get("namespace", ""))


Right = tuple[str, str, str, str]


def rights(objects: list[Object], namespace: str = "") -> set[Right]:
    """(group, resource, verb, names) of every rule of the Roles in a namespace, or of the ClusterRoles."""
    roles = of(objects, "Role" if namespace else "ClusterRole")
    return {
        (group, resource, verb, ",".join(rule.get("resourceNames", [])))
        for role in roles
        if place(role) == namespace
        for rule in role["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }


def whole(kind: Kind, *verbs: str) -> set[Right]:
    """Rights to all objects of a kind."""
    return {(kind.group, kind.plural, verb, "") for verb in verbs}


CRD = "resiliencepolicies.resilience.dev"
CLUSTER_RIGHTS = {
    *(("apps", kind, verb, "") for kind in ("deployments", "replicasets") for verb in READ),
    *(("", kind, verb, "") for kind in ("pods", "services", "namespaces", "nodes") for verb in READ),
    *(("", "persistentvolumeclaims", verb, "") for verb in READ),
    *(("autoscaling", "horizontalpodautoscalers", verb, "") for verb in READ),
    *(("keda.sh", "scaledobjects", verb, "") for verb in READ),
    *(("policy", "poddisruptionbudgets", verb, "") for verb in READ),
    *(("discovery.k8s.io", "endpointslices", verb, "") for verb in READ),
    *(("networking.k8s.io", "ingresses", verb, "") for verb in READ),
    *(("gateway.networking.k8s.io", "httproutes", verb, "") for verb in READ),
    *(("apiregistration.k8s.io", "apiservices", verb, "") for verb in READ),
    *(("resilience.dev", "resiliencepolicies", verb, "") for verb in {"get", "patch"} | READ),
    ("resilience.dev", "resiliencepolicies/status", "patch", ""),
    *(("resilience.dev", "nodestates", verb, "") for verb in READ),
    *(whole(MUTATING_WEBHOOKS, *READ) | whole(VALIDATING_WEBHOOKS, *READ)),
    *(("apiextensions.k8s.io", "customresourcedefinitions", verb, CRD) for verb in READ),
    ("events.k8s.io", "events", "create", ""),
    ("events.k8s.io", "events", "patch", ""),
}
HOME_RIGHTS = {
    ("coordination.k8s.io", "leases", "create", ""),
    ("coordination.k8s.io", "leases", "get", "resilience-operator"),
    ("coordination.k8s.io", "leases", "update", "resilience-operator"),
    ("", "configmaps", "get", "resilience-operator"),
}
BESIDE_DNS = {
    *(("", "configmaps", verb, "") for verb in READ),
    *(("apps", "daemonsets", verb, "") for verb in READ),
}
"""Of kube-system, where what stands beside cluster DNS lies."""
ENFORCING = {
    *whole(DEPLOYMENT, "get", "patch"),
    *whole(HPA, "get", "patch"),
    *whole(SCALED_OBJECT, "get", "patch"),
    *whole(BUDGET, "create", "delete", "get", "patch"),
    *whole(MUTATING_WEBHOOKS, "get", "patch"),
    *whole(VALIDATING_WEBHOOKS, "get", "patch"),
    *whole(NODE_STATE, "create", "delete", "get", "patch"),
    ("", "nodes", "get", ""),
    ("", "nodes/status", "patch", ""),
}
ENFORCING_BESIDE_DNS = whole(CONFIG_MAP, "get", "patch")
APPLICATIONS = {("argoproj.io", "applications", verb, "") for verb in {"patch"} | READ}
"""Of the component manifests/argocd/rights alone."""
GUARD = {
    f"resilience-operator-{name}"
    for name in (
        "budgets",
        "events",
        "floors",
        "leaves",
        "node-condition",
        "nodestates",
        "only-updates",
        "own-kind",
        "webhooks",
        "webhooks-stay",
    )
}


def test_the_rights_are_these_and_no_others(rendered: tuple[str, list[Object]]) -> None:
    overlay, objects = rendered
    enforce = overlay.startswith("enforce")
    beside = APPLICATIONS if COMPONENT in overlay else set()
    assert rights(objects) == CLUSTER_RIGHTS | (ENFORCING if enforce else set()) | beside
    assert rights(objects, "resilience-system") == HOME_RIGHTS
    assert rights(objects, "kube-system") == BESIDE_DNS | (ENFORCING_BESIDE_DNS if enforce else set())
    assert {each["metadata"]["namespace"] for each in of(objects, "Role")} == {
        "resilience-system",
        "kube-system",
    }
    roles, bindings = of(objects, "ClusterRole", "Role"), of(objects, "ClusterRoleBinding", "RoleBinding")
    bound = {(each["roleRef"]["kind"], each["roleRef"]["name"], place(each)) for each in bindings}
    assert bound == {(each["kind"], each["metadata"]["name"], place(each)) for each in roles}
    assert all(each["subjects"] == [ACCOUNT] for each in bindings)


@pytest.mark.parametrize("kind", [*KINDS, POLICY], ids=str)
def test_every_kind_that_the_operator_watches_may_be_watched(kind: Kind) -> None:
    always = {"": CLUSTER_RIGHTS, "kube-system": BESIDE_DNS}[kind.only_in]
    granted = APPLICATIONS if kind.beside_the_point else always
    assert whole(kind, *READ) <= granted
    assert kind.beside_the_point is not bool(whole(kind, *READ) & always), (
        "an optional right is granted apart"
    )


@pytest.mark.parametrize("kind", [DEPLOYMENT, *SCALERS], ids=str)
def test_every_kind_whose_leaves_the_operator_writes_may_be_changed_and_not_made(kind: Kind) -> None:
    granted = {"": ENFORCING, "kube-system": ENFORCING_BESIDE_DNS}[kind.only_in]
    assert {verb for _, plural, verb, _ in granted if plural == kind.plural} == {"get", "patch"}


def test_the_guard_is_on_the_operators_user_and_on_nobody_else(rendered: tuple[str, list[Object]]) -> None:
    overlay, objects = rendered
    # Whatever prefix, suffix and Namespace kustomize gave the account.
    users = "^system:serviceaccount:[^:]+:([a-z0-9-]+-)?resilience-operator(-[a-z0-9-]+)?$"
    policies = {each["metadata"]["name"]: each["spec"] for each in of(objects, "ValidatingAdmissionPolicy")}
    optional = {"resilience-operator-applications"} if COMPONENT in overlay else set()
    assert set(policies) == (GUARD if overlay.startswith("enforce") else set()) | optional
    for spec in policies.values():
        assert spec["failurePolicy"] == "Fail"
        assert [each["expression"] for each in spec["matchConditions"]] == [
            f"request.userInfo.username.matches('{users}')"
        ]
    bindings = of(objects, "ValidatingAdmissionPolicyBinding")
    assert {each["spec"]["policyName"] for each in bindings} == set(policies)
    assert all(each["spec"] == {"policyName": name, "validationActions": ["Deny"]}
               for each in bindings for name in [each["spec"]["policyName"]])  # fmt: skip


def test_applying_the_manifests_again_does_not_end_a_pause(rendered: tuple[str, list[Object]]) -> None:
    (switch,) = of(rendered[1], "ConfigMap")
    assert (switch["metadata"]["name"], "data" in switch) == ("resilience-operator", False)


@pytest.fixture(scope="module")
def admit(lab: Lab) -> Iterator[Any]:
    """Sends a Pod in a dry run to a Namespace with the labels of the operator's own."""
    (home,) = of(render(lab, "setup"), "Namespace")
    namespace = lab.namespace(labels=home["metadata"]["labels"])
    (priority,) = of(render(lab, "base"), "PriorityClass")
    lab.kubectl("apply", "-f", "-", input=json.dumps(priority))
    lab.kubectl("create", "serviceaccount", "resilience-operator", "-n", namespace)
    api = pykube.HTTPClient(pykube.KubeConfig.from_file(str(lab.kubeconfig())))

    def send(template: Object) -> Response:
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "spec": template["spec"]}
        strictly = {"dryRun": "All", "fieldValidation": "Strict"}
        answer: Response = api.post(
            version="v1", namespace=namespace, url="pods", params=strictly, data=json.dumps(pod)
        )
        return answer

    yield send
    lab.kubectl("delete", "namespace", namespace, "--wait=false")
    lab.kubectl("delete", "priorityclass", priority["metadata"]["name"])


def template_of(lab: Lab) -> Object:
    (deployment,) = of(render(lab, "base"), "Deployment")
    assert deployment["spec"]["replicas"] == 2
    template: Object = deployment["spec"]["template"]
    return template


def test_the_operators_pod_is_admitted_where_restricted_is_enforced(lab: Lab, admit: Any) -> None:
    answer = admit(template_of(lab))
    assert (answer.status_code, answer.headers.get("Warning")) == (201, None)


def test_without_its_security_context_the_pod_is_not_admitted(lab: Lab, admit: Any) -> None:
    template = template_of(lab)
    del template["spec"]["containers"][0]["securityContext"]
    answer = admit(template)
    assert (answer.status_code, "violates PodSecurity" in answer.text) == (403, True)
