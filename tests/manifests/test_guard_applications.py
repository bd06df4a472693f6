"""The guard of manifests/argocd/rights: of all that is Argo CD's, the operator's user changes one annotation.

The operator's ServiceAccount is made administrator of the whole cluster here, so that what is refused is refused by the
guard and not for want of a right.
"""

import json
from collections.abc import Iterator

import pytest

from tests.lab import Lab
from tests.lab.fixtures import argo_cd
from tests.manifests.test_manifests import over
from tests.support.guarding import ACCOUNT, APPLY, DRY, MERGE, Api, Object, accepted, client, denial, guarding

pytestmark = pytest.mark.lab

GUARD = "resilience-operator-applications"
REFRESH = "argocd.argoproj.io/refresh"
VERSION, NAMESPACE = "argoproj.io/v1alpha1", "argocd"
SOURCE = {"repoURL": "https://git.example.com/shop.git", "path": "shop", "targetRevision": "main"}
SHOP: Object = {
    "apiVersion": VERSION,
    "kind": "Application",
    "metadata": {
        "name": "shop",
        "namespace": NAMESPACE,
        "labels": {"team": "shop"},
        "annotations": {"team": "shop", "empty": ""},
        "finalizers": ["resources-finalizer.argocd.argoproj.io"],
    },
    "spec": {
        "project": "tenants",
        "source": SOURCE,
        "destination": {"name": "in-cluster", "namespace": "shop"},
    },
    "status": {"sync": {"status": "Synced"}},
}
PROJECT: Object = {
    "apiVersion": VERSION,
    "kind": "AppProject",
    "metadata": {"name": "tenants", "namespace": NAMESPACE},
    "spec": {"sourceRepos": ["*"]},
}

ELSE = "the operator may change nothing of an Application beside metadata"
META = "of metadata, the operator may change one annotation alone"
ANNOTATION = f"of the annotations, the operator may change {REFRESH} alone"
VALUE = f"the operator may set {REFRESH} to normal alone"
KINDS = "of what is Argo CD's, the operator may change Applications alone, and neither create nor delete them"
FORBIDDEN: dict[str, tuple[Object, str]] = {
    "revision": ({"spec": {"source": {"targetRevision": "mine"}}}, ELSE),
    "repository": ({"spec": {"source": {"repoURL": "https://git.example.com/mine.git"}}}, ELSE),
    "project": ({"spec": {"project": "default"}}, ELSE),
    "automated": ({"spec": {"syncPolicy": {"automated": {"selfHeal": True}}}}, ELSE),
    "ignore-differences": ({"spec": {"ignoreDifferences": [{"kind": "Deployment"}]}}, ELSE),
    "sync": ({"operation": {"sync": {"revision": "main"}}}, ELSE),
    "status": ({"status": {"sync": {"status": "OutOfSync"}}}, ELSE),
    "no-status": ({"status": None}, ELSE),
    "label": ({"metadata": {"labels": {"more": "x"}}}, META),
    "label-gone": ({"metadata": {"labels": None}}, META),
    "finalizer": ({"metadata": {"finalizers": ["x.dev/stay"]}}, META),
    "no-finalizer": ({"metadata": {"finalizers": None}}, META),
    "owner": (
        {
            "metadata": {
                "ownerReferences": [{"apiVersion": "v1", "kind": "ConfigMap", "name": "x", "uid": "u-1"}]
            }
        },
        META,
    ),
    "annotation": (
        {"metadata": {"annotations": {"argocd.argoproj.io/sync-options": "Replace=true"}}},
        ANNOTATION,
    ),
    "empty-annotation": ({"metadata": {"annotations": {"new": ""}}}, ANNOTATION),
    "annotation-changed": ({"metadata": {"annotations": {"team": "mine"}}}, ANNOTATION),
    "annotation-gone": ({"metadata": {"annotations": {"empty": None}}}, ANNOTATION),
    "hard": ({"metadata": {"annotations": {REFRESH: "hard"}}}, VALUE),
    "hydrate": (
        {"metadata": {"annotations": {REFRESH: "normal", "argocd.argoproj.io/hydrate": "normal"}}},
        ANNOTATION,
    ),
    "with-refresh": (
        {"metadata": {"annotations": {REFRESH: "normal"}}, "spec": {"source": {"path": "mine"}}},
        ELSE,
    ),
}


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    programs = argo_cd()
    with guarding() as lab:
        kinds = ("application", "appproject")
        crds = [f"--filename={programs}/crds/{kind}-crd.yaml" for kind in kinds]
        lab.kubectl("apply", "--server-side", *crds)
        lab.wait(lambda: all(served(lab, f"{kind}s") for kind in kinds), what="both kinds are served")
        lab.kubectl("create", "namespace", NAMESPACE)
        lab.kubectl("create", "-f", "-", input=json.dumps(SHOP))
        lab.kubectl("create", "-f", "-", input=json.dumps(PROJECT))
        lab.kubectl("apply", "-k", str(over(tmp_path_factory.mktemp("rights"), "enforce", "argocd/rights")))
        probe = {"metadata": {"labels": {"probe": "x"}}}
        operator = applications(lab, service_account=ACCOUNT)
        lab.wait(
            lambda: operator.patch(probe, MERGE, name="shop").status_code == 422, what="the guard is in force"
        )
        yield lab


