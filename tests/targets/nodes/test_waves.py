"""Which NodeStates are made, changed and removed, and how many at once."""

from typing import Any

import pytest

from resilience_operator.engine.gates import GATES
from tests.targets.nodes.cluster import (
    MAX,
    TIME_WAIT,
    asked,
    changes,
    condition,
    decided,
    going,
    node,
    nodes_policy,
    read,
    state,
    told,
)

SIXTY, OLD = asked((TIME_WAIT, 60)), asked((TIME_WAIT, 120))
NAMES = [f"node-{number:02}" for number in range(1, 21)]
WAVES: dict[str, Any] = {"sysctls": {"values": [{"name": TIME_WAIT, "value": "60"}]}}


def wave(**waves: Any) -> dict[str, Any]:
    return nodes_policy(section={**WAVES, "waves": waves})


def test_the_first_node_is_the_canary_and_the_others_say_what_they_wait_for() -> None:
    found = read(*map(node, NAMES))
    assert going(found) == ["node-01"]
    (change,) = decided(found)["node-01"].changes
    assert (change.verb, change.whole) == (
        "Create",
        {
            "apiVersion": "resilience.dev/v1alpha1",
            "kind": "NodeState",
            "metadata": {
                "name": "node-01",
                "labels": {
                    "app.kubernetes.io/managed-by": "resilience-operator",
                    "resilience.dev/policy": "uid-nodes",
                },
                "ownerReferences": [
                    {"apiVersion": "v1", "kind": "Node", "name": "node-01", "uid": "n-node-01"}
                ],
            },
            "spec": SIXTY,
        },
    )
    assert changes(found)["node-02"].waits == "waits for its wave: the canary node, 0 of 20 are done"
    assert "turn" in [gate.__name__ for gate in GATES]


@pytest.mark.parametrize(
    ("first", "expected"),
    [
        ({}, ["node-02", "node-03"]),  # 10 % of 20
        ({"reported": None}, []),
        ({"carried": 0}, []),
        ({"written": -0.5}, []),  # it soaks for a minute
        ({"states": {TIME_WAIT: "Failed"}}, []),
        ({"conditions": (condition("Ready", "False", "Hindered"),)}, []),
    ],
)
def test_others_follow_once_the_canary_has_done_well(first: dict[str, Any], expected: list[str]) -> None:
    found = read(*map(node, NAMES), state("node-01", SIXTY, **first))
    assert going(found) == expected


@pytest.mark.parametrize(
    ("waves", "unwell", "expected"),
    [
        ({}, 1, 1),
        ({}, 2, 0),
        ({"maxUnavailable": "25%"}, 2, 3),
        ({"maxUnavailable": 1}, 0, 1),
        ({"maxUnavailable": 30}, 0, 15),
        ({"canary": 0}, 0, 2),
        ({"canary": 8}, 0, 3),  # 5 of 8 canary nodes are done
        ({"canary": 8}, 2, 3),
    ],
)
def test_never_more_at_once_than_the_policy_says(waves: dict[str, Any], unwell: int, expected: int) -> None:
    states = [
        state(name, SIXTY, carried=0 if number < unwell else 1) for number, name in enumerate(NAMES[:5])
    ]
    found = read(*map(node, NAMES), *states, policies=(wave(**waves),))
    assert len(going(found)) == expected


def test_a_changed_node_that_goes_not_ready_stops_the_wave_and_an_earlier_one_does_not() -> None:
    states = [state(name, SIXTY, written=-5) for name in NAMES[:5]]
    others = [node(name) for name in NAMES[1:]]
    before = read(node("node-01", ready=False, since=-30), *others, *states)
    since = read(node("node-01", ready=False, since=-3), *others, *states)
    assert going(before) == ["node-06"]
    assert going(since) == []
    assert changes(since)["node-06"].waits == "the wave stops: node-01 is NotReady since its change"


@pytest.mark.parametrize(("since", "expected"), [(-30, ["node-06", "node-07"]), (-3, [])])
def test_a_changed_node_that_loses_packets_stops_the_wave_and_one_that_lost_them_before_does_not(
    since: float, expected: list[str]
) -> None:
    lost = condition("ConntrackPressure", "True", "EntriesLost", "12 packets", since)
    states = [state(name, SIXTY, written=-5) for name in NAMES[1:5]]
    first = state("node-01", SIXTY, written=-5, conditions=(condition("Ready", "True", "Working"), lost))
    assert going(read(*map(node, NAMES), first, *states)) == expected


