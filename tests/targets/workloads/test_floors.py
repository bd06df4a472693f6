"""Floors under a number of replicas: who scales is found, and what is demanded of it, with the whole answer."""

import json
from dataclasses import replace
from typing import Any

import jsonpatch
import msgspec
import pytest
from hypothesis import given, settings

from resilience_operator.cluster.objects.workloads import (
    Claim,
    ConfigMap,
    Deployment,
    HorizontalPodAutoscaler,
    OwnerReference,
    ScaledObject,
)
from resilience_operator.core.findings import Verdict
from resilience_operator.core.kinds import CONFIG_MAP, HPA, SCALED_OBJECT
from resilience_operator.core.paths import ABSENT, Path
from resilience_operator.core.state import ANNOTATION, FIELD_MANAGER, Held, ObjectState, encode
from resilience_operator.engine.holds import Covering, sort_holds
from resilience_operator.engine.withdrawal import withdraw
from resilience_operator.policy.common import Mode, NamespaceScope, OnRelease
from resilience_operator.policy.policy import Policy
from resilience_operator.targets import project_dict, verdict_of
from resilience_operator.targets.coredns import floor as coredns_floor
from resilience_operator.targets.coredns.settings import CoreDNS, Floor, Named
from resilience_operator.targets.deployments import replicas
from resilience_operator.targets.deployments.settings import Deployments, Replicas
from resilience_operator.targets.workloads.floors import FloorRequest, of_deployment
from resilience_operator.targets.workloads.scaling import By, Scaling, who_scales
from resilience_operator.targets.workloads.settings import DisruptionBudget, Spread
from resilience_operator.targets.workloads.view import DeploymentView, Known, ScalerView, dns_first
from tests.support.policies import asking
from tests.support.views import NOW, deployment, node, service, view
from tests.targets.coredns.test_cpa import config_maps

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


OURS = Claim(FIELD_MANAGER, "Apply", "", "2026-11-22T08:00:00Z", frozenset({"spec.replicas"}), state=True)
STOPPED = ObjectState("d-2", {"spec.replicas": Held("coredns-floor", 0, 1)})


def autoscaler(*flags: str, replicas: int = 1, state: ObjectState | None = None) -> Deployment:
    command = ["/cluster-proportional-autoscaler", "--target=deployment/web", "--configmap=params", *flags]
    containers = [{"name": "autoscaler", "command": command}]
    meta: dict[str, Any] = {"name": "cpa", "uid": "d-2"}
    if state is not None:
        meta["annotations"] = {ANNOTATION: encode(state)}
    made = deployment(meta=meta, pod={"containers": containers}, replicas=replicas)
    return msgspec.structs.replace(made, claims=(OURS,)) if state is not None else made


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
        (
            view(
                deployment(),
                autoscalers=[autoscaler(replicas=0)],
                config_maps=[parameters(linear="{}")],
            ),
            Scaling(By.CPA, "cluster-proportional-autoscaler cpa", parameters(linear="{}"), still=True),
        ),
        (
            view(deployment(), scalers=[hpa()], autoscalers=[autoscaler(replicas=0)]),
            Scaling(By.HPA, "HorizontalPodAutoscaler web", hpa()),
        ),
        (
            view(deployment(), scalers=[hpa()], autoscalers=[autoscaler(replicas=0, state=STOPPED)]),
            Scaling(By.SEVERAL, "HorizontalPodAutoscaler web and cluster-proportional-autoscaler cpa"),
        ),
        (claimed("kubectl"), Scaling(By.NOBODY)),
        (claimed("k9s"), Scaling(By.NOBODY)),
        (claimed("rancher"), Scaling(By.NOBODY)),
        (claimed("node-fetch"), Scaling(By.NOBODY)),
        (claimed("rollouts-controller"), Scaling(By.OTHER, "rollouts-controller, which was not found")),
        (claimed("rollouts-controller", ""), Scaling(By.OTHER, "rollouts-controller, which was not found")),
        (claimed("gokubedownscaler", ""), Scaling(By.OTHER, "gokubedownscaler, which was not found")),
        (claimed("argo-rollouts-installer", ""), Scaling(By.NOBODY)),
        (claimed("cluster-autoscaler-operator", ""), Scaling(By.NOBODY)),
        (view(deployment(), rollouts=["web"]), Scaling(By.OTHER, "Rollout web")),
        (claimed("kube-controller-manager"), Scaling(By.NOBODY)),
    ],
)
def test_who_scales_a_deployment_is_found(subject: DeploymentView, scaling: Scaling) -> None:
    assert who_scales(subject) == scaling


