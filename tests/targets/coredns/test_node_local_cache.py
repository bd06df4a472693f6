"""Rule node-local-cache: whether the nodes run NodeLocal DNSCache, on how many, and in a way that queries reach it."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import msgspec
import pytest

from resilience_operator.cluster.objects.workloads import ConfigMap, DaemonSet, Meta, Node, Service
from resilience_operator.core.findings import EMPTY, Finding, Skipped, State, Verdict
from resilience_operator.engine.decide import Surroundings
from resilience_operator.policy.policy import CoreDNS, Mode, NodeLocalCache, Policy
from resilience_operator.targets import judge
from resilience_operator.targets.coredns.cache_mode import flag
from resilience_operator.targets.coredns.cluster_dns import DNSNeighbours, neighbours
from resilience_operator.targets.coredns.node_local_cache import NEVER_CHANGED, check
from resilience_operator.targets.workloads.view import DeploymentView, Known
from tests.support.views import deployment, node, view

RULE = NodeLocalCache()
DNS, LOCAL = "10.96.0.10", "169.254.20.10"
BOTH = ("-localip", f"{LOCAL},{DNS}", "-conf", "/etc/Corefile")
ALONE = ("-localip", LOCAL, "-conf", "/etc/Corefile")
BEHIND = (*BOTH, "-setupinterface=false", "-setupiptables=false")
LINUX, WINDOWS = {"kubernetes.io/os": "linux"}, {"kubernetes.io/os": "windows"}
ANYWHERE = [{"effect": effect, "operator": "Exists"} for effect in ("NoExecute", "NoSchedule")]


def cache(args: Sequence[str] = BOTH, *, ready: int = 2, desired: int = 2, **pod: Any) -> DaemonSet:
    """The DaemonSet of Kubernetes' own manifest."""
    spec = {"tolerations": ANYWHERE, "containers": [{"name": "node-cache", "args": list(args)}], **pod}
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


def service(**spec: Any) -> Service:
    body = {"metadata": {"name": "kube-dns", "namespace": "kube-system"}, "spec": spec}
    return msgspec.convert(body, Service)


def dns(beside: DNSNeighbours | None, **known: Any) -> DeploymentView:
    """kube-system/coredns behind the Service kube-dns, on two nodes."""
    found = deployment(meta={"name": "coredns", "namespace": "kube-system"})
    ordinary = {"services": [service(clusterIP=DNS, clusterIPs=[DNS])], "nodes": NODES}
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
    assert check(RULE, dns(DNSNeighbours(proxy_mode="iptables"), nodes=nodes)) == expected


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
    assert check(RULE, dns(DNSNeighbours(found, "iptables"), nodes=nodes)) == expected


def mismatch(message: str) -> Verdict:
    return finding("CacheModeMismatch", message)


ONLY_LOCAL = skipped(
    f"NodeLocal DNSCache binds {LOCAL} and not the Service's address: pods ask it only where kubelet's clusterDNS names"
    " that, which the API does not show"
)
IPVS = (
    f"kube-proxy runs in ipvs mode, whose kube-ipvs0 holds {DNS}: NodeLocal DNSCache cannot bind it; give it -localip"
    " with {} alone, and name that as clusterDNS of every kubelet"
)


