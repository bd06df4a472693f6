"""examples/gitops without a cluster: what `plan --patch` prints, committed, ends what `check` finds in the files."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from resilience_operator.cli.cluster import Cluster
from resilience_operator.cli.main import main
from resilience_operator.cli.patches import of_cluster, printed
from tests.support import ROOT
from tests.support.clusters import cluster
from tests.support.gitops import (
    EXAMPLE,
    POLICY,
    SHOP,
    Body,
    append,
    merge,
    node,
    rendered,
    repository,
    running,
)

GOLDEN = ROOT / "tests" / "patches"
RECREATE = "reported only: strategy Recreate stops all replicas before new ones start"
FEW = "1 of at least 2 replicas; nobody scales it"
NO_ENTRY = "topologySpreadConstraints has no entry for"
REOPEN = "dnsConfig.options lacks single-request-reopen"
GRACE = "terminationGracePeriodSeconds is 30; 45 are demanded"

BEFORE = {
    f"[dns-config] Deployment shop/api: {REOPEN}",
    f"[dns-config] Deployment shop/search: {REOPEN}",
    f"[dns-config] Deployment shop/web: {REOPEN}",
    f"[dns-config] Deployment shop/worker: {REOPEN}; {RECREATE}",
    (
        "[graceful-shutdown] Deployment shop/search: container search serves a port of a Service and has no preStop"
        f" hook; {GRACE}"
    ),
    "[graceful-shutdown] Deployment shop/web: the preStop hook of container web sleeps 2 s; 15 s are demanded",
    f"[graceful-shutdown] Deployment shop/web: {GRACE}",
    f"[replicas] Deployment shop/web: {FEW}",
    (
        "[replicas] HorizontalPodAutoscaler shop/search: spec.minReplicas lets Deployment search go down to 1; the"
        " floor is 2 replicas"
    ),
    (
        "[spread] Deployment shop/api: the topologySpreadConstraints entry for kubernetes.io/hostname is weaker than"
        " demanded: maxSkew 5 instead of 1, its labelSelector selects the pods of search and web and worker as well"
    ),
    f"[spread] Deployment shop/api: {NO_ENTRY} topology.kubernetes.io/zone",
}
TWO_REPLICAS = {
    f"[spread] Deployment shop/{name}: {NO_ENTRY} {key}"
    for name in ("search", "web")
    for key in ("kubernetes.io/hostname", "topology.kubernetes.io/zone")
}
"""What web is found to lack once it has two replicas, and search once its autoscaler keeps two."""


def audit() -> Body:
    body: Body = yaml.safe_load((EXAMPLE / POLICY).read_text())
    meta = {"name": "production", "uid": "uid-production", "generation": 1}
    return body | {"metadata": meta, "spec": body["spec"] | {"mode": "Audit"}}


def observed(documents: list[Body]) -> Cluster:
    """A cluster of two nodes after Argo CD has applied the documents; autoscalers have scaled, all is rolled out."""
    least = {
        one["spec"]["scaleTargetRef"]["name"]: {"replicas": one["spec"]["minReplicas"]}
        for one in documents
        if one["kind"] == "HorizontalPodAutoscaler"
    }
    scaled = (
        one | {"spec": least.get(one["metadata"]["name"], {}) | one["spec"]}
        if one["kind"] == "Deployment"
        else one
        for one in documents
    )
    return cluster([audit()], [*map(node, "ab"), *map(running, scaled)])


def found(documents: list[Body], place: Path, capsys: pytest.CaptureFixture[str]) -> set[str]:
    """What `check` finds, without the places."""
    file = place / "rendered.yaml"
    file.write_text(yaml.safe_dump_all(documents))
    main(["check", str(file), "-p", str(EXAMPLE / POLICY)])
    lines = capsys.readouterr().out.splitlines()
    return {line.partition(": ")[2] for line in lines if line.startswith(f"{file}:")}


def what_to_commit(documents: list[Body], form: str) -> str:
    return printed(of_cluster(observed(documents), "production"), form, "production")


@pytest.mark.parametrize("form", ["kustomize", "manifest"])
def test_the_whole_of_stdout_is_as_it_was_read_and_approved(form: str, tmp_path: Path) -> None:
    documents = rendered(repository(tmp_path) / SHOP)
    assert what_to_commit(documents, form) == (GOLDEN / f"{form}.yaml").read_text()


def test_patches_below_the_kustomization_end_every_finding_but_those_that_a_comment_names(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shop = repository(tmp_path) / SHOP
    assert found(rendered(shop), tmp_path, capsys) == BEFORE
    append(what_to_commit(rendered(shop), "kustomize"), shop)
    assert found(rendered(shop), tmp_path, capsys) == TWO_REPLICAS
    append(what_to_commit(rendered(shop), "kustomize"), shop)
    assert found(rendered(shop), tmp_path, capsys) == set()
    again = what_to_commit(rendered(shop), "kustomize")
    assert yaml.safe_load(again) == {"patches": []}


def test_manifests_put_into_the_files_end_the_same_and_bring_the_budgets_that_no_patch_can_make(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    documents = rendered(repository(tmp_path) / SHOP)
    before = {_name(one): one for one in documents}
    documents = merge(what_to_commit(documents, "manifest"), documents, tmp_path)
    unprotected = {
        f"[disruption-budget] Deployment shop/{name}: no PodDisruptionBudget selects the pods of its 2 replicas"
        for name in ("search", "web")
    }
    # One budget is read from now on, so that all are judged.
    assert found(documents, tmp_path, capsys) == unprotected | TWO_REPLICAS
    documents = merge(what_to_commit(documents, "manifest"), documents, tmp_path)
    assert found(documents, tmp_path, capsys) == set()
    made = [_name(one) for one in documents if _name(one) not in before]
    assert made == [f"PodDisruptionBudget {name}-resilience" for name in ("api", "search", "web")]


def test_nothing_else_of_an_object_is_another_and_containers_keep_their_order(tmp_path: Path) -> None:
    shop = repository(tmp_path) / SHOP
    before = {_name(one): one for one in rendered(shop)}
    append(what_to_commit(rendered(shop), "kustomize"), shop)
    after = {_name(one): one for one in rendered(shop)}
    assert list(after) == list(before)
    web = after["Deployment web"]["spec"]
    assert [one["name"] for one in web["template"]["spec"]["containers"]] == ["metrics", "web"]
    web["replicas"] = 1
    pod = web["template"]["spec"]
    assert pod.pop("terminationGracePeriodSeconds") == 45
    assert pod["dnsConfig"]["options"].pop() == {"name": "single-request-reopen"}
    assert pod["containers"][1]["lifecycle"] == {"preStop": {"sleep": {"seconds": 15}}}
    pod["containers"][1]["lifecycle"] = {"preStop": {"exec": {"command": ["sleep", "2"]}}}
    assert after["Deployment web"] == before["Deployment web"]


def _name(body: dict[str, Any]) -> str:
    return f"{body['kind']} {body['metadata']['name']}"
