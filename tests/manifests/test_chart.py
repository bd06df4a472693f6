"""The Helm chart by the real Helm: the same objects as kustomize renders, and a kind that stays behind."""

import copy
import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.lab import Lab
from tests.manifests.test_manifests import MANIFESTS, Object, of, render
from tests.manifests.test_manifests_argocd import by_name

pytestmark = pytest.mark.lab

CHART = MANIFESTS / "chart"
HOME = "resilience-system"
KEPT = {"helm.sh/resource-policy": "keep"}


def run(program: Path, *arguments: str) -> str:
    """Helm's output; a test fails with what it says where it does not end well."""
    ended = subprocess.run(
        [str(program), *arguments], check=False, capture_output=True, text=True, timeout=120
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


def template(program: Path, *options: str, namespace: str = HOME) -> list[Object]:
    """What Helm would apply."""
    text = run(program, "template", "resilience-operator", str(CHART), f"--namespace={namespace}", *options)
    return [each for each in yaml.safe_load_all(text) if each]


@pytest.mark.parametrize(
    ("options", "overlays"),
    [
        ((), ("base",)),
        (("--set=enforce=true",), ("enforce",)),
        (("--set=enforce=true,monitoring=true",), ("enforce", "monitoring")),
    ],
)
def test_helm_and_kustomize_render_the_same_objects(
    lab: Lab, helm: Path, options: tuple[str, ...], overlays: tuple[str, ...]
) -> None:
    by_kustomize = [each for folder in ("setup", *overlays) for each in render(lab, folder)]
    expected = by_name([each for each in by_kustomize if each["kind"] != "Namespace"])
    for kind in ("resiliencepolicies", "nodestates"):
        crd = ("CustomResourceDefinition", "", f"{kind}.resilience.dev")
        expected[crd]["metadata"]["annotations"] = KEPT
    assert by_name(template(helm, *options)) == expected


def test_helm_finds_nothing_wrong_with_the_chart(helm: Path) -> None:
    assert "0 chart(s) failed" in run(
        helm, "lint", "--strict", str(CHART), "--set=enforce=true,monitoring=true"
    )


def test_values_reach_the_deployment_and_nothing_else(helm: Path) -> None:
    values: dict[str, Any] = {
        "image": {"repository": "registry.example.com/op", "tag": "0.1.0-1", "pullPolicy": "Always"},
        "imagePullSecrets": [{"name": "pull"}],
        "replicas": 3,
        "extraArgs": ["--max-rollouts=2"],
        "resources": {"requests": {"cpu": "1", "memory": "1Gi"}, "limits": {"memory": "2Gi"}},
        "podAnnotations": {"team": "platform"},
        "nodeSelector": {"pool": "system"},
        "tolerations": [{"key": "system", "operator": "Exists"}],
    }
    plain = template(helm)
    valued = template(helm, *(f"--set-json={key}={json.dumps(value)}" for key, value in values.items()))
    (expected,) = copy.deepcopy(of(plain, "Deployment"))
    expected["spec"]["replicas"] = 3
    body = expected["spec"]["template"]
    body["metadata"]["annotations"] = values["podAnnotations"]
    body["spec"] |= {key: values[key] for key in ("imagePullSecrets", "nodeSelector", "tolerations")}
    body["spec"]["containers"][0] |= {
        "image": "registry.example.com/op:0.1.0-1",
        "imagePullPolicy": "Always",
        "args": ["run", "--log-format=json", "--max-rollouts=2"],
        "resources": values["resources"],
    }
    assert of(valued, "Deployment") == [expected]
    assert [each for each in valued if each["kind"] != "Deployment"] == [
        each for each in plain if each["kind"] != "Deployment"
    ]


@pytest.mark.parametrize(
    "wrong", ["enforced=true", "enforce=yes", "image.name=x", "replicas=two", "extraArgs[0]=max-rollouts"]
)
def test_a_value_that_means_nothing_is_refused(helm: Path, wrong: str) -> None:
    argv = [str(helm), "template", "resilience-operator", str(CHART), f"--set={wrong}"]
    ended = subprocess.run(argv, check=False, capture_output=True, text=True, timeout=60)
    assert (ended.returncode, "values don't meet the specifications of the schema" in ended.stderr) == (
        1,
        True,
    )


def test_in_another_namespace_nothing_is_left_in_the_usual_one(helm: Path) -> None:
    there = template(helm, "--set=enforce=true,monitoring=true", namespace="acme")
    here = template(helm, "--set=enforce=true,monitoring=true")
    moved = json.loads(json.dumps(here).replace(f'"namespace": "{HOME}"', '"namespace": "acme"'))
    assert by_name(there) == by_name(moved)
    assert {each["metadata"].get("namespace", "") for each in there} == {"", "acme", "kube-system"}


def test_an_uninstalled_release_leaves_the_kind_and_its_policies(
    own_lab: Callable[..., Lab], helm: Path
) -> None:
    lab = own_lab(nodes=0)
    access = f"--kubeconfig={lab.kubeconfig()}"
    release = ("resilience-operator", f"--namespace={HOME}", access)
    run(helm, "install", *release, str(CHART), "--create-namespace", "--set=enforce=true")
    lab.wait_established("resiliencepolicies.resilience.dev")
    policy = {
        "apiVersion": "resilience.dev/v1alpha1",
        "kind": "ResiliencePolicy",
        "metadata": {"name": "production"},
        "spec": {"deployments": {"spread": {}}},
    }
    lab.kubectl("apply", "-f", "-", input=json.dumps(policy))
    run(helm, "upgrade", *release, str(CHART), "--set=enforce=false")
    assert lab.kubectl("get", "validatingadmissionpolicies", "-o", "name") == ""
    run(helm, "uninstall", *release)
    assert lab.kubectl("get", "deployments", f"-n={HOME}", "-o", "name") == ""
    assert lab.kubectl("get", "rp", "-o", "name") == "resiliencepolicy.resilience.dev/production\n"
    run(helm, "install", *release, str(CHART))
