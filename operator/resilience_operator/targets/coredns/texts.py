"""What people read about the rules that keep a number of replicas, and on cluster DNS: a part of deployments/texts."""

from typing import Final

from resilience_operator.core.findings import RuleText, Severity
from resilience_operator.targets.deployments.texts import (
    COREDNS_BUDGET,
    COREDNS_FLOOR,
    COREDNS_SPREAD,
    DISRUPTION_BUDGET,
    HELD,
    HELD_VALUE_DIFFERS,
    NEVER_ENFORCED,
    NODE_LOCAL_CACHE,
    REPLICAS,
    TEXTS,
)

_NEVER_SCALED = (
    "strategy Recreate, or a ReadWriteOnce or ReadWriteOncePod volume",
    "a controller in ownerReferences: it would revert the change",
)
_MANAGED = "the Deployment of cluster DNS where EKS, GKE, AKS, Gardener or a controller keeps it: it would revert that"
_PREPLY = (
    "Preply, 28 February 2020: under low load the autoscaler of CoreDNS scaled it from 3 to 2. Some services kept "
    "sending queries to the pod that was gone: 26 minutes of partial DNS loss, 15,000 events lost."
)
_FLOOR_REASONS = {
    "TooFewReplicas": "Fewer replicas than the floor; the message says who scales them, if anybody does.",
    "FloorTooLow": "What scales the Deployment may go below the floor.",
    "FloorNotHeld": (
        "The parameters of the cluster-proportional-autoscaler say the floor, but cordoned nodes or one node that "
        "holds all replicas still take it away."
    ),
    "MaximumBelowFloor": "The scaler's own maximum is below the floor. It is never raised; the message has the patch.",
    "SeveralScalers": "Two scalers pull at one Deployment. Nothing is written until one of them is gone.",
    "UnreadableParameters": (
        "The parameters of the cluster-proportional-autoscaler are no JSON, not under exactly one of the keys linear "
        "and ladder, of another type than it takes, or leave open what counts; the message says what is wrong. It "
        "refuses most of these, and does not scale."
    ),
    "StrayScaler": (
        "A Deployment of another namespace has the command line of an autoscaler of this one. It is not believed, and"
        " the floor is written nevertheless."
    ),
    HELD_VALUE_DIFFERS: HELD,
}
_FLOOR_SEVERITIES = {
    "SeveralScalers": Severity.ERROR,
    "UnreadableParameters": Severity.ERROR,
}
_BUDGET_REASONS = {
    "NoBudget": "No PodDisruptionBudget selects the pods of two or more replicas.",
    "BudgetDiffers": (
        "The budget that the operator made is not as the policy demands. A limit, a selector or an eviction policy "
        "that somebody set stays under conflicts: Report (Contested, with who set it), and is put back under TakeOver."
    ),
    "OverlappingBudgets": (
        "Two budgets select the same pods, which makes every eviction of them fail. One of the operator's own goes at "
        "once under Enforce; in Audit, while suspended or paused, and without the right, delete it as the message says."
    ),
    "BudgetAllowsNone": (
        "A budget lets no pod go while all are well: every drain of their nodes blocks. Its limit leaves none of the "
        "Deployment's pods at the least number that its scaler keeps; or it selects pods of a Job, a DaemonSet or "
        "another controller without a scale (finished ones as well), which the disruption controller cannot count: "
        "give those pods a label of their own, and the selector another. Where it may select pods of others as well, "
        "or how far down a scaler goes is not known, the rule is skipped."
    ),
}
_BUDGET_SEVERITIES = {
    "NoBudget": Severity.WARNING,
    "OverlappingBudgets": Severity.ERROR,
    "BudgetAllowsNone": Severity.ERROR,
}

