"""Budgets of our own: made where none is, kept as the policy says, and gone before they could block a drain."""

from typing import Any

import msgspec
import pytest

from resilience_operator.core.findings import BudgetDemand
from resilience_operator.core.policy import Mode, OnRelease, Policy
from resilience_operator.observed.objects import PodDisruptionBudget
from resilience_operator.observed.view import DeploymentView, Known
from resilience_operator.planning.change import Change
from resilience_operator.planning.companions import BudgetAsked, companions_of
from tests.views import LABELS, deployment, view

POLICY = Policy("p", uid="p-1", mode=Mode.ENFORCE)
OTHER = Policy("q", uid="q-1", mode=Mode.ENFORCE, priority=5)
DEMAND = BudgetDemand("disruption-budget", 1)


def budget(name: str = "web-resilience", policy: str = "", **spec: Any) -> PodDisruptionBudget:
    """A budget of shop/web: ours, for that policy's uid, or somebody's."""
    labels = {"app.kubernetes.io/managed-by": "resilience-operator", "resilience.dev/policy": policy}
    owners = [{"apiVersion": "apps/v1", "kind": "Deployment", "name": "web", "uid": "d-1"}]
    ours = {"labels": labels, "ownerReferences": owners} if policy else {}
    body = {
        "metadata": {"name": name, "namespace": "shop", "uid": f"b-{name}", "resourceVersion": "7", **ours},
        "spec": {
            "maxUnavailable": 1,
            "selector": {"matchLabels": LABELS},
            "unhealthyPodEvictionPolicy": "AlwaysAllow",
            **spec,
        },
    }
    return msgspec.convert(body, PodDisruptionBudget)


def asked(policy: Policy = POLICY, demand: BudgetDemand = DEMAND, *, writes: bool = True) -> BudgetAsked:
    return BudgetAsked(policy, demand, writes)


def short(changes: tuple[Change, ...]) -> list[tuple[str, str, str, bool]]:
    return [(str(one.verb), one.object.name, one.reason, one.urgent) for one in changes]


MINE, THEIRS = budget(policy="p-1"), budget("theirs")
MAKE = ("Create", "web-resilience", "no budget limits how many pods of web may go at once", False)
TWO = "PodDisruptionBudget theirs selects the same pods: with two, every eviction fails"
SUSPENDED = Policy("p", uid="p-1", mode=Mode.ENFORCE, suspend=True)
DELETING = Policy("p", uid="p-1", mode=Mode.ENFORCE, deleting=True, on_release=OnRelease.RETAIN)


@pytest.mark.parametrize(
    ("subject", "what", "policies", "expected"),
    [
        (view(deployment()), (asked(),), (POLICY,), [MAKE]),
        (view(deployment()), (asked(writes=False),), (POLICY,), []),
        (view(deployment()), (asked(demand=BudgetDemand("disruption-budget", 1, "not yet")),), (POLICY,), []),
        (view(deployment(), budgets=[THEIRS]), (asked(),), (POLICY,), []),
        (view(deployment(replicas=1)), (asked(),), (POLICY,), []),
        (view(deployment(), known=Known(budgets=False)), (asked(),), (POLICY,), []),
        (view(deployment(), budgets=[MINE]), (asked(),), (POLICY,), []),
        (view(deployment(), budgets=[MINE]), (asked(writes=False),), (POLICY,), []),
        (
            view(deployment(), budgets=[MINE, THEIRS]),
            (asked(),),
            (POLICY,),
            [("Delete", "web-resilience", TWO, True)],
        ),
        (
            view(deployment(), budgets=[MINE, THEIRS]),
            (),
            (),
            [("Delete", "web-resilience", TWO, True)],
        ),
        (view(deployment(), budgets=[MINE, THEIRS]), (), (SUSPENDED,), []),
        (
            view(deployment(replicas=1), budgets=[MINE]),
            (asked(writes=False),),
            (POLICY,),
            [("Delete", "web-resilience", "1 replica would be protected from every eviction", True)],
        ),
        (view(deployment(replicas=0), budgets=[MINE]), (asked(),), (POLICY,), []),
        (
            view(deployment(), budgets=[MINE]),
            (),
            (POLICY,),
            [("Delete", "web-resilience", "policy p no longer asks for it", True)],
        ),
        (
            view(deployment(), budgets=[MINE]),
            (asked(DELETING, writes=False),),
            (DELETING,),
            [("Delete", "web-resilience", "policy p no longer asks for it", True)],
        ),
        (view(deployment(), budgets=[MINE]), (), (), []),
        (
            view(deployment(), budgets=[MINE]),
            (asked(demand=BudgetDemand("disruption-budget", "50%")),),
            (POLICY,),
            [("Update", "web-resilience", "policy p demands maxUnavailable 50%", False)],
        ),
        (
            view(deployment(), budgets=[MINE]),
            (asked(), asked(OTHER, BudgetDemand("disruption-budget", 2))),
            (POLICY, OTHER),
            [("Update", "web-resilience", "policy q demands maxUnavailable 2", False)],
        ),
    ],
)
def test_what_becomes_of_a_budget(
    subject: DeploymentView, what: tuple[BudgetAsked, ...], policies: tuple[Policy, ...], expected: list[Any]
) -> None:
    assert short(companions_of(subject, what, {one.uid: one for one in policies})) == expected


def test_a_budget_that_is_made_belongs_to_its_deployment_alone() -> None:
    (change,) = companions_of(view(deployment()), (asked(),), {"p-1": POLICY})
    assert change.whole == {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": {
            "name": "web-resilience",
            "namespace": "shop",
            "labels": {"app.kubernetes.io/managed-by": "resilience-operator", "resilience.dev/policy": "p-1"},
            "ownerReferences": [{"apiVersion": "apps/v1", "kind": "Deployment", "name": "web", "uid": "d-1"}],
        },
        "spec": {
            "maxUnavailable": 1,
            "selector": {"matchLabels": {"app": "web"}},
            "unhealthyPodEvictionPolicy": "AlwaysAllow",
        },
    }
    assert change.parts() == [(POLICY, "disruption-budget", ("PodDisruptionBudget web-resilience",))]


def test_a_copy_of_our_budget_for_another_deployment_is_not_ours() -> None:
    copied = msgspec.structs.replace(
        MINE, metadata=msgspec.structs.replace(MINE.metadata, owner_references=())
    )
    assert companions_of(view(deployment(), budgets=[copied]), (asked(),), {"p-1": POLICY}) == ()
