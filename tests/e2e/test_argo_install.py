"""The operator and its policies by Argo CD, from manifests/: installed, upgraded and removed, and Synced all the time.

Each in client-side and server-side sync, with and without the difference being asked of the API server.
"""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from tests.e2e.platform import APPLICATIONS, POLICIES, Platform, platform
from tests.e2e.process import OperatorProcess, pretty
from tests.e2e.scene import Body, ResiliencePolicy, workload
from tests.e2e.test_rights import forbidden
from tests.lab import Lab
from tests.lab.argocd import USER
from tests.lab.audit import Mark
from tests.lab.fixtures import argo_cd

Labs = Callable[..., Lab]
Mode = tuple[list[str], bool]
MODES: dict[str, Mode] = {
    "client-side": ([], False),
    "client-side-server-diff": ([], True),
    "server-side": (["ServerSideApply=true"], False),
    "server-side-server-diff": (["ServerSideApply=true"], True),
}
"""Sync options, and whether the API server is asked for the difference. As shipped: server-side."""
KIND: Body = {"apiVersion": "resilience.dev/v1alpha1", "kind": "ResiliencePolicy"}
PRODUCTION = "manifests/argocd/policies/production.yaml"
BY_KUSTOMIZE = "manifests/argocd/applications/kustomization.yaml"
CRD, PROJECTS, ROOT_FILE = (
    "crds/resiliencepolicies.yaml",
    "manifests/argocd/projects.yaml",
    "manifests/argocd/root.yaml",
)


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("mode", [pytest.param(mode, id=name) for name, mode in MODES.items()])
def test_installed_upgraded_and_removed_by_argo_cd(own_lab: Labs, tmp_path: Path, mode: Mode) -> None:
    argo_cd()
    with platform(own_lab(), tmp_path) as site:
        site.scene.apply(workload(site.scene.namespace, "web"))
        site.scene.wait_rolled_out("web")
        before, spec = site.inventory(), site.scene.spec("web")
        revision = site.repository.commit({BY_KUSTOMIZE: in_mode(site.read(BY_KUSTOMIZE), mode)}, "first")
        site.apply(PROJECTS, ROOT_FILE)
        with site.operator() as operator:
            installed(site, revision)
            upgraded(site)
            suspended(site, mode)
            paused(site)
            refused(site)
            assert forbidden(site.lab) == []
            removed(site, operator, spec)
        cleared(site)
        site.scene.wait(lambda: site.inventory() == before, "nothing is left, and nothing is missing")


def in_mode(text: str, mode: Mode) -> str:
    """The kustomization of the Applications with a mode for each of them."""
    options, server_side_diff = mode
    compare = f"ServerSideDiff={str(server_side_diff).lower()}"
    operations = [
        {
            "op": "add",
            "path": "/spec/syncPolicy/syncOptions",
            "value": ["SkipDryRunOnMissingResource=true", *options],
        },
        {
            "op": "add",
            "path": "/metadata/annotations/argocd.argoproj.io~1compare-options",
            "value": compare,
        },
    ]
    return text + yaml.safe_dump(
        {"patches": [{"target": {"kind": "Application"}, "patch": json.dumps(operations)}]}
    )


def installed(site: Platform, revision: str) -> None:
    """Everything is there, in order, and the policy audits."""
    site.wait_synced(revision)
    site.scene.wait(lambda: compliant(site).startswith("1 of 1 object has findings"), "the policy audits")
    assert site.out_of_sync() == {}
    assert in_order(
        site,
        None,
        ("customresourcedefinitions", "resiliencepolicies.resilience.dev"),
        ("clusterroles", "resilience-operator-enforce"),
        ("deployments", "resilience-operator"),
        ("resiliencepolicies", "production"),
    )
    guarded = ("validatingadmissionpolicies", "resilience-operator-leaves")
    assert in_order(site, None, guarded, ("clusterroles", "resilience-operator-enforce"))


def upgraded(site: Platform) -> None:
    """A commit changes the kind, the operator and the policy, which now enforces; all of it stays Synced."""
    deployment = "manifests/base/operator.yaml"
    revision = site.commit(
        {
            CRD: replaced(
                site.read(CRD), "What a cluster must be like", "UPGRADED: what a cluster must be like"
            ),
            deployment: replaced(site.read(deployment), "memory: 384Mi", "memory: 512Mi"),
            PRODUCTION: replaced(
                site.read(PRODUCTION), "mode: Audit", "mode: Enforce\n  rollout: {soakSeconds: 1}"
            ),
        },
        "upgrade",
    )
    site.wait_synced(revision)
    scene = site.scene
    scene.wait(lambda: "dnsConfig" in scene.pod_spec("web"), "the policy enforces")
    scene.wait_rolled_out("web")
    scene.wait(
        lambda: finalizers(site) == ["resilience.dev/release"], "the policy stays until all is given back"
    )
    kind = site.lab.kubectl("get", "crd", "resiliencepolicies.resilience.dev", "-o", "json")
    assert "UPGRADED: what" in kind
    limits = site.lab.kubectl(
        "get", "deployment", "resilience-operator", "-n", "resilience-system", "-o", "json"
    )
    assert json.loads(limits)["spec"]["template"]["spec"]["containers"][0]["resources"]["limits"] == {
        "memory": "512Mi"
    }
    stays_synced(site)


