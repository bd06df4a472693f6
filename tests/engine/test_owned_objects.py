"""Budgets of our own: made where none is, kept as the policy says, and gone before they could block a drain."""

from dataclasses import replace
from typing import Any

import msgspec
import pytest

from resilience_operator.cluster.objects.workloads import PodDisruptionBudget
from resilience_operator.core.findings import BudgetDemand
from resilience_operator.engine.change import Change
from resilience_operator.engine.own_objects import OwnObjects
from resilience_operator.policy.common import Conflicts, Mode, OnRelease
from resilience_operator.policy.policy import Policy
from resilience_operator.run.apply import Done, Report
from resilience_operator.run.events import outcomes
from resilience_operator.targets.deployments.settings import Deployments
from resilience_operator.targets.workloads.own_budgets import BudgetAsked, companions_of
from resilience_operator.targets.workloads.settings import DisruptionBudget
from resilience_operator.targets.workloads.view import DeploymentView, Known
from tests.support.policies import asking
from tests.support.views import LABELS, NOW, deployment, view

SECTION = Deployments(disruption_budget=DisruptionBudget())
POLICY = asking("p", uid="p-1", mode=Mode.ENFORCE, deployments=SECTION)
OTHER = asking("q", uid="q-1", mode=Mode.ENFORCE, priority=5, deployments=SECTION)
RULE = "disruption-budget"
DEMAND = BudgetDemand(RULE, 1)


def budget(
    name: str = "web-resilience",
    policy: str = "",
    *,
    of: str = "d-1",
    born: str = "2026-11-01T00:00:00Z",
    set_by: dict[str, str] | None = None,
    **spec: Any,
) -> PodDisruptionBudget:
    """A budget in shop: ours of the Deployment with uid `of`, for that policy's uid, or somebody's.

    `set_by`: field of spec -> the manager that set it; the operator set the others.
    """
    labels = {"app.kubernetes.io/managed-by": "resilience-operator", "resilience.dev/policy": policy}
    owners = [{"apiVersion": "apps/v1", "kind": "Deployment", "name": "web", "uid": of}]
    ours = {"labels": labels, "ownerReferences": owners} if policy else {}
    meta = {"name": name, "namespace": "shop", "uid": f"b-{name}", "resourceVersion": "7"}
    spec = {"selector": {"matchLabels": LABELS}, "unhealthyPodEvictionPolicy": "AlwaysAllow"} | spec
    spec = {"maxUnavailable": 1} | spec if "minAvailable" not in spec else spec
    managers = dict.fromkeys(spec, "resilience-operator") | (set_by or {})
    claims = [
        {"manager": manager, "operation": "Update", "leaves": [f"spec.{field}"]}
        for field, manager in managers.items()
    ]
    body = {"metadata": meta | {"creationTimestamp": born} | ours, "spec": spec, "claims": claims}
    return msgspec.convert(body, PodDisruptionBudget)


def asked(
    policy: Policy = POLICY, most: int | str | None = 1, *, writes: bool = True, **more: Any
) -> BudgetAsked:
    return BudgetAsked(policy, RULE, BudgetDemand(RULE, most) if most is not None else None, writes, **more)


def decided(
    subject: DeploymentView, what: tuple[BudgetAsked, ...], policies: tuple[Policy, ...], **more: Any
) -> OwnObjects:
    return companions_of(subject, what, {one.uid: one for one in policies}, **more)


def short(changes: tuple[Change, ...]) -> list[tuple[str, str, str, bool]]:
    return [(str(one.verb), one.object.name, one.reason, one.urgent) for one in changes]


def web(*budgets: PodDisruptionBudget, replicas: int = 3, **known: Any) -> DeploymentView:
    return view(deployment(replicas=replicas), budgets=list(budgets), **known)