def served(lab: Lab, plural: str) -> bool:
    crd = lab.api.get(f"/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{plural}.argoproj.io")
    conditions = crd.get("status", {}).get("conditions") or []
    return any((one["type"], one["status"]) == ("Established", "True") for one in conditions)


def applications(lab: Lab, **user: str) -> Api:
    return Api(client(lab, **user), NAMESPACE, VERSION, "applications")


@pytest.fixture(scope="module")
def operator(guarded: Lab) -> Api:
    return applications(guarded, service_account=ACCOUNT)


@pytest.mark.parametrize(("patch", "says"), FORBIDDEN.values(), ids=FORBIDDEN)
def test_the_operator_cannot_and_somebody_else_can(
    guarded: Lab, operator: Api, patch: Object, says: str
) -> None:
    assert denial(operator.patch(patch, MERGE, name="shop"), GUARD) == says
    assert accepted(applications(guarded).patch(patch, MERGE, name="shop"))


def test_the_operator_can_make_argo_cd_look_again(guarded: Lab, operator: Api) -> None:
    for value in ("normal", None):
        assert accepted(operator.patch({"metadata": {"annotations": {REFRESH: value}}}, MERGE, name="shop"))
    look = {"metadata": {"annotations": {REFRESH: "normal"}}}
    assert accepted(operator.patch(look, MERGE, params={}, name="shop"))
    assert operator.read("shop")["metadata"]["annotations"][REFRESH] == "normal"
    undone = {"metadata": {"annotations": {REFRESH: None}}}
    assert accepted(applications(guarded).patch(undone, MERGE, params={}, name="shop"))


def test_it_can_also_where_somebody_wanted_a_hard_look(guarded: Lab, operator: Api) -> None:
    hard = {"metadata": {"annotations": {REFRESH: "hard"}}}
    assert accepted(applications(guarded).patch(hard, MERGE, params={}, name="shop"))
    assert accepted(operator.patch({"metadata": {"annotations": {REFRESH: "normal"}}}, MERGE, name="shop"))
    undone = {"metadata": {"annotations": {REFRESH: None}}}
    assert accepted(applications(guarded).patch(undone, MERGE, params={}, name="shop"))


def test_it_creates_and_deletes_nothing_and_touches_no_other_kind(operator: Api) -> None:
    fields = DRY | {"fieldManager": "resilience-operator"}
    new = SHOP | {"metadata": {"name": "new", "namespace": NAMESPACE}}
    projects = operator.of(VERSION, "appprojects")
    answers = {
        "create": operator.create(new),
        "apply": operator.patch(new, APPLY, fields, name="new"),
        "delete": operator.delete("shop"),
        "delete-all": operator.delete(""),
        "project": projects.patch({"spec": {"description": "mine"}}, MERGE, name="tenants"),
        "new-project": projects.create(PROJECT | {"metadata": {"name": "new", "namespace": NAMESPACE}}),
        "project-gone": projects.delete("tenants"),
    }
    assert {what: denial(answer, GUARD) for what, answer in answers.items()} == dict.fromkeys(answers, KINDS)


def test_without_annotations_the_first_one_is_refresh(guarded: Lab, operator: Api) -> None:
    bare = SHOP | {"metadata": {"name": "bare", "namespace": NAMESPACE}}
    guarded.kubectl("create", "-f", "-", input=json.dumps(bare))
    assert accepted(operator.patch({"metadata": {"annotations": {REFRESH: "normal"}}}, MERGE, name="bare"))
    other = {"metadata": {"annotations": {"other": "x"}}}
    assert denial(operator.patch(other, MERGE, name="bare"), GUARD) == ANNOTATION
