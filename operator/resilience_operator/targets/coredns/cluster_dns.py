"""Cluster DNS and what stands beside it on the nodes: NodeLocal DNSCache, kube-proxy's mode, Cilium in its place.

Used by observed (views, store) and cli for the view of cluster DNS, by planning to know which Deployment that is, and
by adapters, which keep of these objects what is read here.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from resilience_operator.cluster.objects.workloads import ConfigMap, DaemonSet, Deployment, Service

DNS_NAMESPACE = "kube-system"
DNS_SERVICE = (DNS_NAMESPACE, "kube-dns")
"""(namespace, name) of the Service of cluster DNS, whoever implements it."""
APP, DNS = "k8s-app", "kube-dns"
"""The label of cluster DNS's pods, where no Service says which they are."""

CACHE = "node-local-dns"
"""Name of NodeLocal DNSCache's DaemonSet, and its label k8s-app; kubespray's (nodelocaldns) labels the pods alone."""
CILIUM = "cilium"
CILIUM_CONFIG = "cilium-config"
REPLACEMENT, REDIRECTS = "kube-proxy-replacement", "enable-local-redirect-policy"
"""Keys of cilium-config."""

PROXY_CONFIGS: Mapping[str, str] = {"kube-proxy": "config.conf", "kube-proxy-config": "config"}
"""ConfigMap -> the key that holds kube-proxy's configuration: as kubeadm names them, and as EKS does."""
MODE = "mode"
NFTABLES_BY_DEFAULT = (1, 40)
"""From here kube-proxy is to take nftables where no mode is said (KEP-5343); before, iptables (server_linux.go)."""


@dataclass(frozen=True, slots=True)
class DNSNeighbours:
    """What the nodes do with queries. `proxy_mode`: "" where nobody says it.

    `cilium`: it replaces kube-proxy; `redirects`: its local redirect policies are switched on.
    """

    cache: DaemonSet | None = None
    proxy_mode: str = ""
    cilium: bool = False
    redirects: bool = False


def is_cluster_dns(deployment: Deployment, services: Iterable[Service]) -> bool:
    """True where the Service kube-dns selects the Deployment's pods, or where they bear the label of cluster DNS."""
    return served(services) or labelled(deployment)


def served(services: Iterable[Service]) -> bool:
    """True where the Service of cluster DNS is among them."""
    return any((each.metadata.namespace, each.metadata.name) == DNS_SERVICE for each in services)


def labelled(deployment: Deployment) -> bool:
    """True where the pods bear the label of cluster DNS, in its namespace."""
    label = deployment.spec.template.metadata.labels.get(APP)
    return label == DNS and deployment.metadata.namespace == DNS_NAMESPACE


def is_cache(name: str, *labels: Mapping[str, str]) -> bool:
    """True where a DaemonSet of that name, with those labels of its own and of its pods, is NodeLocal DNSCache."""
    return name == CACHE or any(each.get(APP) == CACHE for each in labels)


def runs_cache(found: DaemonSet) -> bool:
    """True where the DaemonSet is NodeLocal DNSCache."""
    return is_cache(found.metadata.name, found.metadata.labels, found.spec.template.metadata.labels)


def matters(found: DaemonSet | ConfigMap) -> bool:
    """True where the object is one that is looked at here."""
    meta = found.metadata
    if isinstance(found, ConfigMap):
        return meta.name in PROXY_CONFIGS or meta.name == CILIUM_CONFIG
    return meta.name == CILIUM or runs_cache(found)


def neighbours(
    daemon_sets: Iterable[DaemonSet],
    config_map: Callable[[str], ConfigMap | None],
    server: tuple[int, int] = (0, 0),
) -> DNSNeighbours:
    """Of the DaemonSets of kube-system, and of its ConfigMaps by name."""
    known = sorted(daemon_sets, key=lambda each: each.metadata.name)
    config = config_map(CILIUM_CONFIG)
    said = config.data if config is not None else {}
    return DNSNeighbours(
        cache=next(filter(runs_cache, known), None),
        proxy_mode=_proxy_mode(config_map, server),
        cilium=any(each.metadata.name == CILIUM for each in known)
        and said.get(REPLACEMENT) in {"true", "strict"},
        redirects=said.get(REDIRECTS) == "true",
    )


def _proxy_mode(config_map: Callable[[str], ConfigMap | None], server: tuple[int, int]) -> str:
    for name in PROXY_CONFIGS:
        found = config_map(name)
        if found is not None and MODE in found.data:
            return found.data[MODE] or ("nftables" if server >= NFTABLES_BY_DEFAULT else "iptables")
    return ""