def test_a_node_that_is_not_ready_waits_and_holds_nobody_up() -> None:
    found = read(node("node-01", ready=False), *map(node, NAMES[1:]))
    assert going(found) == ["node-02"]
    assert changes(found)["node-01"].waits == "waits until the node is Ready"


def test_what_is_right_is_not_written_and_what_differs_is_put_right_alone() -> None:
    found = read(node("node-01"), node("node-02"), state("node-01", SIXTY), state("node-02", OLD))
    assert list(changes(found)) == ["node-02"]
    change = changes(found)["node-02"]
    assert (change.verb, change.whole, change.reason) == (
        "Update",
        {"metadata": {"labels": {"resilience.dev/policy": "uid-nodes"}}, "spec": SIXTY},
        f"policies ask for {TIME_WAIT} 60",
    )


@pytest.mark.parametrize("spec", [{"mode": "Audit"}, {"suspend": True}])
def test_audit_and_suspend_write_nothing_and_leave_what_is_there(spec: dict[str, Any]) -> None:
    found = read(node("node-01"), node("node-02"), state("node-01", OLD), policies=(nodes_policy(**spec),))
    assert changes(found) == {}


def test_an_opt_out_keeps_a_node_as_it_is() -> None:
    opted = node("node-01", annotations={"resilience.dev/ignore": "all"})
    assert going(read(opted, node("node-02"), state("node-01", OLD))) == ["node-02"]


def test_a_nodestate_of_somebody_else_is_left_alone() -> None:
    found = read(node("node-01"), state("node-01", OLD, observed={TIME_WAIT: 120}, label=""))
    assert changes(found) == {}
    assert [one[2] for one in told(found, "node-01")] == ["Contested"]


def gone(release: str) -> dict[str, Any]:
    made = nodes_policy(onRelease=release)
    made["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    made["metadata"]["finalizers"] = ["resilience.dev/release"]
    return made


def test_with_retain_it_goes_at_once() -> None:
    found = read(node("node-01"), state("node-01", SIXTY), policies=(gone("Retain"),))
    assert changes(found)["node-01"].verb == "Delete"


def test_with_revert_it_is_emptied_and_goes_once_its_agent_has_given_the_values_back() -> None:
    holding = asked((TIME_WAIT, 60), release="Revert")
    first = read(node("node-01"), state("node-01", holding), policies=(gone("Revert"),))
    change = changes(first)["node-01"]
    assert (change.verb, change.result, change.whole["spec"]) == (
        "Update",
        "Reverted",
        {"sysctls": [], "onRelease": "Revert"},
    )
    emptied = asked(release="Revert")
    busy = read(
        node("node-01"),
        state("node-01", emptied, observed={TIME_WAIT: 60}, written=-1),
        policies=(gone("Revert"),),
    )
    assert (
        decided(busy)["node-01"].busy
        == "waits until its agent has given the values back that were there before"
    )
    over = read(node("node-01"), state("node-01", emptied, written=-1), policies=(gone("Revert"),))
    assert (changes(over)["node-01"].verb, decided(over)["node-01"].busy) == ("Delete", "")


def test_of_two_policies_the_higher_one_counts_and_equals_write_nothing() -> None:
    low = nodes_policy("low", section={"sysctls": {"values": [{"name": TIME_WAIT, "value": "30"}]}})
    both = {"sysctls": {"values": [{"name": TIME_WAIT, "value": "90"}, {"name": MAX, "value": "262144"}]}}
    high = nodes_policy("high", section=both, priority=1)
    (change,) = decided(read(node("node-01"), policies=(low, high)))["node-01"].changes
    values = {one["name"]: one["value"] for one in change.whole["spec"]["sysctls"]}
    assert (values, change.whole["metadata"]["labels"]["resilience.dev/policy"]) == (
        {TIME_WAIT: 90, MAX: 262144},
        "uid-high",
    )
    equal = nodes_policy("high", section=both)
    (change,) = decided(read(node("node-01"), policies=(low, equal)))["node-01"].changes
    assert [one["name"] for one in change.whole["spec"]["sysctls"]] == [MAX]