MINE, THEIRS = budget(policy="p-1"), budget("theirs")
BLUE = budget("blue-resilience", policy="p-1", of="d-2", born="2026-10-01T00:00:00Z")
GREEN = budget("green-resilience", policy="p-1", of="d-3", born="2026-12-01T00:00:00Z")
WIDE = budget(
    "wide-resilience",
    policy="p-1",
    of="d-4",
    born="2026-10-01T00:00:00Z",
    selector={},
    set_by={"selector": "kubectl-edit"},
)
EDITED = budget(policy="p-1", minAvailable=3, set_by={"minAvailable": "kubectl-edit"})
ASTRAY = budget(policy="p-1", selector={"matchLabels": {"app": "x"}}, set_by={"selector": "kubectl-edit"})
DAMAGED = budget(policy="p-1", selector={"matchLabels": {"app": "x"}}, unhealthyPodEvictionPolicy="")
MAKE = ("Create", "web-resilience", "no budget limits how many pods of web may go at once", False)
TWO = "PodDisruptionBudget theirs selects the same pods: with two, every eviction fails"
BESIDE_BLUE = "PodDisruptionBudget blue-resilience selects the same pods: with two, every eviction fails"
BESIDE_MINE = "PodDisruptionBudget web-resilience selects the same pods: with two, every eviction fails"
ONE = "1 replica is left: a budget that lets it go protects nothing, and any other blocks every drain"
NO_LONGER = ("Delete", "web-resilience", "policy p no longer asks for it", True)
AUDIT = replace(POLICY, mode=Mode.AUDIT)
SUSPENDED = replace(POLICY, suspend=True)
DELETING = replace(POLICY, deleting=True, on_release=OnRelease.RETAIN)
GONE_WHILE_SUSPENDED = replace(SUSPENDED, deleting=True)
TAKING = replace(POLICY, conflicts=Conflicts.TAKE_OVER)
EQUAL = replace(OTHER, priority=0)


def gone(why: str, name: str = "web-resilience") -> list[tuple[str, str, str, bool]]:
    return [("Delete", name, why, True)]


def put(why: str) -> list[tuple[str, str, str, bool]]:
    return [("Update", "web-resilience", why, False)]


NOT_YET = (replace(asked(), demand=BudgetDemand(RULE, 1, "not yet")),)


