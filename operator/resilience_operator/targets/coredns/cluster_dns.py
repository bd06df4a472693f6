"""Cluster DNS and the cache that stands beside it on the nodes, NodeLocal DNSCache.

Used by observed (views, store) and cli for the view of cluster DNS, by planning to know which Deployment that is, and
by adapters, which keep of these objects what is read here.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from resilience_operator.cluster.objects.workloads import DaemonSet, Deployment, Service

DNS_NAMESPACE = "kube-system"
DNS_SERVICE = (DNS_NAMESPACE, "kube-dns")
"""(namespace, name) of the Service of cluster DNS, whoever implements it."""
APP, DNS = "k8s-app", "kube-dns"
"""The label of cluster DNS's pods, where no Service says which they are."""

CACHE = "node-local-dns"
"""Name of NodeLocal DNSCache's DaemonSet, and its label k8s-app; kubespray's (nodelocaldns) labels the pods alone."""


@dataclass(frozen=True, slots=True)
class DNSNeighbours:
    """What answers queries on the nodes themselves."""

    cache: DaemonSet | None = None
    """NodeLocal DNSCache; None where no DaemonSet of kube-system is one."""


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


def neighbours(daemon_sets: Iterable[DaemonSet]) -> DNSNeighbours:
    """Of the DaemonSets of kube-system the first, by name, that is a cache."""
    known = sorted(daemon_sets, key=lambda each: each.metadata.name)
    return DNSNeighbours(next(filter(runs_cache, known), None))