FEW = "1 of at least 2 replicas; nobody scales it"
SCALED = "1 of at least 2 replicas; HorizontalPodAutoscaler web scales it"
KUBE_DNS = (service(name="kube-dns", namespace="kube-system"),)
MIN_2 = parameters(linear='{"nodesPerReplica":2,"min":2}')


@pytest.mark.parametrize(
    ("subject", "expected"),
    [
        (view(deployment(replicas=1)), ([("TooFewReplicas", FEW, "")], [("spec.replicas", 2)])),
        (view(deployment(replicas=2)), ([], [("spec.replicas", 2)])),
        (view(deployment(replicas=5)), ([], [("spec.replicas", 5)])),
        (view(deployment(replicas=0)), ([], [])),
        (view(deployment(replicas=2), scalers=[hpa()]), ([], [])),
        (
            view(deployment(replicas=1), scalers=[hpa()]),
            ([("TooFewReplicas", SCALED, "HorizontalPodAutoscaler web would revert the change")], []),
        ),
        (
            view(deployment(replicas=1), scalers=[hpa(minimum=2)]),
            (
                [
                    (
                        "TooFewReplicas",
                        f"{SCALED} and has not followed",
                        "HorizontalPodAutoscaler web would revert the change",
                    )
                ],
                [],
            ),
        ),
        (view(deployment(replicas=1), scalers=[hpa()], known=Known(pods=False)), ([], [])),
        (view(deployment(replicas=0), scalers=[hpa(minimum=2)]), ([], [])),
        (
            view(deployment(replicas=1), autoscalers=[autoscaler()], config_maps=[MIN_2]),
            (
                [
                    (
                        "TooFewReplicas",
                        "1 of at least 2 replicas; cluster-proportional-autoscaler cpa scales it and has not followed",
                        "cluster-proportional-autoscaler cpa would revert the change",
                    )
                ],
                [],
            ),
        ),
        (
            view(deployment(replicas=1), autoscalers=[autoscaler(replicas=0)], config_maps=[MIN_2]),
            (
                [
                    (
                        "TooFewReplicas",
                        (
                            "1 of at least 2 replicas; cluster-proportional-autoscaler cpa is to scale it, has 0"
                            " replicas itself and scales nobody"
                        ),
                        "cluster-proportional-autoscaler cpa would revert the change once it runs",
                    )
                ],
                [],
            ),
        ),
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
    ours = (Claim("resilience-operator", "Apply", "", "", frozenset({"spec.replicas"})),)
    subject = replace(view(msgspec.structs.replace(deployment(replicas=5), claims=ours)), state=state)
    message = "spec.replicas 5 was written for an earlier policy"
    assert answer(replicas.check(AT_LEAST_2, subject)) == (
        [("HeldValueDiffers", message, "")],
        [("spec.replicas", 2)],
    )
    committed = msgspec.structs.replace(subject.deployment, chosen=frozenset({"spec.replicas=5"}))
    assert answer(replicas.check(AT_LEAST_2, replace(subject, deployment=committed))) == (
        [],
        [("spec.replicas", 5)],
    )
    scaled = (Claim("kubectl", "Update", "scale", "", frozenset({"spec.replicas"})),)
    set_again = replace(view(msgspec.structs.replace(deployment(replicas=5), claims=scaled)), state=state)
    assert answer(replicas.check(AT_LEAST_2, set_again)) == ([], [("spec.replicas", 5)]), "by somebody else"
    raised_since = replace(view(deployment(replicas=7)), state=state)
    assert answer(replicas.check(AT_LEAST_2, raised_since)) == ([], [("spec.replicas", 7)])


def of_scaler(target: Any, replicas_now: int = 3, **known: Any) -> ScalerView:
    if isinstance(target, ConfigMap):
        known |= {"autoscalers": [autoscaler()], "config_maps": [target]}
    else:
        known.setdefault("scalers", [target])
    return ScalerView(target, NOW, scaled=view(deployment(replicas=replicas_now), **known))


def owned(target: Any) -> Any:
    owner = OwnerReference("Operator", "shop", "o-1", controller=True)
    return msgspec.structs.replace(
        target, metadata=msgspec.structs.replace(target.metadata, owner_references=(owner,))
    )


@pytest.mark.parametrize("target", [hpa(), scaled_object(1), parameters(linear='{"nodesPerReplica":2}')])
def test_what_a_controller_keeps_is_only_reported(target: Any) -> None:
    found, demands = answer(replicas.check(AT_LEAST_2, of_scaler(owned(target))))
    assert [one[2] for one in found] == ["it is controlled by Operator shop"]
    assert demands == []


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
    assert answer(of_deployment(FloorRequest("replicas", 2), low)) == ([("TooFewReplicas", message, why)], [])


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


CPA_FLAGS = ('--default-params={"linear":{"nodesPerReplica":2}}',)


def cpa_view(dns: DeploymentView, replicas_now: int = 1) -> DeploymentView:
    """The view of the first of its autoscalers."""
    cpa = autoscaler(*CPA_FLAGS, replicas=replicas_now)
    return replace(view(cpa), scaled=replace(dns, autoscalers=(cpa, *dns.autoscalers[1:])))


DNS = view(deployment(), autoscalers=[autoscaler(*CPA_FLAGS)], config_maps=[MIN_2])


def test_default_parameters_below_the_floor_are_reported_and_left_to_their_owner() -> None:
    message = (
        "--default-params of container autoscaler lack the floor of 3 replicas: a ConfigMap made of them lets cluster"
        " DNS go below it"
    )
    assert answer(coredns_floor.check(Floor(), cpa_view(DNS))) == (
        [("DefaultParamsBelowFloor", message, "the arguments of a program are its owner's")],
        [],
    )


def test_parameters_that_cannot_be_read_are_reported_and_left_alone() -> None:
    broken = parameters(linear='{"nodesPerReplica":2,"min":"3"}')
    subject = ScalerView(broken, NOW, scaled=replace(DNS, config_maps=(broken,)))
    found, demands = answer(coredns_floor.check(Floor(), subject))
    message = 'linear: min is "3", no whole number from 0 to 2147483647; no floor is written until that is corrected'
    assert found == [("UnreadableParameters", message, "only its owner knows what was meant")]
    assert demands == [("data.linear", '{"nodesPerReplica":2,"min":"3"}')]


def test_default_parameters_that_cannot_be_read_are_reported() -> None:
    broken = autoscaler('--default-params={"linear":{"min":"3"}}')
    subject = replace(view(broken), scaled=view(deployment(), autoscalers=[broken], config_maps=[MIN_2]))
    message = (
        '--default-params of container autoscaler: linear: min is "3", no whole number from 0 to 2147483647'
    )
    assert answer(coredns_floor.check(Floor(), subject)) == (
        [("UnreadableParameters", message, "the arguments of a program are its owner's")],
        [],
    )


def test_of_an_autoscaler_that_its_owner_stopped_nothing_is_said_or_demanded() -> None:
    assert answer(coredns_floor.check(Floor(), cpa_view(DNS, 0))) == ([], [])


@pytest.mark.parametrize("more", [{"autoscalers": [autoscaler(), autoscaler()]}, {"scalers": [hpa()]}])
def test_of_several_scalers_none_is_edited(more: dict[str, Any]) -> None:
    dns = view(deployment(), **({"autoscalers": [autoscaler()]} | more))
    assert answer(coredns_floor.check(Floor(), cpa_view(dns))) == ([], [])


def sorted_holds(subject: DeploymentView) -> tuple[list[str], list[str]]:
    """What is given back, and what is left as it is and forgotten, when the only policy is deleted."""
    policy = Policy("p", uid="p-1", on_release=OnRelease.REVERT, deleting=True, mode=Mode.ENFORCE)
    holds = sort_holds(subject, {}, {"p-1": policy})
    return sorted(holds.released), sorted(holds.adopted)


def pinned(**known: Any) -> DeploymentView:
    held = Held("coredns-floor", 3, 1, policies=("p-1",))
    mine = msgspec.structs.replace(deployment(), claims=(OURS,))
    return view(mine, state=ObjectState("d-1", {"spec.replicas": held}), **known)


@pytest.mark.parametrize(
    ("subject", "expected"),
    [
        pytest.param(pinned(), (["spec.replicas"], []), id="nobody-scales"),
        pytest.param(
            pinned(autoscalers=[autoscaler(replicas=0)]), (["spec.replicas"], []), id="stopped-by-its-owner"
        ),
        pytest.param(
            pinned(autoscalers=[autoscaler(replicas=0, state=STOPPED)]),
            ([], ["spec.replicas"]),
            id="stopped-by-us",
        ),
        pytest.param(pinned(autoscalers=[autoscaler()]), ([], ["spec.replicas"]), id="started-already"),
        pytest.param(pinned(scalers=[hpa()]), ([], ["spec.replicas"]), id="an-HPA-came-later"),
        pytest.param(
            pinned(scalers=[scaled_object(1)]), ([], ["spec.replicas"]), id="a-ScaledObject-came-later"
        ),
    ],
)
def test_a_number_that_somebody_scales_is_not_given_back(
    subject: DeploymentView, expected: tuple[list[str], list[str]]
) -> None:
    assert sorted_holds(subject) == expected


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


@pytest.mark.parametrize(
    ("namespace", "labels", "demanded"),
    [
        ("kube-system", {"addonmanager.kubernetes.io/mode": "Reconcile"}, False),
        ("kube-system", {"kubernetes.azure.com/managedby": "aks"}, False),
        ("kube-system", {}, True),
        ("shop", {"addonmanager.kubernetes.io/mode": "Reconcile"}, True),
    ],
)
def test_what_is_kept_with_the_cluster_is_not_changed_by_section_deployments_either(
    namespace: str, labels: dict[str, str], demanded: bool
) -> None:
    everywhere = Deployments(
        namespaces=NamespaceScope(include=(namespace,)),
        replicas=Replicas(min=4),
        spread=Spread(),
        disruption_budget=DisruptionBudget(),
    )
    meta = {"namespace": namespace, "labels": labels}
    nodes = [node("a", zone="x"), node("b", zone="y")]
    alone = verdict_of(asking("p", deployments=everywhere), view(deployment(meta=meta), nodes=nodes))
    assert alone is not None
    reasons = {one.reason: bool(one.report_only) for one in alone.verdict.findings}
    assert reasons == dict.fromkeys(("MissingConstraint", "TooFewReplicas", "NoBudget"), not demanded)
    assert bool(alone.verdict.demands) is bool(alone.verdict.budgets) is demanded
    scaler = ScalerView(hpa(), NOW, scaled=view(deployment(meta=meta), scalers=[hpa()]))
    through = verdict_of(asking("p", deployments=everywhere), scaler)
    assert through is not None
    assert bool(through.verdict.demands) is demanded


def test_of_parameters_that_are_enough_nothing_is_added_by_rule_replicas() -> None:
    enough = of_scaler(parameters(linear='{"nodesPerReplica":2,"min":2}'))
    assert answer(replicas.check(AT_LEAST_2, enough)) == (
        [],
        [("data.linear", '{"nodesPerReplica":2,"min":2}')],
    )


def test_parameters_of_several_targets_are_judged_for_cluster_dns_among_them() -> None:
    other = view(deployment(meta={"namespace": "kube-system", "name": "other"}))
    dns = view(deployment(meta={"namespace": "kube-system"}))
    named = asking("p", core_dns=CoreDNS(deployment=Named("kube-system", "web"), floor=Floor()))
    low = parameters(linear='{"nodesPerReplica":2}')
    scaler = of_scaler(low).scaled
    assert scaler is not None
    dns = replace(dns, autoscalers=scaler.autoscalers, config_maps=scaler.config_maps)
    both = verdict_of(named, ScalerView(low, NOW, scaled=other, scaled_too=(dns,)))
    assert both is not None
    assert [one.message for one in both.verdict.findings] == [
        "linear lets Deployments web and other go down to 1; the floor is 3 replicas"
    ]
    assert len(both.verdict.demands) == 1
    assert verdict_of(named, ScalerView(low, NOW, scaled=other)) is None
    assert [one.ref.name for one in dns_first([other, replace(dns, services=KUBE_DNS)])] == ["web", "other"]


def two_keys(*policies: str) -> ScalerView:
    """Its owner, who applies, went from linear, which we hold by now, to ladder."""
    low, ours = '{"nodesPerReplica":2}', '{"nodesPerReplica":2,"min":2}'
    found = parameters(linear=ours, ladder='{"nodesToReplicas":[[1,1],[4,2]]}')
    claims = (
        Claim(FIELD_MANAGER, "Apply", "", "2026-11-22T08:00:00Z", frozenset({"data.linear"}), state=True),
        Claim("flux", "Apply", "", "2026-11-22T09:00:00Z", frozenset({"data.ladder"})),
    )
    held = Held("replicas", ours, low, policies=policies)
    state = ObjectState("c-1", {"data.linear": held})
    return replace(of_scaler(msgspec.structs.replace(found, claims=claims)), state=state)


def test_beside_our_key_the_owners_new_one_counts() -> None:
    found, demands = answer(replicas.check(AT_LEAST_2, two_keys()))
    assert found == [
        (
            "UnreadableParameters",
            (
                "ladder was written beside linear, which is ours by now: with two keys the autoscaler does not scale;"
                " linear goes, or at once by kubectl -n shop patch configmap params --type merge"
                ' -p \'{"data":{"linear":null}}\''
            ),
            "",
        ),
        ("FloorTooLow", "ladder lets Deployment web go down to 1; the floor is 2 replicas", ""),
    ]
    assert demands == [("data.ladder", '{"nodesToReplicas":[[1,2],[4,2]]}')]


@pytest.mark.parametrize("active", [True, False])
def test_our_key_goes_where_the_owner_has_another_by_now(active: bool) -> None:
    policy, rules = Policy("p", uid="p-1", mode=Mode.ENFORCE), frozenset({"replicas"})
    covering = Covering(
        policy,
        frozenset({"data.ladder"} if active else ()),
        rules if active else frozenset(),
        frozenset() if active else rules,
    )
    subject = two_keys("p-1")
    holds = sort_holds(subject, {"p-1": covering}, {"p-1": policy})
    assert bool(holds.released) is active
    assert bool(holds.carried) is not active
    assert isinstance(subject.target, ConfigMap)
    raw = {"metadata": {"resourceVersion": "1", "annotations": {}}, "data": dict(subject.target.data)}
    restored = jsonpatch.apply_patch(raw, list(withdraw(raw, holds.released, ObjectState()).ops))
    assert sorted(restored["data"]) == (["ladder"] if active else ["ladder", "linear"])


def test_of_several_candidates_none_is_changed_until_one_is_named() -> None:
    dns = [service(name="kube-dns", namespace="kube-system")]
    subject = view(
        deployment(replicas=1, meta={"namespace": "kube-system"}), services=dns, twins=["kube-dns-old"]
    )

    def demands(section: CoreDNS) -> tuple[list[str], int]:
        verdict = verdict_of(asking("p", core_dns=section), subject)
        assert verdict is not None
        return [one.reason for one in verdict.verdict.findings], len(verdict.verdict.demands)

    assert demands(CoreDNS(floor=Floor())) == (["SeveralCandidates", "TooFewReplicas"], 0)
    named = CoreDNS(deployment=Named("kube-system", "web"), floor=Floor())
    assert demands(named)[1] == 1