def suspended(site: Platform, mode: Mode) -> None:
    """A suspended policy is Suspended, for Argo CD too, until a commit says otherwise."""
    text = site.read(PRODUCTION)

    def said(suspend: str) -> dict[str, str]:
        return {PRODUCTION: replaced(text, "mode: Enforce", f"mode: Enforce{suspend}")}

    site.commit(said("\n  suspend: true"), "suspend")
    site.argocd.refresh(POLICIES)
    site.scene.wait(lambda: site.are("Suspended", POLICIES), "the policy is Suspended")
    # A line that is taken out goes unnoticed in one mode: see the comment in policies.yaml of the Applications.
    unnoticed = mode == MODES["client-side-server-diff"]
    if unnoticed:
        site.argocd.wait_synced(POLICIES, site.commit(said(""), "nothing is noticed"), 90)
        assert policy(site)["spec"]["suspend"] is True
    site.wait_synced(site.commit(said("\n  suspend: false" if unnoticed else ""), "go on"))


def paused(site: Platform) -> None:
    """What a person says in the pause switch is not Git's, and stays."""
    switch = ("configmap", "resilience-operator", "-n", "resilience-system")
    site.lab.kubectl("patch", *switch, "-p", '{"data": {"pause": "true"}}')
    stays_synced(site)
    assert site.lab.kubectl("get", *switch, "-o", "jsonpath={.data.pause}") == "true"
    site.lab.kubectl("patch", *switch, "-p", '{"data": {"pause": null}}')


def refused(site: Platform) -> None:
    """A policy in a tenant's repository is not applied: its project does not permit the kind."""
    theirs = site.argocd.repository("tenant")
    mine = {"metadata": {"name": "of-a-tenant"}, "spec": {"mode": "Enforce"}}
    theirs.commit({"policy.yaml": KIND | mine}, "a policy of ours")
    name = site.argocd.application("tenant", theirs, ".", site.scene.namespace, project="tenants")
    said = "resource resilience.dev:ResiliencePolicy is not permitted in project tenants"
    site.scene.wait(lambda: said in json.dumps(site.application(name)), "the tenant's Application is refused")
    assert site.scene.query(ResiliencePolicy).get_or_none(name="of-a-tenant") is None
    site.argocd.delete_application(name)


def removed(site: Platform, operator: OperatorProcess, spec: Body) -> None:
    """The root is deleted: values are given back, then the operator goes, its rights, and last their guard."""
    mark = site.lab.audit.mark()
    site.lab.kubectl("delete", "-f", str(site.repository.directory / ROOT_FILE), "--wait=false")
    # Its pod would be gone with the Deployment.
    site.scene.wait(lambda: not site.deployed(), "the operator goes", 90)
    operator.stop()
    site.scene.wait(lambda: not any(map(site.application, APPLICATIONS)), "the Applications are gone", 90)
    assert site.scene.spec("web") == spec
    assert in_order(
        site,
        mark,
        ("resiliencepolicies", "production"),
        ("deployments", "resilience-operator"),
        ("clusterroles", "resilience-operator-enforce"),
        ("validatingadmissionpolicies", "resilience-operator-leaves"),
    )


def cleared(site: Platform) -> None:
    """What is applied by hand is deleted by hand, and the kind, which Argo CD leaves."""
    files = (str(site.repository.directory / file) for file in (PROJECTS, CRD))
    site.lab.kubectl("delete", *(f"--filename={file}" for file in files), "--timeout=60s")


def in_order(site: Platform, since: Mark | None, *objects: tuple[str, str]) -> bool:
    """True where Argo CD's first writes to these (resource, name) came in this order; says what it did where not."""
    writes = site.lab.audit.writes(since, user=USER)
    done = [(one.resource, one.name) for one in writes if one.succeeded and not one.asks_the_guard]
    found = [done.index(one) for one in objects]
    assert found == sorted(found), pretty(dict(zip(map(str, objects), found, strict=True)))
    return True


def policy(site: Platform) -> Body:
    found: Body = site.scene.query(ResiliencePolicy).get_by_name("production").obj
    return found


def compliant(site: Platform) -> str:
    """What the policy says of the cluster."""
    conditions = policy(site).get("status", {}).get("conditions", [])
    return next((one["message"] for one in conditions if one["type"] == "Compliant"), "")


def finalizers(site: Platform) -> list[str]:
    return list(policy(site)["metadata"].get("finalizers", []))


def stays_synced(site: Platform) -> None:
    """Looked at anew, everything is still Synced."""
    for name in APPLICATIONS:
        site.argocd.refresh(name, hard=True)
    assert site.out_of_sync() == {}


def replaced(text: str, old: str, new: str) -> str:
    assert text.count(old) == 1, f"{old!r} is {text.count(old)} times in:\n{text}"
    return text.replace(old, new)
