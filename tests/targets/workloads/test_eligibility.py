"""Why a Deployment is never changed: each reason alone, its near miss, and what is demanded all the same."""

from copy import deepcopy
from dataclasses import replace
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from resilience_operator.cluster.nodes import REMEMBERED, Nodes
from resilience_operator.cluster.objects.workloads import Deployment, Node, RollingUpdate
from resilience_operator.core.findings import Demand, Finding, Verdict
from resilience_operator.core.paths import Path
from resilience_operator.core.state import Held, ObjectState
from resilience_operator.targets import RULES, evaluate
from resilience_operator.targets.deployments.settings import (
    Deployments,
    DNSConfig,
    GracefulShutdown,
    Probes,
    Resources,
)
from resilience_operator.targets.workloads.eligibility import max_unavailable, never_enforced, settle
from resilience_operator.targets.workloads.placement import eligible
from resilience_operator.targets.workloads.settings import Spread
from resilience_operator.targets.workloads.view import Known
from tests.support.policies import asking
from tests.support.views import claim, deployment, node, service, view

ON_NODE_A = {
    "nodeAffinity": {
        "requiredDuringSchedulingIgnoredDuringExecution": {
            "nodeSelectorTerms": [
                {"matchExpressions": [{"key": "kubernetes.io/hostname", "operator": "In", "values": ["a"]}]}
            ]
        }
    }
}
DATA = {"volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": "disk"}}]}
PORT = {"containers": [{"name": "web", "ports": [{"containerPort": 80, "hostPort": 80}]}]}


def limits(unavailable: int | str | None, surge: int | str | None) -> RollingUpdate:
    return RollingUpdate(max_unavailable=unavailable, max_surge=surge)


@pytest.mark.parametrize(
    ("unavailable", "surge", "replicas", "stopped"),
    [
        (None, None, 3, 0),
        (None, None, 4, 1),
        (None, 0, 1, 1),
        ("25%", "25%", 10, 2),
        ("100%", 0, 3, 3),
        (5, 1, 3, 3),
        (0, 0, 3, 1),
        ("33%", "0%", 2, 1),
        (0, "1%", 2, 0),
        (1, 1, 0, 0),
    ],
)
def test_max_unavailable_is_resolved_as_the_deployment_controller_does(
    unavailable: int | str | None, surge: int | str | None, replicas: int, stopped: int
) -> None:
    assert max_unavailable(limits(unavailable, surge), replicas) == stopped


@pytest.mark.parametrize("text", ["all", "25", "-1%", "%", "２%"])
def test_a_limit_that_is_no_number_and_no_percentage_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="neither a whole number nor a percentage"):
        max_unavailable(limits(text, 1), 3)


def test_an_ordinary_rolling_deployment_may_be_changed() -> None:
    assert never_enforced(view(deployment())) == ""


def test_recreate_is_never_enforced() -> None:
    subject = view(deployment(strategy={"type": "Recreate"}))
    assert never_enforced(subject) == "strategy Recreate stops all replicas before new ones start"


def test_a_rollout_that_may_stop_all_replicas_is_never_enforced() -> None:
    strategy = {"rollingUpdate": {"maxUnavailable": "100%"}}
    assert (
        never_enforced(view(deployment(strategy=strategy)))
        == "maxUnavailable lets a rollout stop 3 of 3 replicas at once"
    )
    assert never_enforced(view(deployment(strategy=strategy, replicas=0))) == ""


def test_an_unreadable_limit_fails_closed() -> None:
    subject = view(deployment(strategy={"rollingUpdate": {"maxUnavailable": "some"}}))
    assert (
        never_enforced(subject)
        == "its rolling update cannot be judged: 'some' is neither a whole number nor a percentage"
    )


def test_a_controller_would_revert_the_change() -> None:
    owner = {"apiVersion": "v1", "kind": "Prometheus", "name": "k8s", "uid": "u", "controller": True}
    assert (
        never_enforced(view(deployment(meta={"ownerReferences": [owner]})))
        == "it is controlled by Prometheus k8s, which would revert the change"
    )
    assert never_enforced(view(deployment(meta={"ownerReferences": [owner | {"controller": False}]}))) == ""


@pytest.mark.parametrize(
    ("modes", "why"),
    [
        (["ReadWriteOnce"], "claim disk is ReadWriteOnce: one node at a time"),
        (["ReadWriteOncePod"], "claim disk is ReadWriteOncePod: one node at a time"),
        (
            ["ReadWriteOnce", "ReadOnlyMany"],
            "claim disk is ReadOnlyMany and ReadWriteOnce: one node at a time",
        ),
        ([], "claim disk is without an access mode: one node at a time"),
        (["ReadWriteMany"], ""),
        (["ReadWriteOnce", "ReadWriteMany"], ""),
        (["ReadOnlyMany"], ""),
    ],
)
def test_a_volume_that_one_node_holds_is_never_enforced(modes: list[str], why: str) -> None:
    assert never_enforced(view(deployment(pod=DATA), volume_claims=(claim("disk", modes),))) == why