@pytest.mark.parametrize(
    ("mode", "args", "expected"),
    [
        pytest.param("iptables", BOTH, EMPTY, id="iptables, both addresses"),
        pytest.param("iptables", ("-localip", DNS), EMPTY, id="iptables, the Service's alone"),
        pytest.param("iptables", ALONE, ONLY_LOCAL, id="iptables, the local one alone"),
        pytest.param("ipvs", BOTH, mismatch(IPVS.format(LOCAL)), id="ipvs, both addresses"),
        pytest.param(
            "ipvs",
            (f"--localip={DNS}",),
            mismatch(IPVS.format("a link-local address, such as 169.254.20.10,")),
            id="ipvs, the Service's alone",
        ),
        pytest.param("ipvs", ("-skipteardown", *ALONE), ONLY_LOCAL, id="ipvs, the local one alone"),
        pytest.param(
            "nftables",
            BOTH,
            skipped(
                "kube-proxy runs in nftables mode, of which NodeLocal DNSCache's documentation says nothing: whether"
                " that is supported is unknown (kubernetes/dns issue 682)"
            ),
            id="nftables",
        ),
        pytest.param(
            "kernelspace",
            BOTH,
            skipped(
                "kube-proxy's mode kernelspace is none that is known here: whether NodeLocal DNSCache fits it is"
                " unknown"
            ),
            id="another mode",
        ),
        pytest.param(
            "",
            BOTH,
            skipped(
                "neither ConfigMap kube-proxy nor kube-proxy-config of kube-system says kube-proxy's mode: whether"
                " NodeLocal DNSCache fits it is unknown"
            ),
            id="no mode",
        ),
        pytest.param(
            "iptables",
            ("-localip", f"{LOCAL},$(DNS)"),
            skipped(
                f"what NodeLocal DNSCache binds is unknown: -localip {LOCAL},$(DNS) is no list of addresses"
            ),
            id="no addresses",
        ),
        pytest.param(
            "ipvs",
            ("-conf", "/etc/Corefile"),
            skipped("what NodeLocal DNSCache binds is unknown: it has no -localip"),
            id="no -localip",
        ),
        pytest.param(
            "iptables",
            BEHIND,
            skipped(
                "NodeLocal DNSCache binds no address (-setupinterface=false): who leads queries to it is unknown"
            ),
            id="iptables, no interface of its own",
        ),
    ],
)
def test_what_the_cache_binds_has_to_fit_the_mode_of_kube_proxy(
    mode: str, args: Sequence[str], expected: Verdict
) -> None:
    assert check(RULE, dns(DNSNeighbours(cache(args), mode))) == expected


@pytest.mark.parametrize(
    ("args", "redirects", "expected"),
    [
        pytest.param(
            BOTH,
            True,
            mismatch(
                f"Cilium replaces kube-proxy, and takes the queries to {DNS} before they reach the address that"
                " NodeLocal DNSCache binds: it answers none of them; run it without hostNetwork and with"
                " -setupinterface=false and -setupiptables=false, behind a CiliumLocalRedirectPolicy"
            ),
            id="it binds the Service's address",
        ),
        pytest.param(ALONE, False, ONLY_LOCAL, id="it binds the local address alone"),
        pytest.param(
            BEHIND,
            False,
            mismatch(
                "Cilium replaces kube-proxy, and NodeLocal DNSCache waits for a CiliumLocalRedirectPolicy"
                ' (-setupinterface=false), but cilium-config does not say enable-local-redirect-policy: "true": it gets'
                " no query; switch such policies on"
            ),
            id="no policy can be in force",
        ),
        pytest.param(
            BEHIND,
            True,
            skipped(
                "CiliumLocalRedirectPolicies are not read: whether one leads queries to NodeLocal DNSCache is unknown"
            ),
            id="a policy may be in force",
        ),
    ],
)
def test_where_cilium_replaces_kube_proxy_a_bound_address_is_not_reached(
    args: Sequence[str], redirects: bool, expected: Verdict
) -> None:
    # what is left of kube-proxy's configuration does not count
    beside = DNSNeighbours(cache(args), "iptables", cilium=True, redirects=redirects)
    assert check(RULE, dns(beside)) == expected


@pytest.mark.parametrize(
    ("addresses", "expected"),
    [
        ({"clusterIP": DNS}, EMPTY),
        ({"clusterIP": "10.96.0.9", "clusterIPs": ["10.96.0.9", DNS]}, EMPTY),
        (
            {"clusterIP": "10.96.0.9"},
            skipped(
                f"NodeLocal DNSCache binds {LOCAL} and {DNS} and not the Service's address: pods ask it only where"
                " kubelet's clusterDNS names that, which the API does not show"
            ),
        ),
        *(
            (
                spec,
                skipped(
                    "the address of the Service kube-system/kube-dns is unknown: whether NodeLocal DNSCache binds it as"
                    " well"
                ),
            )
            for spec in ({}, {"clusterIP": "None", "clusterIPs": ["None"]})
        ),
    ],
)
def test_the_address_is_that_of_the_service_of_cluster_dns(
    addresses: dict[str, Any], expected: Verdict
) -> None:
    subject = dns(DNSNeighbours(cache(), "iptables"), services=[service(**addresses)])
    assert check(RULE, subject) == expected


