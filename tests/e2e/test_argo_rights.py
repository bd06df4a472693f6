"""The optional right of manifests/argocd/rights: it is used as far as it goes, under its guard, by the real user.

Argo CD's kind is served, and nothing of Argo CD runs: what the operator asks of it stays to be seen.
"""

import json
from collections.abc import Callable
from pathlib import Path

from tests.e2e.scene import Body, workload
from tests.e2e.test_rights import forbidden, granted, installed, operator_of_the_manifests, used
from tests.lab import Lab
from tests.lab.fixtures import argo_cd
from tests.manifests.test_manifests import over

SHOP: Body = {
    "apiVersion": "argoproj.io/v1alpha1",
    "kind": "Application",
    "metadata": {"name": "shop", "namespace": "argocd", "annotations": {"team": "shop"}},
    "spec": {
        "project": "tenants",
        "source": {"repoURL": "https://git.example.com/shop.git", "path": "shop", "targetRevision": "main"},
        "destination": {"name": "in-cluster", "namespace": "shop"},
        "syncPolicy": {"automated": {"selfHeal": True}},
    },
}


def test_with_the_right_the_application_is_told_of_and_made_to_look(
    own_lab: Callable[..., Lab], tmp_path: Path
) -> None:
    programs = argo_cd()
    lab = own_lab()
    lab.kubectl("apply", "--server-side", f"--filename={programs / 'crds' / 'application-crd.yaml'}")
    lab.wait_established("applications.argoproj.io")
    lab.kubectl("create", "namespace", "argocd")
    lab.kubectl("create", "-f", "-", input=json.dumps(SHOP))
    overlay = str(over(tmp_path, "enforce", "argocd/rights"))
    scene = installed(lab, overlay, tmp_path)
    web = workload(scene.namespace, "web", replicas=1)
    web["metadata"]["annotations"] = {
        "argocd.argoproj.io/tracking-id": f"shop:apps/Deployment:{scene.namespace}/web"
    }
    scene.apply(web, "--server-side", "--field-manager=argocd-controller")
    scene.wait_rolled_out("web")
    before = scene.spec("web")

    with operator_of_the_manifests(scene) as operator:
        scene.policy(onRelease="Revert", deployments={"dnsConfig": {}, "replicas": {"min": 2}})
        scene.wait(lambda: "dnsConfig" in scene.pod_spec("web"), "what Git does not set is set")
        scene.wait_rolled_out("web")
        git = "(Argo CD application shop, sync with selfHeal; argocd-controller, Apply)"
        scene.wait(
            lambda: git in scene.condition("Contested").get("message", ""), "who sets replicas is told"
        )
        assert application(lab) == SHOP["metadata"]["annotations"]
        scene.delete_policy()
        look = {"argocd.argoproj.io/refresh": "normal"}
        scene.wait(
            lambda: application(lab) == SHOP["metadata"]["annotations"] | look, "Argo CD is to look again"
        )
        assert scene.spec("web") == before
    assert forbidden(lab) == []
    ours = {right for right in granted(lab, overlay) if right[1] == "argoproj.io"}
    assert ours == {(verb, "argoproj.io", "applications", "") for verb in ("list", "watch", "patch")}
    assert ours <= used(lab)
    assert "Traceback" not in operator.log.read_text()


def application(lab: Lab) -> dict[str, str]:
    """The annotations of the Application."""
    found = json.loads(lab.kubectl("-n", "argocd", "get", "applications.argoproj.io", "shop", "-o", "json"))
    annotations: dict[str, str] = found["metadata"]["annotations"]
    return annotations
