"""Demands of several policies on one object: the higher priority wins, equals that disagree write nothing."""

from typing import Any

import pytest

from resilience_operator.core.findings import Demand
from resilience_operator.core.paths import Path
from resilience_operator.engine.merge import Merged, RuleDemands, Winner, merge
from resilience_operator.policy.policy import Policy

X, Y = Path.parse("spec.x"), Path.parse("spec.y")


def asked(name: str, priority: int = 0, rule: str = "r", **values: int) -> RuleDemands:
    demands = tuple(Demand(rule, Path.parse(f"spec.{field}"), value) for field, value in values.items())
    return RuleDemands(Policy(name=name, uid=name, priority=priority), rule, demands)


def outcome(merged: Merged) -> tuple[dict[str, tuple[Any, str]], dict[str, str]]:
    """(path -> (value, names of the policies)), (policy -> why it lost)."""
    won = {
        str(path): (winner.demand.value, " ".join(policy.name for policy in winner.policies))
        for path, winner in merged.winners.items()
    }
    return won, {name: why for (name, _), why in merged.losers.items()}


LOW = "policy a (priority 9) demands another value of spec.x"


def equal(other: str, path: str, priority: int = 0) -> str:
    same = f"policy {other} has the same priority ({priority})"
    return f"{same} and demands another value of {path}; nobody writes it"


@pytest.mark.parametrize(
    ("demands", "expected"),
    [
        pytest.param([asked("a", x=1)], ({"spec.x": (1, "a")}, {}), id="alone"),
        pytest.param([asked("b", x=1), asked("a", x=1)], ({"spec.x": (1, "a b")}, {}), id="agreed"),
        pytest.param(
            [asked("a", x=1), asked("b", y=2)],
            ({"spec.x": (1, "a"), "spec.y": (2, "b")}, {}),
            id="union-of-what-does-not-meet",
        ),
        pytest.param(
            [asked("b", x=2, y=2), asked("a", 9, x=1)],
            ({"spec.x": (1, "a")}, {"b": LOW}),
            id="the-higher-wins-and-the-lower-loses-its-whole-rule",
        ),
        pytest.param(
            [asked("a", 9, x=1), asked("b", x=1, y=2)],
            ({"spec.x": (1, "a b"), "spec.y": (2, "b")}, {}),
            id="the-lower-agrees-and-adds",
        ),
        pytest.param(
            [asked("a", x=1, y=1), asked("b", x=2)],
            ({}, {"a": equal("b", "spec.x"), "b": equal("a", "spec.x")}),
            id="equals-that-disagree-both-lose-as-a-whole",
        ),
        pytest.param(
            [asked("a", 5, x=1), asked("b", 5, x=2), asked("c", x=3)],
            (
                {},
                {
                    "a": equal("b", "spec.x", 5),
                    "b": equal("a", "spec.x", 5),
                    "c": "policies of a higher priority disagree on spec.x, b among them",
                },
            ),
            id="a-lower-one-does-not-slip-in-between",
        ),
        pytest.param(
            [asked("a", 9, x=1), asked("b", x=1), asked("c", x=2)],
            ({"spec.x": (1, "a b")}, {"c": LOW}),
            id="who-is-beaten-does-not-take-an-equal-down",
        ),
        pytest.param(
            [asked("a", x=1), asked("b", x=1, y=1), asked("c", y=2), asked("d", -1, x=1)],
            ({"spec.x": (1, "a d")}, {"b": equal("c", "spec.y"), "c": equal("b", "spec.y")}),
            id="what-somebody-writes-is-not-blocked-by-a-loser",
        ),
        pytest.param(
            [asked("a", 9, "one", x=1), asked("b", 0, "one", x=2), asked("b", 0, "two", y=2)],
            ({"spec.x": (1, "a"), "spec.y": (2, "b")}, {"b": LOW}),
            id="each-rule-by-itself",
        ),
    ],
)
@pytest.mark.parametrize("order", [1, -1])
def test_policies_are_merged_by_precedence(demands: list[RuleDemands], expected: Any, order: int) -> None:
    assert outcome(merge(demands[::order])) == expected


def test_when_one_of_two_is_removed_the_other_holds() -> None:
    both = merge([asked("a", x=1), asked("b", x=2)])
    left = asked("b", x=2)
    assert both.winners == {}
    assert merge([left]).winners == {X: Winner(left.demands[0], (left.policy,))}
    assert Y not in merge([left]).winners
