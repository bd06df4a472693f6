"""Rule node-local-cache: whether the nodes run NodeLocal DNSCache, and on how many."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import msgspec
import pytest

from resilience_operator.cluster.objects.workloads import DaemonSet, Meta, Node, Service
from resilience_operator.core.findings import EMPTY, Finding, Skipped, State, Verdict
from resilience_operator.engine.decide import Surroundings
from resilience_operator.policy.common import Mode
from resilience_operator.targets import judge
from resilience_operator.targets.coredns.cluster_dns import DNSNeighbours, neighbours
from resilience_operator.targets.coredns.node_local_cache import NEVER_CHANGED, check
from resilience_operator.targets.coredns.settings import CoreDNS, NodeLocalCache
from resilience_operator.targets.workloads.view import DeploymentView, Known
from tests.support.policies import asking
from tests.support.views import deployment, node, view

RULE = NodeLocalCache()
LINUX, WINDOWS = {"kubernetes.io/os": "linux"}, {"kubernetes.io/os": "windows"}
ANYWHERE = [{"effect": effect, "operator": "Exists"} for effect in ("NoExecute", "NoSchedule")]


def cache(*, ready: int = 2, desired: int = 2, **pod: Any) -> DaemonSet:
    """The DaemonSet of Kubernetes' own manifest."""
    spec = {"tolerations": ANYWHERE, "containers": [{"name": "node-cache"}], **pod}
    body = {
        "metadata": {"name": "node-local-dns", "namespace": "kube-system"},
        "spec": {"template": {"metadata": {"labels": {"k8s-app": "node-local-dns"}}, "spec": spec}},
        "status": {"desiredNumberScheduled": desired, "numberReady": ready},
    }
    return msgspec.convert(body, DaemonSet)


def labelled(name: str, labels: Mapping[str, str], **spec: Any) -> Node:
    found = node(name, **spec)
    return msgspec.structs.replace(
        found, metadata=msgspec.structs.replace(found.metadata, labels=dict(labels))
    )


NODES = [labelled("node-1", LINUX), labelled("node-2", LINUX)]


def dns(beside: DNSNeighbours | None, **known: Any) -> DeploymentView:
    """kube-system/coredns behind the Service kube-dns, on two nodes."""
    found = deployment(meta={"name": "coredns", "namespace": "kube-system"})
    ordinary = {"services": [Service(Meta("kube-dns", "kube-system"))], "nodes": NODES}
    return view(found, **{"dns": beside, **ordinary, **known})


REF = dns(None).ref


def finding(reason: str, message: str) -> Verdict:
    return Verdict((Finding("node-local-cache", reason, REF, message, report_only=NEVER_CHANGED),))


def skipped(why: str) -> Verdict:
    return Verdict(skipped=(Skipped("node-local-cache", REF, why),))


def missing(nodes: str) -> Verdict:
    return finding(
        "CacheMissing",
        f"{nodes} without NodeLocal DNSCache (no DaemonSet node-local-dns in kube-system): each query goes through"
        " conntrack to one of the replicas, and is lost with it; install it: on GKE the add-on NodeLocal DNSCache, on"
        " AKS LocalDNS, elsewhere nodelocaldns.yaml of Kubernetes",
    )


LOCAL_DNS = LINUX | {"kubernetes.azure.com/localdns-state": "enabled"}
AUTO = LINUX | {"eks.amazonaws.com/compute-type": "auto"}
FARGATE = LINUX | {"eks.amazonaws.com/compute-type": "fargate"}


@pytest.mark.parametrize(
    ("nodes", "expected"),
    [
        pytest.param(NODES, missing("2 nodes run"), id="two nodes"),
        pytest.param(NODES[:1], missing("1 node runs"), id="one node"),
        pytest.param([node("bare")], missing("1 node runs"), id="a file's node, whose system nobody says"),
        pytest.param(
            [
                NODES[0],
                labelled("windows", WINDOWS),
                labelled("cordoned", LINUX, cordoned=True),
                labelled("silent", LINUX, ready=False),
                labelled("aks", LOCAL_DNS),
                labelled("auto", AUTO),
                labelled("fargate", FARGATE),
            ],
            missing("1 node runs"),
            id="those that need none, or could run none now, do not count",
        ),
        pytest.param([labelled("aks", LOCAL_DNS)], EMPTY, id="every node has one of its own"),
        pytest.param(
            [], skipped("no Node was read: whether there is one that lacks a DNS cache is unknown"), id="none"
        ),
    ],
)
def test_without_the_daemon_set_every_node_that_needs_a_cache_lacks_one(
    nodes: list[Node], expected: Verdict
) -> None:
    assert check(RULE, dns(DNSNeighbours(), nodes=nodes)) == expected


def not_ready(message: str) -> Verdict:
    return finding("CacheNotReady", f"NodeLocal DNSCache is {message}")


