"""Who stands behind a value, in words: Git, a release, a person with a tool, or another controller."""

from typing import Any

import msgspec
import pytest

from resilience_operator.cluster.argocd import (
    Application,
    Applications,
    ApplicationSpec,
    Automated,
    SyncPolicy,
)
from resilience_operator.cluster.leaves import DNS_OPTIONS, REPLICAS
from resilience_operator.cluster.objects.workloads import Claim, Meta
from resilience_operator.core.paths import ABSENT
from resilience_operator.core.state import Held, ObjectState
from resilience_operator.engine.owners import owner
from resilience_operator.targets.workloads.view import DeploymentView
from tests.support.views import deployment, view

TRACKED = {"argocd.argoproj.io/tracking-id": "shop:apps/Deployment:shop/web"}
TRACKED_IN_TEAMS = {"argocd.argoproj.io/tracking-id": "teams_shop:apps/Deployment:shop/web"}
RELEASED = {"meta.helm.sh/release-name": "web", "meta.helm.sh/release-namespace": "shop"}
KUSTOMIZED = {
    "kustomize.toolkit.fluxcd.io/name": "apps",
    "kustomize.toolkit.fluxcd.io/namespace": "flux-system",
}
HELM_RELEASED = {"helm.toolkit.fluxcd.io/name": "web", "helm.toolkit.fluxcd.io/namespace": "shop"}


def application(automated: Automated | None = None, *, namespace: str = "argocd") -> Application:
    return Application(Meta("shop", namespace), ApplicationSpec(SyncPolicy(automated)))


def subject(
    annotations: Any = (), labels: Any = (), known: Application | None = None, chosen: Any = (str(REPLICAS),)
) -> DeploymentView:
    """shop/web, whose last-applied manifest sets the replicas."""
    meta = {"annotations": dict(annotations), "labels": dict(labels)}
    found = msgspec.structs.replace(deployment(meta=meta), chosen=frozenset(chosen))
    return view(found, application=known)


def held_by_us() -> DeploymentView:
    """The same, with three replicas of ours."""
    ours = Claim("resilience-operator", "Apply", leaves=frozenset([str(REPLICAS)]))
    found = msgspec.structs.replace(subject(TRACKED).deployment, claims=(ours,))
    return view(found, state=ObjectState("d-1", {str(REPLICAS): Held("replicas", 3, 5)}))


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
            subject({"argocd.argoproj.io/tracking-id": "shop:apps/Deployment:staging/web"}),
            "argocd-controller",
            "Apply",
            "Git sets spec.replicas: 1 (Argo CD; argocd-controller, Apply)",
            id="with the annotation of another object",
        ),
        pytest.param(
            subject(TRACKED, chosen=()),
            "argocd-controller",
            "Update",
            "argocd-controller sets spec.replicas: 1 (Argo CD application shop; argocd-controller, Update)",
            id="what the server filled in at a client-side sync",
        ),
        pytest.param(
            held_by_us(),
            "argocd-controller",
            "Apply",
            "Argo CD applies, as the operator has set it, spec.replicas: 1 "
            "(Argo CD application shop; argocd-controller, Apply)",
            id="our value",
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
    assert owner(bearer, Claim(manager, operation), REPLICAS).sets(REPLICAS, 1) == sentence


def test_nobody_named_and_nothing_there_make_sentences_as_well() -> None:
    assert (
        owner(subject(), None, REPLICAS).sets(REPLICAS, 1)
        == "a manager that left no trace set spec.replicas: 1"
    )
    dropped = owner(subject(), Claim("fleet", "Apply"), REPLICAS).sets(REPLICAS, ABSENT)
    assert dropped == "fleet sets spec.replicas (Apply)"


def test_a_long_value_is_cut() -> None:
    options = [{"name": f"option-{number:02}"} for number in range(20)]
    sentence = owner(subject(), Claim("fleet", "Apply"), DNS_OPTIONS).sets(DNS_OPTIONS, options)
    assert sentence.endswith(',{"name":"o… (Apply)')
    assert len(sentence) < 280


@pytest.mark.parametrize(
    ("annotations", "beside", "belongs"),
    [
        pytest.param(TRACKED, (), True, id="by name"),
        pytest.param(TRACKED, ("others",), False, id="one of two namesakes"),
        pytest.param(TRACKED_IN_TEAMS, ("argocd",), True, id="by namespace and name"),
        pytest.param({}, (), False, id="not tracked"),
        pytest.param(
            {"argocd.argoproj.io/tracking-id": "shop:apps/Deployment:staging/web"}, (), False, id="copied"
        ),
        pytest.param(
            {"argocd.argoproj.io/tracking-id": "shop:opentelemetry.io/Collector:shop/web"},
            (),
            False,
            id="made by a controller of what is tracked",
        ),
        pytest.param(
            TRACKED | {"argocd.argoproj.io/installation-id": "b"}, (), False, id="of another Argo CD"
        ),
    ],
)
def test_an_object_belongs_to_the_application_that_it_names(
    annotations: Any, beside: tuple[str, ...], belongs: bool
) -> None:
    known, meant = Applications(), application(namespace="teams")
    found = subject(annotations).deployment
    assert known.of(found.ref, found.metadata) is None
    others = [application(namespace=namespace) for namespace in beside]
    for one in [meant, *others]:
        known.add(one)
    assert known.of(found.ref, found.metadata) is (meant if belongs else None)
    for one in others:
        known.remove(one)
    known.remove(meant)
    assert known.of(found.ref, found.metadata) is None
