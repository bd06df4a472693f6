"""Rule spread: findings and demands from the spec and from where pods run; owners' constraints are kept."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resilience_operator.core.findings import EMPTY, Demand, Finding, Verdict
from resilience_operator.core.paths import Path
from resilience_operator.core.state import Held, ObjectState
from resilience_operator.targets.deployments.spread import check
from resilience_operator.targets.workloads.settings import Spread, SpreadConstraint
from resilience_operator.targets.workloads.view import DeploymentView, Known
from tests.support.views import LABELS, applied, deployment, node, pods, replica_set, view

HOST, ZONE = "kubernetes.io/hostname", "topology.kubernetes.io/zone"
RULE = Spread()
HOST_RULE = Spread(constraints=(SpreadConstraint(HOST),))
NODES = [node(f"node-{number}", zone=f"zone-{number % 2}") for number in range(1, 5)]
FILES = Known(pods=False, nodes=False)


def path(key: str, unsatisfiable: str = "ScheduleAnyway") -> Path:
    return Path.parse(
        f"spec.template.spec.topologySpreadConstraints[topologyKey={key},whenUnsatisfiable={unsatisfiable}]"
    )


def entry(key: str = HOST, **other: Any) -> dict[str, Any]:
    return {
        "topologyKey": key,
        "maxSkew": 1,
        "whenUnsatisfiable": "ScheduleAnyway",
        "labelSelector": {"matchLabels": LABELS},
    } | other


def wanted(key: str = HOST, **other: Any) -> dict[str, Any]:
    return entry(key, matchLabelKeys=["pod-template-hash"], **other)


def spread(*entries: dict[str, Any]) -> dict[str, Any]:
    return {"topologySpreadConstraints": list(entries)}


def finding(subject: DeploymentView, key: str, reason: str, message: str, **other: Any) -> Finding:
    ours: dict[str, Any] = {"desired": wanted(key), "path": path(key)} | other
    return Finding("spread", reason, subject.deployment.ref, message, **ours)


def test_a_file_without_constraints_lacks_both_keys() -> None:
    subject = view(deployment(), known=FILES)
    assert check(RULE, subject) == Verdict(
        (
            finding(subject, HOST, "MissingConstraint", f"topologySpreadConstraints has no entry for {HOST}"),
            finding(subject, ZONE, "MissingConstraint", f"topologySpreadConstraints has no entry for {ZONE}"),
        ),
        (Demand("spread", path(HOST), wanted(HOST)), Demand("spread", path(ZONE), wanted(ZONE))),
    )


def test_a_pile_up_is_one_finding_with_what_the_spec_lacks() -> None:
    subject = view(
        deployment(), nodes=NODES, pods=pods("node-1", "node-1", "node-1"), replica_sets=[replica_set()]
    )
    assert check(HOST_RULE, subject) == Verdict(
        (
            finding(
                subject,
                HOST,
                "ReplicasShareNode",
                f"3 of 3 ready replicas run on node-1; topologySpreadConstraints has no entry for {HOST}",
            ),
        ),
        (Demand("spread", path(HOST), wanted()),),
    )


def test_a_pile_up_with_a_right_spec_is_reported_and_nothing_new_is_demanded() -> None:
    subject = view(
        deployment(pod=spread(entry(whenUnsatisfiable="DoNotSchedule"))),
        nodes=NODES,
        pods=pods("node-1", "node-2", "node-2", template_hash="new"),
        replica_sets=[replica_set(revision=1), replica_set("new", revision=2)],
    )
    assert check(HOST_RULE, subject) == Verdict(
        (
            finding(
                subject,
                HOST,
                "ReplicasShareNode",
                "2 of 3 ready replicas run on node-2",
                desired=None,
                report_only="the spec is already right: no restart for it",
            ),
        )
    )


PILED = {"pods": pods("node-1", "node-1", "node-1"), "replica_sets": (replica_set(),)}


@pytest.mark.parametrize(
    ("why", "changes"),
    [
        ("a rollout runs", {"deployment": deployment(meta={"generation": 3}, pod=spread(entry()))}),
        ("pods of an older template", {"replica_sets": (replica_set(), replica_set("new", revision=2))}),
        (
            "pods and ReplicaSet without a hash",
            {
                "replica_sets": (replica_set(""),),
                "pods": pods("node-1", "node-1", "node-1", template_hash=""),
            },
        ),
        ("pods that are not ready", {"pods": pods("node-1", "node-1", "node-1", ready=False)}),
        ("pods were not read", {"known": Known(pods=False)}),
        ("spread as well as it goes", {"pods": pods("node-1", "node-2", "node-3")}),
        ("two nodes for three", {"nodes": tuple(NODES[:2]), "pods": pods("node-1", "node-1", "node-2")}),
    ],
)
def test_where_pods_run_is_not_judged(why: str, changes: dict[str, Any]) -> None:
    subject = view(deployment(pod=spread(entry())), nodes=NODES, **PILED)
    assert [found.reason for found in check(HOST_RULE, subject).findings] == ["ReplicasShareNode"]
    assert check(HOST_RULE, replace(subject, **changes)).findings == (), why


@pytest.mark.parametrize(
    "spoilt",
    [
        node("node-2", ready=False),
        node("node-2", cordoned=True),
        node("node-2", taints=[{"key": "gpu", "effect": "NoSchedule"}]),
    ],
)
def test_a_node_that_takes_no_pod_is_no_second_node(spoilt: Any) -> None:
    subject = view(deployment(), nodes=[node("node-1"), spoilt])
    assert check(RULE, subject) == EMPTY
    tolerant = deployment(pod={"tolerations": [{"key": "gpu", "operator": "Exists"}]})
    found = check(RULE, replace(subject, deployment=tolerant)).findings
    assert bool(found) == bool(spoilt.spec.taints)


@pytest.mark.parametrize(
    ("expressions", "matched"),
    [
        ([{"key": ZONE, "operator": "In", "values": ["zone-0"]}], 2),
        ([{"key": ZONE, "operator": "NotIn", "values": ["zone-0", "zone-1"]}], 0),
        ([{"key": "size", "operator": "Gt", "values": ["3"]}], 0),
        ([{"key": "unknown", "operator": "Near"}], 0),
        ("not a list", 0),
    ],
)
def test_required_node_affinity_limits_the_nodes(expressions: Any, matched: int) -> None:
    required = {"nodeSelectorTerms": [{"matchExpressions": expressions}]}
    affinity = {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": required}}
    subject = view(deployment(pod={"affinity": affinity}), nodes=NODES)
    assert bool(check(HOST_RULE, subject).findings) == (matched >= 2)


def test_zone_is_demanded_only_where_there_are_two() -> None:
    one_zone = [node("node-1", zone="a"), node("node-2", zone="a"), node("node-3")]
    assert [demand.path for demand in check(RULE, view(deployment(), nodes=one_zone)).demands] == [path(HOST)]
    assert [demand.path for demand in check(RULE, view(deployment(), nodes=NODES)).demands] == [
        path(HOST),
        path(ZONE),
    ]


@pytest.mark.parametrize("replicas", [0, 1])
def test_one_replica_needs_no_spread(replicas: int) -> None:
    assert check(RULE, view(deployment(replicas=replicas), nodes=NODES)) == EMPTY


@pytest.mark.parametrize(
    "own",
    [
        entry(),
        entry(whenUnsatisfiable="DoNotSchedule"),
        entry(labelSelector={}),
        entry(labelSelector={"matchExpressions": [{"key": "app", "operator": "Exists"}]}, minDomains=2),
    ],
)
def test_an_owners_constraint_that_is_as_strict_satisfies(own: dict[str, Any]) -> None:
    assert check(HOST_RULE, view(deployment(pod=spread(own)), known=FILES)) == EMPTY


def weaker(message: str, own: dict[str, Any], rivals: tuple[Path, ...], rule: Spread = HOST_RULE) -> None:
    subject = view(deployment(pod=spread(own)), known=FILES)
    constraint = rule.constraints[0]
    value = wanted(whenUnsatisfiable=constraint.when_unsatisfiable)
    place = path(HOST, constraint.when_unsatisfiable)
    text = f"the topologySpreadConstraints entry for {HOST} is weaker than demanded: {message}"
    assert check(rule, subject) == Verdict(
        (finding(subject, HOST, "WeakerConstraint", text, observed=[own], desired=value, path=place),),
        (Demand("spread", place, value, rivals),),
    )


def test_a_weaker_one_with_the_same_key_is_demanded_at_its_own_place() -> None:
    weaker("maxSkew 5 instead of 1", entry(maxSkew=5), ())


def test_a_selector_that_misses_the_pods_is_weaker() -> None:
    own = entry(labelSelector={"matchLabels": {"app": "other"}})
    weaker("its labelSelector does not select the pods", own, ())
    without = {key: value for key, value in entry().items() if key != "labelSelector"}
    weaker("its labelSelector does not select the pods", without, ())


def test_a_weaker_one_that_cannot_be_changed_in_place_is_a_rival() -> None:
    strict = Spread(constraints=(SpreadConstraint(HOST, 1, "DoNotSchedule"),))
    weaker("ScheduleAnyway instead of DoNotSchedule", entry(), (path(HOST),), strict)


@pytest.mark.parametrize(
    ("term", "satisfied"),
    [
        ({"topologyKey": HOST, "labelSelector": {"matchLabels": LABELS}}, True),
        ({"topologyKey": HOST, "labelSelector": {"matchLabels": LABELS}, "namespaces": ["shop"]}, True),
        ({"topologyKey": HOST, "labelSelector": {"matchLabels": LABELS}, "namespaceSelector": {}}, True),
        ({"topologyKey": HOST, "labelSelector": {"matchLabels": LABELS}, "namespaces": ["other"]}, False),
        ({"topologyKey": ZONE, "labelSelector": {"matchLabels": LABELS}}, False),
        ({"topologyKey": HOST, "labelSelector": {"matchLabels": {"app": "other"}}}, False),
        ({"topologyKey": HOST, "labelSelector": {"matchLabels": "broken"}}, False),
        ({"topologyKey": HOST}, False),
        ("broken", False),
    ],
)
def test_required_anti_affinity_among_its_own_pods_satisfies_its_key(term: Any, satisfied: bool) -> None:
    affinity = {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]}}
    verdict = check(HOST_RULE, view(deployment(pod={"affinity": affinity}), known=FILES))
    assert (verdict == EMPTY) is satisfied


@pytest.mark.parametrize(("server", "keys"), [((1, 26), False), ((1, 27), True), ((0, 0), True)])
def test_match_label_keys_wait_for_a_server_that_knows_them(server: tuple[int, int], keys: bool) -> None:
    (demand,) = check(HOST_RULE, view(deployment(), known=FILES, server=server)).demands
    assert demand.value == (wanted() if keys else entry())


def test_a_key_of_the_selector_is_not_repeated_in_match_label_keys() -> None:
    selector = {"matchExpressions": [{"key": "pod-template-hash", "operator": "Exists"}]}
    (demand,) = check(HOST_RULE, view(deployment(selector=selector), known=FILES)).demands
    assert demand.value == entry(labelSelector=selector)


def test_an_entry_of_ours_is_demanded_on_and_judged_against_the_policy() -> None:
    subject = applied(view(deployment(), known=FILES), check(HOST_RULE, view(deployment(), known=FILES)))
    assert check(HOST_RULE, subject) == Verdict(demands=(Demand("spread", path(HOST), wanted()),))
    later = Spread(constraints=(SpreadConstraint(HOST, 2),))
    message = f"the topologySpreadConstraints entry for {HOST} was written for an earlier policy"
    desired = wanted(maxSkew=2)
    assert check(later, subject) == Verdict(
        (
            finding(
                subject,
                HOST,
                "HeldValueDiffers",
                message,
                observed=[wanted()],
                desired=desired,
                path=path(HOST),
            ),
        ),
        (Demand("spread", path(HOST), desired),),
    )


def test_an_entry_of_ours_is_no_rival_of_its_successor() -> None:
    subject = applied(view(deployment(), known=FILES), check(HOST_RULE, view(deployment(), known=FILES)))
    strict = Spread(constraints=(SpreadConstraint(HOST, 1, "DoNotSchedule"),))
    (demand,) = check(strict, subject).demands
    assert demand == Demand("spread", path(HOST, "DoNotSchedule"), wanted(whenUnsatisfiable="DoNotSchedule"))
    (found,) = check(strict, subject).findings
    assert found.message == f"topologySpreadConstraints has no entry for {HOST} with DoNotSchedule"


def test_what_we_hold_outlives_a_scale_down_and_a_lost_zone() -> None:
    subject = applied(view(deployment(), nodes=NODES), check(RULE, view(deployment(), nodes=NODES)))
    both = (Demand("spread", path(HOST), wanted(HOST)), Demand("spread", path(ZONE), wanted(ZONE)))
    assert check(RULE, replace(subject, nodes=tuple(NODES[:1]))) == Verdict(demands=both)
    single = replace(subject, deployment=deployment(replicas=1))
    assert check(RULE, single) == Verdict(demands=both)


def test_an_entry_that_somebody_loosened_after_us_is_theirs() -> None:
    state = ObjectState(uid="d-1", leaves={str(path(HOST)): Held("spread", wanted())})
    subject = view(deployment(pod=spread(wanted(maxSkew=9))), known=FILES, state=state)
    (found,) = check(HOST_RULE, subject).findings
    assert found.reason == "WeakerConstraint"
    assert check(HOST_RULE, subject).demands == (Demand("spread", path(HOST), wanted()),)


def test_recreate_is_reported_and_nothing_is_demanded() -> None:
    subject = view(deployment(strategy={"type": "Recreate"}), known=FILES)
    verdict = check(HOST_RULE, subject)
    assert [found.report_only for found in verdict.findings] == [
        "strategy Recreate stops all replicas before new ones start"
    ]
    assert verdict.demands == ()


selectors = st.fixed_dictionaries(
    {}, optional={"matchLabels": st.dictionaries(st.sampled_from(["app", "tier"]), st.sampled_from("ab"))}
)
entries = st.builds(
    lambda key, skew, unsatisfiable, selector: {
        "topologyKey": key,
        "maxSkew": skew,
        "whenUnsatisfiable": unsatisfiable,
        "labelSelector": selector,
    },
    st.sampled_from([HOST, ZONE, "rack"]),
    st.integers(1, 4),
    st.sampled_from(["DoNotSchedule", "ScheduleAnyway"]),
    selectors,
)
rules = st.builds(
    lambda keys, skew, unsatisfiable: Spread(
        constraints=tuple(SpreadConstraint(key, skew, unsatisfiable) for key in keys)
    ),
    st.lists(st.sampled_from([HOST, ZONE, "rack"]), min_size=1, unique=True),
    st.integers(1, 3),
    st.sampled_from(["DoNotSchedule", "ScheduleAnyway"]),
)


@given(
    rules,
    st.lists(entries, max_size=3, unique_by=lambda one: (one["topologyKey"], one["whenUnsatisfiable"])),
    st.integers(0, 4),
    st.sampled_from([(), tuple(NODES), tuple(NODES[:1])]),
    st.booleans(),
)
def test_writing_what_is_demanded_ends_every_drift_that_may_be_ended(
    rule: Spread, own: list[dict[str, Any]], replicas: int, nodes: Any, known: bool
) -> None:
    subject = view(
        deployment(pod=spread(*own), replicas=replicas), nodes=nodes, known=Known(pods=False, nodes=known)
    )
    first = check(rule, subject)
    assert check(rule, subject) == first
    written = applied(subject, first)
    second = check(rule, written)
    assert second.findings == ()
    assert check(rule, applied(written, second)) == second
    assert {demand.path: demand.value for demand in second.demands} == {
        demand.path: demand.value for demand in first.demands
    }