UNREADY = "ready on 1 of 3 nodes (kubectl describe daemonset node-local-dns -n kube-system)"
LEFT_OUT = "its nodeSelector, affinity or tolerations are to let it run there"
GPU = {"taints": [{"key": "nvidia.com/gpu", "effect": "NoSchedule"}]}
PRESSED = {"taints": [{"key": "node.kubernetes.io/memory-pressure", "effect": "NoSchedule"}]}
AFFINE = {
    "nodeAffinity": {
        "requiredDuringSchedulingIgnoredDuringExecution": {
            "nodeSelectorTerms": [
                {"matchExpressions": [{"key": "pool", "operator": "NotIn", "values": ["batch"]}]}
            ]
        }
    }
}


@pytest.mark.parametrize(
    ("found", "nodes", "expected"),
    [
        pytest.param(cache(), NODES, EMPTY, id="ready everywhere"),
        pytest.param(cache(ready=1, desired=3), NODES, not_ready(UNREADY), id="not ready on some"),
        pytest.param(
            cache(nodeSelector={"addon.gke.io/node-local-dns-ds-ready": "true"}, ready=0, desired=0),
            NODES,
            not_ready(f"left out of 2 of 2 Ready nodes, such as node-1: {LEFT_OUT}"),
            id="a nodeSelector that no node satisfies",
        ),
        pytest.param(
            cache(affinity=AFFINE),
            [*NODES, labelled("batch", LINUX | {"pool": "batch"})],
            not_ready(f"left out of 1 of 3 Ready nodes, such as batch: {LEFT_OUT}"),
            id="an affinity",
        ),
        pytest.param(
            cache(tolerations=[], ready=1, desired=3),
            [*NODES, labelled("gpu", LINUX, **GPU)],
            not_ready(f"{UNREADY} and left out of 1 of 3 Ready nodes, such as gpu: {LEFT_OUT}"),
            id="a taint that it does not tolerate, and a pod that is not ready",
        ),
        pytest.param(
            cache(tolerations=[]),
            [labelled("pressed", LINUX, **PRESSED), labelled("windows", WINDOWS)],
            EMPTY,
            id="what the controller tolerates, and nodes of another system",
        ),
    ],
)
def test_nodes_on_which_the_cache_is_not_ready_are_counted(
    found: DaemonSet, nodes: list[Node], expected: Verdict
) -> None:
    assert check(RULE, dns(DNSNeighbours(found), nodes=nodes)) == expected


@pytest.mark.parametrize(
    ("known", "expected"),
    [
        (
            {"known": Known(daemon_sets=False), "dns": DNSNeighbours()},
            skipped("no DaemonSet was read: whether the nodes run a DNS cache is unknown"),
        ),
        (
            {"dns": None},
            skipped(
                "it is not what the Service kube-system/kube-dns selects, whose cache is looked for",
            ),
        ),
        (
            {"known": Known(nodes=False), "nodes": []},
            skipped("no Node was read: whether there is one that lacks a DNS cache is unknown"),
        ),
        (
            {"known": Known(pods=False), "dns": DNSNeighbours(cache(ready=0))},
            skipped("on how many nodes the DNS cache is ready is judged in a cluster (--cluster)"),
        ),
    ],
)
def test_what_was_not_read_is_skipped_and_never_passed(known: dict[str, Any], expected: Verdict) -> None:
    assert check(RULE, replace(dns(DNSNeighbours()), **known)) == expected


def daemon(name: str, own: str = "", pods: str = "") -> DaemonSet:
    body = {
        "metadata": {"name": name, "namespace": "kube-system", "labels": {"k8s-app": own}},
        "spec": {"template": {"metadata": {"labels": {"k8s-app": pods}}}},
    }
    return msgspec.convert(body, DaemonSet)


OTHERS = [daemon("kube-proxy", "kube-proxy", "kube-proxy"), daemon("node-local-dns-second")]


@pytest.mark.parametrize(
    "found",
    [
        daemon("node-local-dns"),
        daemon("cache", "node-local-dns"),
        daemon("nodelocaldns", "kube-dns", "node-local-dns"),
    ],
    ids=["by its name", "by its label", "by the label of its pods, as kubespray's"],
)
def test_the_cache_is_found_by_name_or_label(found: DaemonSet) -> None:
    assert neighbours([*OTHERS, found]) == DNSNeighbours(cache=found)
    assert neighbours(OTHERS) == DNSNeighbours()


@pytest.mark.parametrize(("mode", "state"), [(Mode.ENFORCE, State.REPORT_ONLY), (Mode.AUDIT, State.DRIFTED)])
def test_in_no_mode_is_anything_written(mode: Mode, state: State) -> None:
    policy = asking("p", "p-1", mode=mode, core_dns=CoreDNS(node_local_cache=RULE))
    decision = judge(dns(DNSNeighbours()), (policy,), Surroundings({"p-1": policy}))
    assert decision is not None
    assert (decision.change, [one.state for one in decision.judged]) == (None, [state])


def test_only_cluster_dns_is_asked() -> None:
    policy = asking("p", "p-1", core_dns=CoreDNS(node_local_cache=RULE))
    other = view(deployment(), nodes=NODES)
    assert judge(other, (policy,), Surroundings({"p-1": policy})) is None
