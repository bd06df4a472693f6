"""Floors under a number of replicas: who scales is found, and what is demanded of it, with the whole answer."""

import json
from dataclasses import replace
from typing import Any

import jsonpatch
import msgspec
import pytest
from hypothesis import given, settings

from resilience_operator.adapters.projections import project_dict
from resilience_operator.core.findings import Verdict
from resilience_operator.core.kinds import CONFIG_MAP, HPA, SCALED_OBJECT
from resilience_operator.core.paths import ABSENT, Path
from resilience_operator.core.policy import CoreDNS, Floor, Named, Policy, Replicas
from resilience_operator.core.state import ANNOTATION, Held, ObjectState, encode
from resilience_operator.evaluation import verdict_of
from resilience_operator.observed.objects import (
    Claim,
    ConfigMap,
    Deployment,
    HorizontalPodAutoscaler,
    OwnerReference,
    ScaledObject,
)
from resilience_operator.observed.view import DeploymentView, ScalerView
from resilience_operator.planning.withdrawal import withdraw
from resilience_operator.rules import coredns_floor, replicas
from resilience_operator.rules.floors import Least, of_deployment
from resilience_operator.rules.scaling import By, Scaling, who_scales
from tests.test_cpa import config_maps
from tests.views import NOW, deployment, service, view

Answer = tuple[list[tuple[str, str, str]], list[tuple[str, Any]]]
AT_LEAST_2 = Replicas(min=2)


def hpa(
    name: str = "web", minimum: int | None = None, maximum: int = 6, **meta: Any
) -> HorizontalPodAutoscaler:
    body = {
        "metadata": {"name": name, "namespace": "shop", "uid": "h-1", **meta},
        "spec": {
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"},
            "maxReplicas": maximum,
        }
        | ({"minReplicas": minimum} if minimum is not None else {}),
    }
    found = project_dict(HPA, body)
    assert isinstance(found, HorizontalPodAutoscaler)
    return found


def scaled_object(minimum: int | None = None, **spec: Any) -> ScaledObject:
    counts = {"minReplicaCount": minimum} if minimum is not None else {}
    body = {
        "metadata": {"name": "web", "namespace": "shop", "uid": "s-1"},
        "spec": {"scaleTargetRef": {"name": "web"}, **counts, **spec},
    }
    found = project_dict(SCALED_OBJECT, body)
    assert isinstance(found, ScaledObject)
    return found


def autoscaler(*flags: str) -> Deployment:
    command = ["/cluster-proportional-autoscaler", "--target=deployment/web", "--configmap=params", *flags]
    containers = [{"name": "autoscaler", "command": command}]
    return deployment(meta={"name": "cpa", "uid": "d-2"}, pod={"containers": containers}, replicas=1)


def parameters(**data: str) -> ConfigMap:
    body = {"metadata": {"name": "params", "namespace": "shop", "uid": "c-1"}, "data": data}
    found = project_dict(CONFIG_MAP, body)
    assert isinstance(found, ConfigMap)
    return found


def answer(verdict: Verdict) -> Answer:
    """Reason, message and why never of each finding; path and value of each demand."""
    found = [(one.reason, one.message, one.report_only) for one in verdict.findings]
    return found, [(str(one.path), one.value) for one in verdict.demands]


def claimed(manager: str, subresource: str = "scale") -> DeploymentView:
    claims = (Claim(manager, "Update", subresource, "2026-11-22T08:00:00Z", frozenset({"spec.replicas"})),)
    return view(msgspec.structs.replace(deployment(), claims=claims))


KEDA_OWNER = [
    {
        "apiVersion": "keda.sh/v1alpha1",
        "kind": "ScaledObject",
        "name": "web",
        "uid": "s-1",
        "controller": True,
    }
]


@pytest.mark.parametrize(
    ("subject", "scaling"),
    [
        (view(deployment()), Scaling(By.NOBODY)),
        (view(deployment(), scalers=[hpa()]), Scaling(By.HPA, "HorizontalPodAutoscaler web", hpa())),
        (
            view(deployment(), scalers=[scaled_object(1), hpa("keda-hpa-web", ownerReferences=KEDA_OWNER)]),
            Scaling(By.KEDA, "ScaledObject web", scaled_object(1)),
        ),
        (
            view(deployment(), scalers=[hpa("keda-hpa-web", ownerReferences=KEDA_OWNER)]),
            Scaling(By.KEDA, "ScaledObject web"),
        ),
        (
            view(deployment(), autoscalers=[autoscaler()], config_maps=[parameters(linear="{}")]),
            Scaling(By.CPA, "cluster-proportional-autoscaler cpa", parameters(linear="{}")),
        ),
        (
            view(deployment(), autoscalers=[autoscaler()]),
            Scaling(By.CPA, "cluster-proportional-autoscaler cpa"),
        ),
        (
            view(deployment(), scalers=[hpa(), hpa("other")]),
            Scaling(By.SEVERAL, "HorizontalPodAutoscaler web and HorizontalPodAutoscaler other"),
        ),
        (
            view(
                deployment(
                    meta={
                        "ownerReferences": [
                            {"kind": "Rollout", "name": "web", "uid": "r-1", "controller": True}
                        ]
                    }
                )
            ),
            Scaling(By.OTHER, "Rollout web"),
        ),
        (claimed("eks", ""), Scaling(By.EKS, "the EKS add-on")),
        (
            claimed("cluster-proportional-autoscaler"),
            Scaling(By.OTHER, "cluster-proportional-autoscaler, which was not found"),
        ),
        (claimed("kubectl"), Scaling(By.NOBODY)),
        (claimed("kube-controller-manager"), Scaling(By.NOBODY)),
    ],
)
def test_who_scales_a_deployment_is_found(subject: DeploymentView, scaling: Scaling) -> None:
    assert who_scales(subject) == scaling