FLOOR_TEXTS: Final[dict[str, RuleText]] = {
    REPLICAS: RuleText(
        rule=REPLICAS,
        section="deployments",
        incident="one-node-pileup",
        title="A Deployment never has fewer replicas than it needs",
        demands=(
            "At least `min` replicas, through whatever scales the Deployment: minReplicas of its "
            "HorizontalPodAutoscaler, minReplicaCount of its ScaledObject (KEDA), the parameters of a "
            "cluster-proportional-autoscaler, and spec.replicas only where nobody scales. Who scales it is found, not "
            "configured. 0 replicas stay 0, and a maximum is never raised. A single replica is left alone where its "
            "owner saw to it that no two run at once: strategy Recreate, or a volume of one node."
        ),
        why="One replica is an outage with every node that is drained, upgraded or lost.",
        severities=_FLOOR_SEVERITIES | {"ReplicasBesideScaler": Severity.WARNING},
        reasons=_FLOOR_REASONS
        | {
            "ReplicasBesideScaler": (
                "A file says spec.replicas beside a HorizontalPodAutoscaler or ScaledObject: each apply scales the "
                "Deployment to that number first. Leave the field out."
            )
        },
        never_enforced=(
            *_NEVER_SCALED,
            "a ScaledObject or HorizontalPodAutoscaler that may scale to zero",
            "an EKS add-on, or a scaler that is not known",
        ),
    ),
    DISRUPTION_BUDGET: RuleText(
        rule=DISRUPTION_BUDGET,
        section="deployments",
        incident="one-node-pileup",
        title="Evictions take a few replicas at once, and never none",
        demands=(
            "Two or more replicas (in files, at least as many as the only scaler keeps) have exactly one "
            "PodDisruptionBudget that lets some of them go. Where none selects "
            "the pods, one is made as soon as two replicas are ready, with unhealthyPodEvictionPolicy AlwaysAllow. It "
            "belongs to the Deployment, and goes at once when another budget appears or one replica is left, and when "
            "the policy no longer asks for it, whatever onRelease says: a budget that nobody watches could block "
            "every drain. Of several that the operator made for the same pods the oldest stays. None is made for a "
            "Deployment whose selector selects the pods of another one as well, or those of a Job, a DaemonSet, a"
            " StatefulSet or any other controller, and one that is there goes when such pods appear. Audit and "
            "suspend write nothing here either. A budget made for a policy that the operator does not see "
            "(another operator's, or one that is gone) stays as it is until it does harm. What is made or put "
            "back three times within the contest window, and does not stay, is left alone until the Deployment or"
            " a policy changes."
        ),
        why=(
            "Without a budget a drain of two nodes takes all replicas at once. With two budgets, or one that never "
            "lets a pod go, no drain ends at all."
        ),
        reasons=_BUDGET_REASONS,
        severities=_BUDGET_SEVERITIES,
        never_enforced=(
            *_NEVER_SCALED,
            "budgets of others: they are never changed, one that bears the name of ours neither",
            "a selector that selects the pods of another Deployment, Job, DaemonSet or StatefulSet as well",
        ),
    ),
    COREDNS_FLOOR: RuleText(
        rule=COREDNS_FLOOR,
        section="coreDNS",
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
        severities=_FLOOR_SEVERITIES,
        reasons=_FLOOR_REASONS
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
            *_NEVER_SCALED,
            _MANAGED,
            "an EKS add-on of which AWS does not show the configuration, or whose configuration is YAML",
        ),
    ),
    COREDNS_SPREAD: RuleText(
        rule=COREDNS_SPREAD,
        section="coreDNS",
        incident="dns-scale-down",
        title="Replicas of cluster DNS do not share a node or a zone",
        demands="What rule spread demands, of the Deployment of cluster DNS.",
        why="Cluster DNS on one node is gone with that node, for every pod of the cluster.",
        reasons=TEXTS["spread"].reasons,
        never_enforced=(*NEVER_ENFORCED, _MANAGED),
    ),
    COREDNS_BUDGET: RuleText(
        rule=COREDNS_BUDGET,
        section="coreDNS",
        incident="dns-scale-down",
        title="A drain takes the replicas of cluster DNS one after the other",
        demands="What rule disruption-budget demands, of the Deployment of cluster DNS.",
        why="Two drained nodes may hold all replicas of cluster DNS.",
        reasons=_BUDGET_REASONS,
        severities=_BUDGET_SEVERITIES,
        never_enforced=(*_NEVER_SCALED, "budgets of others: they are never changed", _MANAGED),
    ),
    NODE_LOCAL_CACHE: RuleText(
        rule=NODE_LOCAL_CACHE,
        section="coreDNS",
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
