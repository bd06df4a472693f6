"""Rule `node-local-cache`: every node answers queries itself (incident dns-scale-down). Reported only.

Called by rules.evaluate for cluster DNS. It looks for NodeLocal DNSCache, and on how many nodes it is ready. Whether
queries reach it is for kubelet's clusterDNS, kube-proxy's mode and redirect policies to say: that is not judged.
"""

from msgspec.structs import replace

from resilience_operator.cluster.objects.workloads import DaemonSet, Node, Toleration
from resilience_operator.core.findings import EMPTY, Finding, Skipped, Verdict
from resilience_operator.targets.coredns.settings import NodeLocalCache
from resilience_operator.targets.coredns.texts import NODE_LOCAL_CACHE
from resilience_operator.targets.workloads.placement import accepts
from resilience_operator.targets.workloads.view import DeploymentView

NEVER_CHANGED = (
    "what answers the queries of every node is installed by the cluster's owner, never by a policy"
)
INSTALL = "install it: on GKE the add-on NodeLocal DNSCache, on AKS LocalDNS, elsewhere nodelocaldns.yaml of Kubernetes"
_APART = frozenset(
    {
        ("kubernetes.azure.com/localdns-state", "enabled"),
        ("eks.amazonaws.com/compute-type", "auto"),
        ("eks.amazonaws.com/compute-type", "fargate"),
        ("type", "virtual-kubelet"),
    }
)
"""Labels of nodes with a cache of their own, which is no pod (AKS LocalDNS, EKS Auto Mode), or without DaemonSets."""

_TOLERATED = tuple(
    Toleration(key=f"node.kubernetes.io/{name}", operator="Exists")
    for name in ("disk-pressure", "memory-pressure", "pid-pressure", "network-unavailable")
)
"""What the DaemonSet controller adds to every pod, as far as a Ready, schedulable node may bear it."""


def check(settings: NodeLocalCache, view: DeploymentView) -> Verdict:
    """Findings on the DNS cache of the nodes; what cannot be known is skipped."""
    if not view.known.daemon_sets:
        return _skipped(view, "no DaemonSet was read: whether the nodes run a DNS cache is unknown")
    if view.dns is None:
        return _skipped(
            view, "it is not what the Service kube-system/kube-dns selects, whose cache is looked for"
        )
    if view.dns.cache is None:
        return _missing(view)
    return _not_ready(view.dns.cache, view)


def _missing(view: DeploymentView) -> Verdict:
    if not view.known.nodes or not view.nodes:
        return _skipped(view, "no Node was read: whether there is one that lacks a DNS cache is unknown")
    count = len(_nodes(view))
    if not count:
        return EMPTY
    where = "1 node runs" if count == 1 else f"{count} nodes run"
    message = (
        f"{where} without NodeLocal DNSCache (no DaemonSet node-local-dns in kube-system): each query goes through"
        f" conntrack to one of the replicas, and is lost with it; {INSTALL}"
    )
    return _found(view, "CacheMissing", message)


def _not_ready(cache: DaemonSet, view: DeploymentView) -> Verdict:
    if not view.known.pods or not view.known.nodes:
        return _skipped(view, "on how many nodes the DNS cache is ready is judged in a cluster (--cluster)")
    name, ready, desired = (
        cache.metadata.name,
        cache.status.number_ready,
        cache.status.desired_number_scheduled,
    )
    parts = []
    if ready < desired:
        parts.append(
            f"ready on {ready} of {desired} nodes (kubectl describe daemonset {name} -n kube-system)"
        )
    nodes, without = _nodes(view), _left_out(cache, view)
    if without:
        parts.append(
            f"left out of {len(without)} of {len(nodes)} Ready nodes, such as {without[0].metadata.name}: its"
            " nodeSelector, affinity or tolerations are to let it run there"
        )
    if not parts:
        return EMPTY
    return _found(view, "CacheNotReady", f"NodeLocal DNSCache is {' and '.join(parts)}")


def _nodes(view: DeploymentView) -> list[Node]:
    """The nodes on which a cache should be ready: Linux, Ready, schedulable, and none with a cache of its own."""
    return [
        node
        for node in view.nodes
        if node.ready
        and not node.spec.unschedulable
        and node.metadata.labels.get("kubernetes.io/os", "linux") == "linux"
        and not node.metadata.labels.items() & _APART
    ]


def _left_out(cache: DaemonSet, view: DeploymentView) -> list[Node]:
    pod = cache.spec.template.spec
    pod = replace(pod, tolerations=pod.tolerations + _TOLERATED)
    return [node for node in _nodes(view) if not accepts(node, pod)]


def _found(view: DeploymentView, reason: str, message: str) -> Verdict:
    return Verdict((Finding(NODE_LOCAL_CACHE, reason, view.ref, message, report_only=NEVER_CHANGED),))


def _skipped(view: DeploymentView, why: str) -> Verdict:
    return Verdict(skipped=(Skipped(NODE_LOCAL_CACHE, view.ref, why),))
