"""manifests/argocd as kustomize renders it: in which wave what comes, and who may bring it."""

import copy
from typing import Any

import pytest
import yaml

from tests.lab import Lab
from tests.manifests.test_manifests import MANIFESTS, Object, over, place

pytestmark = pytest.mark.lab

WAVE, OPTIONS = "argocd.argoproj.io/sync-wave", "argocd.argoproj.io/sync-options"
WAVES = {
    "Namespace": "-2",
    "CustomResourceDefinition": "-2",
    "ValidatingAdmissionPolicy": "-2",
    "ValidatingAdmissionPolicyBinding": "-2",
    "ServiceAccount": "-1",
    "PriorityClass": "-1",
    "ClusterRole": "-1",
    "ClusterRoleBinding": "-1",
    "Role": "-1",
    "RoleBinding": "-1",
}
"""All else is in wave 0. In reverse, the operator goes before its rights, and the guard after them."""


def render(lab: Lab, folder: Any) -> list[Object]:
    return list(yaml.safe_load_all(lab.kubectl("kustomize", str(folder))))


def documents(file: str) -> list[Object]:
    return list(yaml.safe_load_all((MANIFESTS / "argocd" / file).read_text(encoding="utf-8")))


@pytest.fixture(scope="module")
def operator(lab: Lab) -> list[Object]:
    return render(lab, MANIFESTS / "argocd" / "operator")


def test_argo_cd_applies_what_setup_and_enforce_are_and_only_adds_the_waves(
    lab: Lab, operator: list[Object]
) -> None:
    plain = copy.deepcopy(operator)
    waves = {}
    for each in plain:
        annotations = each["metadata"].pop("annotations", {})
        waves[each["kind"]] = annotations.pop(WAVE, "0")
        crd = each["kind"] == "CustomResourceDefinition"
        assert annotations == ({OPTIONS: "Prune=false"} if crd else {})
    assert by_name(plain) == by_name(render(lab, MANIFESTS / "setup") + render(lab, MANIFESTS / "enforce"))
    assert {kind: wave for kind, wave in waves.items() if wave != "0"} == WAVES


def by_name(objects: list[Object]) -> dict[tuple[str, str, str], Object]:
    """(kind, namespace, name) -> object, each once."""
    found = {(each["kind"], place(each), each["metadata"]["name"]): each for each in objects}
    assert len(found) == len(objects)
    return found


def test_the_optional_right_comes_in_the_wave_of_rights_and_after_its_guard(
    lab: Lab, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = over(tmp_path_factory.mktemp("o"), "base", "argocd/rights", "argocd/waves")
    waves = {
        each["kind"]: each["metadata"]["annotations"][WAVE]
        for each in render(lab, folder)
        if each["metadata"]["name"] == "resilience-operator-applications"
    }
    assert waves == {kind: WAVES[kind] for kind in ("ValidatingAdmissionPolicy", "ClusterRole")} | {
        "ValidatingAdmissionPolicyBinding": "-2",
        "ClusterRoleBinding": "-1",
    }


def test_policies_come_after_the_operator_and_all_of_it_goes_with_the_root(lab: Lab) -> None:
    applications = [*documents("root.yaml"), *render(lab, MANIFESTS / "argocd" / "applications")]
    found = {
        each["metadata"]["name"]: (
            each["metadata"].get("annotations", {}).get(WAVE, "0"),
            each["metadata"]["finalizers"],
            each["spec"]["project"],
            each["spec"]["source"]["path"],
        )
        for each in applications
    }
    gone = ["resources-finalizer.argocd.argoproj.io"]
    assert found == {
        "resilience": ("0", gone, "resilience", "manifests/argocd/applications"),
        "resilience-operator": ("0", gone, "resilience", "manifests/argocd/operator"),
        "resilience-policies": ("1", gone, "resilience", "manifests/argocd/policies"),
    }
    repositories = {each["spec"]["source"]["repoURL"] for each in applications}
    assert [*repositories] == documents("projects.yaml")[0]["spec"]["sourceRepos"]


def test_the_platforms_project_allows_all_of_it_and_nothing_else(lab: Lab, operator: list[Object]) -> None:
    objects = [
        *operator,
        *render(lab, MANIFESTS / "argocd" / "policies"),
        *render(lab, MANIFESTS / "argocd" / "applications"),
    ]
    spec = documents("projects.yaml")[0]["spec"]
    crds = {"Namespace", "ResiliencePolicy", "CustomResourceDefinition"}
    for scope, namespaced in (("clusterResourceWhitelist", False), ("namespaceResourceWhitelist", True)):
        needed = {(group(each), each["kind"]) for each in objects if bool(place(each)) == namespaced}
        assert {(one["group"], one["kind"]) for one in spec[scope]} == needed
        assert namespaced or crds <= {kind for _, kind in needed}
    assert {one["namespace"] for one in spec["destinations"]} == {place(each) for each in objects} - {""}


def group(body: Object) -> str:
    """The API group, "" of the core."""
    return str(body["apiVersion"]).rpartition("/")[0]


def test_tenants_may_bring_nothing_of_ours() -> None:
    _, tenants = documents("projects.yaml")
    spec = tenants["spec"]
    ours = [{"group": "resilience.dev", "kind": "*"}]
    assert spec["clusterResourceWhitelist"] == []
    assert (spec["clusterResourceBlacklist"], spec["namespaceResourceBlacklist"]) == (ours, ours)
    assert "!resilience-system" in {one["namespace"] for one in spec["destinations"]}