@pytest.mark.parametrize(
    ("subject", "what", "policies", "expected"),
    [
        pytest.param(web(), (asked(),), (POLICY,), [MAKE], id="none is there"),
        pytest.param(web(), (asked(writes=False),), (POLICY,), [], id="audit makes none"),
        pytest.param(web(), NOT_YET, (POLICY,), [], id="not before two are ready"),
        pytest.param(web(), (asked(most=None),), (POLICY,), [], id="the rule wants none"),
        pytest.param(web(THEIRS), (asked(most=None),), (POLICY,), [], id="somebody has one"),
        pytest.param(web(known=Known(budgets=False)), (asked(),), (POLICY,), [], id="none was read"),
        pytest.param(web(MINE), (asked(),), (POLICY,), [], id="as it should be"),
        pytest.param(web(MINE), (asked(writes=False),), (POLICY,), [], id="audit keeps it"),
        pytest.param(web(MINE, THEIRS), (asked(most=None),), (POLICY,), gone(TWO), id="overlap"),
        pytest.param(web(MINE, THEIRS), (), (), gone(TWO), id="overlap, and nobody speaks of it"),
        pytest.param(web(MINE, THEIRS), (), (SUSPENDED,), [], id="overlap, suspended"),
        pytest.param(
            web(MINE, THEIRS), (asked(AUDIT, None, writes=False),), (AUDIT,), [], id="overlap, audit"
        ),
        pytest.param(
            web(MINE, THEIRS),
            (asked(most=None, writes=False, opted_out=True),),
            (POLICY,),
            gone(TWO),
            id="overlap, opted out",
        ),
        pytest.param(web(MINE, replicas=1), (asked(most=None),), (POLICY,), gone(ONE), id="one replica"),
        pytest.param(
            web(MINE, replicas=1), (asked(AUDIT, None, writes=False),), (AUDIT,), [], id="one replica, audit"
        ),
        pytest.param(web(MINE, replicas=0), (asked(),), (POLICY,), [], id="no replica blocks no drain"),
        pytest.param(web(MINE), (), (POLICY,), [NO_LONGER], id="the rule left the policy"),
        pytest.param(web(MINE), (asked(most=None),), (POLICY,), [NO_LONGER], id="the rule wants it no more"),
        pytest.param(
            web(MINE), (asked(DELETING, writes=False),), (DELETING,), [NO_LONGER], id="the policy goes"
        ),
        pytest.param(
            web(MINE),
            (asked(GONE_WHILE_SUSPENDED, writes=False),),
            (GONE_WHILE_SUSPENDED,),
            [NO_LONGER],
            id="the policy goes, suspended",
        ),
        pytest.param(
            web(MINE, THEIRS),
            (asked(GONE_WHILE_SUSPENDED, None, writes=False),),
            (GONE_WHILE_SUSPENDED,),
            gone(TWO),
            id="the policy goes, suspended, overlap",
        ),
        pytest.param(
            web(MINE),
            (asked(DELETING, writes=False), asked(OTHER)),
            (DELETING, OTHER),
            [("Update", "web-resilience", "it serves policy q from now on", False)],
            id="the policy goes, another takes it over",
        ),
        pytest.param(web(MINE), (), (), [], id="of a policy that is not known"),
        pytest.param(
            web(MINE), (asked(OTHER, 2),), (OTHER,), [], id="of a policy that is not known: not taken over"
        ),
        pytest.param(
            web(MINE, THEIRS), (asked(OTHER, None),), (OTHER,), gone(TWO), id="of one not known, overlap"
        ),
        pytest.param(
            web(MINE),
            (asked(most="50%"),),
            (POLICY,),
            put("policy p demands another: it had maxUnavailable 1, not 50%"),
            id="another limit",
        ),
        pytest.param(
            web(MINE),
            (asked(), asked(OTHER, 2)),
            (POLICY, OTHER),
            put("policy q demands another: it had maxUnavailable 1, not 2"),
            id="the higher priority",
        ),
        pytest.param(
            web(MINE),
            (asked(OTHER), asked(writes=False)),
            (replace(POLICY, mode=Mode.AUDIT), OTHER),
            put("it serves policy q from now on"),
            id="another policy, the same limit",
        ),
        pytest.param(web(MINE), (asked(EQUAL), asked()), (POLICY, EQUAL), [], id="equals that agree"),
        pytest.param(web(), (asked(), asked(EQUAL, 2)), (POLICY, EQUAL), [], id="equals that disagree"),
        pytest.param(
            web(MINE), (asked(), asked(EQUAL, 2)), (POLICY, EQUAL), [], id="equals that disagree later"
        ),
        pytest.param(web(MINE, BLUE), (asked(),), (POLICY,), gone(BESIDE_BLUE), id="an older one of ours"),
        pytest.param(web(MINE, GREEN), (asked(),), (POLICY,), [], id="a younger one of ours goes itself"),
        pytest.param(
            web(MINE, WIDE), (asked(),), (POLICY,), gone(BESIDE_MINE, "wide-resilience"), id="an edited one"
        ),
        pytest.param(web(EDITED), (asked(),), (POLICY,), [], id="a limit that somebody set"),
        pytest.param(
            web(EDITED),
            (asked(TAKING),),
            (TAKING,),
            put(
                "policy p demands another: it had minAvailable 3, not maxUnavailable 1 (set by kubectl-edit (Update))"
            ),
            id="a limit that somebody set, taken over",
        ),
        pytest.param(web(ASTRAY), (asked(),), (POLICY,), [], id="a selector that somebody set"),
        pytest.param(
            web(DAMAGED),
            (asked(),),
            (POLICY,),
            put(
                "policy p demands another: it had another selector than its Deployment,"
                " and unhealthyPodEvictionPolicy unset, not AlwaysAllow"
            ),
            id="put back where nobody stands behind it",
        ),
    ],
)
def test_what_becomes_of_a_budget(
    subject: DeploymentView, what: tuple[BudgetAsked, ...], policies: tuple[Policy, ...], expected: list[Any]
) -> None:
    assert short(decided(subject, what, policies).changes) == expected