FEW = "1 of at least 2 replicas; nobody scales it"


@pytest.mark.parametrize(
    ("subject", "expected"),
    [
        (view(deployment(replicas=1)), ([("TooFewReplicas", FEW, "")], [("spec.replicas", 2)])),
        (view(deployment(replicas=2)), ([], [("spec.replicas", 2)])),
        (view(deployment(replicas=5)), ([], [("spec.replicas", 5)])),
        (view(deployment(replicas=0)), ([], [])),
        (view(deployment(replicas=1), scalers=[hpa()]), ([], [])),
        (
            view(deployment(replicas=1, strategy={"type": "Recreate"})),
            ([("TooFewReplicas", FEW, "strategy Recreate stops all replicas before new ones start")], []),
        ),
        (
            view(deployment(replicas=1), scalers=[hpa(), scaled_object(1)]),
            (
                [
                    (
                        "SeveralScalers",
                        "HorizontalPodAutoscaler web and ScaledObject web scale it, each against the other",
                        "which of them is to go is for people to say",
                    )
                ],
                [],
            ),
        ),
    ],
)
def test_what_the_floor_says_of_a_deployment(subject: DeploymentView, expected: Answer) -> None:
    assert answer(replicas.check(AT_LEAST_2, subject)) == expected


def test_a_floor_that_was_lowered_gives_back_what_it_no_longer_needs() -> None:
    state = ObjectState("d-1", {"spec.replicas": Held("replicas", 5, 1)})
    subject = replace(view(deployment(replicas=5)), state=state)
    message = "spec.replicas 5 was written for an earlier policy"
    assert answer(replicas.check(AT_LEAST_2, subject)) == (
        [("HeldValueDiffers", message, "")],
        [("spec.replicas", 2)],
    )
    raised_since = replace(view(deployment(replicas=7)), state=state)
    assert answer(replicas.check(AT_LEAST_2, raised_since)) == ([], [("spec.replicas", 7)])


def of_scaler(target: Any, replicas_now: int = 3, **known: Any) -> ScalerView:
    if isinstance(target, ConfigMap):
        known |= {"autoscalers": [autoscaler()], "config_maps": [target]}
    else:
        known.setdefault("scalers", [target])
    return ScalerView(target, NOW, scaled=view(deployment(replicas=replicas_now), **known))


LOW = "spec.minReplicas lets Deployment web go down to 1; the floor is 2 replicas"


@pytest.mark.parametrize(
    ("subject", "expected"),
    [
        (of_scaler(hpa()), ([("FloorTooLow", LOW, "")], [("spec.minReplicas", 2)])),
        (of_scaler(hpa(minimum=1)), ([("FloorTooLow", LOW, "")], [("spec.minReplicas", 2)])),
        (of_scaler(hpa(minimum=4)), ([], [("spec.minReplicas", 4)])),
        (of_scaler(hpa(), replicas_now=0), ([], [])),
        (
            of_scaler(hpa(minimum=0)),
            (
                [
                    (
                        "FloorTooLow",
                        LOW.replace("to 1", "to 0"),
                        "it may scale to zero, and that stays possible",
                    )
                ],
                [],
            ),
        ),
        (of_scaler(hpa(), scalers=[hpa(), scaled_object(1)]), ([], [])),
        (
            of_scaler(hpa(maximum=1)),
            (
                [
                    (
                        "MaximumBelowFloor",
                        (
                            "spec.maxReplicas is 1, below the floor of 2 replicas for Deployment web; to end it, commit"
                            ' {"spec":{"maxReplicas":2}}'
                        ),
                        "a maximum is never raised",
                    )
                ],
                [],
            ),
        ),
        (
            of_scaler(scaled_object(1)),
            (
                [("FloorTooLow", LOW.replace("minReplicas", "minReplicaCount"), "")],
                [("spec.minReplicaCount", 2)],
            ),
        ),
        (
            of_scaler(scaled_object()),
            (
                [
                    (
                        "FloorTooLow",
                        "spec.minReplicaCount lets Deployment web go down to 0; the floor is 2 replicas",
                        "it may scale to zero, and that stays possible",
                    )
                ],
                [],
            ),
        ),
        (
            of_scaler(parameters(linear='{"nodesPerReplica":2}')),
            (
                [("FloorTooLow", "linear lets Deployment web go down to 1; the floor is 2 replicas", "")],
                [("data.linear", '{"nodesPerReplica":2,"min":2,"includeUnschedulableNodes":true}')],
            ),
        ),
        (ScalerView(hpa(), NOW), ([], [])),
    ],
)
def test_what_the_floor_says_of_a_scaler(subject: ScalerView, expected: Answer) -> None:
    assert answer(replicas.check(AT_LEAST_2, subject)) == expected


