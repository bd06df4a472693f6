"""What the rules on nodes find, from Nodes, NodeStates and kube-proxy's ConfigMap as the API server has them."""

from typing import Any

import pytest

from resilience_operator.cli.judging import Spot, Subject, judge
from resilience_operator.core.sysctls import ALLOWED
from resilience_operator.targets import parse
from tests.support.clusters import policy
from tests.targets.nodes.cluster import (
    MAX,
    PREFIX,
    TIME_WAIT,
    asked,
    at,
    condition,
    decided,
    node,
    nodes_policy,
    read,
    state,
    told,
)

SIXTY = asked((TIME_WAIT, 60))
WORKING = condition("Ready", "True", "Working")


def test_a_node_that_is_as_demanded_has_no_finding() -> None:
    assert told(read(node("node-1"), state("node-1", SIXTY))) == []


def test_a_value_that_differs_is_named() -> None:
    found = read(node("node-1"), state("node-1", SIXTY, observed={TIME_WAIT: 120}))
    assert told(found) == [("conntrack-sysctl", "SysctlDiffers", "Pending", f"{TIME_WAIT} is 120, not 60")]


@pytest.mark.parametrize(
    ("observed", "direction", "findings"),
    [
        (262144, "RaiseOnly", []),
        (524288, "RaiseOnly", []),
        (131072, "RaiseOnly", [f"{MAX} is 131072, not 262144"]),
        (524288, "Set", [f"{MAX} is 524288, not 262144"]),
    ],
)
def test_a_higher_limit_is_right_where_it_may_only_be_raised(
    observed: int, direction: str, findings: list[str]
) -> None:
    section = {"sysctls": {"values": [{"name": MAX, "value": "262144"}], "direction": direction}}
    spec = asked((MAX, 262144))
    spec["sysctls"][0]["direction"] = direction
    found = read(
        node("node-1"),
        state("node-1", spec, observed={MAX: observed}),
        policies=(nodes_policy(section=section),),
    )
    assert [one[3] for one in told(found)] == findings


@pytest.mark.parametrize(
    ("cores", "value"),
    [("2", 262144), ("8", 524288), ("7900m", 458752), ("64", 1048576), ("0", None), ("many", None)],
)
def test_a_formula_has_a_value_for_the_cores_of_each_node(cores: str, value: int | None) -> None:
    formula = {"name": MAX, "perCore": 65536, "min": 262144, "max": 1048576}
    found = read(node("node-1", cores), policies=(nodes_policy(section={"sysctls": {"values": [formula]}}),))
    (change,) = decided(found)["node-1"].changes
    wanted = [{"name": MAX, "value": value, "direction": "RaiseOnly"}] if value else []
    assert change.whole["spec"]["sysctls"] == wanted
    assert ("CoresUnknown" in [one[1] for one in told(found)]) is (value is None)


@pytest.mark.parametrize("mode", ["Audit", "Enforce"])
def test_of_a_node_without_an_agent_nothing_is_known_and_it_is_not_compliant(mode: str) -> None:
    section: dict[str, Any] = {"sysctls": {}, "pressure": {}, "staleEntries": {}}
    found = read(node("node-1"), policies=(nodes_policy(section=section, mode=mode),))
    said = "nothing is known of this node: there is no NodeState for it, which Enforce makes"
    expected = "Drifted" if mode == "Audit" else "Pending"
    rules = ["conntrack-sysctl", "conntrack-pressure", "conntrack-stale"]
    assert told(found) == [(rule, "NotReported", expected, said) for rule in rules]


@pytest.mark.parametrize(
    ("reported", "reason", "message"),
    [
        (None, "NotReported", "its NodeState has no report: no agent runs on this node (manifests/agent)"),
        (-11, "AgentSilent", "its agent last reported 11 minutes ago: how it stands there is not known"),
    ],
)
def test_an_old_report_says_nothing_of_now(reported: float | None, reason: str, message: str) -> None:
    found = read(node("node-1"), state("node-1", SIXTY, reported=reported))
    assert told(found) == [("conntrack-sysctl", reason, "Pending", message)]


def test_a_value_that_somebody_rewrites_is_contention_and_told_once() -> None:
    contention = condition("SysctlContention", "True", "ForeignRewrites", "kube-proxy, it seems", -5)
    found = read(
        node("node-1"),
        state(
            "node-1",
            SIXTY,
            observed={TIME_WAIT: 120},
            states={TIME_WAIT: "Contested"},
            conditions=(WORKING, contention),
        ),
    )
    assert [one[1] for one in told(found)] == ["SysctlContention"]
    ((name, happened),) = decided(found)["node-1"].occurrences
    assert (name, happened.event, happened.note, happened.warning) == (
        "nodes",
        "SysctlContention",
        "kube-proxy, it seems",
        True,
    )


KUBE_PROXY = {
    "apiVersion": "v1",
    "kind": "ConfigMap",
    "metadata": {"name": "kube-proxy", "namespace": "kube-system", "uid": "c", "resourceVersion": "3"},
}


@pytest.mark.parametrize(
    ("conntrack", "winner"),
    [
        ("{}", "the agent wins, within 5 s of its start"),
        ("{maxPerCore: 0, min: 0}", ""),
        ("{maxPerCore: 65536, min: 262144}", ""),
        ("{maxPerCore: many}", ""),
        ("[", ""),
    ],
)
def test_what_kube_proxy_would_write_is_named_with_who_wins(conntrack: str, winner: str) -> None:
    section = {"sysctls": {"values": [{"name": MAX, "value": "262144"}]}}
    found = read(
        node("node-1"),
        state("node-1", asked((MAX, 262144))),
        {**KUBE_PROXY, "data": {"config.conf": f"kind: KubeProxyConfiguration\nconntrack: {conntrack}\n"}},
        policies=(nodes_policy(section=section),),
    )
    message = (
        f"kube-proxy writes {MAX} 131072 (demanded: 262144) at each start (kube-system/kube-proxy): {winner}; "
        "0 in its section conntrack leaves a sysctl alone"
    )
    expected = [("conntrack-sysctl", "KubeProxyRewrites", "ReportOnly", message)] if winner else []
    assert told(found) == expected


