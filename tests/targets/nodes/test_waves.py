"""Which NodeStates are made, changed and removed, and how many at once."""

from typing import Any

import pytest

from resilience_operator.engine.decide import Surroundings
from resilience_operator.engine.gates import GATES
from resilience_operator.targets import judge
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


# Values are given back in waves, as they were set

HOLDING, EMPTIED = asked((TIME_WAIT, 60), release="Revert"), asked(release="Revert")
REVERTING = gone("Revert")
NARROWED = nodes_policy(section={**WAVES, "nodeSelector": {"matchLabels": {"pool": "a"}}}, onRelease="Revert")


def back(name: str, **status: Any) -> dict[str, Any]:
    """The NodeState of a node that has its values back."""
    return state(name, EMPTIED, observed={}, **status)


@pytest.mark.parametrize("policy", [REVERTING, NARROWED])
def test_the_first_to_get_its_values_back_is_the_canary_and_the_others_say_what_they_wait_for(
    policy: dict[str, Any],
) -> None:
    found = read(*map(node, NAMES), *(state(name, HOLDING) for name in NAMES), policies=(policy,))
    assert going(found) == ["node-01"]
    assert {one.verb for one in changes(found).values()} == {"Update"}
    said = "waits for its wave to give back: the canary node, 0 of 20 are done"
    assert changes(found)["node-02"].waits == said


@pytest.mark.parametrize(
    ("first", "expected"),
    [
        ({}, ["node-02", "node-03"]),  # 10 % of 20
        ({"observed": {TIME_WAIT: 60}, "written": -1}, []),
        ({"carried": 0, "written": -1}, []),
        ({"written": -0.5}, []),  # it soaks for a minute
        ({"observed": {TIME_WAIT: 60}, "written": -11}, ["node-02", "node-03"]),  # nobody waits for ever
    ],
)
def test_others_get_theirs_back_once_the_canary_has_done_well(
    first: dict[str, Any], expected: list[str]
) -> None:
    rest = (state(name, HOLDING) for name in NAMES[1:])
    found = read(*map(node, NAMES), state("node-01", EMPTIED, **first), *rest, policies=(REVERTING,))
    assert going(found) == expected


def test_what_has_its_values_back_goes_once_no_other_waits_for_its_turn() -> None:
    waiting = read(node("a"), node("b"), back("a"), state("b", HOLDING), policies=(REVERTING,))
    stays = "its values are back; it is counted until no other waits for its turn"
    assert (changes(waiting)["a"].verb, changes(waiting)["a"].waits, going(waiting)) == (
        "Delete",
        stays,
        ["b"],
    )
    over = read(node("a"), node("b"), back("a"), state("b", EMPTIED, written=-1), policies=(REVERTING,))
    assert going(over) == ["a", "b"]
    assert decided(over)["a"].busy == ""


def test_what_is_asked_and_what_is_given_back_keep_to_one_limit() -> None:
    pool: Any = {"labels": {"pool": "a"}}
    inside, outside = NAMES[:10], NAMES[10:]
    nodes = [*(node(name, **pool) for name in inside), *map(node, outside)]
    told = [state(name, asked((TIME_WAIT, 60), release="Revert")) for name in inside[:5]]
    leaving = [back(outside[0]), *(state(name, HOLDING) for name in outside[1:])]
    section = {**NARROWED["spec"]["conntrack"], "waves": {"canary": 1, "maxUnavailable": 3}}
    policy = nodes_policy(section=section, onRelease="Revert")
    assert going(read(*nodes, *told, *leaving, policies=(policy,))) == inside[5:8]
    giving = [state(name, EMPTIED, observed={TIME_WAIT: 60}, written=-2) for name in outside[:2]]
    assert going(read(*nodes, *told, *giving, *leaving[2:], policies=(policy,))) == inside[5:6]
    busy = [*told, *(state(name, HOLDING, carried=0) for name in inside[5:7]), *leaving]
    assert going(read(*nodes, *busy, policies=(policy,))) == [inside[7]]
    done = [*told, *(state(name, HOLDING) for name in inside[5:]), *leaving]
    assert going(read(*nodes, *done, policies=(policy,))) == outside[1:4]


