"""The floor of cluster DNS that an EKS add-on keeps: what is said, of what AWS shows and of what it does not."""

from dataclasses import replace
from typing import Any

import msgspec
import pytest

from resilience_operator.cluster.leaves import CONFIGURATION
from resilience_operator.cluster.objects.workloads import AddonReading, Claim, Deployment
from resilience_operator.core.findings import Demand, Finding, Verdict
from resilience_operator.core.state import Held, ObjectState
from resilience_operator.targets.coredns.addon_state import UNANSWERED, see
from resilience_operator.targets.coredns.floor import check
from resilience_operator.targets.coredns.scale_down import scale_of
from resilience_operator.targets.coredns.settings import Floor
from resilience_operator.targets.workloads.view import DeploymentView, ScalerView
from tests.support.views import NOW, deployment, view

RULE = Floor(min_replicas=3)
EKS = {"manager": "eks", "operation": "Apply", "leaves": []}
LOOK = (
    "see the configuration with: aws eks describe-addon --cluster-name {} --addon-name coredns --query"
    " addon.configurationValues --output text; raise it, and keep all else that it shows, for --configuration-values"
    " replaces all of it; where it shows nothing: aws eks update-addon --cluster-name {} --addon-name coredns"
    """ --resolve-conflicts PRESERVE --configuration-values '{{"replicaCount":3}}'"""
)
UNNAMED = '"${EKS_CLUSTER:?set EKS_CLUSTER to the name of the EKS cluster}"'


def coredns(replicas: int = 2, **meta: Any) -> Deployment:
    made = deployment(meta={"name": "coredns", "namespace": "kube-system", **meta}, replicas=replicas)
    return msgspec.structs.replace(made, claims=(msgspec.convert(EKS, Claim),))


def dns(reading: AddonReading | None, replicas: int = 2) -> DeploymentView:
    found = coredns(replicas)
    seen = see(found, reading)
    return view(found, addon=seen.addon if seen is not None else None)


def addon(configuration: str, replicas: int = 2, held: Held | None = None, **reading: Any) -> ScalerView:
    scaled = dns(AddonReading("prod", "v1", "ACTIVE", configuration, **reading), replicas)
    assert scaled.addon is not None
    leaves = {} if held is None else {"configurationValues": held}
    return ScalerView(scaled.addon, NOW, scaled, state=ObjectState(uid="d-1/addon", leaves=leaves))


def test_where_aws_was_not_asked_the_rule_is_skipped_and_says_how_to_ask() -> None:
    subject = dns(None, replicas=3)
    (skipped,) = check(RULE, subject).skipped
    assert skipped.why == (
        "the EKS add-on scales it, and how far down is not known: AWS was not asked; "
        + LOOK.format(UNNAMED, UNNAMED)
    )
    assert check(RULE, subject).findings == ()
    (found,) = check(RULE, dns(None, replicas=2)).findings
    assert found.reason == "TooFewReplicas"
    answerless = check(RULE, dns(AddonReading(problem=UNANSWERED), replicas=2))
    assert (answerless.findings, len(answerless.skipped)) == ((), 1), "soon more is known"


def test_where_aws_does_not_answer_the_finding_says_why_and_has_both_commands() -> None:
    subject = dns(AddonReading("prod", problem="cannot read it: no credentials"), replicas=5)
    (found,) = check(RULE, subject).findings
    assert (found.reason, found.object.kind, found.report_only) == (
        "AddonNotRead",
        "Deployment",
        "AWS does not show the configuration of the add-on",
    )
    assert found.message == (
        "the EKS add-on scales it, and how far down is not known: cannot read it: no credentials; "
        + LOOK.format("prod", "prod")
    )


def test_what_aws_shows_is_judged_on_the_add_on_and_not_on_the_deployment() -> None:
    subject = addon('{"corefile":"x"}', replicas=5)
    assert subject.scaled is not None
    assert check(RULE, subject.scaled) == Verdict(scale=scale_of(subject.scaled))
    wanted = '{"corefile":"x","replicaCount":3}'
    message = "replicaCount is 2 by default, below the floor of 3"
    found = Finding(
        "coredns-floor", "FloorTooLow", subject.ref, message, '{"corefile":"x"}', wanted, CONFIGURATION
    )
    assert check(RULE, subject) == Verdict(
        (found,), (Demand("coredns-floor", CONFIGURATION, wanted, floor=3),)
    )


def test_too_few_replicas_are_the_deployments_finding_and_say_that_eks_was_told() -> None:
    for configuration, told in {'{"replicaCount":3}': " and has not followed", "{}": ""}.items():
        scaled = addon(configuration, replicas=2).scaled
        assert scaled is not None
        (found,) = check(RULE, scaled).findings
        assert (found.reason, found.message) == (
            "TooFewReplicas",
            f"2 of at least 3 replicas; the EKS add-on scales it{told}",
        )


@pytest.mark.parametrize(
    ("configuration", "reason", "says"),
    [
        ("replicaCount: 2\n", "UnreadableConfiguration", "--cluster-name prod --addon-name coredns --query"),
        ('{"autoScaling":{"enabled":true,"maxReplicas":2}}', "MaximumBelowFloor", 'commit {"autoScaling":'),
    ],
)
def test_what_is_never_written_is_reported(configuration: str, reason: str, says: str) -> None:
    verdict = check(RULE, addon(configuration))
    (found,) = verdict.findings
    assert (found.reason, verdict.demands, bool(found.report_only)) == (reason, (), True)
    assert says in found.message


def test_what_was_written_stays_however_many_replicas_run_later() -> None:
    before = '{"autoScaling":{"enabled":true}}'
    first = check(RULE, addon(before, replicas=7))
    (demand,) = first.demands
    assert demand.value == '{"autoScaling":{"enabled":true,"minReplicas":3},"replicaCount":7}'
    held = Held("coredns-floor", demand.value, before)
    for replicas in (3, 7, 12):
        assert check(RULE, addon(demand.value, replicas, held)) == Verdict(demands=(demand,))


def test_a_lower_floor_is_written_anew_from_what_the_owner_had() -> None:
    before = '{"replicaCount":2}'
    held = Held("coredns-floor", '{"replicaCount":5}', before)
    verdict = check(RULE, addon('{"replicaCount":5}', 5, held))
    assert [one.value for one in verdict.demands] == ['{"replicaCount":3}']
    assert [one.reason for one in verdict.findings] == ["HeldValueDiffers"]


def test_zero_replicas_stay_zero_and_an_ill_add_on_is_told_of() -> None:
    assert check(RULE, addon("{}", replicas=0)) == Verdict()
    verdict = check(RULE, addon('{"replicaCount":3}', issues=("AccessDenied: no",)))
    assert [one.message for one in verdict.findings] == ["the add-on is ACTIVE; AccessDenied: no"]
    assert len(verdict.demands) == 1


def test_a_deployment_that_nothing_may_scale_gets_the_command_instead() -> None:
    subject = addon("{}")
    assert subject.scaled is not None
    recreate = deployment(
        meta={"name": "coredns", "namespace": "kube-system"}, replicas=2, strategy={"type": "Recreate"}
    )
    found = msgspec.structs.replace(recreate, claims=subject.scaled.deployment.claims)
    seen = see(found, subject.scaled.addon.reading if subject.scaled.addon else None)
    assert seen is not None
    verdict = check(RULE, replace(subject, target=seen.addon, scaled=view(found, addon=seen.addon)))
    (one,) = verdict.findings
    assert verdict.demands == ()
    assert one.message.endswith("""--configuration-values '{"replicaCount":3}'""")