def test_a_claim_that_is_missing_or_was_not_read_fails_closed() -> None:
    subject = view(deployment(pod=DATA))
    assert never_enforced(subject) == "claim disk was not found and may be ReadWriteOnce"
    unread = replace(subject, known=Known(volume_claims=False))
    assert never_enforced(unread) == "claim disk was not read and may be ReadWriteOnce"


def test_a_generic_ephemeral_volume_is_each_pods_own() -> None:
    volumes = [{"name": "scratch", "ephemeral": {"volumeClaimTemplate": {"spec": {}}}}]
    assert never_enforced(view(deployment(pod={"volumes": volumes}))) == ""


@pytest.mark.parametrize(("pod", "what"), [(PORT, "hostPort"), ({"hostNetwork": True}, "hostNetwork")])
def test_host_ports_need_more_eligible_nodes_than_replicas(pod: dict[str, object], what: str) -> None:
    nodes = [node(f"node-{number}") for number in range(4)]
    subject = view(deployment(pod=pod), nodes=nodes)
    assert never_enforced(subject) == ""
    cordoned = replace(subject, nodes=(*nodes[:3], node("node-3", cordoned=True)))
    assert (
        never_enforced(cordoned)
        == f"{what} with 3 replicas on 3 eligible nodes leaves a new pod no free node"
    )
    unread = replace(subject, known=Known(nodes=False))
    assert (
        never_enforced(unread)
        == f"{what} on a number of nodes that is not known: a new pod may find no free node"
    )


def test_what_is_never_enforced_keeps_its_findings_and_only_the_leaves_that_we_hold() -> None:
    grace, other = Path.parse("spec.a"), Path.parse("spec.b")
    subject = replace(
        view(deployment(strategy={"type": "Recreate"})),
        state=ObjectState(leaves={"spec.a": Held(rule="r", set=7)}),
    )
    found = Finding("r", "Reason", subject.deployment.ref, "drift")
    live = replace(found, report_only="placement alone")
    verdict = Verdict((found, live), (Demand("r", grace, 9), Demand("r", other, 1)))
    assert settle(verdict, subject) == Verdict(
        (replace(found, report_only="strategy Recreate stops all replicas before new ones start"), live),
        (Demand("r", grace, 7),),
    )
    assert settle(verdict, view(deployment())) == verdict


def test_a_policy_is_judged_by_the_rules_that_it_asks_for_and_in_their_order() -> None:
    subject = view(deployment(), services=[service()], known=Known(nodes=False))
    everything = Deployments(
        spread=Spread(),
        graceful_shutdown=GracefulShutdown(),
        dns_config=DNSConfig(),
        probes=Probes(),
        resources=Resources(),
    )
    asked = asking("p", deployments=everything).rules
    rules = [found.rule for found in evaluate(asked, subject).findings]
    assert list(dict.fromkeys(rules)) == list(asked)
    alone = evaluate(asking("p", deployments=Deployments(dns_config=DNSConfig())).rules, subject)
    assert alone == RULES["dns-config"].check(DNSConfig(), subject)
    assert evaluate({}, subject) == Verdict()


anything = st.recursive(
    st.one_of(
        st.none(), st.booleans(), st.integers(-1, 100), st.sampled_from(["", "web", "8080", "%", "shop"])
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(
            st.sampled_from(
                [
                    *(
                        "exec",
                        "command",
                        "sleep",
                        "seconds",
                        "nodeAffinity",
                        "podAntiAffinity",
                        "topologyKey",
                    ),
                    *("requiredDuringSchedulingIgnoredDuringExecution", "nodeSelectorTerms", "labelSelector"),
                    *("matchLabels", "matchExpressions", "key", "operator", "values", "namespaces"),
                ]
            ),
            inner,
            max_size=3,
        ),
    ),
    max_leaves=12,
)
mappings = st.dictionaries(st.sampled_from(["exec", "sleep", "podAntiAffinity", "nodeAffinity"]), anything)


@given(anything, mappings, mappings, st.integers(-2, 5), st.sampled_from(["Near", "In", "Exists"]))
def test_no_object_that_can_be_decoded_stops_a_rule_or_is_changed_by_one(
    selector: Any, hook: dict[str, Any], affinity: dict[str, Any], replicas: int, operator: str
) -> None:
    body = {
        "metadata": {"name": "web", "namespace": "shop"},
        "spec": {
            "replicas": replicas,
            "selector": {"matchExpressions": [{"key": "app", "operator": operator}]},
            "strategy": {"rollingUpdate": {"maxUnavailable": str(selector)}},
            "template": {
                "metadata": {"labels": {"app": "web"}},
                "spec": {
                    "affinity": affinity,
                    "containers": [{"name": "web", "lifecycle": {"preStop": hook}}, {}],
                    "topologySpreadConstraints": [{"topologyKey": "kubernetes.io/hostname"}, {}],
                    "dnsConfig": {"options": [{}, {"name": "a"}]},
                },
            },
        },
    }
    subject = view(msgspec.convert(body, Deployment), services=[service()], nodes=[node("a"), node("b")])
    before = deepcopy(subject)
    section = Deployments(
        spread=Spread(), graceful_shutdown=GracefulShutdown(applies_to="All"), dns_config=DNSConfig()
    )
    rules = asking("p", deployments=section).rules
    assert evaluate(rules, subject) == evaluate(rules, before)
    assert subject == before