def test_a_node_that_does_worse_with_its_old_values_stops_the_giving_back() -> None:
    others = [state(name, HOLDING) for name in NAMES[1:]]
    nodes = [node("node-01", ready=False, since=-3), *map(node, NAMES[1:])]
    found = read(*nodes, back("node-01", written=-5), *others, policies=(REVERTING,))
    assert going(found) == []
    said = "the wave to give back stops: node-01 is NotReady since its change"
    assert changes(found)["node-02"].waits == said


@pytest.mark.parametrize(
    ("reported", "verb", "waits"),
    [
        (None, "Delete", ""),
        (-5, "Update", ""),
        (
            -15,
            "Update",
            "waits for its agent: its agent last reported 15 minutes ago: how it stands there is not known",
        ),
        (-21, "Delete", ""),
    ],
)
def test_an_agent_that_is_gone_is_not_waited_for(reported: float | None, verb: str, waits: str) -> None:
    found = read(node("node-01"), state("node-01", HOLDING, reported=reported), policies=(REVERTING,))
    assert (changes(found)["node-01"].verb, changes(found)["node-01"].waits) == (verb, waits)


def test_a_silent_agent_takes_no_turn() -> None:
    states = (state(name, HOLDING, reported=-15 if name == "node-01" else -1) for name in NAMES)
    assert going(read(*map(node, NAMES), *states, policies=(REVERTING,))) == ["node-02"]


def test_where_values_are_kept_all_go_at_once() -> None:
    retain = read(*map(node, NAMES), *(state(name, SIXTY) for name in NAMES), policies=(gone("Retain"),))
    assert going(retain) == NAMES


# Turns


def going_behind(found: Any, *behind: Any) -> list[str]:
    """The nodes that may be changed now, where these were written last without success."""
    policies = found.policies.values()
    around = Surroundings({one.uid: one for one in policies}, behind=frozenset(behind))
    views = [found.look(key) for key in found.store.subjects()]
    every = [judge(view, tuple(policies), around) for view in views]
    return [one.object.name for one in every if one and any(not change.waits for change in one.changes)]


@pytest.mark.parametrize("behind", [("NodeState", "", "node-01"), "n-node-01"])
def test_a_node_whose_write_fails_comes_last_and_holds_nobody_up(behind: Any) -> None:
    fresh = read(*map(node, NAMES))
    assert going_behind(fresh) == ["node-01"]
    assert going_behind(fresh, behind) == ["node-02"]
    alone = read(node("node-01"))
    assert going_behind(alone, behind) == ["node-01"]
    rest = [state(name, SIXTY) for name in NAMES[2:]]
    assert going_behind(read(*map(node, NAMES), *rest), behind) == ["node-01", "node-02"]
    holding = [state(name, HOLDING) for name in NAMES]
    assert going_behind(read(*map(node, NAMES), *holding, policies=(REVERTING,)), behind) == ["node-02"]


def test_a_node_that_is_not_well_and_whose_write_fails_takes_no_place_of_others() -> None:
    first = read(*map(node, NAMES), state("node-01", OLD, carried=0))
    assert going_behind(first) == ["node-01"]
    assert going_behind(first, "n-node-01") == ["node-02"]
    ill = [state(name, OLD, carried=0) for name in NAMES[:2]]
    done = [state(name, SIXTY) for name in NAMES[2:10]]
    found = read(*map(node, NAMES), *ill, *done, policies=(wave(maxUnavailable=3),))
    assert going_behind(found) == ["node-01", "node-02", "node-11"]
    assert going_behind(found, "n-node-01", "n-node-02") == ["node-01", "node-02", "node-11"]
    assert going_behind(read(*map(node, NAMES), *ill, *done), "n-node-01") == ["node-01", "node-02"]


def test_what_cannot_be_given_back_does_not_keep_what_was() -> None:
    """Else a policy that is deleted would wait for it without end."""
    found = read(node("a"), node("b"), state("a", HOLDING), back("b"), policies=(REVERTING,))
    assert going_behind(found) == ["a"]
    assert going_behind(found, "n-a") == ["a", "b"]
