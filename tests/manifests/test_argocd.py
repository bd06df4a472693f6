"""Argo CD beside the lab: it syncs what is committed, undoes what is not in Git, and leaves nothing running."""

from tests.e2e.scene import workload
from tests.lab import Lab
from tests.lab.argocd import CACHE, CONTROLLER, REPO_SERVER, ArgoCD
from tests.support.sockets import listening


def test_what_is_committed_is_synced_and_what_is_not_is_undone(
    lab: Lab, argocd: ArgoCD, namespace: str
) -> None:
    repository = argocd.repository(namespace)
    first = repository.commit({"shop/web.yaml": workload(namespace, "web", replicas=2)}, "web")
    name = argocd.application(f"{namespace}-app", repository, "shop", namespace)
    argocd.wait_synced(name, first)
    path = f"/apis/apps/v1/namespaces/{namespace}/deployments/web"
    assert lab.api.get(path)["spec"]["replicas"] == 2
    assert lab.api.get(path)["metadata"]["annotations"]["argocd.argoproj.io/tracking-id"] == (
        f"{name}:apps/Deployment:{namespace}/web"
    )
    lab.api.patch(path, {"spec": {"replicas": 5}})
    lab.wait(lambda: lab.api.get(path)["spec"]["replicas"] == 2, what="selfHeal")
    second = repository.commit({"shop/web.yaml": workload(namespace, "web", replicas=3)}, "three")
    argocd.wait_synced(name, second)
    assert lab.api.get(path)["spec"]["replicas"] == 3


def test_it_listens_on_loopback_but_for_the_metrics_whose_address_is_in_its_source(
    lab: Lab, argocd: ArgoCD
) -> None:
    running = lab.running()
    addresses = {name: listening(running[name]) for name in (CACHE, REPO_SERVER, CONTROLLER)}
    assert addresses == {CACHE: ["127.0.0.1"], REPO_SERVER: ["127.0.0.1"] * 2, CONTROLLER: ["::"]}
