"""What people read about each rule on Deployments: printed by `kubectl-resilience explain` and as docs/rules.md.

Kept beside the rules, away from their logic: a test holds that every reason given is described here.
"""

from typing import Final

from resilience_operator.core.findings import RuleText
from resilience_operator.targets.workloads.texts import (
    BUDGET_REASONS,
    DISRUPTION_BUDGET,
    FLOOR_REASONS,
    HELD,
    HELD_VALUE_DIFFERS,
    NEVER_ENFORCED,
    NEVER_SCALED,
    REPLICAS,
    SPREAD,
    SPREAD_REASONS,
)

SECTION: Final = "deployments"
GRACEFUL_SHUTDOWN: Final = "graceful-shutdown"
DNS_CONFIG: Final = "dns-config"
PROBES: Final = "probes"
RESOURCES: Final = "resources"


ONLY_THE_OWNER: Final = "always: only the owner knows the right value, and a wrong one stops what runs"

TEXTS: Final[dict[str, RuleText]] = {
    SPREAD: RuleText(
        rule=SPREAD,
        section=SECTION,
        incident="one-node-pileup",
        title="Replicas do not share a node or a zone",
        demands=(
            "Every Deployment of two or more replicas (in files, at least as many as its only scaler keeps) has a "
            "topologySpreadConstraints entry for each "
            "topology key of the policy, with the Deployment's own selector and, from Kubernetes 1.27, "
            "matchLabelKeys pod-template-hash. An owner's entry that is as strict or stricter satisfies it, "
            "and so does a required podAntiAffinity on the same key. Where pods and nodes are known, the "
            "ready replicas must also really be spread: the skew over eligible nodes is at most maxSkew."
        ),
        why=(
            "Moonlight, January 2019: random API errors for four days, then a full outage. Three replicas on "
            "three nodes had all been placed on one node; CPU-hungry pods saturated it, the kernel panicked, "
            "and the scheduler moved the pile to the next node, and so on. Both keys are written because any "
            "constraint of its own switches the scheduler's default spreading off for that pod."
        ),
        reasons=SPREAD_REASONS,
        never_enforced=NEVER_ENFORCED,
    ),
    GRACEFUL_SHUTDOWN: RuleText(
        rule=GRACEFUL_SHUTDOWN,
        section=SECTION,
        incident="ungraceful-ingress",
        title="A pod keeps serving until nobody sends it requests",
        demands=(
            "Every container that serves a port of a Service has a preStop hook that sleeps at least "
            "preStopSleepSeconds (the sleep action, Kubernetes 1.30), and terminationGracePeriodSeconds is "
            "the larger of minTerminationGracePeriodSeconds and the owner's own value plus the sleep, so "
            "that the application keeps the time it had. With appliesTo All, a Deployment that no Service "
            "selects is judged as well, then on every container. An owner's hook is never replaced."
        ),
        why=(
            "Ravelin, moving an API to GKE: integration tests got 502s on every rollout. A pod gets SIGTERM "
            "at the same moment as its removal from the endpoints, not after it, and a load balancer is far "
            "slower than that: the pod must keep serving until it is reprogrammed."
        ),
        reasons={
            "NoPreStop": "A container that serves a port of a Service has no preStop hook.",
            "PreStopTooShort": "The owner's hook is a sleep shorter than the policy's; it is never replaced.",
            "GracePeriodTooShort": "terminationGracePeriodSeconds is below what the policy demands.",
            "HookExceedsGracePeriod": (
                "A hook sleeps as long as the grace period or longer: the application is killed at once."
            ),
            "UnknownServingContainer": (
                "No container declares the port that a Service targets, and the pod has several: name the "
                "port."
            ),
            HELD_VALUE_DIFFERS: HELD,
        },
        never_enforced=(*NEVER_ENFORCED, "an API server before 1.30, which does not know the sleep action"),
    ),
    DNS_CONFIG: RuleText(
        rule=DNS_CONFIG,
        section=SECTION,
        incident="dns-five-seconds",
        title="The resolver does not race its own queries",
        demands=(
            "dnsConfig.options has every option of the policy with its value, after the owner's entries in "
            "their order. Only options that cannot change what a name resolves to are allowed; ndots needs "
            "allowSearchChange: true. The list is atomic: an owner's list is Contested under conflicts: "
            "Report and merged under TakeOver."
        ),
        why=(
            "Field report: every 5-10th to 100-150th HTTP call took 5 s longer. glibc sends the A and the "
            "AAAA query in parallel over one UDP socket; both race in the DNAT of the DNS Service's address, "
            "one insert into conntrack fails (insert_failed in `conntrack -S`), and the resolver waits 5 s. "
            "musl and Windows ignore the option."
        ),
        reasons={
            "MissingOption": "An option that the policy demands is missing, or has another value.",
            HELD_VALUE_DIFFERS: HELD,
        },
        never_enforced=(
            *NEVER_ENFORCED,
            "an image that matches reportOnlyImages: musl ignores the option",
            "a pod whose os.name or nodeSelector says windows: Windows ignores the option",
        ),
    ),
    PROBES: RuleText(
        rule=PROBES,
        section=SECTION,
        incident="ungraceful-ingress",
        title="Containers have the probes that a rollout relies on",
        demands=(
            "Every container of the pod template (init containers aside) has each probe of the policy's list: "
            "readiness unless it says otherwise."
        ),
        why=(
            "Without a readiness probe a pod counts as ready as soon as its process runs: a rollout goes on over "
            "replicas that cannot serve yet, and every check of a rollout's health, this operator's too, sees less."
        ),
        reasons={"MissingProbe": "A container has no probe of a demanded kind."},
        never_enforced=(ONLY_THE_OWNER,),
    ),
    RESOURCES: RuleText(
        rule=RESOURCES,
        section=SECTION,
        incident="one-node-pileup",
        title="Containers say what they need and what they may take",
        demands=(
            "Every container of the pod template (init containers aside) states each request and limit of the policy's "
            "list: cpuRequest, memoryRequest and memoryLimit unless it says otherwise. A limit alone counts as the "
            "request as well, as in the API. What the pod states (spec.resources, from Kubernetes 1.34) counts for all "
            "its containers."
        ),
        why=(
            "Moonlight, January 2019: CPU-hungry pods without limits saturated the node on which all replicas had been "
            "placed, and its kernel panicked. The scheduler cannot place well what does not say what it needs."
        ),
        reasons={"MissingResources": "Neither a container nor its pod states a demanded request or limit."},
        never_enforced=(ONLY_THE_OWNER,),
    ),
    REPLICAS: RuleText(
        rule=REPLICAS,
        section=SECTION,
        incident="one-node-pileup",
        title="A Deployment never has fewer replicas than it needs",
        demands=(
            "At least `min` replicas, through whatever scales the Deployment: minReplicas of its "
            "HorizontalPodAutoscaler, minReplicaCount of its ScaledObject (KEDA), the parameters of a "
            "cluster-proportional-autoscaler, and spec.replicas only where nobody scales. Who scales it is found, not "
            "configured. 0 replicas stay 0, and a maximum is never raised."
        ),
        why="One replica is an outage with every node that is drained, upgraded or lost.",
        reasons=FLOOR_REASONS,
        never_enforced=(
            *NEVER_SCALED,
            "a ScaledObject or HorizontalPodAutoscaler that may scale to zero",
            "an EKS add-on, or a scaler that is not known",
        ),
    ),
    DISRUPTION_BUDGET: RuleText(
        rule=DISRUPTION_BUDGET,
        section=SECTION,
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
        reasons=BUDGET_REASONS,
        never_enforced=(
            *NEVER_SCALED,
            "budgets of others: they are never changed, one that bears the name of ours neither",
            "a selector that selects the pods of another Deployment, Job, DaemonSet or StatefulSet as well",
        ),
    ),
}
