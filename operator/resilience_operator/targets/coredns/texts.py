"""What people read about the rules on cluster DNS: printed by `kubectl-resilience explain` and as docs/rules.md."""

from typing import Final

from resilience_operator.core.findings import RuleText
from resilience_operator.targets.workloads.texts import (
    BUDGET_REASONS,
    FLOOR_REASONS,
    NEVER_ENFORCED,
    NEVER_SCALED,
    SPREAD_REASONS,
)

SECTION: Final = "coreDNS"
COREDNS_FLOOR: Final = "coredns-floor"
COREDNS_SPREAD: Final = "coredns-spread"
COREDNS_BUDGET: Final = "coredns-budget"
NODE_LOCAL_CACHE: Final = "node-local-cache"

_MANAGED = "the Deployment of cluster DNS where EKS, GKE, AKS, Gardener or a controller keeps it: it would revert that"
_PREPLY = (
    "Preply, 28 February 2020: under low load the autoscaler of CoreDNS scaled it from 3 to 2. Some services kept "
    "sending queries to the pod that was gone: 26 minutes of partial DNS loss, 15,000 events lost."
)

TEXTS: Final[dict[str, RuleText]] = {
    COREDNS_FLOOR: RuleText(
        rule=COREDNS_FLOOR,
        section=SECTION,
        incident="dns-scale-down",
        title="Cluster DNS never goes below a safe number of replicas",
        demands=(
            "At least minReplicas replicas of the Deployment behind the Service kube-system/kube-dns, through whatever "
            "scales it: the ConfigMap of the cluster-proportional-autoscaler (linear: min, preventSinglePointFailure, "
            "includeUnschedulableNodes; ladder: every step); an HPA; KEDA; spec.replicas where nobody scales. Where "
            "CoreDNS is an Amazon EKS add-on, the floor is written into the add-on's configurationValues, in place, "
            "and nowhere else: replicaCount and, where autoScaling is enabled, its minReplicas. Every scale-down is an "
            "Event, CoreDNSScaledDown, that names who did it."
        ),
        why=_PREPLY,
        reasons=FLOOR_REASONS
        | {
            "TooFewReady": "Fewer ready replicas than the floor, though enough are demanded.",
            "SeveralCandidates": "The Service of cluster DNS selects the pods of several Deployments.",
            "DefaultParamsBelowFloor": (
                "A ConfigMap that the autoscaler makes anew of its --default-params would lack the floor, until it is "
                "written there. Reported only."
            ),
            "AddonNotRead": (
                "An EKS add-on scales cluster DNS, and AWS does not show its configuration; the message says why, and "
                "has the commands."
            ),
            "UnreadableConfiguration": "The configuration of the EKS add-on is YAML, or no JSON object.",
            "AddonUnhealthy": "EKS reports an issue of the add-on's health.",
        },
        never_enforced=(
            *NEVER_SCALED,
            _MANAGED,
            "an EKS add-on of which AWS does not show the configuration, or whose configuration is YAML",
        ),
    ),
    COREDNS_SPREAD: RuleText(
        rule=COREDNS_SPREAD,
        section=SECTION,
        incident="dns-scale-down",
        title="Replicas of cluster DNS do not share a node or a zone",
        demands="What rule spread demands, of the Deployment of cluster DNS.",
        why="Cluster DNS on one node is gone with that node, for every pod of the cluster.",
        reasons=SPREAD_REASONS,
        never_enforced=(*NEVER_ENFORCED, _MANAGED),
    ),
    COREDNS_BUDGET: RuleText(
        rule=COREDNS_BUDGET,
        section=SECTION,
        incident="dns-scale-down",
        title="A drain takes the replicas of cluster DNS one after the other",
        demands="What rule disruption-budget demands, of the Deployment of cluster DNS.",
        why="Two drained nodes may hold all replicas of cluster DNS.",
        reasons=BUDGET_REASONS,
        never_enforced=(*NEVER_SCALED, "budgets of others: they are never changed", _MANAGED),
    ),
    NODE_LOCAL_CACHE: RuleText(
        rule=NODE_LOCAL_CACHE,
        section=SECTION,
        incident="dns-scale-down",
        title="Every node answers queries itself",
        demands=(
            "NodeLocal DNSCache (the DaemonSet node-local-dns in kube-system) is ready on every Ready, schedulable "
            "Linux node. Whether queries reach it (kubelet's clusterDNS, kube-proxy's mode, redirect policies) is not "
            "judged. Where nodes or their pods were not read, the rule is skipped, never passed. Nodes of AKS with "
            "LocalDNS and of EKS Auto Mode have a cache of their own."
        ),
        why=(
            f"{_PREPLY} Entries in conntrack still led to it. A cache on the node is asked without conntrack, and asks "
            "cluster DNS over TCP, which notices a pod that is gone."
        ),
        reasons={
            "CacheMissing": "No DaemonSet in kube-system is NodeLocal DNSCache.",
            "CacheNotReady": (
                "It is not ready on every node where it should run, or its nodeSelector, affinity or tolerations leave "
                "nodes out."
            ),
        },
        never_enforced=(
            "always: what answers the queries of every node is installed by the cluster's owner",
        ),
    ),
}