def test_ipv6_addresses_are_compared_as_addresses() -> None:
    subject = dns(
        DNSNeighbours(cache(("-localip", "fe80::10,FD00:0::A")), "iptables"),
        services=[service(clusterIP="fd00::a")],
    )
    assert check(RULE, subject) == EMPTY


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
            {"known": Known(pods=False), "dns": DNSNeighbours(cache(ready=0), "iptables")},
            skipped("on how many nodes the DNS cache is ready is judged in a cluster (--cluster)"),
        ),
    ],
)
def test_what_was_not_read_is_skipped_and_never_passed(known: dict[str, Any], expected: Verdict) -> None:
    assert check(RULE, replace(dns(DNSNeighbours()), **known)) == expected


@pytest.mark.parametrize(
    ("argv", "value"),
    [
        (("-localip", "a"), "a"),
        (("--localip=a", "-localip", "b"), "a"),
        (("-localip",), ""),
        (("localip", "a"), ""),
        ((), ""),
    ],
)
def test_a_flag_is_read_as_go_reads_it(argv: tuple[str, ...], value: str) -> None:
    assert flag(argv, "localip") == value


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
    nothing: dict[str, ConfigMap] = {}
    assert neighbours([*OTHERS, found], nothing.get) == DNSNeighbours(cache=found)
    assert neighbours(OTHERS, nothing.get) == DNSNeighbours()


REPLACED = {"kube-proxy-replacement": "true"}


@pytest.mark.parametrize(
    ("daemons", "settings", "server", "expected"),
    [
        pytest.param(
            [], {"kube-proxy": {"mode": "ipvs"}}, (1, 36), DNSNeighbours(proxy_mode="ipvs"), id="kubeadm"
        ),
        pytest.param(
            [],
            {"kube-proxy": {}, "kube-proxy-config": {"mode": "nftables"}},
            (1, 36),
            DNSNeighbours(proxy_mode="nftables"),
            id="EKS",
        ),
        pytest.param(
            [], {"kube-proxy": {"mode": ""}}, (1, 39), DNSNeighbours(proxy_mode="iptables"), id="the default"
        ),
        pytest.param(
            [],
            {"kube-proxy": {"mode": ""}},
            (1, 40),
            DNSNeighbours(proxy_mode="nftables"),
            id="the default of later versions",
        ),
        pytest.param(
            ["cilium"], {"cilium-config": REPLACED}, (1, 36), DNSNeighbours(cilium=True), id="Cilium"
        ),
        pytest.param(
            ["cilium"],
            {
                "cilium-config": {
                    "kube-proxy-replacement": "strict",
                    "enable-local-redirect-policy": "true",
                }
            },
            (1, 36),
            DNSNeighbours(cilium=True, redirects=True),
            id="Cilium with redirect policies",
        ),
        pytest.param(
            ["cilium"],
            {"cilium-config": {"kube-proxy-replacement": "false"}},
            (1, 36),
            DNSNeighbours(),
            id="Cilium beside kube-proxy",
        ),
        pytest.param([], {"cilium-config": REPLACED}, (1, 36), DNSNeighbours(), id="what Cilium left"),
    ],
)
def test_who_leads_queries_is_read_from_the_config_maps(
    daemons: list[str],
    settings: dict[str, dict[str, str]],
    server: tuple[int, int],
    expected: DNSNeighbours,
) -> None:
    maps = {name: ConfigMap(Meta(name, "kube-system"), data) for name, data in settings.items()}
    assert neighbours(map(daemon, daemons), maps.get, server) == expected


@pytest.mark.parametrize(("mode", "state"), [(Mode.ENFORCE, State.REPORT_ONLY), (Mode.AUDIT, State.DRIFTED)])
def test_in_no_mode_is_anything_written(mode: Mode, state: State) -> None:
    policy = Policy("p", "p-1", mode=mode, core_dns=CoreDNS(node_local_cache=RULE))
    decision = judge(dns(DNSNeighbours()), (policy,), Surroundings({"p-1": policy}))
    assert decision is not None
    assert (decision.change, [one.state for one in decision.judged]) == (None, [state])


def test_only_cluster_dns_is_asked() -> None:
    policy = Policy("p", "p-1", core_dns=CoreDNS(node_local_cache=RULE))
    other = view(deployment(), nodes=NODES)
    assert judge(other, (policy,), Surroundings({"p-1": policy})) is None