def test_a_table_of_192125_of_262144_is_named_before_the_first_drop() -> None:
    """The figures of the incident: 73 % is below the warning, and the trend is not."""
    filling = condition("ConntrackPressure", "True", "FullSoon", "by the agent", -2)
    table = {
        "pressure": "Warning",
        "entries": 192125,
        "limit": 262144,
        "entriesPerMinute": 9000,
        "minutesToFull": 7,
        "drops": 0,
    }
    found = read(
        node("node-1"),
        state(
            "node-1",
            {"pressure": {"warningPercent": 75, "criticalPercent": 90}, "onRelease": "Retain"},
            conditions=(WORKING, filling),
            table=table,
        ),
        policies=(nodes_policy(section={"pressure": {}}),),
    )
    said = "192125 of 262144 entries (73 %), 9000 more a minute: full in 7 min"
    assert told(found) == [("conntrack-pressure", "FullSoon", "ReportOnly", said)]
    decision = decided(found)["node-1"]
    assert [(one.event, one.note, one.warning) for _, one in decision.occurrences] == [
        ("ConntrackPressure", said, True)
    ]
    (change,) = decision.changes
    assert (change.verb, change.object.kind, change.whole) == (
        "Report",
        "Node",
        {
            "status": {
                "conditions": [
                    {
                        "type": "ConntrackPressure",
                        "status": "True",
                        "reason": "FullSoon",
                        "message": "by the agent",
                        "lastHeartbeatTime": at(-2),
                        "lastTransitionTime": at(-2),
                    }
                ]
            }
        },
    )


def stale(**more: Any) -> list[dict[str, Any]]:
    return [{"namespace": "kube-system", "name": "kube-dns", **more}]


PURGING = {
    "onRelease": "Retain",
    "staleEntries": {
        "services": [{"namespace": "kube-system", "name": "kube-dns"}],
        "maxPerSecond": 5000,
        "onZeroEndpoints": "Hold",
    },
}


@pytest.mark.parametrize(
    ("entries", "conditions", "findings", "events"),
    [
        (stale(deleted=0, held=""), (), [], []),
        (stale(deleted=5, lastDeletedAt=at(-1)), (), [], ["StaleEntriesPurged"]),
        (
            stale(held="Unconfirmed", message="no right"),
            (),
            ["nothing is deleted for Service kube-system/kube-dns: no right"],
            [],
        ),
        (stale(left=3), (), ["3 UDP entries of Service kube-system/kube-dns lead to no endpoint"], []),
        ([], (), ["its agent has not yet been told of Service kube-system/kube-dns"], []),
        (
            stale(),
            (condition("KubeProxyRulesStale", "True", "EntriesReturn", "they came\nback"),),
            ["they came back"],
            ["KubeProxyRulesStale"],
        ),
    ],
)
def test_what_agents_say_of_stale_entries(
    entries: list[Any], conditions: tuple[Any, ...], findings: list[str], events: list[str]
) -> None:
    found = read(
        node("node-1"),
        state("node-1", PURGING, staleEntries=entries, conditions=(WORKING, *conditions)),
        policies=(nodes_policy(section={"staleEntries": {}}),),
    )
    assert [one[3] for one in told(found)] == findings
    assert [one.event for _, one in decided(found)["node-1"].occurrences] == events


@pytest.mark.parametrize(
    "labels",
    [
        {"kubernetes.io/os": "windows"},
        {"eks.amazonaws.com/compute-type": "fargate"},
        {"type": "virtual-kubelet"},
    ],
)
def test_a_node_that_can_have_no_agent_is_not_asked(labels: dict[str, str]) -> None:
    assert decided(read(node("node-1", labels=labels))) == {}


@pytest.mark.parametrize(
    ("sysctl", "path", "says"),
    [
        ({"value": "0"}, "value", f"{TIME_WAIT} takes 1 to 2147483, not 0"),
        ({"value": "60s"}, "value", "write a whole number in quotes, not '60s'"),
        ({}, "value", "write value, or perCore for a formula"),
    ],
)
def test_a_value_that_no_agent_would_set_makes_the_policy_not_ready(
    sysctl: dict[str, str], path: str, says: str
) -> None:
    values = [{"name": TIME_WAIT, **sysctl}]
    _, problems = parse(policy("nodes", conntrack={"sysctls": {"values": values}}))
    assert [str(one) for one in problems] == [f"spec.conntrack.sysctls.values[0].{path}: {says}"]


def test_the_names_are_those_of_the_kernel() -> None:
    assert {one.removeprefix(PREFIX) for one in ALLOWED} >= {"max", "buckets", "udp_timeout"}


def test_check_of_a_cluster_knows_nodes() -> None:
    found = read(node("node-1"), node("node-2"), state("node-1", SIXTY, observed={TIME_WAIT: 120}))
    views = [view for key in found.store.subjects() if (view := found.look(key)) is not None]
    result = judge(found.policy("nodes"), [Subject(one, Spot()) for one in views])
    assert [(one.finding.object.name, one.finding.reason) for one in result.hits] == [
        ("node-1", "SysctlDiffers"),
        ("node-2", "NotReported"),
    ]