@pytest.mark.parametrize(
    ("subject", "what", "policies", "expected"),
    [
        (web(MINE), (asked(), asked(EQUAL)), (POLICY, EQUAL), {}),
        (
            web(),
            (asked(), asked(EQUAL, 2)),
            (POLICY, EQUAL),
            {
                (
                    "p",
                    RULE,
                ): "policy q has the same priority (0) and demands maxUnavailable 2; nobody writes it",
                (
                    "q",
                    RULE,
                ): "policy p has the same priority (0) and demands maxUnavailable 1; nobody writes it",
            },
        ),
        (
            web(),
            (asked(), asked(OTHER, 2)),
            (POLICY, OTHER),
            {("p", RULE): "policy q (priority 5) demands maxUnavailable 2"},
        ),
        (
            web(EDITED),
            (asked(),),
            (POLICY,),
            {
                ("p", RULE): (
                    "minAvailable 3, not maxUnavailable 1 (set by kubectl-edit (Update)); left alone, for conflicts"
                    " is Report"
                )
            },
        ),
        (
            web(MINE),
            (asked(OTHER, 2),),
            (OTHER,),
            {
                ("q", RULE): (
                    "PodDisruptionBudget web-resilience was made for policy p-1, which this operator does not see:"
                    " it is left alone; kubectl resilience revert p-1 removes it"
                )
            },
        ),
    ],
)
def test_who_is_contested_and_why(
    subject: DeploymentView, what: tuple[BudgetAsked, ...], policies: tuple[Policy, ...], expected: Any
) -> None:
    assert decided(subject, what, policies).contested == expected


@pytest.mark.parametrize(
    ("subject", "wanted", "expected"),
    [(web(), 1, []), (web(MINE), 2, []), (web(MINE, THEIRS), None, gone(TWO))],
)
def test_what_the_server_refuses_is_not_sent_again_but_for_removals(
    subject: DeploymentView, wanted: int | None, expected: list[Any]
) -> None:
    refused = {RULE: "exceeded quota"}
    assert short(decided(subject, (asked(most=wanted),), (POLICY,), refused=refused).changes) == expected


def test_a_removal_for_a_policy_that_is_not_known_is_told_to_one_that_speaks_of_the_deployment() -> None:
    (change,) = decided(web(MINE, THEIRS), (asked(OTHER, None),), (OTHER,)).changes
    assert change.parts() == [(OTHER, RULE, ("PodDisruptionBudget web-resilience",))]


def test_an_update_takes_away_what_others_set_and_is_fenced() -> None:
    (change,) = decided(web(EDITED), (asked(TAKING),), (TAKING,)).changes
    assert change.operations() == [
        {"op": "test", "path": "/metadata/uid", "value": "b-web-resilience"},
        {"op": "test", "path": "/metadata/resourceVersion", "value": "7"},
        {"op": "add", "path": "/metadata/labels/resilience.dev~1policy", "value": "p-1"},
        {
            "op": "add",
            "path": "/spec",
            "value": {
                "maxUnavailable": 1,
                "selector": {"matchLabels": {"app": "web"}},
                "unhealthyPodEvictionPolicy": "AlwaysAllow",
            },
        },
    ]


def test_what_is_made_and_what_is_changed_are_told_by_events_of_their_own() -> None:
    (made,) = decided(web(), (asked(),), (POLICY,)).changes
    (changed,) = decided(web(MINE), (asked(most=2),), (POLICY,)).changes
    names = {
        notice.name
        for change in (made, changed)
        for notice in outcomes(Report(change, Done.DONE, NOW), change.number)
    }
    assert len(names) == 2


def test_a_budget_that_is_made_belongs_to_its_deployment_alone() -> None:
    (change,) = decided(web(), (asked(),), (POLICY,)).changes
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
    assert decided(web(copied), (asked(most=None),), (POLICY,)).changes == ()