def test_what_nodes_remember_is_what_they_would_say_anew() -> None:
    asked: list[str] = []

    def find(answer: str) -> str:
        asked.append(answer)
        return answer

    nodes = Nodes([node("node-1")])
    assert [nodes.answer("a", lambda: find("1")), nodes.answer("a", lambda: find("2"))] == ["1", "1"]
    for number in range(REMEMBERED):
        nodes.answer(number, lambda: find("other"))
    assert nodes.answer("a", lambda: find("3")) == "3", "the oldest was forgotten"
    assert nodes == (node("node-1"),)


@pytest.mark.parametrize(
    ("pod", "names"),
    [
        ({}, {"a", "b"}),
        ({"nodeSelector": {"kubernetes.io/hostname": "b"}}, {"b"}),
        ({"tolerations": [{"operator": "Exists"}]}, {"a", "b", "tainted"}),
        ({"affinity": ON_NODE_A}, {"a"}),
    ],
)
def test_remembered_nodes_are_those_of_the_same_pod(pod: dict[str, object], names: set[str]) -> None:
    made = [node("a"), node("b"), node("tainted", taints=[{"key": "gpu", "effect": "NoSchedule"}])]
    nodes = Nodes(made)
    eligible(view(deployment(), nodes=nodes))
    for these in (nodes, nodes, made):
        assert eligible(view(deployment(pod=pod), nodes=these)).names == names


def apart(key: str = "kubernetes.io/hostname", **more: object) -> dict[str, object]:
    """A pod that bears no pod of its app beside it."""
    term = {"topologyKey": key, "labelSelector": {"matchLabels": {"app": "web"}}, **more}
    return {"affinity": {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]}}}


def hard(**more: object) -> dict[str, object]:
    """A pod that is spread over nodes, or not scheduled."""
    entry = {"topologyKey": "kubernetes.io/hostname", "maxSkew": 1, "whenUnsatisfiable": "DoNotSchedule"}
    return {"topologySpreadConstraints": [entry | {"labelSelector": {"matchLabels": {"app": "web"}}} | more]}


THREE = [node("a", zone="x"), node("b", zone="x"), node("c", zone="y")]
TAINTED = node("d", taints=[{"key": "gpu", "effect": "NoSchedule"}])
ON_HOSTS = "required podAntiAffinity on kubernetes.io/hostname with 3 replicas in 3 eligible domains"
FULL = "DoNotSchedule on kubernetes.io/hostname with 3 replicas and room for 3, because a domain that counts takes none"


@pytest.mark.parametrize(
    ("pod", "nodes", "strategy", "why"),
    [
        (apart(), THREE, {}, ON_HOSTS),
        (apart(), [*THREE, TAINTED], {}, ON_HOSTS),
        (apart(), [*THREE, node("e")], {}, ""),
        (apart(), THREE, {"rollingUpdate": {"maxUnavailable": 1, "maxSurge": 0}}, ""),
        (apart(matchLabelKeys=["pod-template-hash"]), THREE, {}, ""),
        (apart(labelSelector={"matchLabels": {"app": "other"}}), THREE, {}, ""),
        (
            apart("topology.kubernetes.io/zone"),
            THREE,
            {},
            "required podAntiAffinity on topology.kubernetes.io/zone with 3 replicas in 2 eligible domains",
        ),
        (hard(), THREE, {}, ""),
        (hard(), [*THREE, TAINTED], {}, FULL),
        (hard(nodeTaintsPolicy="Honor"), [*THREE, TAINTED], {}, ""),
        (hard(minDomains=4), THREE, {}, FULL),
        (hard(minDomains=4, maxSkew=2), THREE, {}, ""),
        (hard(matchLabelKeys=["pod-template-hash"]), [*THREE, TAINTED], {}, ""),
        (hard(whenUnsatisfiable="ScheduleAnyway"), [*THREE, TAINTED], {}, ""),
        (hard(), [*THREE, TAINTED], {"rollingUpdate": {"maxUnavailable": 1}}, ""),
        (hard() | {"nodeSelector": {"kubernetes.io/hostname": "a"}}, [*THREE, TAINTED], {}, ""),
    ],
)
def test_a_new_pod_without_a_place_beside_the_old_ones_is_never_asked_for(
    pod: dict[str, object], nodes: list[Node], strategy: dict[str, object], why: str
) -> None:
    expected = f"{why} leaves a new pod no place" if why else ""
    assert never_enforced(view(deployment(pod=pod, strategy=strategy), nodes=nodes)) == expected
