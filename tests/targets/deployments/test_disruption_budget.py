"""Rule `disruption-budget`: which budgets are found wanting, and which are demanded."""

from dataclasses import replace
from typing import Any

import pytest

from resilience_operator.cluster.objects.workloads import AddonReading
from resilience_operator.core.findings import BudgetDemand
from resilience_operator.targets.coredns import budget as coredns_budget
from resilience_operator.targets.deployments import disruption_budget
from resilience_operator.targets.workloads.settings import DisruptionBudget
from resilience_operator.targets.workloads.view import DeploymentView
from tests.engine.test_owned_objects import BLUE, EDITED, GREEN, MINE, THEIRS, budget, web
from tests.support.views import deployment, view
from tests.targets.coredns.test_addon_floor import coredns, dns

RULE = "disruption-budget"
NONE = "no PodDisruptionBudget selects the pods of its 3 replicas"
OTHERS = "a budget of others is never changed"
BLOCKS = "never lets any of 3 pods go: every drain of their nodes blocks"
DEMAND = (BudgetDemand(RULE, 1),)
NAMESAKE = budget("web-resilience", selector={"matchLabels": {"app": "nobody"}})


def overlap(names: str, tail: str = "") -> str:
    return (
        f"PodDisruptionBudgets {names} select the same pods: every eviction fails, and so every drain{tail}"
    )


@pytest.mark.parametrize(
    ("subject", "found", "demanded"),
    [
        (web(), [("NoBudget", NONE, "")], DEMAND),
        (web(THEIRS), [], ()),
        (web(MINE), [], DEMAND),
        (web(BLUE), [], ()),
        (web(MINE, replicas=1), [], ()),
        (web(replicas=1), [], ()),
        (
            web(replicas=0),
            [],
            (BudgetDemand(RULE, 1, "it waits until 2 replicas are ready (0 are)"),),
        ),
        (
            web(THEIRS, budget("more")),
            [("OverlappingBudgets", overlap("theirs and more"), OTHERS)],
            (),
        ),
        (
            web(MINE, THEIRS),
            [
                (
                    "OverlappingBudgets",
                    overlap(
                        "web-resilience and theirs",
                        "; to end it, delete web-resilience, which the operator made",
                    ),
                    "",
                )
            ],
            (),
        ),
        (
            web(MINE, GREEN),
            [
                (
                    "OverlappingBudgets",
                    overlap(
                        "web-resilience and green-resilience",
                        "; to end it, delete green-resilience, which the operator made",
                    ),
                    "",
                )
            ],
            DEMAND,
        ),
        (
            web(EDITED),
            [
                ("BudgetAllowsNone", f"PodDisruptionBudget web-resilience (minAvailable 3) {BLOCKS}", ""),
                (
                    "BudgetDiffers",
                    (
                        "PodDisruptionBudget web-resilience, which the operator made, has minAvailable 3, not"
                        " maxUnavailable 1"
                    ),
                    "",
                ),
            ],
            DEMAND,
        ),
        (
            web(budget("theirs", minAvailable="100%")),
            [("BudgetAllowsNone", f"PodDisruptionBudget theirs (minAvailable 100%) {BLOCKS}", OTHERS)],
            (),
        ),
        (
            web(NAMESAKE),
            [
                (
                    "NoBudget",
                    NONE,
                    (
                        "PodDisruptionBudget web-resilience, which selects none of them, is somebody else's, and bears"
                        " the name of ours"
                    ),
                )
            ],
            (),
        ),
        (
            web(sharing=["green"]),
            [
                (
                    "NoBudget",
                    NONE,
                    "its selector selects the pods of green as well: with a budget each, every eviction fails",
                )
            ],
            (),
        ),
        (
            view(deployment(strategy={"type": "Recreate"})),
            [("NoBudget", NONE, "strategy Recreate stops all replicas before new ones start")],
            (),
        ),
    ],
)
def test_which_budgets_are_found_wanting_and_which_is_demanded(
    subject: DeploymentView, found: list[Any], demanded: tuple[BudgetDemand, ...]
) -> None:
    verdict = disruption_budget.check(DisruptionBudget(), subject)
    assert [(one.reason, one.message, one.report_only) for one in verdict.findings] == found
    assert verdict.budgets == demanded


def test_cluster_dns_is_judged_the_same_under_a_rule_of_its_own() -> None:
    verdict = coredns_budget.check(DisruptionBudget(), web(MINE, THEIRS))
    assert [(one.rule, one.reason) for one in verdict.findings] == [("coredns-budget", "OverlappingBudgets")]


def test_how_far_down_an_add_on_goes_that_cannot_be_read_is_unknown_and_one_that_can_has_a_minimum() -> None:
    def said(configuration: str) -> list[str]:
        labels = {"matchLabels": dict(coredns().spec.selector.match_labels)}
        theirs = budget("theirs", selector=labels, minAvailable=2)
        verdict = coredns_budget.check(
            DisruptionBudget(),
            replace(dns(AddonReading("prod", "v1", "ACTIVE", configuration)), budgets=(theirs,)),
        )
        return [one.reason for one in verdict.findings] + [one.why for one in verdict.skipped]

    assert said("{}") == ["BudgetAllowsNone"]
    assert said('{"replicaCount":3}') == []
    assert said("replicaCount: 3") == [
        (
            "how far down the EKS add-on scales it is unknown, and so is whether PodDisruptionBudget theirs"
            " (minAvailable 2) lets any go"
        )
    ]