def test_who_else_scales_is_named_where_there_are_too_few() -> None:
    subject = replace(
        claimed("karpenter-scaler"),
        deployment=msgspec.structs.replace(claimed("karpenter-scaler").deployment),
    )
    low = replace(
        subject, deployment=msgspec.structs.replace(subject.deployment, spec=deployment(replicas=1).spec)
    )
    message = "1 of at least 2 replicas; karpenter-scaler, which was not found scales it"
    why = "karpenter-scaler, which was not found would revert the change"
    assert answer(of_deployment(Least("replicas", 2), low)) == ([("TooFewReplicas", message, why)], [])


@settings(max_examples=500)
@given(config_maps())
def test_of_any_parameters_a_floor_is_written_once_and_given_back_byte_for_byte(
    made: tuple[dict[str, str], list[str]],
) -> None:
    data, _ = made
    found = parameters(**data) if all(key.isidentifier() for key in data) else None
    if found is None:
        return
    first = coredns_floor.check(Floor(), of_scaler(found))
    written = {str(one.path).removeprefix("data."): one.value for one in first.demands}
    changed = {key: text for key, text in written.items() if data.get(key) != text}
    assert set(written) <= set(data), "never a second key"
    held = {f"data.{key}": Held("coredns-floor", text, data[key]) for key, text in changed.items()}
    state = ObjectState("c-1", held, applies=())
    after = replace(of_scaler(parameters(**(data | changed))), state=state)
    again = coredns_floor.check(Floor(), after)
    assert [(str(one.path), one.value) for one in again.demands] == [
        (str(one.path), one.value) for one in first.demands
    ], "a second pass demands the same"
    raw = {
        "metadata": {"resourceVersion": "1", "annotations": {ANNOTATION: encode(state)}},
        "data": data | changed,
    }
    plan = withdraw(raw, held, ObjectState())
    restored = jsonpatch.apply_patch(raw, list(plan.ops))
    assert restored["data"] == data
    assert json.dumps(restored["metadata"]["annotations"]) == "{}"


def test_an_absent_number_is_absent_again() -> None:
    raw = {
        "metadata": {"resourceVersion": "1", "annotations": {}},
        "spec": {"minReplicas": 2, "maxReplicas": 6},
    }
    plan = withdraw(raw, {"spec.minReplicas": Held("replicas", 2, ABSENT, 1)}, ObjectState())
    assert jsonpatch.apply_patch(raw, list(plan.ops))["spec"] == {"maxReplicas": 6}
    assert Path.parse("spec.minReplicas").in_template is False


def test_default_parameters_lie_in_the_arguments_of_the_autoscaler() -> None:
    flags = ('--default-params={"linear":{"nodesPerReplica":2}}',)
    dns = view(deployment(), autoscalers=[autoscaler(*flags)])
    subject = replace(view(autoscaler(*flags)), scaled=dns)
    found, demands = answer(coredns_floor.check(Floor(), subject))
    assert [one[0] for one in found] == ["DefaultParamsBelowFloor"]
    assert demands == [
        (
            "spec.template.spec.containers[name=autoscaler].command",
            [
                "/cluster-proportional-autoscaler",
                "--target=deployment/web",
                "--configmap=params",
                (
                    '--default-params={"linear":{"nodesPerReplica":2,"min":3,"preventSinglePointFailure":true,'
                    '"includeUnschedulableNodes":true}}'
                ),
            ],
        )
    ]


def test_who_keeps_cluster_dns_is_respected() -> None:
    labels = {"k8s-app": "kube-dns", "kubernetes.azure.com/managedby": "aks"}
    subject = view(deployment(replicas=1, meta={"labels": labels}))
    found, demands = answer(coredns_floor.check(Floor(), subject))
    assert (found, demands) == (
        [
            (
                "TooFewReplicas",
                "1 of at least 3 replicas; nobody scales it",
                "it is kept by AKS, which would revert the change",
            )
        ],
        [],
    )
    assert OwnerReference("Rollout", "x", "u").controller is False


def test_of_several_candidates_none_is_changed_until_one_is_named() -> None:
    dns = [service(name="kube-dns", namespace="kube-system")]
    subject = view(
        deployment(replicas=1, meta={"namespace": "kube-system"}), services=dns, twins=["kube-dns-old"]
    )

    def demands(section: CoreDNS) -> tuple[list[str], int]:
        verdict = verdict_of(Policy("p", core_dns=section), subject)
        assert verdict is not None
        return [one.reason for one in verdict.verdict.findings], len(verdict.verdict.demands)

    assert demands(CoreDNS(floor=Floor())) == (["SeveralCandidates", "TooFewReplicas"], 0)
    named = CoreDNS(deployment=Named("kube-system", "web"), floor=Floor())
    assert demands(named)[1] == 1
