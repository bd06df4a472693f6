"""Who stands behind a value, in words: Git, a release, a person with a tool, or another controller."""

from typing import Any

import pytest

from resilience_operator.core.paths import ABSENT
from resilience_operator.observed.applications import (
    Application,
    Applications,
    ApplicationSpec,
    Automated,
    SyncPolicy,
)
from resilience_operator.observed.leaves import DNS_OPTIONS, REPLICAS
from resilience_operator.observed.objects import Claim, Meta
from resilience_operator.observed.view import DeploymentView
from resilience_operator.planning.owners import owner
from tests.views import deployment, view

TRACKED = {"argocd.argoproj.io/tracking-id": "shop:apps/Deployment:shop/web"}
RELEASED = {"meta.helm.sh/release-name": "web", "meta.helm.sh/release-namespace": "shop"}
KUSTOMIZED = {
    "kustomize.toolkit.fluxcd.io/name": "apps",
    "kustomize.toolkit.fluxcd.io/namespace": "flux-system",
}
HELM_RELEASED = {"helm.toolkit.fluxcd.io/name": "web", "helm.toolkit.fluxcd.io/namespace": "shop"}


def application(automated: Automated | None = None, *, namespace: str = "argocd") -> Application:
    return Application(Meta("shop", namespace), ApplicationSpec(SyncPolicy(automated)))


def subject(annotations: Any = (), labels: Any = (), known: Application | None = None) -> DeploymentView:
    meta = {"annotations": dict(annotations), "labels": dict(labels)}
    return view(deployment(meta=meta), application=known)


@pytest.mark.parametrize(
    ("bearer", "manager", "operation", "sentence"),
    [
        pytest.param(
            subject(TRACKED, known=application(Automated(self_heal=True))),
            "argocd-controller",
            "Update",
            "Git sets spec.replicas: 1 (Argo CD application shop, sync with selfHeal; argocd-controller, Update)",
            id="an Application that is known, with selfHeal",
        ),
        pytest.param(
            subject(TRACKED, known=application(Automated())),
            "argocd-controller",
            "Apply",
            "Git sets spec.replicas: 1 "
            "(Argo CD application shop, automated sync without selfHeal; argocd-controller, Apply)",
            id="without selfHeal",
        ),
        pytest.param(
            subject(TRACKED, known=application(Automated(self_heal=True, enabled=False))),
            "argocd-controller",
            "Apply",
            "Git sets spec.replicas: 1 (Argo CD application shop, manual sync; argocd-controller, Apply)",
            id="automated, and switched off",
        ),
        pytest.param(
            subject(TRACKED, known=application()),
            "argocd-controller",
            "Apply",
            "Git sets spec.replicas: 1 (Argo CD application shop, manual sync; argocd-controller, Apply)",
            id="not automated",
        ),
        pytest.param(
            subject(TRACKED),
            "argocd-controller",
            "Apply",
            "Git sets spec.replicas: 1 (Argo CD application shop; argocd-controller, Apply)",
            id="an Application that may not be read",
        ),
        pytest.param(
            subject({"argocd.argoproj.io/tracking-id": "teams_shop:apps/Deployment:shop/web"}),
            "argocd-controller",
            "Apply",
            "Git sets spec.replicas: 1 (Argo CD application teams/shop; argocd-controller, Apply)",
            id="an Application outside of Argo CD's namespace",
        ),
        pytest.param(
            subject(),
            "argocd-controller",
            "Apply",
            "Git sets spec.replicas: 1 (Argo CD; argocd-controller, Apply)",
            id="Argo CD without the annotation",
        ),
        pytest.param(
            subject(labels=KUSTOMIZED),
            "kustomize-controller",
            "Apply",
            "Git sets spec.replicas: 1 (Flux Kustomization flux-system/apps; kustomize-controller, Apply)",
            id="Flux",
        ),
        pytest.param(
            subject(RELEASED, HELM_RELEASED),
            "helm-controller",
            "Update",
            "Git sets spec.replicas: 1 (Flux HelmRelease shop/web; helm-controller, Update)",
            id="Flux with Helm",
        ),
        pytest.param(
            subject(RELEASED),
            "helm",
            "Apply",
            "Helm set spec.replicas: 1 (Helm release web; helm, Apply)",
            id="Helm",
        ),
        pytest.param(
            subject(),
            "kubectl-client-side-apply",
            "Update",
            "somebody with kubectl apply set spec.replicas: 1 (kubectl-client-side-apply, Update)",
            id="kubectl apply",
        ),
        pytest.param(
            subject(),
            "kubectl",
            "Apply",
            "somebody with kubectl apply --server-side set spec.replicas: 1 (kubectl, Apply)",
            id="kubectl apply --server-side",
        ),
        pytest.param(
            subject(TRACKED),
            "kubectl-edit",
            "Update",
            "somebody with kubectl edit set spec.replicas: 1 "
            "(kubectl-edit, Update; the object belongs to Argo CD application shop)",
            id="a person on an object of Git",
        ),
        pytest.param(
            subject(RELEASED),
            "fleet-controller",
            "Apply",
            "fleet-controller sets spec.replicas: 1 (Apply; the object belongs to Helm release web)",
            id="another controller",
        ),
    ],
)
def test_the_owner_of_a_value_is_named_in_a_sentence(
    bearer: DeploymentView, manager: str, operation: str, sentence: str
) -> None:
    assert owner(bearer, Claim(manager, operation)).sets(REPLICAS, 1) == sentence


def test_nobody_named_and_nothing_there_make_sentences_as_well() -> None:
    assert owner(subject(), None).sets(REPLICAS, 1) == "a manager that left no trace set spec.replicas: 1"
    dropped = owner(subject(), Claim("fleet", "Apply")).sets(REPLICAS, ABSENT)
    assert dropped == "fleet sets spec.replicas (Apply)"


def test_a_long_value_is_cut() -> None:
    options = [{"name": f"option-{number:02}"} for number in range(20)]
    sentence = owner(subject(), Claim("fleet", "Apply")).sets(DNS_OPTIONS, options)
    assert sentence.endswith(',{"name":"o… (Apply)')
    assert len(sentence) < 280


def test_an_object_belongs_to_the_application_that_it_names_and_to_none_of_two_namesakes() -> None:
    known, elsewhere = Applications(), application(namespace="teams")
    meta = subject(TRACKED).deployment.metadata
    assert known.of(meta) is None
    known.add(elsewhere)
    assert known.of(meta) is elsewhere
    third = application(namespace="others")
    known.add(third)
    assert known.of(meta) is None
    home = application()
    known.add(home)
    assert known.of(meta) is home
    known.remove(home)
    known.remove(third)
    assert known.of(meta) is elsewhere
    named = subject({"argocd.argoproj.io/tracking-id": "teams_shop:apps/Deployment:shop/web"})
    assert known.of(named.deployment.metadata) is elsewhere
    known.remove(elsewhere)
    assert known.of(named.deployment.metadata) is None
    assert known.of(subject().deployment.metadata) is None
