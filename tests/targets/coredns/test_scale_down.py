"""A scale-down of cluster DNS is told once, with who did it and what the cluster had."""

import dataclasses

import msgspec
import pytest

from resilience_operator.cluster.objects.workloads import Claim
from resilience_operator.core.findings import Finding, Scale, State
from resilience_operator.core.refs import ObjectRef
from resilience_operator.engine.change import Decision, Judged
from resilience_operator.engine.queue import Schedule
from resilience_operator.run.events import transitions
from resilience_operator.targets.coredns.scale_down import scale_of
from resilience_operator.targets.coredns.settings import CoreDNS, Floor
from tests.support.policies import asking
from tests.support.views import deployment, node, view

DNS = ObjectRef("apps/v1", "Deployment", "kube-system", "coredns", "d-9")
POLICY = asking("p", uid="p-1", core_dns=CoreDNS(floor=Floor()))


def decided(scale: Scale | None) -> Decision:
    return Decision(DNS, evaluated=("p",), sections=frozenset({("p", "coreDNS")}), scale=scale)


def told(before: Decision | None, after: Decision) -> list[tuple[str, str, str]]:
    notices = transitions(before, after, Schedule(), {"p": POLICY}, 4)
    return [(one.type, one.reason, one.note) for one in notices]


TOLD_BY = ("coredns-floor", "CoreDNSScaledDown")
THREE, TWO = Scale(3, "cpa (Update)", 5, 5, *TOLD_BY), Scale(2, "cpa (Update)", 5, 4, *TOLD_BY)


@pytest.mark.parametrize(
    ("before", "after", "notes"),
    [
        (
            decided(THREE),
            decided(TWO),
            [
                (
                    "Warning",
                    "CoreDNSScaledDown",
                    (
                        "policy p, rule coredns-floor: cpa (Update) scaled it from 3 to 2 replicas;"
                        " 4 of 5 nodes are Ready and schedulable"
                    ),
                )
            ],
        ),
        (decided(TWO), decided(THREE), []),
        (decided(TWO), decided(TWO), []),
        (None, decided(TWO), []),
        (decided(None), decided(TWO), []),
    ],
)
def test_only_a_scale_down_is_told(
    before: Decision | None, after: Decision, notes: list[tuple[str, str, str]]
) -> None:
    assert told(before, after) == notes


def test_a_scale_down_that_keeps_the_floor_is_no_warning() -> None:
    before, after = (
        dataclasses.replace(decided(scale), asked=frozenset({("p", "coredns-floor")}))
        for scale in (Scale(4, "cpa (Update)", 5, 5), THREE)
    )
    ((kind, reason, _),) = told(before, after)
    assert (kind, reason) == ("Normal", "CoreDNSScaledDown")
    below = Judged("p", Finding("coredns-floor", "BelowFloor", DNS, "3 of 4"), State.PENDING)
    kinds = {reason: kind for kind, reason, _ in told(before, dataclasses.replace(after, judged=(below,)))}
    assert kinds["CoreDNSScaledDown"] == "Warning"


def test_who_scaled_last_is_read_from_managed_fields() -> None:
    replicas = frozenset({"spec.replicas"})
    claims = (
        Claim("kubectl", "Update", "", "2026-11-22T08:00:00Z", replicas),
        Claim("cluster-proportional-autoscaler", "Update", "scale", "2026-11-22T09:00:00Z", replicas),
        Claim("helm", "Update", "", "2026-11-22T10:00:00Z", frozenset()),
    )
    nodes = [node("a"), node("b", ready=False), node("c", cordoned=True)]
    subject = view(msgspec.structs.replace(deployment(replicas=2), claims=claims), nodes=nodes)
    assert scale_of(subject) == Scale(2, "cluster-proportional-autoscaler (Update)", 3, 1, *TOLD_BY)
